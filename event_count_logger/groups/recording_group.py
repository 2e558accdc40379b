"""Event groups that record their counts in memory, for tests."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from event_count_logger.config import GroupConfig
from event_count_logger.counting import pure
from event_count_logger.counting.admission import Admission
from event_count_logger.dummy_group import DummyEventGroup
from event_count_logger.group import Counter
from event_count_logger.groups.configured_group import ConfiguredGroup
from event_count_logger.groups.recorded import Recorded, Source
from event_count_logger.logs import Log
from event_count_logger.store import SessionAction


class RecordingGroup(ConfiguredGroup, Mapping[str, int]):
    """An event group that keeps its counts in memory, for tests: a mapping of event ID to count.

    Events and arguments are checked as in a group that counts in Redis: an event that is not declared is not
    counted, events beyond `max_events` are counted as `@overflow`, and the same errors are raised. Nothing
    waits, everything counts as confirmed, and the current interval never ends.

    Threads and coroutines may count at the same time. After a fork, the child process begins without counts,
    and the parent does not get those of the child.

    As a mapping it has the events that were counted: `recorded["requests"] == {"ok": 3}`. An event that was
    not counted, but could be, has the count 0. Any other event is a KeyError.
    """

    def __init__(
        self, config: GroupConfig, recorded: Recorded | None = None, log_level: str | int | None = None
    ) -> None:
        """`recorded` gets the counts. Groups that share it have the same counts."""
        self._config = config
        self._log = Log(f"EventGroup({config.name})")
        if log_level is not None:
            self._log.setLevel(log_level)
        self.admission = Admission(config, self._log)
        self._recorded = Recorded() if recorded is None else recorded
        self._recorded.admissions.append(self.admission)

    def log(self, event_id: str, count: int = 1) -> None:
        """Count an event, with the arguments and errors of `EventGroup.log`."""
        admitted = self._admitted(event_id, count)
        if admitted is not None:
            self._recorded.counts.add(dict([admitted]))

    def counter(self, event_id: str) -> Counter:
        """See `EventGroup`."""
        return pure.Counter(self, self._checked(event_id))

    def sync(self) -> bool:
        """Returns True: nothing is unsent."""
        return True

    async def flush(self) -> bool:
        """Returns True: nothing is unsent."""
        return True

    def record_action(self, action: SessionAction) -> None:
        """See `ConfiguredGroup`. All IDs of sessions are kept."""
        admitted = self._admitted_action(action)
        if admitted is not None and self._config.sessions is not None:
            self._recorded.counts.act(admitted, self._config.sessions)

    def get_current_counts(self, event_id: str) -> dict[str, int] | None:
        """Returns the count of an event for each interval; None if it is not declared."""
        if not self._is_declared(event_id):
            return None
        return {name: self.get_current_count(event_id, name) for name in self.intervals}

    def get_last_count(self, event_id: str, interval: str) -> int:
        """Returns 0: no interval has ended."""
        return 0

    def get_current_count(self, event_id: str, interval: str) -> int:
        """Returns the count of an event; 0 if there is no such interval."""
        return self._recorded.counts.count(event_id) if self._config.interval(interval) else 0

    def get_counts(self, interval: str, current: bool = False) -> dict[str, int]:
        """Returns the counts of all events if `current`, and otherwise 0 for each: no interval has ended."""
        if self._interval(interval) is None:
            return {}
        return {**dict.fromkeys(self.admission.declared.copy(), 0), **(dict(self) if current else {})}

    def __getitem__(self, event_id: str) -> int:
        """Returns the count of an event, 0 if it was not counted.

        Raises:
            KeyError: The group does not count this event.
        """
        count = self._recorded.counts.count(event_id)
        if not count and not self._recorded.may_count(event_id):
            declared = ", ".join(self._recorded.event_ids()) or "none"
            raise KeyError(f"group '{self._config.name}' has no event {event_id!r} (declared: {declared})")
        return count

    def __contains__(self, event_id: object) -> bool:
        """Returns whether an event was counted."""
        return event_id in self._recorded.counts.get()

    def __iter__(self) -> Iterator[str]:
        return iter(self._recorded.counts.get())

    def __len__(self) -> int:
        return len(self._recorded.counts.get())

    def __bool__(self) -> bool:
        """Returns True, also without counts: like any group."""
        return True

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RecordingGroup):
            return self is other
        return dict(self) == other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self._config.name}': {dict(self)}>"

    def _source(self, id: str) -> Source:
        return Source(self._recorded.counts, id)

    def _now(self) -> float:
        return time.time()


class UnconfiguredRecordingGroup(DummyEventGroup, RecordingGroup):
    """A group that is not configured: its methods have no effect, and it has no counts."""

    def __init__(self, name: str) -> None:
        RecordingGroup.__init__(self, GroupConfig(name, intervals=()))
