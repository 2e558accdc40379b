"""JSON representation of alerts, as typed dictionaries; see `representations`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from typing_extensions import TypedDict  # pydantic does not take typing's own before Python 3.12

from event_count_logger.alerts.status import AlertState, AlertStatus
from event_count_logger.config import AlertRule
from event_count_logger.render.numbers import plain, plain_or_none

#: Fields of `Alerts` that change with each answer; see `documents.document`.
UNSTABLE = ("now",)


class Limit(TypedDict):
    """The limit of an alert. If `percent` is true, it is a share of the events in `of`."""

    kind: Literal["above", "below"]
    value: float
    percent: bool
    of: Sequence[str]


#: The state of one alert. The syntax of classes does not allow a field named `for`.
Alert = TypedDict(
    "Alert",
    {
        "name": str,
        "group": str,
        "interval": str,
        "event": Sequence[str],
        "limit": Limit | None,
        "for": int,
        "severity": Literal["warning", "critical"],
        "stale": bool,
        "state": AlertState,
        "value": float | None,
        "reason": str,
        "since": float | None,
        "acknowledged": bool,
        "acknowledged_until": float | None,
    },
)


class Alerts(TypedDict):
    """The alerts of all groups that are not hidden, with the time of the answer."""

    now: float
    alerts: list[Alert]


def document(found: Iterable[AlertStatus], now: float) -> Alerts:
    """Returns the states of alerts."""
    return {"now": now, "alerts": [_alert(each) for each in found]}


def _alert(found: AlertStatus) -> Alert:
    rule = found.rule
    return {
        "name": rule.name,
        "group": rule.group,
        "interval": found.interval,
        "event": rule.event,
        "limit": limit_of(rule),
        "for": rule.n_in_a_row,
        "severity": rule.severity,
        "stale": rule.stale,
        "state": found.state,
        "value": plain_or_none(found.value),
        "reason": found.reason,
        "since": found.since,
        "acknowledged": found.is_acknowledged,
        "acknowledged_until": found.acknowledged_until,
    }


def limit_of(rule: AlertRule) -> Limit | None:
    """Returns the limit of a rule; None for a rule about staleness."""
    threshold = rule.above or rule.below
    if not threshold:
        return None
    return {
        "kind": "above" if rule.above else "below",
        "value": plain(threshold.value),
        "percent": threshold.is_percent,
        "of": rule.of,
    }
