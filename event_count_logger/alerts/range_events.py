"""Everything in a range of the history that a chart marks: times of firing alerts, and irregularities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from event_count_logger.alerts.replay import Period, Turn, periods, rules_for, turns
from event_count_logger.config import AlertRule, Config, GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.range_marks import MOST_INTERVALS, Mark, RangeMarks, bounded
from event_count_logger.reading.reader import Reader
from event_count_logger.reading.times import Range
from event_count_logger.store import Store


class RangeEvents(NamedTuple):
    """The result for one range.

    Attributes:
        periods: Times during which alerts fired, also those of rules for other intervals of the group.
        marks: Irregularities of the interval.
    """

    periods: list[Period]
    marks: list[Mark]


def range_events(
    config: Config,
    store: Store,
    group: GroupConfig,
    interval: Interval,
    wanted: Range,
) -> RangeEvents:
    """Read the range once for each interval that has rules, and return what it shows.

    An alert that fires at the begin of the range has begun at most `for` intervals before it. Of another
    interval, at most the newest `MOST_INTERVALS` are read.

    Args:
        config: Has the rules.
        store: Has the history.
        group: The group.
        interval: The interval whose irregularities are returned.
        wanted: The range of the starts of intervals.

    Raises:
        InvalidTime: The range has too many intervals or counts.
        StoreError: Redis does not answer.
    """
    reader = Reader(store)
    marks = RangeMarks(interval, wanted)
    latest = min(wanted.until, store.client.server_time(group))
    found: list[Turn] = []
    for each, rules in {interval: [], **rules_for(config, group)}.items():
        is_chosen = each == interval
        read = wanted if is_chosen else _newest(each, wanted, latest)
        history = bounded(reader.between(group, each, _with_row(each, rules, read)))
        found += turns(group, each, rules, marks.noting(history) if is_chosen else history)
    current_start = store.reads.start(group, interval)
    fired = [period for period in periods(found) if _is_in(period, wanted)]
    return RangeEvents(fired, marks.found(current_start, reader.begin(group, interval)))


def _newest(interval: Interval, wanted: Range, latest: float) -> Range:
    """Returns the part of a range that has not too many intervals, apart from those of one row."""
    return wanted._replace(since=max(wanted.since, latest - MOST_INTERVALS * interval.length_s / 2))


def _with_row(interval: Interval, rules: Sequence[AlertRule], wanted: Range) -> Range:
    """Returns a range with the intervals before it that may have begun a row of breaches."""
    n_before = max((rule.n_in_a_row for rule in rules), default=1) - 1
    return wanted._replace(since=wanted.since - n_before * interval.length_s)


def _is_in(period: Period, wanted: Range) -> bool:
    return period.start < wanted.until and (period.end is None or period.end > wanted.since)
