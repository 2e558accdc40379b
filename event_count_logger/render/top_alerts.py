"""Firing alerts on the screen of `ecl top`: a line above the counts, and a mark in the list of groups."""

from __future__ import annotations

from collections.abc import Sequence

from event_count_logger.alerts.status import AlertStatus
from event_count_logger.config.alert_settings import Severity
from event_count_logger.render.alerts import reason
from event_count_logger.render.phrases import printable
from event_count_logger.top.sample import Target

#: Styles by severity, of the line and of a mark.
_LINE: dict[Severity, str] = {"critical": "bold white on red", "warning": "black on yellow"}
_MARK: dict[Severity, str] = {"critical": "bold red", "warning": "yellow"}


def line(firing: Sequence[AlertStatus]) -> tuple[str, str]:
    """Returns the line about firing alerts, with the first one and the names of the others; and its style."""
    first, *others = sorted(firing, key=lambda alert: alert.rule.severity)
    rule = first.rule
    place = f"{rule.group} · {first.interval}" if first.interval else rule.group
    text = f" {rule.severity.upper()} {rule.name}: {place}: {reason(first)}"
    names = ", ".join(alert.rule.name for alert in others)
    more = f" · {len(others)} more: {names}" if others else ""
    return printable(f"{text}{more} "), _LINE[rule.severity]


def mark(target: Target, firing: Sequence[AlertStatus]) -> tuple[str, str]:
    """Returns the names of the firing alerts of a target and their style; '' without any."""
    found = [
        alert
        for alert in firing
        if alert.rule.group == target.group.name and alert.interval in ("", target.interval.name)
    ]
    if not found:
        return "", ""
    worst = min(alert.rule.severity for alert in found)
    names = ", ".join(alert.rule.name for alert in found)
    return printable(f"{worst.upper()} {names}"), _MARK[worst]
