"""Comparison of finished intervals with those before, or with the same time on another day."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, log
from typing import Literal

from event_count_logger.intervals import Interval
from event_count_logger.reading.steps import Step, Sum

#: The earlier time that a request compares with.
Against = Literal["interval", "day", "week"]

_SECONDS = {"day": 86_400.0, "week": 7 * 86_400.0}

#: Events added to both counts of a change, so that few events make no large change.
_DAMPING = 10


@dataclass(frozen=True, slots=True)
class Comparison:
    """The counts of an earlier time.

    Attributes:
        by_s: Seconds by which that time is earlier.
        last: The interval that contains the start of the last one, that much earlier; None without one.
        range: The sum of the intervals that begin in the range, that much earlier; None without one.
        earlier: The steps that overlap the range, that much earlier.
    """

    by_s: float
    last: Sum | None
    range: Sum | None
    earlier: Sequence[Step]

    @property
    def counts(self) -> Iterator[Mapping[str, int]]:
        """The counts of all intervals and steps that it has."""
        if self.last:
            yield self.last.counts
        yield from (step.counts for step in self.earlier)


def distance_s(against: Against, step: Interval, steps: Sequence[Step], is_range: bool) -> float:
    """Returns the seconds between a time and the one to compare it with.

    A range of time is compared with the range before, which is as long in whole steps.
    """
    if against != "interval":
        return _SECONDS[against]
    if not is_range or not steps:
        return step.length_s
    length_s = max(each.end for each in steps) - min(each.start for each in steps)
    return ceil(round(length_s / step.length_s, 6)) * step.length_s


def expected_counts(
    steps: Sequence[Step], comparison: Comparison, count_of: Callable[[Mapping[str, int]], int]
) -> list[float | None]:
    """Returns a count for each step, from the intervals that were running at the same earlier time.

    It has the rate of those intervals. It is their exact sum where they cover as much time as the step does.

    Args:
        steps: The steps.
        comparison: The counts of the earlier time.
        count_of: Returns one number for the counts of a step.
    """
    past = _Past(comparison.earlier, count_of)
    by_s = comparison.by_s
    return [
        past.expected(earlier(each.start, by_s), earlier(each.end, by_s), each.covered_s) for each in steps
    ]


def earlier(time: float, by_s: float) -> float:
    """Returns a time that is earlier by some seconds, exact in milliseconds as the ends of intervals are."""
    return round(time - by_s, 3)


class _Past:
    """Earlier steps by their time."""

    def __init__(self, steps: Sequence[Step], count_of: Callable[[Mapping[str, int]], int]) -> None:
        self._steps = sorted(steps, key=lambda step: step.start)
        self._counts = [count_of(step.counts) for step in self._steps]
        self._starts = [step.start for step in self._steps]
        #: End of the latest step so far. Steps overlap each other after the clock of Redis was set back.
        self._ends = list(accumulate((step.end for step in self._steps), max))

    def expected(self, start: float, end: float, covered_s: float) -> float | None:
        """Returns the count of as many seconds, at the rate of a time; None if no step overlaps that."""
        count, found_s = 0.0, 0.0
        whole = 0
        for number, part in self._overlapping(start, end):
            found_s += self._steps[number].covered_s * part
            if part == 1:
                whole += self._counts[number]
            else:
                count += self._counts[number] * part
        if not found_s:
            return None
        if found_s == covered_s and not count:
            return whole
        return (whole + count) * covered_s / found_s

    def _overlapping(self, start: float, end: float) -> Iterator[tuple[int, float]]:
        """Yield the number of each step that overlaps a time, and the part of the step that does."""
        number = bisect_left(self._starts, end) - 1
        while number >= 0 and self._ends[number] > start:
            step = self._steps[number]
            overlap_s = min(end, step.end) - max(start, step.start)
            if overlap_s > 0:
                yield number, min(1.0, overlap_s / (step.end - step.start))
            number -= 1


def changes(now: Step | Sum | None, before: Step | Sum | None) -> Mapping[str, float]:
    """Returns the change of the rate of each event, such as 0.5 for half as much again.

    An event is left out if it had no count before.
    """
    if now is None or before is None or not (now.covered_s and before.covered_s):
        return {}
    longer = before.covered_s / now.covered_s
    return {
        event_id: now.counts.get(event_id, 0) * longer / count - 1
        for event_id, count in before.counts.items()
        if count
    }


def sizes_of_change(now: Step | Sum | None, before: Step | Sum | None) -> Mapping[str, float]:
    """Returns the size of the change of each event; see `size_of_change`.

    The rate before is converted to the length of time of now.
    """
    if now is None or before is None or not (now.covered_s and before.covered_s):
        return {}
    longer = now.covered_s / before.covered_s
    return {
        event_id: size_of_change(now.counts.get(event_id, 0), before.counts.get(event_id, 0) * longer)
        for event_id in now.counts.keys() | before.counts.keys()
    }


def size_of_change(now: float, before: float) -> float:
    """Returns the size of a change, of growth and decline alike: |ln((now + 10) / (before + 10))|.

    The 10 events added to both sides keep small numbers quiet. From 1 to 3 weighs 0.17, from 0 to 10 and from
    10,000 to 20,000 weigh 0.69.
    """
    return abs(log((now + _DAMPING) / (before + _DAMPING)))
