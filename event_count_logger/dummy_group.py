"""A group that counts nothing, for programs whose configuration does not have the one that they ask for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from event_count_logger.outcome import Outcome
from event_count_logger.sources.sessions import Session
from event_count_logger.sources.stream import Records


class DummyCounter:
    """Stands in for a `Counter`."""

    def inc(self, n: int = 1) -> None:
        """Does nothing."""


class DummyEventGroup:
    """Stands in for a group that is not configured: counts nothing and reads nothing."""

    def log(self, event_id: str, count: int = 1) -> None:
        """Does nothing."""

    def counter(self, event_id: str) -> DummyCounter:
        """An event that is not counted."""
        return DummyCounter()

    def sync(self) -> bool:
        """Does nothing; there is never anything unsent."""
        return True

    async def flush(self) -> bool:
        """Does nothing; there is never anything unsent."""
        return True

    def outcome(self, success: str | None = None, failure: str | None = None) -> Outcome:
        """A block or function whose end is not counted."""
        return Outcome(self.log, success, failure)

    def session(self, id: str, event: str) -> Session:
        """A session that is not counted."""
        return Session(id, event, lambda *_: None)

    def end_session(self, id: str) -> None:
        """Does nothing."""

    def consume(self, source_id: str, records: Records, **options: Any) -> str:
        """Reads nothing, so that nothing is taken for counted."""
        return ""

    def declare_event_id(self, event_id: str) -> None:
        """Does nothing."""

    def declare_event_ids(self, event_ids: Iterable[str]) -> None:
        """Does nothing."""

    def get_current_counts(self, event_id: str) -> dict[str, int] | None:
        """No event is declared."""
        return None

    def get_last_count(self, event_id: str, interval: str) -> int:
        """Nothing was counted."""
        return 0

    def get_current_count(self, event_id: str, interval: str) -> int:
        """Nothing was counted."""
        return 0

    def get_counts(self, interval: str, current: bool = False) -> dict[str, int]:
        """Nothing was counted."""
        return {}


#: A `DummyEventGroup` for everyone.
DUMMY_EVENT_GROUP = DummyEventGroup()
