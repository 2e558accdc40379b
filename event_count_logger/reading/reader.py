"""Reads counts, and tells how far they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.errors import NotConfigured, Rejected
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.store import HistoryEntry, Reading, Store
from event_count_logger.store.shard_merge import added

#: Seconds by which a rotation may be late before its interval counts as overdue.
OVERDUE_TOLERANCE_S = 2.0


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
        position: Where a finished interval is in the history, if it was read from there: what `follow`
            takes to go on behind it.
        missed: How many intervals that finished before this one `follow` could not give any more,
            because the history held them no longer.
    """

    group: str
    interval: str
    half: Half
    start: float | None
    end: float | None
    counts: Mapping[str, int]
    now: float
    overdue_s: float | None
    position: str | None = None
    missed: int = 0

    @property
    def span_s(self) -> float | None:
        """Seconds that were counted in: of the running interval, those until now. None if unknown."""
        if self.start is None:
            return None
        return max(0.0, (self.now if self.end is None else self.end) - self.start)

    @property
    def rates(self) -> Mapping[str, float]:
        """Count per second and event, by the true length of the span; empty where that is unknown."""
        return (
            {event_id: count / self.span_s for event_id, count in self.counts.items()} if self.span_s else {}
        )

    @property
    def stale(self) -> bool:
        """Whether the last finished interval is not the latest complete one."""
        return self.overdue_s != 0

    @property
    def empty(self) -> bool:
        """Whether there is no such interval yet; the counts then say nothing."""
        return self.start is None and self.end is None


@dataclass(frozen=True, slots=True)
class Totals:
    """What the events of one group have counted since ever, as of one moment.

    Attributes:
        group: Name of the group.
        counts: Count per event ID: the declared ones in their order, then the others by name. An event that
            is not declared is in it until it was not logged for `expire_after`.
        now: When this was read, in Unix seconds of the server's clock.
    """

    group: str
    counts: Mapping[str, int]
    now: float


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
        reading = self._store.reads.read(group, interval, halves, now)
        return tuple(_snapshot(group, interval, half, reading) for half in halves)

    def totals(self, group: GroupConfig, now: float | None = None) -> Totals:
        """What each event has counted since ever, what is in the running interval included.

        Args:
            group: Its declared events are always in the counts.
            now: Unix seconds; the server's clock if None.

        Raises:
            NotConfigured: The group keeps no totals.
            StoreError: Redis does not answer.
        """
        if not group.totals:
            raise NotConfigured(
                f"group '{group.name}' keeps no totals ('totals: false' in its configuration)"
            )
        readings = [self._read_totals(shard, now) for shard in group.shards]
        found = [counts for reading in readings for counts in (reading.totals, reading.counts["cur"])]
        counts = dict.fromkeys(group.events, 0) | added(group.events, found)
        return Totals(group.name, counts, max(reading.now for reading in readings))

    def _read_totals(self, shard: GroupConfig, now: float | None) -> Reading:
        interval = shard.totals_interval
        while True:
            reading = self._store.reads.read(shard, interval, ["cur"], now, totals=True)
            if reading.totals_interval in ("", interval.name):
                return reading
            interval = _interval_of_totals(shard, reading.totals_interval)

    def known_events(self, group: GroupConfig) -> list[str]:
        """The declared events, and those that were ever counted and have not expired, by name.

        In a group without totals: those in use, and those in what the history holds.

        Raises:
            StoreError: Redis does not answer.
        """
        if group.totals:
            return list(self.totals(group).counts)
        events: set[str] = set()
        for interval in group.intervals:
            for snapshot in (*self.read(group, interval, "last", "cur"), *self.history(group, interval)):
                events.update(snapshot.counts)
        return [*group.events, *sorted(events.difference(group.events))]

    def history(self, group: GroupConfig, interval: Interval, count: int | None = None) -> list[Snapshot]:
        """The last finished intervals, oldest first: at most `count`, and as many as the history holds.

        Raises:
            StoreError: Redis does not answer.
        """
        wanted = group.history if count is None else count
        return [
            finished_snapshot(group, interval, finished)
            for finished in self._store.reads.history(group, interval, wanted)
        ]

    def overdue_s(self, group: GroupConfig, interval: Interval) -> float | None:
        """Seconds by which the running interval should have ended before; see `Snapshot`.

        Raises:
            StoreError: Redis does not answer.
        """
        start = self._store.reads.start(group, interval)
        return _overdue_s(interval, start, self._store.client.server_time(group))

    def count(self, group: GroupConfig, interval: str, half: Half, event_id: str) -> int:
        """The count of one event; 0 where there is none.

        Raises:
            StoreError: Redis does not answer.
        """
        return self._store.reads.count(group, interval, half, event_id)

    def close(self) -> None:
        """Close the connections; the next read makes new ones."""
        self._store.close()


def is_overdue(overdue_s: float | None) -> TypeGuard[float]:
    """Returns whether a rotation is later than a running master would let it be."""
    return overdue_s is not None and overdue_s > OVERDUE_TOLERANCE_S


def require_history(group: GroupConfig) -> None:
    """Raise NotConfigured if a group keeps no history."""
    if not group.history:
        raise NotConfigured(f"group '{group.name}' keeps no history ('history: 0' in its configuration)")


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
        overdue_s=_overdue_s(interval, reading.current_start, reading.now),
        position=str(reading.last_position) if half == "last" and reading.last_position else None,
    )


def finished_snapshot(
    group: GroupConfig, interval: Interval, finished: HistoryEntry, missed: int = 0
) -> Snapshot:
    """A finished interval out of the history, as it was when it ended."""
    return Snapshot(
        group=group.name,
        interval=interval.name,
        half="last",
        start=finished.start,
        end=finished.end,
        counts=dict.fromkeys(group.events, 0) | dict(finished.counts),
        now=finished.end,
        overdue_s=0,
        position=str(finished.position),
        missed=missed,
    )


def _interval_of_totals(group: GroupConfig, name: str) -> Interval:
    """It may be one that is not in the configuration any more."""
    try:
        return Interval.parse(name)
    except ValueError as error:
        raise Rejected(keys.totals_interval(group.prefix), error) from error


def _overdue_s(interval: Interval, start: float | None, now: float) -> float | None:
    if start is None:
        return None
    return 0 if start >= interval.start_of(now) else now - interval.end_of(start)
