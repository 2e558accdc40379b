"""Which events may be counted in a group, and under which ID."""

from __future__ import annotations

from collections.abc import Iterable

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.logs import Log

#: Topics that are warned of, each once, in one group and process.
_MOST_WARNINGS = 1000


class Admission:
    """The events of one group that this process has counted so far, and the room that there is for more.

    Attributes:
        declared: Their IDs, in order.
    """

    def __init__(self, config: GroupConfig, log: Log) -> None:
        """The log is told once of each event that is not counted as itself."""
        self.declared = dict.fromkeys(config.events)
        self._config = config
        self._log = log
        self._warned: set[str] = set()

    def declare(self, event_id: str) -> None:
        """Count an event as if the configuration declared it.

        Raises:
            ValueError: Not an event ID.
        """
        check_event_id(event_id)
        self.declared[event_id] = None

    def counted_as(self, event_id: str) -> str | None:
        """The ID that an event is counted as; None if it is not counted.

        Raises:
            ValueError: Not an event ID.
        """
        if event_id in self.declared:
            return event_id
        if not self._config.auto_declare_events:
            self.warn_once(event_id, f"Event '{event_id}' is not declared!")
            return None
        check_event_id(event_id)
        if len(self.declared) >= self._config.max_events:
            self.warn_once(
                keys.OVERFLOW,
                f"More than {self._config.max_events} events (max_events): '{event_id}' and all that "
                f"follow are counted as {keys.OVERFLOW}",
            )
            return keys.OVERFLOW
        self.declared[event_id] = None
        return event_id

    def session_counted_as(self, event_id: str) -> str | None:
        """The ID that sessions of an event are counted as; None if they are not.

        Raises:
            ValueError: Not an event ID, or one that cannot be that of sessions.
        """
        fault = keys.session_event_fault(event_id)
        if fault:
            raise ValueError(f"{event_id!r} is not an event of sessions: it {fault}")
        counted_as = self.counted_as(event_id)
        if counted_as is not None:
            self.declared[keys.session_time(counted_as)] = None
        return counted_as

    def fault(self, event_ids: Iterable[str]) -> str | None:
        """Why not all of these events would be counted as themselves, in a sentence; None if they would."""
        new = [event_id for event_id in dict.fromkeys(event_ids) if event_id not in self.declared]
        if new and not self._config.auto_declare_events:
            return f"'{new[0]}' is not an event of group '{self._config.name}'"
        for event_id in new:
            fault = keys.event_id_fault(event_id)
            if fault:
                return f"{event_id!r} is not an event ID: it {fault}"
        if new and len(self.declared) + len(new) > self._config.max_events:
            return f"group '{self._config.name}' has room for {self._config.max_events} events (max_events)"
        return None

    def warn_once(self, topic: str, message: str) -> None:
        """Log a warning, unless there was one of this topic."""
        if topic not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(topic)
            self._log.warning("%s", message)


def check_event_id(event_id: str) -> None:
    """Raises ValueError if a string is not an event ID, and says why not."""
    fault = keys.event_id_fault(event_id)
    if fault:
        raise ValueError(f"{event_id!r} is not an event ID: it {fault}")
