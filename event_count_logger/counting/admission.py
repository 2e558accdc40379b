"""The events that a group counts: declared ones, and the limit to further ones (`max_events`)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.logs import Log

#: The most topics that one group logs warnings about in one process, each once.
_MOST_WARNINGS = 1000

#: Time of the last use of an event that never expires.
_FOREVER = math.inf

#: At `max_events`, a new event replaces events that were idle for this part of `expire_after`.
IDLE_PART = 1 / 3

#: Time between attempts to make room: this part of `expire_after`, and at most this many seconds.
_ROOM_AGAIN_S, _ROOM_AGAIN_PART = 60.0, 1 / 12


class Admission:
    """The events that one group counts in this process, and the ID that each is counted as.

    Events of the configuration, and those given to `declare`, never expire. Any other event expires when it
    was not used for `expire_after`. At `max_events`, a third of that time is enough, and a new event that
    still finds no room is counted as `@overflow`.

    Attributes:
        declared: IDs of the events that are counted, in the order of their first use. The values are the
            times of the last use, by `clock`.
        clock: Returns the time in seconds; `time.monotonic`.
        make_room: Called with the time when a new event finds no room; drops idle events. If None, events
            are dropped by the times in `declared` alone, as in processes without local counters.
    """

    def __init__(self, config: GroupConfig, log: Log) -> None:
        """`log` gets one warning for each event that is not counted under its own ID."""
        self.declared: dict[str, float] = dict.fromkeys(config.events, _FOREVER)
        self.clock: Callable[[], float] = time.monotonic
        self.make_room: Callable[[float], object] | None = None
        self._config = config
        self._log = log
        self._warned: set[str] = set()
        self._find_room_at = self._warn_of_overflow_at = -math.inf

    def declare(self, event_id: str) -> None:
        """Count an event as if the configuration declared it.

        Raises:
            ValueError: Not an event ID.
        """
        check_event_id(event_id)
        self.declared[event_id] = _FOREVER

    def may_count(self, event_id: str) -> bool:
        """Returns whether an event is declared, or would be declared automatically."""
        return event_id in self.declared or self._config.auto_declare_events

    def permanent(self) -> list[str]:
        """Returns the events that never expire: those of the configuration, and those given to `declare`."""
        return [event_id for event_id, used in self.declared.copy().items() if used == _FOREVER]

    def counted_as(self, event_id: str) -> str | None:
        """Returns the ID that an event is counted as; None if it is not counted.

        Raises:
            ValueError: Not an event ID.
        """
        used = self.declared.get(event_id)
        if used is None:
            return self._admit(event_id)
        if used != _FOREVER:
            self.declared[event_id] = self.clock()
        return event_id

    def _admit(self, event_id: str) -> str | None:
        check_event_id(event_id)
        if not self._config.auto_declare_events:
            message = f"Event '{event_id}' of group '{self._config.name}' is not declared: not counted"
            self.warn_once(event_id, message)
            return None
        now = self.clock()
        if not self._has_room_for(1, now):
            self._warn_of_overflow(event_id, now)
            return keys.OVERFLOW
        self.declared[event_id] = now
        return event_id

    def session_counted_as(self, event_id: str) -> str | None:
        """Returns the ID that sessions of an event are counted as; None if they are not counted.

        Raises:
            ValueError: Not an event ID, or not one for sessions.
        """
        fault = keys.session_event_fault(event_id)
        if fault:
            raise ValueError(f"{event_id!r} is not an event of sessions: it {fault}")
        counted_as = self.counted_as(event_id)
        if counted_as is not None:
            self.declared[keys.session_time(counted_as)] = self.declared.get(counted_as, self.clock())
        return counted_as

    def fault(self, event_ids: Iterable[str]) -> str | None:
        """Returns why one of these events would not be counted under its own ID; None if all would."""
        new = [event_id for event_id in dict.fromkeys(event_ids) if event_id not in self.declared]
        if new and not self._config.auto_declare_events:
            return f"'{new[0]}' is not an event of group '{self._config.name}'"
        for event_id in new:
            fault = keys.event_id_fault(event_id)
            if fault:
                return f"{event_id!r} is not an event ID: it {fault}"
        if new and not self._has_room_for(len(new), self.clock()):
            return f"group '{self._config.name}' is limited to {self._config.max_events} events (max_events)"
        return None

    def note_used(self, event_ids: Iterable[str], now: float) -> None:
        """Record that events were counted. `log()` asks `counted_as` only for events without a cell."""
        for event_id in event_ids:
            if self.declared.get(event_id) != _FOREVER and event_id not in (keys.OVERFLOW, keys.LOST):
                self.declared[event_id] = now

    def idle(self, since: float) -> list[str]:
        """Returns the events that may expire and were last used at this time or before."""
        return [event_id for event_id, used in self.declared.copy().items() if used <= since]

    def drop(self, event_ids: Iterable[str], since: float) -> None:
        """Forget events, except those used after this time: another thread may count meanwhile."""
        for event_id in event_ids:
            if self.declared.get(event_id, _FOREVER) <= since:
                self.declared.pop(event_id, None)

    def _has_room_for(self, n: int, now: float) -> bool:
        if len(self.declared) + n > self._config.max_events and now >= self._find_room_at:
            expire_after = self._config.expire_after
            self._find_room_at = now + min(_ROOM_AGAIN_S, expire_after * _ROOM_AGAIN_PART)
            if self.make_room:
                self.make_room(now)
            else:
                since = now - expire_after * IDLE_PART
                self.drop(self.idle(since), since)
        return len(self.declared) + n <= self._config.max_events

    def _warn_of_overflow(self, event_id: str, now: float) -> None:
        """Log a warning, at most one in `expire_after`."""
        if now >= self._warn_of_overflow_at:
            self._warn_of_overflow_at = now + self._config.expire_after
            self._log.warning(
                "More than %d events (max_events): '%s' and new ones that follow are counted as %s, "
                "until others are idle",
                self._config.max_events,
                event_id,
                keys.OVERFLOW,
            )

    def warn_once(self, topic: str, message: str) -> None:
        """Log a warning, unless one was logged about this topic."""
        if topic not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(topic)
            self._log.warning("%s", message)


def check_event_id(event_id: str) -> None:
    """Raises ValueError, with the reason, unless a string is an event ID."""
    fault = keys.event_id_fault(event_id)
    if fault:
        raise ValueError(f"{event_id!r} is not an event ID: it {fault}")
