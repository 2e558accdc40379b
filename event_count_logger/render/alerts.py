"""States of alerts in words, and as the one line of a plugin of Nagios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from event_count_logger.alerts.status import AlertStatus
from event_count_logger.config import AlertRule
from event_count_logger.logs import counted
from event_count_logger.render.nagios import State
from event_count_logger.render.phrases import count, duration

#: Names of states in the values for charts.
_STATES = ("firing", "pending", "unknown")


def limit(rule: AlertRule) -> str:
    """Returns the limit of a rule, such as `above 100` or `below 5%`; '' for a stale rule."""
    threshold = rule.above or rule.below
    return f"{'above' if rule.above else 'below'} {threshold}" if threshold else ""


def reason(alert: AlertStatus) -> str:
    """Returns the value of a firing alert and its limit, such as `214, above 100`."""
    rule = alert.rule
    if rule.stale:
        return f"{alert.reason} for {duration(alert.value)}" if alert.value else alert.reason
    if alert.value is None:
        return "nothing counted"
    threshold = rule.above or rule.below
    unit = "%" if threshold and threshold.is_percent else ""
    return f"{_number(alert.value)}{unit}, {limit(rule)}"


def _number(value: float) -> str:
    """Returns a count; an average or a percentage has at most two decimals."""
    return count(int(value)) if value == int(value) else f"{value:,.2f}"


# Nagios


def state(alerts: Sequence[AlertStatus]) -> State:
    """Returns the worst state; UNKNOWN only if no alert fires."""
    firing = {alert.rule.severity for alert in alerts if alert.state == "firing"}
    if firing:
        return State.CRITICAL if "critical" in firing else State.WARNING
    return State.UNKNOWN if any(alert.state == "unknown" for alert in alerts) else State.OK


def sentence(alerts: Sequence[AlertStatus]) -> str:
    """Returns the firing alerts, critical ones first, and those that are unknown."""
    firing = [alert for alert in alerts if alert.state == "firing"]
    unknown = [alert.rule.name for alert in alerts if alert.state == "unknown"]
    parts = [f"{counted(len(alerts), 'alert')}, {len(firing)} firing"]
    parts += map(_described, sorted(firing, key=lambda alert: alert.rule.severity))
    parts += [f"unknown: {', '.join(unknown)}"] if unknown else []
    return "; ".join(parts)


def values(alerts: Sequence[AlertStatus]) -> Mapping[str, int]:
    """Returns the values for charts: the number of alerts, and of those in each state."""
    numbers = {name: sum(alert.state == name for alert in alerts) for name in _STATES}
    return {"alerts": len(alerts), **numbers}


def _described(alert: AlertStatus) -> str:
    acknowledged = ", acknowledged" if alert.is_acknowledged else ""
    return f"{alert.rule.name} ({alert.rule.group}: {reason(alert)}{acknowledged})"
