"""Firing alerts on the screen of `ecl top`: a line above the counts."""

from __future__ import annotations

from collections.abc import Sequence

from event_count_logger.alerts.status import AlertStatus
from event_count_logger.config.alert_settings import Severity
from event_count_logger.render.alerts import reason
from event_count_logger.render.phrases import printable

#: Styles by severity, of the line and of a state in the list of groups.
_LINE: dict[Severity, str] = {"critical": "bold white on red", "warning": "black on yellow"}
MARK: dict[Severity, str] = {"critical": "bold red", "warning": "yellow"}


def line(firing: Sequence[AlertStatus]) -> tuple[str, str]:
    """Returns the line about firing alerts, with the first one and the names of the others; and its style."""
    first, *others = sorted(firing, key=lambda alert: alert.rule.severity)
    rule = first.rule
    place = f"{rule.group} · {first.interval}" if first.interval else rule.group
    text = f" {rule.severity.upper()} {rule.name}: {place}: {reason(first)}"
    names = ", ".join(alert.rule.name for alert in others)
    more = f" · {len(others)} more: {names}" if others else ""
    return printable(f"{text}{more} "), _LINE[rule.severity]
