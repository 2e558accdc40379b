"""The figures of one group in an overview: pure functions over sums of finished intervals.

A trend has slots, each as long as the interval is configured. An interval that was rotated late covers
several slots, and has its average in each of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.comparison import size_of_change

#: Slots of a trend, at most.
N_SLOTS = 48

#: Slots with counts that the usual band needs, and the share of them below and above it.
_FEWEST_FOR_BAND, _OUTSIDE_BAND = 8, 0.1

#: Seconds back to the same time of the day before.
DAY_S = 86_400.0

#: Part of a slot that the borders of intervals may be off, as binary fractions are inexact.
_INEXACT = 1e-6


#: The same time of the day before, or the interval before.
Against = Literal["day", "interval"]


class Span(Protocol):
    """A finished interval."""

    @property
    def start(self) -> float:
        """Unix seconds."""

    @property
    def end(self) -> float:
        """Unix seconds."""


T = TypeVar("T", bound=Span)


class SpanSum(NamedTuple):
    """The sum of a finished interval.

    Attributes:
        start: Unix seconds.
        end: Unix seconds.
        sum: Sum of the counts that may be added up.
    """

    start: float
    end: float
    sum: int


@dataclass(frozen=True, slots=True)
class Trend:
    """The last finished intervals.

    Attributes:
        start: Start of the first slot, Unix seconds; None without a slot.
        counts: Count of each slot, oldest first; None where the history has no interval.
        merged: Numbers of the slots that share an interval with others.
        usual: The 10th and the 90th percentile of the counts; None if there are fewer than 8.
    """

    start: float | None = None
    counts: tuple[float | None, ...] = ()
    merged: tuple[int, ...] = ()
    usual: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The change of the last interval.

    Attributes:
        against: See `Reference`.
        now: Count of the last interval, for the configured length.
        before: Count that it is compared with, for the configured length.
    """

    against: Against
    now: float
    before: float

    @property
    def ratio(self) -> float | None:
        """The change as a part of `before`, such as 0.5 for half as much more; None for a first count."""
        if self.before:
            return self.now / self.before - 1
        return None if self.now else 0.0

    @property
    def weight(self) -> float:
        """The size of the change; see `size_of_change`."""
        return size_of_change(self.now, self.before)


class Adder:
    """Adds up the counts of a group that may be added up. Names that stay the same are checked once."""

    def __init__(self, group: GroupConfig) -> None:
        self._group = group
        self._names: tuple[str, ...] = ()
        self._addable: Sequence[str] = ()

    def sum(self, counts: Mapping[str, int]) -> int:
        """Returns the sum."""
        names = tuple(counts)
        if names != self._names:
            self._names, self._addable = names, self._group.addable(names)
        return sum(map(counts.__getitem__, self._addable))


def per_length(count: float, span_s: float, length_s: float) -> float:
    """Returns the average count per configured length of a longer span; a shorter span has its own count."""
    return count * length_s / span_s if span_s > length_s else count


def trend(sums: Sequence[SpanSum], interval: Interval) -> Trend:
    """Returns the trend of finished intervals, which are in the order of time."""
    if not sums:
        return Trend()
    length_s = interval.length_s
    end = interval.first_boundary(sums[-1].end)
    n = min(N_SLOTS, max(1, round((end - interval.start_of(sums[0].start)) / length_s)))
    start = round(end - n * length_s, 3)
    counts: list[float | None] = [None] * n
    merged: set[int] = set()
    for one in sums:
        covered = _slots(one, start, length_s)
        for slot in range(max(0, covered.start), min(n, covered.stop)):
            counts[slot] = per_length(one.sum, one.end - one.start, length_s)
            merged |= {slot} if len(covered) > 1 else set()
    return Trend(start, tuple(counts), tuple(sorted(merged)), usual(counts))


def _slots(one: SpanSum, start: float, length_s: float) -> range:
    """Returns the slots that an interval covers, at least one."""
    first = math.floor((one.start - start) / length_s + _INEXACT)
    return range(first, max(first + 1, math.ceil((one.end - start) / length_s - _INEXACT)))


def usual(counts: Iterable[float | None]) -> tuple[float, float] | None:
    """Returns the band that holds four of five known counts; None if there are fewer than 8."""
    known = sorted(count for count in counts if count is not None)
    if len(known) < _FEWEST_FOR_BAND:
        return None
    n_outside = math.floor((len(known) - 1) * _OUTSIDE_BAND)
    return known[n_outside], known[-1 - n_outside]


def day_before(start: float, end: float) -> tuple[float, float]:
    """Returns start and end of an interval's time on the day before."""
    return start - DAY_S, end - DAY_S


@dataclass(frozen=True, slots=True)
class Reference(Generic[T]):
    """The finished intervals that the last one is compared with.

    Attributes:
        against: `day`: the same time of the day before; `interval`: the interval before.
        parts: The intervals, each with its share in that time, from 0 to 1.
        span_s: Length of that time, in seconds.
    """

    against: Against
    parts: Sequence[tuple[T, float]]
    span_s: float


def reference(start: float, end: float, earlier: Sequence[T]) -> Reference[T] | None:
    """Returns the intervals to compare an interval with; None if there are none.

    Args:
        start: Start of the interval, Unix seconds.
        end: Its end.
        earlier: Intervals before it, in the order of time: those of `day_before`, and the one directly before
            it, as far as the history has them.
    """
    parts = _parts(*day_before(start, end), earlier) if end - DAY_S <= start else None
    if parts:
        return Reference("day", parts, end - start)
    if earlier and earlier[-1].end == start:
        before = earlier[-1]
        return Reference("interval", [(before, 1)], before.end - before.start)
    return None


def _parts(start: float, end: float, spans: Iterable[T]) -> Sequence[tuple[T, float]] | None:
    """Returns the intervals from start to end, with the share of each in this time; None with a gap."""
    parts: list[tuple[T, float]] = []
    covered_s = 0.0
    for one in spans:
        common_s = min(end, one.end) - max(start, one.start)
        if common_s > 0:
            span_s = one.end - one.start
            parts.append((one, 1 if common_s == span_s else common_s / span_s))  # 1 keeps large counts exact
            covered_s += common_s
    return parts if covered_s >= (end - start) * (1 - _INEXACT) else None


def change(last: SpanSum, earlier: Sequence[SpanSum], interval: Interval) -> Change | None:
    """Returns the change of the last interval; None without an interval to compare it with.

    Args:
        last: The last interval.
        earlier: See `reference`.
        interval: Its length.
    """
    found = reference(last.start, last.end, earlier)
    if found is None:
        return None
    now = per_length(last.sum, last.end - last.start, interval.length_s)
    before = sum(one.sum * share for one, share in found.parts)
    return Change(found.against, now, per_length(before, found.span_s, interval.length_s))
