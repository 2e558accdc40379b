"""Consistent snapshots of counts, with their true span and staleness."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import TypeGuard

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.errors import NotConfigured, Rejected
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.reading.range_sum import RangeSum, add_up
from event_count_logger.reading.times import EVER, Range, Time, parse_range
from event_count_logger.store import HistoryEntry, Reading, Store, declared_first
from event_count_logger.store.shard_merge import added, created

#: Seconds by which a rotation may be late before its interval counts as overdue.
OVERDUE_TOLERANCE_S = 2.0

#: Finished intervals whose events are known in a group without totals.
_KNOWN_FROM = 60


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counts of one group and interval, as of one time. Immutable.

    Example:
        last = reader.last("5m")
        if last.empty:
            print("no interval has finished")
        else:
            print(last.counts["ok"], last.rates["ok"])  # 4 0.0...

    Attributes:
        group: Name of the group.
        interval: Name of the interval.
        half: `last` for the last finished interval, `cur` for the current one.
        start: Unix seconds; None if unknown. A finished interval has None if none has finished yet, or
            if it was ended by a master of version 1.1, which does not record the start.
        end: Unix seconds; None while the interval runs.
        counts: Count per event ID: the declared ones in their order, then the others by name.
        now: Time of the read, in Unix seconds of the server's clock.
        overdue_s: Seconds since the current interval should have ended; 0 if it is in time. While it is
            overdue, the last interval is not the latest complete one. None if no interval has begun.
            Always 0 in snapshots of `GroupReader.history` and `GroupReader.follow`.
        position: Position of a finished interval in the history, for `GroupReader.follow`; None if unknown.
        missed: Number of intervals before this one that `GroupReader.follow` cannot give, because the
            history has dropped them.
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
        """Seconds from the start to the end, or to now in the current interval; None if unknown."""
        if self.start is None:
            return None
        return max(0.0, (self.now if self.end is None else self.end) - self.start)

    @property
    def rates(self) -> Mapping[str, float]:
        """Count per second and event, by the true length of the span; empty if that is unknown."""
        return (
            {event_id: count / self.span_s for event_id, count in self.counts.items()} if self.span_s else {}
        )

    @property
    def stale(self) -> bool:
        """True if the last finished interval is not the latest complete one."""
        return self.overdue_s != 0

    @property
    def empty(self) -> bool:
        """True if there is no such interval yet; the counts then mean nothing."""
        return self.start is None and self.end is None


@dataclass(frozen=True, slots=True)
class Totals:
    """All-time totals of the events of one group, as of one time. Immutable.

    Example:
        total = reader.totals()
        print(total.counts["ok"], total.counts["failed"])  # 4 0

    Attributes:
        group: Name of the group.
        counts: Count per event ID, in the order of a `Snapshot`. An undeclared event is dropped when it was
            not logged for `expire_after`.
        now: Time of the read, in Unix seconds of the server's clock.
    """

    group: str
    counts: Mapping[str, int]
    now: float


class Reader:
    """A reader of all groups of one Redis database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(
        self, group: GroupConfig, interval: Interval, *halves: Half, now: float | None = None
    ) -> tuple[Snapshot, ...]:
        """Returns one snapshot for each half, all as of the same time.

        Args:
            group: The group. Its declared events are always in the counts.
            interval: One of its intervals.
            *halves: `last`, `cur`, or both.
            now: Unix seconds; the server's clock if None.

        Raises:
            StoreError: Redis does not answer.
        """
        reading = self._store.reads.read(group, interval, halves, now)
        return tuple(_snapshot(group, interval, half, reading) for half in halves)

    def read_with_totals(
        self, group: GroupConfig, interval: Interval
    ) -> tuple[Snapshot, Snapshot, Totals | None]:
        """Returns the last and the current interval, and the totals; None if the group keeps none.

        All are as of the same time, unless the group is split or another interval adds to the totals.

        Raises:
            StoreError: Redis does not answer.
        """
        if group.totals and group.n_shards == 1:
            reading = self._store.reads.read(group, interval, ("last", "cur"), totals=True)
            if reading.totals_interval in ("", interval.name):
                last, current = (_snapshot(group, interval, half, reading) for half in ("last", "cur"))
                return last, current, _totals(group, [reading])
        last, current = self.read(group, interval, "last", "cur")
        return last, current, self.totals(group) if group.totals else None

    def totals(self, group: GroupConfig, now: float | None = None) -> Totals:
        """Returns the all-time total of each event, including the current interval.

        Args:
            group: The group. Its declared events are always in the counts.
            now: Unix seconds; the server's clock if None.

        Raises:
            NotConfigured: The group keeps no totals.
            StoreError: Redis does not answer.
        """
        if not group.totals:
            raise NotConfigured(
                f"group '{group.name}' keeps no totals ('totals: false' in its configuration)"
            )
        return _totals(group, [self._read_totals(shard, now) for shard in group.shards])

    def totals_and_created(self, group: GroupConfig) -> tuple[Totals, dict[str, float]]:
        """Returns the totals, and the time at which the total of an event began, Unix seconds, where known.

        Raises:
            NotConfigured: The group keeps no totals.
            StoreError: Redis does not answer.
        """
        if not group.notes_created:
            return self.totals(group), {}
        readings = [self._read_totals(shard, None) for shard in group.shards]
        noted = [self._store.shard_reads.created(shard) for shard in group.shards]
        return _totals(group, readings), created(readings, noted)

    def _read_totals(self, shard: GroupConfig, now: float | None) -> Reading:
        interval = shard.totals_interval
        while True:
            reading = self._store.reads.read(shard, interval, (), now, totals=True)
            name = reading.totals_interval
            if not name or name == interval.name:
                return reading
            interval = _interval_of_totals(shard, name)

    def known_events(self, group: GroupConfig) -> list[str]:
        """Returns the declared events, and all others that were counted and have not expired.

        In a group without totals, these are the events in use and those in the newest 60 finished intervals.

        Raises:
            StoreError: Redis does not answer.
        """
        if group.totals:
            return list(self.totals(group).counts)
        events: set[str] = set()
        for interval in group.intervals:
            recent = self.history(group, interval, _KNOWN_FROM)
            for snapshot in (*self.read(group, interval, "last", "cur"), *recent):
                events.update(snapshot.counts)
        return declared_first(group.events, events.union(group.events))

    def history(
        self, group: GroupConfig, interval: Interval, count: int | None = None, wanted: Range = EVER
    ) -> list[Snapshot]:
        """Returns the last finished intervals, oldest first.

        Args:
            group: The group.
            interval: One of its intervals.
            count: Number of intervals, the newest ones; None for all.
            wanted: The range of their starts.

        Raises:
            StoreError: Redis does not answer.
        """
        if wanted != EVER:
            found = self.between(group, interval, wanted)
            return list(found if count is None else deque(found, max(0, count)))
        n = group.n_history(interval) if count is None else count
        return self.newest(group, interval, n, sys.maxsize)

    def newest(self, group: GroupConfig, interval: Interval, n: int, most_counts: int) -> list[Snapshot]:
        """Returns the last `n` finished intervals, oldest first; fewer if they have too many counts.

        Raises:
            StoreError: Redis does not answer.
        """
        entries = self._store.reads.history(group, interval, n, most_counts)
        return [finished_snapshot(group, interval, entry) for entry in entries]

    def begin(self, group: GroupConfig, interval: Interval) -> float | None:
        """Returns the start of the oldest interval in the history, Unix seconds; None without any.

        Raises:
            StoreError: Redis does not answer.
        """
        oldest = next(iter(self._store.reads.between(group, interval, 0, inf)), None)
        return oldest.start if oldest else None

    def between(self, group: GroupConfig, interval: Interval, wanted: Range) -> Iterator[Snapshot]:
        """Yield the finished intervals whose start is in a range, in the order of the history.

        The memory that this takes does not depend on the range.

        Raises:
            StoreError: Redis does not answer.
        """
        for entry in self._store.reads.between(group, interval, *wanted):
            yield finished_snapshot(group, interval, entry)

    def sum(self, group: GroupConfig, interval: Interval, wanted: Range) -> RangeSum:
        """Returns the sum of the finished intervals whose start is in a range.

        The memory that this takes does not depend on the range.

        Raises:
            StoreError: Redis does not answer.
        """
        start = self._store.reads.start(group, interval)
        return add_up(group, interval, wanted, start, self._store.reads.between(group, interval, *wanted))

    def range_of(self, group: GroupConfig, since: Time | None, until: Time | None) -> Range:
        """Returns a range of time; lengths of time count back from now by the clock of Redis.

        Raises:
            StoreError: Redis does not answer.
            InvalidTime: A time is invalid, or `since` is after `until`.
        """
        return parse_range(since, until, cache(lambda: self._store.client.server_time(group)))

    def overdue_s(self, group: GroupConfig, interval: Interval) -> float | None:
        """Returns the seconds since the current interval should have ended; see `Snapshot`.

        Raises:
            StoreError: Redis does not answer.
        """
        start = self._store.reads.start(group, interval)
        return overdue_by(interval, start, self._store.client.server_time(group))

    def count(self, group: GroupConfig, interval: str, half: Half, event_id: str) -> int:
        """Returns the count of one event; 0 if there is none.

        Raises:
            StoreError: Redis does not answer.
        """
        return self._store.reads.count(group, interval, half, event_id)

    def close(self) -> None:
        """Close the connections; the next read makes new ones."""
        self._store.close()


def is_overdue(overdue_s: float | None) -> TypeGuard[float]:
    """Returns whether a rotation is overdue by more than the tolerance."""
    return overdue_s is not None and overdue_s > OVERDUE_TOLERANCE_S


def require_history(group: GroupConfig, interval: Interval) -> None:
    """Raise NotConfigured if a group keeps no history of an interval."""
    if not group.keeps_history(interval):
        raise NotConfigured(no_history(group, interval))


def no_history(group: GroupConfig, interval: Interval) -> str:
    """Returns the sentence that a group keeps no history of an interval."""
    of_interval = f"of interval '{interval.name}' ('history: 0' in its configuration)"
    return f"group '{group.name}' keeps no history {of_interval}"


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
        overdue_s=overdue_by(interval, reading.current_start, reading.now),
        position=str(reading.last_position) if half == "last" and reading.last_position else None,
    )


def finished_snapshot(
    group: GroupConfig, interval: Interval, finished: HistoryEntry, missed: int = 0
) -> Snapshot:
    """Returns an interval of the history as a snapshot, as of its end."""
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


def _totals(group: GroupConfig, readings: Sequence[Reading]) -> Totals:
    found = [reading.totals for reading in readings]
    counts = found[0] if len(found) == 1 else added(group.events, found)
    now = max(reading.now for reading in readings)
    return Totals(group.name, dict.fromkeys(group.events, 0) | dict(counts), now)


def _interval_of_totals(group: GroupConfig, name: str) -> Interval:
    """Returns the interval that feeds the totals; it may have left the configuration."""
    try:
        return Interval.parse(name)
    except ValueError as error:
        raise Rejected(keys.totals_interval(group.prefix), error) from error


def overdue_by(interval: Interval, start: float | None, now: float) -> float | None:
    """Returns the seconds since the interval that began at `start` should have ended; see `Snapshot`."""
    if start is None:
        return None
    return 0 if start >= interval.start_of(now) else now - interval.end_of(start)
