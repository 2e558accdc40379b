"""How much the events of one group are logged, on all machines together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.reader import Reader, Snapshot


class GroupRates:
    """What was logged between one call and the next.

    It is the difference of two totals where the group keeps them. Elsewhere it is added up of the running
    interval and those that have finished since; if the history does not hold all of these, it is unknown.
    """

    def __init__(self, reader: Reader, group: GroupConfig, interval: Interval) -> None:
        """Nothing is read yet."""
        self._reader = reader
        self._group = group
        self._interval = interval
        self._totals: Mapping[str, int] = {}
        self._current: Snapshot | None = None

    def next(self) -> Mapping[str, int | None]:
        """For each event, what was logged since the last call that did not fail; None where it is unknown.

        The first time it is what was logged so far: since ever if there are totals, else in the running
        interval.

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
        """What has finished since the last call; None if some of it is not there any more."""
        if self._current is None or self._current.start == current.start:
            return []
        begin = self._current.start
        if begin is None:
            return [] if last.empty else None
        if last.start == begin:
            return [last]
        history = self._reader.history(self._group, self._interval) if self._group.history else []
        spans = [each for each in history if begin <= (each.start or 0) < (current.start or 0)]
        whole = all(one.end == next_.start for one, next_ in pairwise([*spans, current]))
        return spans if spans and spans[0].start == begin and whole else None


def _growth(counts: Mapping[str, int], before: Mapping[str, int]) -> Mapping[str, int | None]:
    """What each count has grown by; None for one that has shrunk: Redis has lost it, or it began anew."""
    return {
        event_id: count - before.get(event_id, 0) if count >= before.get(event_id, 0) else None
        for event_id, count in counts.items()
    }
