"""A stand-in for an event group that is not configured: it counts and reads nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from event_count_logger.group import Counter, EventGroup
from event_count_logger.outcome import Outcome
from event_count_logger.sources.sessions import Session
from event_count_logger.sources.stream import Records


class DummyCounter:
    """A `Counter` that counts nothing."""

    def inc(self, n: int = 1) -> None:
        """Does nothing."""


class DummyEventGroup(EventGroup):
    """An event group that is not configured: its methods have no effect.

    Example:
        group = ecl["reqests"]  # misspelt, which a WARNING reports
        group.log("ok")  # not counted
        print(isinstance(group, DummyEventGroup))  # True
    """

    @property
    def group_name(self) -> str:
        """Returns '': the same object stands in for all groups that are not configured."""
        return ""

    @property
    def event_ids(self) -> set[str]:
        """Returns no events."""
        return set()

    @property
    def intervals(self) -> list[str]:
        """Returns no intervals."""
        return []

    def log(self, event_id: str, count: int = 1) -> None:
        """Does nothing."""

    def counter(self, event_id: str) -> Counter:
        """Returns a counter that counts nothing."""
        return DummyCounter()

    def sync(self) -> bool:
        """Returns True: nothing is unsent."""
        return True

    async def flush(self) -> bool:
        """Returns True: nothing is unsent."""
        return True

    def outcome(self, success: str | None = None, failure: str | None = None) -> Outcome:
        """Returns a context manager and decorator that counts nothing."""
        return Outcome(self.log, success, failure)

    def session(self, id: str, event: str) -> Session:
        """Returns a session that is not counted."""
        return Session(id, event, lambda *_: None)

    def end_session(self, id: str) -> None:
        """Does nothing."""

    def consume(self, source_id: str, records: Records, **options: Any) -> str:
        """Reads no record: none is marked as counted. Returns ''."""
        return ""

    def declare_event_id(self, event_id: str) -> None:
        """Does nothing."""

    def declare_event_ids(self, event_ids: Iterable[str]) -> None:
        """Does nothing."""

    def get_current_counts(self, event_id: str) -> dict[str, int] | None:
        """Returns None: no event is declared."""
        return None

    def get_last_count(self, event_id: str, interval: str) -> int:
        """Returns 0."""
        return 0

    def get_current_count(self, event_id: str, interval: str) -> int:
        """Returns 0."""
        return 0

    def get_counts(self, interval: str, current: bool = False) -> dict[str, int]:
        """Returns no counts."""
        return {}


#: The shared `DummyEventGroup`.
DUMMY_EVENT_GROUP = DummyEventGroup()
