"""Counts of one group logged between two reads, summed over all machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.reader import Reader, Snapshot
from event_count_logger.reading.times import Range


class GroupRates:
    """Counts logged between one call of `next` and the following one.

    In a group with totals, they are the difference of two totals. In any other group, they are the counts of
    the current interval and of those finished since. They are unknown if the history has dropped one.
    """

    def __init__(self, reader: Reader, group: GroupConfig, interval: Interval) -> None:
        self._reader = reader
        self._group = group
        self._interval = interval
        self._totals: Mapping[str, int] = {}
        self._current: Snapshot | None = None

    def next(self) -> Mapping[str, int | None]:
        """Returns the counts of each event since the last successful call; None where unknown.

        The first call returns all-time totals, or the current interval in a group without totals.

        Raises:
            StoreError: Redis does not answer.
        """
        return self._by_totals() if self._group.totals else self._by_intervals()

    def _by_totals(self) -> Mapping[str, int | None]:
        totals = self._reader.totals(self._group).counts
        before, self._totals = self._totals, totals
        return _growth(totals, before)

    def _by_intervals(self) -> Mapping[str, int | None]:
        last, current = self._reader.read(self._group, self._interval, "last", "cur")
        finished = self._finished_since(last, current)
        before, self._current = self._current, current
        if finished is None:
            return dict.fromkeys(current.counts)
        sums = Counter(current.counts)
        for snapshot in finished:
            sums.update(snapshot.counts)
        return _growth(sums, before.counts if before else {})

    def _finished_since(self, last: Snapshot, current: Snapshot) -> Sequence[Snapshot] | None:
        """Returns the intervals finished since the last call; None if the history has dropped one of them."""
        if self._current is None or self._current.start == current.start:
            return []
        begin = self._current.start
        if begin is None:
            return [] if last.empty else None
        if last.start == begin:
            return [last]
        spans = list(self._reader.between(self._group, self._interval, Range(begin, current.start or begin)))
        whole = all(one.end == next_.start for one, next_ in pairwise([*spans, current]))
        return spans if spans and spans[0].start == begin and whole else None


def _growth(counts: Mapping[str, int], before: Mapping[str, int]) -> Mapping[str, int | None]:
    """Returns the growth of each count; None for a count that has shrunk: Redis lost or restarted it."""
    return {
        event_id: count - before.get(event_id, 0) if count >= before.get(event_id, 0) else None
        for event_id, count in counts.items()
    }
