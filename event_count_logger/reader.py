"""Reads counts, and tells how far they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.store import Reading, Store


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counts of one group and interval, as of one moment.

    Attributes:
        group: Name of the group.
        interval: Name of the interval.
        half: `last` for the last finished interval, `cur` for the running one.
        start: Unix seconds; None if unknown, which for a finished interval means that none has
            finished yet, or that a master which does not note it has finished it.
        end: Unix seconds; None if there is no end yet.
        counts: Count per event ID: the declared ones in their order, then the others by name.
        now: When this was read, in Unix seconds of the server's clock.
        overdue_s: Seconds by which the running interval should have ended before, so that the last
            one is not the latest complete one; 0 if all is well. None if no interval was ever begun.
    """

    group: str
    interval: str
    half: Half
    start: float | None
    end: float | None
    counts: Mapping[str, int]
    now: float
    overdue_s: float | None

    @property
    def stale(self) -> bool:
        """Whether the last finished interval is not the latest complete one."""
        return self.overdue_s != 0

    @property
    def empty(self) -> bool:
        """Whether there is no such interval yet; the counts then say nothing."""
        return self.start is None and self.end is None


class Reader:
    """Reads the counts of any group of one Redis database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(
        self, group: GroupConfig, interval: Interval, *halves: Half, now: float | None = None
    ) -> tuple[Snapshot, ...]:
        """One snapshot for each half, all as of the same moment.

        Args:
            group: Its declared events are always in the counts.
            interval: One of the group's.
            *halves: `last`, `cur`, or both.
            now: Unix seconds; the server's clock if None.

        Raises:
            StoreError: Redis does not answer.
        """
        reading = self._store.read(group.name, interval, group.events, halves, now)
        return tuple(_snapshot(group, interval, half, reading) for half in halves)

    def count(self, group: str, interval: str, half: Half, event_id: str) -> int:
        """The count of one event; 0 where there is none.

        Raises:
            StoreError: Redis does not answer.
        """
        return self._store.count(group, interval, half, event_id)

    def close(self) -> None:
        """Close the connections; the next read makes new ones."""
        self._store.close()


def _snapshot(group: GroupConfig, interval: Interval, half: Half, reading: Reading) -> Snapshot:
    found = reading.counts[half]
    if half == "cur":
        start, end = reading.current_start, None
    else:
        finished = bool(found) or reading.last_start is not None
        start, end = reading.last_start, reading.current_start if finished else None
    return Snapshot(
        group=group.name,
        interval=interval.name,
        half=half,
        start=start,
        end=end,
        counts=dict.fromkeys(group.events, 0) | dict(found),
        now=reading.now,
        overdue_s=_overdue_s(interval, reading),
    )


def _overdue_s(interval: Interval, reading: Reading) -> float | None:
    if reading.current_start is None:
        return None
    if reading.current_start >= interval.start_of(reading.now):
        return 0
    return reading.now - interval.end_of(reading.current_start)
