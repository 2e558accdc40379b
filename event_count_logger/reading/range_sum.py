"""The sum of the finished intervals in a range of time, with the time that it covers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite

from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.times import Range
from event_count_logger.store import HistoryEntry, declared_first

#: Start and end of a time, Unix seconds.
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class RangeSum:
    """The sum of the finished intervals whose start is in a range of time. Immutable.

    The time expected is from the first boundary in the range to the first one at or after its end, but not
    beyond the start of the current interval. A part of it is missing if the history does not reach back that
    far, or lost intervals. A late rotation makes a long interval. If that began before the range, it is not
    in the sum, and its part of the range is missing.

    Example:
        found = reader.sum("5m", since="2h")
        print(found.counts["ok"], found.missing)  # 4 ((..., ...),)

    Attributes:
        group: Name of the group.
        interval: Name of the interval.
        since: Start of the range, Unix seconds; None if it is open.
        until: End of the range, Unix seconds; None if it is open.
        start: Start of the first interval in the sum, Unix seconds; None without one.
        end: End of the last interval in the sum. It is after `until` if that interval ended later.
        counts: Sum per event ID, in the order of a `Snapshot`.
        n_intervals: Number of intervals in the sum.
        covered_s: Seconds of the intervals in the sum: the time from `start` to `end` without the gaps in it.
        missing: Start and end of each gap in the time expected, oldest first.
    """

    group: str
    interval: str
    since: float | None
    until: float | None
    start: float | None
    end: float | None
    counts: Mapping[str, int]
    n_intervals: int
    covered_s: float
    missing: tuple[Span, ...]

    @property
    def rates(self) -> Mapping[str, float]:
        """Count per second and event, by the time covered; empty if that is 0."""
        covered_s = self.covered_s
        return {event_id: count / covered_s for event_id, count in self.counts.items()} if covered_s else {}

    @property
    def missing_s(self) -> float:
        """Seconds that are missing."""
        return sum(end - start for start, end in self.missing)

    @property
    def complete(self) -> bool:
        """True if nothing is missing."""
        return not self.missing


def add_up(
    group: GroupConfig,
    interval: Interval,
    wanted: Range,
    current_start: float | None,
    entries: Iterable[HistoryEntry],
) -> RangeSum:
    """Returns the sum of the intervals in a range. One entry is in memory at a time.

    Args:
        group: The group.
        interval: The interval of the entries.
        wanted: The range.
        current_start: Start of the current interval, Unix seconds; None if none has begun.
        entries: The finished intervals of the range.
    """
    sums = dict.fromkeys(group.events, 0)
    covered = Cover()
    n_intervals = 0
    for entry in entries:
        n_intervals += 1
        covered.add((entry.start, entry.end))
        for event_id, count in entry.counts.items():
            sums[event_id] = sums.get(event_id, 0) + count
    start, end = covered.ends
    return RangeSum(
        group=group.name,
        interval=interval.name,
        since=_closed(wanted.since),
        until=_closed(wanted.until),
        start=start,
        end=end,
        counts={event_id: sums[event_id] for event_id in declared_first(group.events, sums)},
        n_intervals=n_intervals,
        covered_s=covered.seconds,
        missing=covered.missing(interval, wanted, current_start),
    )


class Cover:
    """The union of the spans of intervals; those that touch each other are one."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def add(self, span: Span) -> None:
        """Add a span. They mostly come in order; after a clock was set back, they do not."""
        if self.spans and self.spans[-1][0] <= span[0] <= self.spans[-1][1]:
            start, end = self.spans.pop()
            span = start, max(end, span[1])
        elif self.spans and span[0] < self.spans[-1][0]:
            self.spans = united([*self.spans, span])
            return
        self.spans.append(span)

    def missing(self, interval: Interval, wanted: Range, current_start: float | None) -> tuple[Span, ...]:
        """Returns the gaps in the time that is expected of a range; see `RangeSum`."""
        return tuple(_gaps(self.spans, _expected(interval, wanted, current_start, self)))

    @property
    def seconds(self) -> float:
        """The length of all spans."""
        return length_of(self.spans)

    @property
    def ends(self) -> tuple[float, float] | tuple[None, None]:
        """The start of the first span and the end of the last one."""
        return (self.spans[0][0], self.spans[-1][1]) if self.spans else (None, None)


def united(spans: Iterable[Span]) -> list[Span]:
    """Returns the union of spans in any order."""
    cover = Cover()
    for span in sorted(spans):
        cover.add(span)
    return cover.spans


def length_of(spans: Iterable[Span]) -> float:
    """Returns the length of spans that do not overlap, in seconds."""
    return round(sum(end - start for start, end in spans), 3)  # their ends are milliseconds


def _expected(interval: Interval, wanted: Range, current_start: float | None, covered: Cover) -> Span:
    """Returns the time in which no interval may be missing; it is empty if its end is not after its start."""
    start, end = covered.ends
    begin = start if wanted.since == -inf else interval.first_boundary(wanted.since)
    last = end if current_start is None else current_start
    if begin is None or last is None:
        return 0.0, 0.0
    return begin, last if wanted.until == inf else min(last, interval.first_boundary(wanted.until))


def _gaps(spans: Sequence[Span], expected: Span) -> Iterable[Span]:
    """Yield the parts of the time expected that no span covers."""
    at, last = expected
    for start, end in spans:
        if at < min(start, last):
            yield at, min(start, last)
        at = max(at, end)
    if at < last:
        yield at, last


def _closed(end: float) -> float | None:
    return end if isfinite(end) else None
