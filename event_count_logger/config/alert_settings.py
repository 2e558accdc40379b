"""The settings of alerts: rules over finished intervals, and the targets of notifications."""

from __future__ import annotations

import re
import sys
from typing import Literal, NamedTuple

from event_count_logger import keys
from event_count_logger.config.checks import (
    Invalid,
    Mismatch,
    boolean,
    check,
    check_each,
    duration,
    event_id,
    items,
    line,
    one_of,
    show,
    text,
    whole_number,
)
from event_count_logger.config.choices import choices
from event_count_logger.config.environment import FromEnvironment
from event_count_logger.config.settings import section, setting, settings_of

#: Severity of an alert that fires.
Severity = Literal["warning", "critical"]

_PERCENT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*")

#: Events that the package counts itself.
_COUNTED_BY_PACKAGE = (keys.OVERFLOW, keys.LOST, keys.SKIPPED, keys.MALFORMED, keys.UNMATCHED)

#: Seconds that a notification may take.
_TIMEOUT_S = 30.0


class Threshold(NamedTuple):
    """A limit of a value.

    Attributes:
        value: The limit.
        is_percent: True if it is a share, in percent of the events in `of`.
    """

    value: float
    is_percent: bool = False

    def __str__(self) -> str:
        value = self.value if isinstance(self.value, int) else f"{self.value:.15g}"
        return f"{value}{'%' if self.is_percent else ''}"


@check("a number of 0 or more, or a percentage", "for example 100 or 5%", kind="a number, or a percentage")
def _threshold(value: object) -> Threshold:
    given = value.as_number() if isinstance(value, FromEnvironment) else value
    if isinstance(given, int | float) and not isinstance(given, bool):
        if given < 0:
            raise Invalid(f"{show(value)} is not 0 or more: counts are never negative")
        if not given <= sys.float_info.max:  # also a value that is no number
            raise Mismatch
        return Threshold(given)
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise Mismatch
    return Threshold(float(match[1]), is_percent=True)


@check(
    "an event ID, a pattern such as 'status_5*', or a list of these", kind="an event ID, a pattern, or a list"
)
def _events(value: object) -> tuple[str, ...]:
    return check_each(enumerate([value] if isinstance(value, str) else items(value)), _event)


def _event(value: object) -> str:
    """Accept an event ID or pattern, also of an event that the package counts itself."""
    if not isinstance(value, str) or not keys.is_reserved(value):
        return event_id(value)
    if value not in _COUNTED_BY_PACKAGE:
        raise Invalid(f"{show(value)} is not an event{choices(value, _COUNTED_BY_PACKAGE)}")
    return str(value)


@check("a target", kind="a target, or a list")
def _targets(value: object) -> tuple[str, ...]:
    return check_each(enumerate([value] if isinstance(value, str) else items(value)), line)


@section
class AlertRule:
    """A rule that fires when finished intervals of a group breach a threshold, or when they are stale.

    Attributes:
        name: Its name, unique among all rules.
    """

    name: str = setting(line, example="many errors", since="2.0", meaning="Name of the alert, unique.")
    group: str = setting(line, example="requests", since="2.0", meaning="Group whose counts are compared.")
    event: tuple[str, ...] = setting(
        _events,
        default=(),
        since="2.0",
        meaning="Event, pattern or list of both, whose counts are added up. In a pattern, `*` stands for any "
        "text.",
    )
    interval: str | None = setting(
        line,
        default=None,
        default_text="the only interval of the group; with `stale`, all intervals",
        since="2.0",
        meaning="Interval whose finished counts are compared.",
    )
    above: Threshold | None = setting(
        _threshold,
        default=None,
        since="2.0",
        meaning="Limit above which the rule fires: a count per interval, or a percentage (see `of`).",
    )
    below: Threshold | None = setting(
        _threshold,
        default=None,
        since="2.0",
        meaning="Limit below which the rule fires, also when nothing was counted.",
    )
    of: tuple[str, ...] = setting(
        _events,
        default=(),
        since="2.0",
        meaning="Events that a percentage in `above` or `below` refers to, in the form of `event`.",
    )
    n_in_a_row: int = setting(
        whole_number(1, 1000),
        default=1,
        default_text="1 interval",
        name="for",
        unit="intervals",
        since="2.0",
        meaning="Number of finished intervals in a row that must breach the limit.",
    )
    stale: bool = setting(
        boolean,
        default=False,
        since="2.0",
        meaning="Fire while an interval is overdue, or while the group has no master.",
    )
    severity: Severity = setting(
        one_of("critical", "warning"),
        default="critical",
        since="2.0",
        meaning="State in Nagios, and kind of limit in Munin.",
    )
    notify: tuple[str, ...] = setting(
        _targets,
        default=(),
        since="2.0",
        meaning="Targets in the section `notify`. Without a target, the alert is only shown.",
    )
    repeat: float | None = setting(
        duration,
        default=None,
        default_text="never",
        since="2.0",
        meaning="Time after which a notification is repeated while the alert lasts.",
    )


@check("a list", kind="a list of URLs")
def _urls(value: object) -> tuple[str, ...]:
    """Accept a URL or a list; messages show no value."""
    if not isinstance(value, str | list | tuple):
        raise Invalid("is not a URL of apprise or a list of these")
    return tuple(dict.fromkeys(check_each(enumerate([value] if isinstance(value, str) else value), _url)))


def _url(value: object) -> str:
    """Accept a URL; messages do not show it, because it may contain a password."""
    if not isinstance(value, str) or "://" not in value or not value.isprintable():
        raise Invalid("is not a URL of apprise, such as mailto://user:password@example.org")
    return str(value)


@check("a list of strings", kind="a list of strings")
def _command(value: object) -> tuple[str, ...]:
    """Accept a program with its arguments, which may be repeated."""
    return check_each(enumerate(items(value)), text)


@section
class NotifyConfig:
    """A target of notifications: URLs of apprise, or a command."""

    urls: tuple[str, ...] = setting(
        _urls,
        default=(),
        repr=False,
        since="2.0",
        meaning="URLs of apprise.",
    )
    command: tuple[str, ...] = setting(
        _command,
        default=(),
        since="2.0",
        meaning="Program with its arguments. It gets a notification as one JSON object on standard input.",
    )
    timeout_s: float = setting(
        duration,
        default=_TIMEOUT_S,
        name="timeout",
        since="2.0",
        meaning="Time after which an attempt to send is ended.",
    )


ALERT = settings_of(AlertRule)

NOTIFY = settings_of(NotifyConfig)
