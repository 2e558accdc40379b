"""Evaluation of rules on finished intervals, as pure functions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from event_count_logger.config import AlertRule, GroupConfig, Threshold
from event_count_logger.config.event_pattern import compiled
from event_count_logger.intervals import Interval
from event_count_logger.reading.reader import Snapshot

#: Returns the sum of the counts of the events that match one of the patterns.
_TotalOf = Callable[[tuple[str, ...]], int]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of a rule for one finished interval.

    Attributes:
        value: The count, or the percentage, that is compared with the limit; None if nothing of `of` was
            counted.
        is_breach: True if the value is beyond the limit.
    """

    value: float | None
    is_breach: bool


class Evaluator:
    """The evaluation of many rules on the intervals of one group.

    It remembers which events match, until an interval has other events.
    """

    def __init__(self, group: GroupConfig) -> None:
        self._group = group
        self._matcher = _Matcher(group, ())
        self._counts: Mapping[str, int] = {}
        self._totals: dict[tuple[str, ...], int] = {}

    def evaluate(self, rule: AlertRule, interval: Interval, snapshot: Snapshot) -> Evaluation:
        """Returns the result of a rule; see the function `evaluate`."""
        if snapshot.counts is not self._counts:
            self._use(snapshot.counts)
        return _compare(rule, interval, snapshot, self._total)

    def _use(self, counts: Mapping[str, int]) -> None:
        self._counts, self._totals = counts, {}
        events = tuple(counts)
        if events != self._matcher.events:
            self._matcher = _Matcher(self._group, events)

    def _total(self, patterns: tuple[str, ...]) -> int:
        if patterns not in self._totals:
            self._totals[patterns] = _sum(self._counts, self._matcher.matching(patterns))
        return self._totals[patterns]


def evaluate(rule: AlertRule, group: GroupConfig, interval: Interval, snapshot: Snapshot) -> Evaluation:
    """Returns the result of a rule for a finished interval.

    An interval that was rotated late covers the time of several ones. Its counts are then averages per
    interval.
    """
    counts, matcher = snapshot.counts, _matcher(group, tuple(snapshot.counts))
    return _compare(rule, interval, snapshot, lambda patterns: _sum(counts, matcher.matching(patterns)))


def total(patterns: Iterable[str], group: GroupConfig, counts: Mapping[str, int]) -> int:
    """Returns the sum of the counts of the events that match one of the patterns."""
    return _sum(counts, matching(tuple(patterns), group, counts))


def matching(patterns: Sequence[str], group: GroupConfig, counts: Iterable[str]) -> list[str]:
    """Returns the events that match one of the patterns.

    A pattern with `*` matches only events whose counts may be added up.
    """
    return _matcher(group, tuple(counts)).matching(tuple(patterns))


def _sum(counts: Mapping[str, int], events: Iterable[str]) -> int:
    return sum(map(counts.__getitem__, events))


class _Matcher:
    """The events of an interval, prepared for the search for patterns. Threads may share it.

    Attributes:
        events: The events.
    """

    def __init__(self, group: GroupConfig, events: tuple[str, ...]) -> None:
        self.events = events
        self._group = group
        self._known = frozenset(events)
        self._found: dict[tuple[str, ...], list[str]] = {}
        self._by_begin_and_end: tuple[list[str], list[str]] | None = None

    def matching(self, patterns: tuple[str, ...]) -> list[str]:
        """Returns the events that match one of the patterns, each once."""
        found = self._found.get(patterns)
        if found is None:
            found = list(dict.fromkeys(event_id for each in patterns for event_id in self._matches(each)))
            self._found[patterns] = found
        return found

    def _matches(self, pattern: str) -> Iterable[str]:
        if "*" not in pattern:
            return [pattern] if pattern in self._known else []
        if self._by_begin_and_end is None:
            addable = sorted(self._group.addable(self.events))
            self._by_begin_and_end = addable, sorted(event_id[::-1] for event_id in addable)
        by_begin, by_end = self._by_begin_and_end
        begin, *inner, end = pattern.split("*")
        of_begin = _with_prefix(by_begin, begin)
        of_end = _with_prefix(by_end, end[::-1])
        if len(of_end) < len(of_begin):
            candidates = (by_end[at][::-1] for at in of_end)
        else:
            candidates = (by_begin[at] for at in of_begin)
        longest = max(inner, key=len, default="")
        matches = compiled([pattern]).fullmatch
        return (each for each in candidates if longest in each and matches(each))


#: The matcher of some events. Many rules are evaluated on the same interval.
_matcher = lru_cache(maxsize=8)(_Matcher)


def _with_prefix(texts: Sequence[str], prefix: str) -> range:
    """Returns the positions of the sorted texts that begin with a prefix, by binary search."""
    first = bisect_left(texts, prefix)
    return range(first, bisect_left(texts, True, first, key=lambda text: not text.startswith(prefix)))


def _compare(rule: AlertRule, interval: Interval, snapshot: Snapshot, total_of: _TotalOf) -> Evaluation:
    threshold = rule.above or rule.below
    assert threshold, "a rule without a limit is about staleness"
    found = total_of(rule.event)
    if threshold.is_percent:
        whole = total_of(rule.of)
        value: float | None = 100 * found / whole if whole else None
    else:
        span_s = snapshot.span_s or 0.0  # a whole interval has an exact count, also above 2^53
        value = found * interval.length_s / span_s if span_s > interval.length_s else found
    return Evaluation(value, value is not None and _is_beyond(rule, threshold, value))


def _is_beyond(rule: AlertRule, threshold: Threshold, value: float) -> bool:
    return value > threshold.value if rule.above else value < threshold.value
