"""Evaluation of rules on finished intervals, as pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from event_count_logger.config import AlertRule, GroupConfig, Threshold
from event_count_logger.intervals import Interval
from event_count_logger.reading.reader import Snapshot


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


def evaluate(rule: AlertRule, group: GroupConfig, interval: Interval, snapshot: Snapshot) -> Evaluation:
    """Returns the result of a rule for a finished interval.

    An interval that was rotated late covers the time of several ones. Its counts are then averages per
    interval.
    """
    threshold = rule.above or rule.below
    assert threshold, "a rule without a limit is about staleness"
    found = total(rule.event, group, snapshot.counts)
    if threshold.is_percent:
        whole = total(rule.of, group, snapshot.counts)
        value = 100 * found / whole if whole else None
    else:
        value = found * min(1.0, interval.length_s / (snapshot.span_s or interval.length_s))
    return Evaluation(value, value is not None and _is_beyond(rule, threshold, value))


def total(patterns: Iterable[str], group: GroupConfig, counts: Mapping[str, int]) -> int:
    """Returns the sum of the counts of the events that match one of the patterns."""
    return sum(counts[event_id] for event_id in matching(tuple(patterns), group, counts))


def matching(patterns: Sequence[str], group: GroupConfig, counts: Mapping[str, int]) -> list[str]:
    """Returns the events that match one of the patterns.

    A pattern with `*` matches only events whose counts may be added up.
    """
    exact = [each for each in patterns if "*" not in each and each in counts]
    wild = [each for each in patterns if "*" in each]
    if not wild:
        return list(dict.fromkeys(exact))
    matches = _pattern(tuple(wild)).fullmatch
    return list(dict.fromkeys([*exact, *(each for each in group.addable(counts) if matches(each))]))


@cache
def _pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(".*".join(map(re.escape, each.split("*"))) for each in patterns), re.DOTALL)


def _is_beyond(rule: AlertRule, threshold: Threshold, value: float) -> bool:
    return value > threshold.value if rule.above else value < threshold.value
