"""The fields of the hash with the states of a group's alerts."""

from __future__ import annotations

from event_count_logger.config import AlertRule
from event_count_logger.intervals import Interval


def position_field(interval: Interval) -> str:
    """Returns the field with the position of an interval."""
    return f"position:{interval.name}"


def progress_field(rule: AlertRule) -> str:
    """Returns the field with the state of a rule; missing while it is `ok`."""
    return f"rule:{rule.name}"


def acknowledgement_field(rule: AlertRule) -> str:
    """Returns the field with the acknowledgement of an alert."""
    return f"ack:{rule.name}"
