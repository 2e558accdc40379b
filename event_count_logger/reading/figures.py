"""All figures of one group and interval, read for one answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice, takewhile
from math import inf, nextafter
from typing import NamedTuple

from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading import steps as of_steps
from event_count_logger.reading.comparison import Against, Comparison, distance_s, earlier
from event_count_logger.reading.reader import Reader, Snapshot, Totals
from event_count_logger.reading.rotation_wait import once_rotated
from event_count_logger.reading.steps import Step, Sum, Work, fitting, in_steps
from event_count_logger.reading.times import Range
from event_count_logger.store import HistoryEntry, Store

#: Finished intervals that are read, if a request names neither a number nor a range of time.
_USUAL_HISTORY = 60


class Wanted(NamedTuple):
    """The figures that a request needs from Redis.

    Attributes:
        n: Number of the newest finished intervals or steps; None for the usual number, or all of a range.
        since: Start of the range of time; see `parse_time`.
        until: End of the range of time.
        step: Step in which finished intervals are added up; None to return each of them.
        compare: The earlier time to compare with; None for none.
        current: Whether to read what changes within an interval: its counts, the totals and open sessions.
    """

    n: int | None = None
    since: str | None = None
    until: str | None = None
    step: Interval | None = None
    compare: Against | None = None
    current: bool = True

    @property
    def is_range(self) -> bool:
        """True if the request is about a range of time, not about the newest intervals."""
        return any(each is not None for each in (self.since, self.until, self.step))


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one group and interval.

    Attributes:
        last: The last finished interval.
        current: The current interval, as of the same time; None if it was not requested.
        totals: All-time totals; None if they are off or were not requested.
        open_sessions: Number of open sessions; None for a group without sessions, or if not
            requested.
        steps: Finished intervals or steps, oldest first.
        begin: Start of the oldest interval in the history, if the range begins before it.
        sum: The sum of these; None without any.
        comparison: The counts of an earlier time; None if it was not requested.
        is_range: Whether the request is about a range of time.
    """

    last: Snapshot
    current: Snapshot | None
    totals: Totals | None
    open_sessions: int | None
    steps: Sequence[Step]
    begin: float | None
    sum: Sum | None
    comparison: Comparison | None
    is_range: bool

    @property
    def finished(self) -> Step | None:
        """The last finished interval as a step; None if there is none, or its start is unknown."""
        last = self.last
        if last.start is None or last.end is None:
            return None
        return Step(last.start, last.end, ((last.start, last.end),), 1, last.position or "", last.counts)

    @property
    def compared(self) -> tuple[Step | Sum | None, Step | Sum | None]:
        """The figures whose change is of interest, now and before."""
        if self.comparison is None:
            return None, None
        if self.is_range:
            return self.sum, self.comparison.range
        return self.finished, self.comparison.last


class FiguresReader:
    """Reads figures."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reader = Reader(store)

    def read(self, group: GroupConfig, interval: Interval, wanted: Wanted) -> Figures:
        """Returns the figures of a request.

        Raises:
            InvalidTime: The range is invalid, or has too many intervals or counts.
            StoreError: Redis does not answer.
        """
        last, current, totals = once_rotated(interval, lambda: self._counts(group, interval, wanted))
        open_sessions = self._store.reads.open_sessions(group) if group.sessions and wanted.current else None
        reading = _HistoryReading(self._reader, self._store, group, interval, wanted)
        return Figures(
            last=last,
            current=current,
            totals=totals,
            open_sessions=open_sessions,
            steps=reading.steps,
            begin=reading.begin,
            sum=Sum.of(reading.steps, group.events),
            comparison=reading.comparison(last, wanted.compare) if wanted.compare else None,
            is_range=wanted.is_range,
        )

    def _counts(
        self, group: GroupConfig, interval: Interval, wanted: Wanted
    ) -> tuple[Snapshot, Snapshot | None, Totals | None]:
        """Returns the last and the current interval, and the totals."""
        if wanted.current:
            return self._reader.read_with_totals(group, interval)
        (last,) = self._reader.read(group, interval, "last")
        return last, None, None


class _HistoryReading:
    """Reads the finished intervals of one request.

    Attributes:
        steps: The finished intervals or steps of the request.
        begin: See `Figures`.
    """

    def __init__(
        self, reader: Reader, store: Store, group: GroupConfig, interval: Interval, wanted: Wanted
    ) -> None:
        self._reader = reader
        self._reads = store.reads
        self._group = group
        self._interval = interval
        self._wanted = wanted
        #: The finished intervals of the request, unless they are added up.
        self._entries: Sequence[HistoryEntry] = ()
        range_ = reader.range_of(group, wanted.since, wanted.until)
        self.steps = self._steps(range_)
        self.begin = self._begin(range_)

    def comparison(self, last: Snapshot, against: Against) -> Comparison:
        """Returns the counts of an earlier time."""
        step = self._wanted.step or self._interval
        by_s = distance_s(against, step, self.steps, self._wanted.is_range)
        before = None if last.start is None else self._at(earlier(last.start, by_s))
        if not self.steps:
            return Comparison(by_s, before, None, ())
        start = earlier(min(each.start for each in self.steps), by_s)
        end = earlier(max(each.end for each in self.steps), by_s)
        begun, inside = self._earlier(start, end, by_s)
        return Comparison(by_s, before, Sum.of(inside, self._group.events), [*begun, *inside])

    def _begin(self, range_: Range) -> float | None:
        if range_.since == -inf:
            return None
        first = self._interval.first_boundary(range_.since)
        if self.steps and self.steps[0].start <= first:
            return None
        begin = self._reader.begin(self._group, self._interval)
        return begin if begin is not None and begin > first else None

    def _steps(self, range_: Range) -> list[Step]:
        wanted = self._wanted
        if wanted.n == 0:
            return []
        if wanted.step:
            n = _USUAL_HISTORY if wanted.n is None and wanted.since is None else wanted.n
            if n is None:
                return in_steps(self._between(*range_), wanted.step)
            # There may be more: an interval has finished meanwhile, or the clock of Redis was set back.
            return in_steps(self._between(*self._last_steps(range_, wanted.step, n)), wanted.step)[-n:]
        self._entries = self._single(range_)
        return [Step.of(entry) for entry in self._entries]

    def _single(self, range_: Range) -> Sequence[HistoryEntry]:
        """Returns the intervals of the request; of a number of intervals, only as many as fit into memory."""
        n = self._wanted.n
        if not self._wanted.is_range:
            n = min(_USUAL_HISTORY if n is None else n, self._group.n_history(self._interval))
            return self._reads.history(self._group, self._interval, n, of_steps.MOST_COUNTS)
        found = self._between(*range_)
        return fitting(found) if n is None else _newest_that_fit(found, n)

    def _last_steps(self, range_: Range, step: Interval, n: int) -> Range:
        """Returns the last `n` steps of a range."""
        start = self._reads.start(self._group, self._interval)
        end = min(range_.until, inf if start is None else start)
        if end == inf:  # nothing has finished
            return range_
        first = earlier(step.start_of(nextafter(end, 0)), (n - 1) * step.length_s)
        return Range(max(range_.since, first), range_.until)

    def _earlier(self, start: float, end: float, by_s: float) -> tuple[list[Step], list[Step]]:
        """Returns the steps that overlap a time: those that began before, and those that begin in it."""
        first = min((entry.start for entry in self._entries), default=inf)
        before = self._reads.overlapping(self._group, self._interval, start, min(end, first))
        known = (entry for entry in self._entries if entry.start < end)
        entries = chain(before, self._unordered(first, end), known)
        begun: list[Step] = []
        inside = _set_aside(entries, start, begun)
        if self._wanted.step:
            steps = in_steps(inside, self._wanted.step, by_s)
        else:
            steps = [Step.of(entry) for entry in fitting(inside)]
        return begun, steps

    def _unordered(self, first: float, end: float) -> Iterable[HistoryEntry]:
        """Returns the intervals that begin in a time and precede the known ones in the history.

        There are some if the clock of Redis was set back.
        """
        if end <= first:
            return ()
        oldest = self._entries[0].position
        return takewhile(lambda entry: entry.position < oldest, self._between(first, end))

    def _at(self, time: float) -> Sum | None:
        """Returns the finished interval that was running at a time."""
        found = self._reads.overlapping(self._group, self._interval, time, nextafter(time, inf))
        return Sum.of([Step.of(entry) for entry in islice(found, 1)], self._group.events)

    def _between(self, since: float, until: float) -> Iterable[HistoryEntry]:
        return self._reads.between(self._group, self._interval, since, until)


def _set_aside(entries: Iterable[HistoryEntry], start: float, begun: list[Step]) -> Iterable[HistoryEntry]:
    """Yield the intervals that begin at a time or later; add the others to `begun`."""
    for entry in entries:
        if entry.start >= start:
            yield entry
        else:
            begun.append(Step.of(entry))


def _newest_that_fit(found: Iterable[HistoryEntry], n: int) -> deque[HistoryEntry]:
    """Returns the last `n` intervals of a range, or as many as fit into memory.

    Raises:
        InvalidTime: The range is too long to read.
    """
    newest: deque[HistoryEntry] = deque()
    n_counts = 0
    work = Work()
    for entry in found:
        work.add(len(entry.counts))
        newest.append(entry)
        n_counts += len(entry.counts)
        while len(newest) > n or (n_counts > of_steps.MOST_COUNTS and len(newest) > 1):
            n_counts -= len(newest.popleft().counts)
    return newest
