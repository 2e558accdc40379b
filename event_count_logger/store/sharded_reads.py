"""Reads of any group: the counts of the shards of a split group are added up."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.store.reads import Reads, ended_by, fitting
from event_count_logger.store.results import LAST_NUMBER, HistoryEntry, HistoryPosition, Reading
from event_count_logger.store.shard_merge import (
    Part,
    joined,
    n_finished_before,
    reconciled,
    sealed,
    shared_boundaries,
)

#: Finished intervals of each shard that are read first. Two are enough if one shard has just been rotated.
#: The number is doubled until there is a sealed interval among them, or the history ends.
_FIRST_LOOK = 2

#: Finished intervals of each shard that a read of a range has in memory, unless the shards share no boundary.
_MOST_AFTER = 64


class ShardedReads:
    """Reads all groups; those that are not split are read by `Reads`.

    Shards are read one after the other while they change. That is safe: an interval counts as finished only
    when all shards have finished it.
    """

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._client = reads.client

    def read(
        self,
        group: GroupConfig,
        interval: Interval,
        halves: Sequence[Half],
        now: float | None = None,
        totals: bool = False,
    ) -> Reading:
        """See `Reads.read`. Each shard is read at a time of its own. Totals are read one shard at a time."""
        if group.n_shards == 1:
            return self._reads.read(group, interval, halves, now, totals)
        assert not totals, "each shard has totals of its own"
        readings = [self._reads.read(shard, interval, halves, now) for shard in group.shards]
        return joined(readings, group.events) or self._reconciled(group, interval, readings)

    def _reconciled(self, group: GroupConfig, interval: Interval, readings: Sequence[Reading]) -> Reading:
        starts = [reading.current_start for reading in readings]
        n = _FIRST_LOOK
        while True:
            parts, is_whole = self._newest(group, interval, starts, n)
            if is_whole or len(shared_boundaries(parts)) > 1:
                return reconciled(readings, parts, group.events)
            n *= 2

    def _newest(
        self, group: GroupConfig, interval: Interval, starts: Sequence[float | None], n: int
    ) -> tuple[list[Part], bool]:
        """Returns the shards with their last `n` finished intervals, and whether there are no more."""
        held = [self._reads.history(shard, interval, n) for shard in group.shards]
        return list(map(Part.of, starts, held)), all(len(some) < n for some in held)

    def history(
        self, group: GroupConfig, interval: Interval, count: int, most_counts: int = sys.maxsize
    ) -> list[HistoryEntry]:
        """See `Reads.history`. Of a split group: the newest sealed intervals, numbered 0."""
        if group.n_shards == 1:
            return self._reads.history(group, interval, count, most_counts)
        starts = self._starts(group, interval)
        n = max(1, count if most_counts == sys.maxsize else min(count, _MOST_AFTER))
        while True:
            parts, is_whole = self._newest(group, interval, starts, n)
            found = sealed(parts, group.events)[::-1]
            fits = fitting(found, most_counts)
            if is_whole or len(found) >= count or len(fits) < len(found):
                return fits[:count][::-1]
            n *= 2

    def finished_after(
        self, group: GroupConfig, interval: Interval, position: HistoryPosition
    ) -> tuple[HistoryEntry | None, float | None, int]:
        """See `Reads.finished_after`. Of a split group: the first sealed interval that ends after a position.

        Returns:
            The interval, or None; the start of the oldest current interval; and the number of intervals that
            had finished before the returned one, in the shard that has most.
        """
        if group.n_shards == 1:
            return self._reads.finished_after(group, interval, position)
        self._client.server_time(group)
        starts = self._starts(group, interval)
        known = [start for start in starts if start is not None]
        oldest = min(known, default=None)
        if oldest is None or len(known) < len(starts) or oldest * 1000 <= position.time_ms:
            return None, oldest, 0
        parts, found = self._sealed_after(group, interval, starts, position.time_ms, _FIRST_LOOK)
        first = found[0] if found else None
        return first, oldest, n_finished_before(parts, first.start) if first else 0

    def between(
        self, group: GroupConfig, interval: Interval, since: float, until: float
    ) -> Iterator[HistoryEntry]:
        """See `Reads.between`. Of a split group: the sealed intervals, numbered 0."""
        return (one for one in self.overlapping(group, interval, since, until) if one.start >= since)

    def overlapping(
        self, group: GroupConfig, interval: Interval, since: float, until: float
    ) -> Iterator[HistoryEntry]:
        """See `Reads.overlapping`. Of a split group: the sealed intervals, numbered 0."""
        if group.n_shards == 1:
            yield from self._reads.overlapping(group, interval, since, until)
            return
        starts = self._starts(group, interval)
        if None in starts:  # nothing is sealed, so the search would read all of the history
            return
        time_ms, n = ended_by(since), _FIRST_LOOK
        while True:
            _, found = self._sealed_after(group, interval, starts, time_ms, n)
            for one in found:
                if one.start >= until:
                    return
                if one.end > since:
                    yield one
            if not found:
                return
            time_ms, n = found[-1].position.time_ms, min(2 * n, _MOST_AFTER)

    def _sealed_after(
        self, group: GroupConfig, interval: Interval, starts: Sequence[float | None], time_ms: int, n: int
    ) -> tuple[list[Part], list[HistoryEntry]]:
        """Read around a time, until it is certain which sealed interval is the first one after it.

        Returns:
            The shards, and the first sealed intervals that end after the time; there are none behind them if
            the list is empty. `n` is the number of intervals of each shard that are read first.
        """
        n_before = _FIRST_LOOK
        while True:
            around = [self._around(shard, interval, time_ms, n_before, n) for shard in group.shards]
            parts = [
                Part.of(start, before + after) for start, (before, after) in zip(starts, around, strict=True)
            ]
            found = [one for one in sealed(parts, group.events) if one.position.time_ms > time_ms]
            is_all_before = all(len(before) < n_before for before, _ in around)
            is_all_after = all(len(after) < n for _, after in around)
            is_begin_known = is_all_before or any(
                round(at * 1000) <= time_ms for at in shared_boundaries(parts)
            )
            if is_begin_known and (found or is_all_after):
                return parts, found
            n_before, n = 2 * n_before, 2 * n

    def _around(
        self, shard: GroupConfig, interval: Interval, time_ms: int, n_before: int, n_after: int
    ) -> tuple[list[HistoryEntry], list[HistoryEntry]]:
        """Returns the last intervals of a shard that ended by a time, and the first ones after it."""
        before = self._reads.before(shard, interval, f"{time_ms}-{LAST_NUMBER}", n_before)
        after = self._reads.after(shard, interval, time_ms, n_after)
        return [one for one in before if one][::-1], list(after)

    def newest_position(self, group: GroupConfig, interval: Interval) -> HistoryPosition:
        """See `Reads.newest_position`. Of a split group: the start of the oldest current interval.

        All sealed intervals ended by then.
        """
        if group.n_shards == 1:
            return self._reads.newest_position(group, interval)
        known = [start for start in self._starts(group, interval) if start is not None]
        return HistoryPosition(round(min(known) * 1000) if len(known) == group.n_shards else 0)

    def start(self, group: GroupConfig, interval: Interval) -> float | None:
        """See `Reads.start`. Of a split group: that of the oldest current interval; None without one."""
        if group.n_shards == 1:
            return self._reads.start(group, interval)
        return min((at for at in self._starts(group, interval) if at is not None), default=None)

    def _starts(self, group: GroupConfig, interval: Interval) -> list[float | None]:
        return [self._reads.start(shard, interval) for shard in group.shards]

    def count(self, group: GroupConfig, interval: str, half: Half, event_id: str) -> int:
        """See `Reads.count`. Of a split group: the count that `read` returns."""
        if group.n_shards == 1:
            return self._reads.count(group, interval, half, event_id)
        found = group.interval(interval)
        return self.read(group, found, [half]).counts[half].get(event_id, 0) if found else 0

    def open_sessions(self, group: GroupConfig, now: float | None = None) -> int:
        """Returns the number of sessions that have neither ended nor expired.

        Args:
            group: It must have settings for sessions.
            now: Unix seconds; the server's clock if None.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
        """
        words = count_of_open_sessions(group, self._client.server_time(group) if now is None else now)
        return int(self._client.ask(*words, key=words[1]))


def count_of_open_sessions(group: GroupConfig, now: float) -> tuple[str, ...]:
    """Returns the command that counts the open sessions of a group, which has settings for sessions."""
    assert group.sessions
    _, key, _ = keys.sessions(group.prefix)
    since = int((now - group.sessions.expire_after) * 1000)
    return "ZCOUNT", key, f"({since}", "+inf"
