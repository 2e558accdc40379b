"""The fields of the hash with the states of a group's alerts, by name."""

from __future__ import annotations

from event_count_logger.config import AlertRule
from event_count_logger.intervals import Interval

#: What the fields of rules begin with.
OF_RULE = "rule:"


def position_field(interval: Interval) -> str:
    """Returns the field with the position of an interval."""
    return f"position:{interval.name}"


def progress_field(rule: AlertRule) -> str:
    """Returns the field with the state of a rule; missing while it is `ok`."""
    return f"{OF_RULE}{rule.name}"


def acknowledgement_field(rule: AlertRule) -> str:
    """Returns the field with the acknowledgement of an alert."""
    return f"ack:{rule.name}"
