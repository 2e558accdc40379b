"""Counts in memory, for tests: what was counted in one group, by events, sessions and streams."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping

from event_count_logger import keys
from event_count_logger.config import SessionsConfig
from event_count_logger.counting.admission import Admission
from event_count_logger.errors import SourceMoved
from event_count_logger.groups.recorded_sessions import SessionsOfID
from event_count_logger.process import PerProcess
from event_count_logger.store import SessionAction


class Counts:
    """The counts of one group in one process. Threads may count at the same time."""

    def __init__(self) -> None:
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._sessions: dict[str, SessionsOfID] = {}
        self._positions: dict[str, str] = {}
        self._lock = threading.RLock()  # reentrant, because a signal handler may count, too

    def add(self, counts: Mapping[str, int]) -> None:
        """Add counts to those of their events."""
        with self._lock:
            for event_id, count in counts.items():
                self._counts[event_id] += count

    def get(self) -> dict[str, int]:
        """Returns the counts by event ID; a copy, without events that were not counted."""
        with self._lock:
            return {event_id: count for event_id, count in self._counts.items() if count}

    def count(self, event_id: str) -> int:
        """Returns the count of an event."""
        return self._counts.get(event_id, 0)

    def act(self, action: SessionAction, config: SessionsConfig) -> None:
        """Count an action of a session."""
        with self._lock:
            sessions = self._sessions.get(action.id) or SessionsOfID(config)
            added = sessions.act(action)
            if added:
                event_id, n, ms = added
                self._sessions[action.id] = sessions
                self.add({event_id: n, keys.session_time(event_id): ms})

    def position(self, source_id: str) -> str:
        """Returns the position of a source; '' for the beginning."""
        return self._positions.get(source_id, "")

    def commit(self, source_id: str, previous: str, next: str, batch: Mapping[str, int]) -> None:
        """Add the counts of a batch, and move its source.

        Raises:
            SourceMoved: The source is not at the previous position.
        """
        with self._lock:
            stored = self.position(source_id)
            if stored != previous:
                raise SourceMoved(source_id, previous, stored)
            self.add(batch)
            self._positions[source_id] = next


class Source:
    """A source of recorded counts, for `Consumer`."""

    def __init__(self, counts: Counts, id: str) -> None:
        self.position = ""
        self._counts = counts
        self._id = id

    def load(self) -> str:
        """See `PositionedSource`."""
        self.position = self._counts.position(self._id)
        return self.position

    def commit(self, next: str, batch: Mapping[str, int]) -> None:
        """See `PositionedSource`."""
        self._counts.commit(self._id, self.position, next, batch)
        self.position = next


class Recorded:
    """The counts under one name of a group, by all groups that record here.

    Attributes:
        admissions: The events that each of these groups counts.
    """

    def __init__(self) -> None:
        self.admissions: list[Admission] = []
        self._counts = PerProcess(Counts)

    @property
    def counts(self) -> Counts:
        """The counts of this process: a child process begins with none."""
        return self._counts.get()

    def may_count(self, event_id: str) -> bool:
        """Returns whether any of the groups counts this event."""
        return any(admission.may_count(event_id) for admission in self.admissions)

    def event_ids(self) -> list[str]:
        """Returns all declared events, sorted."""
        return sorted({event_id for admission in self.admissions for event_id in admission.declared.copy()})
