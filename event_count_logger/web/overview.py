"""JSON representation of the overview, as typed dictionaries; see `representations`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from typing_extensions import TypedDict  # pydantic does not take typing's own before Python 3.12

from event_count_logger.alerts import overview as model
from event_count_logger.alerts.status import AlertStatus
from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.overview import Change, Trend
from event_count_logger.reading.overview_reader import GroupFigures
from event_count_logger.reading.reader import is_overdue
from event_count_logger.render.numbers import plain, plain_or_none
from event_count_logger.web.alerts import Limit, limit_of


class Firing(TypedDict):
    """A firing alert; see `GET /api/v1/alerts`."""

    name: str
    severity: Literal["warning", "critical"]
    value: float | None
    since: float | None
    interval: str
    reason: str
    limit: Limit | None
    acknowledged: bool


class Finished(TypedDict):
    """The last finished interval, with the sum of its counts."""

    start: float | None
    end: float | None
    sum: int


class Running(TypedDict):
    """The current interval, with the sum of its counts."""

    start: float
    sum: int


class ChangeOfLast(TypedDict):
    """The change of the last interval. `ratio` is null if only `before` is 0."""

    against: Literal["day", "interval"]
    before: float
    ratio: float | None


class TrendOfSlots(TypedDict):
    """The last finished intervals, one slot for each `length_s`; null where the history has none."""

    start: float | None
    counts: Sequence[float | None]
    merged: Sequence[int]
    usual: Sequence[float] | None


class IntervalOfRow(TypedDict):
    """An interval of a group. `history` is the number of finished intervals that are kept."""

    name: str
    length_s: float
    history: int


class RowFigures(TypedDict):
    """A row without its trend."""

    name: str
    title: str
    unit: str
    interval: str
    length_s: float
    intervals: Sequence[IntervalOfRow]
    problem: Literal["alert", "stale", "no_master", "unavailable"] | None
    alerts: Sequence[Firing]
    overdue_s: float | None
    stale: bool
    master_alive: bool
    started: bool
    last: Finished | None
    current: Running | None
    change: ChangeOfLast | None
    open_sessions: int | None


class OverviewRow(RowFigures):
    """One group. The figures are sums of its first interval; `overdue_s` is that of its most overdue one."""

    trend: TrendOfSlots


class OverviewDocument(TypedDict):
    """All groups that are not hidden, those with problems first."""

    now: float
    version: str
    revision: str
    master_alive: bool
    groups: Sequence[OverviewRow]


class OverviewChange(TypedDict, total=False):
    """One event of the stream: the groups that have changed, without a `trend` that has not.

    `order` has the names of all groups, if their order has changed; `removed` those that are gone.
    """

    now: float
    revision: str
    master_alive: bool
    groups: Sequence[OverviewRow]
    order: Sequence[str]
    removed: Sequence[str]


def figures(found: model.Row) -> RowFigures:
    """Returns the representation of a row, without its trend."""
    group, read = found.group, found.figures
    interval = group.intervals[0]
    overdue_s = read.overdue_s if read else None
    return {
        "name": group.name,
        "title": group.title or group.name,
        "unit": group.unit,
        "interval": interval.name,
        "length_s": interval.length_s,
        "intervals": [_interval(group, each) for each in group.intervals],
        "problem": found.problem,
        "alerts": [_alert(alert) for alert in found.firing],
        "overdue_s": _coarse(overdue_s),
        "stale": overdue_s is None or is_overdue(overdue_s),
        "master_alive": bool(read and read.has_master),
        "started": bool(read and read.started),
        "last": _last(read),
        "current": _current(read),
        "change": _change(read.change) if read and read.change else None,
        "open_sessions": read.open_sessions if read else None,
    }


def _interval(group: GroupConfig, interval: Interval) -> IntervalOfRow:
    return {"name": interval.name, "length_s": interval.length_s, "history": group.n_history(interval)}


def _coarse(seconds: float | None) -> float | None:
    """Returns whole seconds, tens above a minute and minutes above an hour: less news for the streams."""
    step_s = 1 if not seconds or seconds < 60 else 10 if seconds < 3600 else 60
    return seconds and round(seconds / step_s) * step_s


def _alert(found: AlertStatus) -> Firing:
    return {
        "name": found.rule.name,
        "severity": found.rule.severity,
        "value": plain_or_none(found.value),
        "since": found.since,
        "interval": found.interval,
        "reason": found.reason,
        "limit": limit_of(found.rule),
        "acknowledged": found.is_acknowledged,
    }


def _last(figures: GroupFigures | None) -> Finished | None:
    last = figures.last if figures else None
    return {"start": last.start, "end": last.end, "sum": last.sum} if last else None


def _current(figures: GroupFigures | None) -> Running | None:
    current = figures.current if figures else None
    return {"start": current.start, "sum": current.sum} if current else None


def _change(found: Change) -> ChangeOfLast:
    ratio = found.ratio
    return {
        "against": found.against,
        "before": plain(found.before),
        "ratio": None if ratio is None else round(ratio, 4),
    }


def trend(found: Trend) -> TrendOfSlots:
    """Returns the representation of a trend."""
    return {
        "start": found.start,
        "counts": [plain_or_none(count) for count in found.counts],
        "merged": found.merged,
        "usual": [plain(count) for count in found.usual] if found.usual else None,
    }
