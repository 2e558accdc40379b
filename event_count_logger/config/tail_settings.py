"""The settings of the section `tail`: log files, and the rules by which their lines count."""

from __future__ import annotations

import os
import re
import time
from datetime import timezone, tzinfo
from typing import Any

from event_count_logger.config.checks import (
    Check,
    Invalid,
    Mismatch,
    check,
    check_each,
    items,
    line,
    mapping_of,
    nested,
    one_of,
    show,
    template,
    text,
)
from event_count_logger.config.environment import FromEnvironment
from event_count_logger.config.session_actions import ACTIONS, ActionName
from event_count_logger.config.settings import section, setting, settings_of
from event_count_logger.config.templates import Template


@check("a regular expression")
def _pattern(value: object) -> re.Pattern[str]:
    pattern = text(value)
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        position = getattr(error, "pos", None)
        place = type(error).__name__ if position is None else f"error at character {position + 1}"
        reason = _reason(value, error, place)
        raise Invalid(f"{show(value)} is not a regular expression: {reason}") from error


def _reason(value: object, error: Exception, instead: str) -> object:
    """Returns an error of Python for messages, or other words if it may quote the value of a variable."""
    return instead if isinstance(value, FromEnvironment) else error


@check("one placeholder, such as '{bytes}'")
def _placeholder(value: object) -> Template:
    found = template(value)
    if len(found.names) != 1 or any(found.texts):
        raise Mismatch
    return found


@check("a time zone", "use for example Europe/Berlin")
def _zone(value: object) -> tzinfo:
    from zoneinfo import ZoneInfo

    name = text(value)
    try:
        return timezone.utc if name == "UTC" else ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:
        raise Mismatch from error


@check("a format of times")
def _time_format(value: object) -> str:
    found = text(value)
    format = found if has_year(found) else f"%Y {found}"  # a day cannot be parsed without a year
    try:
        time.strptime(time.strftime(format, (2000, 1, 1, 0, 0, 0, 5, 1, 0)), format)
    except (ValueError, re.error) as error:
        reason = _reason(value, error, "Python's strptime rejects it")
        raise Invalid(f"{show(value)} is not a format of times (see Python's strptime): {reason}") from error
    return found


_COUNTS = mapping_of(template, _placeholder, "event IDs to numbers such as '{bytes}'")


def _counts(value: object) -> tuple[tuple[Template, Template], ...]:
    return tuple(_COUNTS.convert(value).items())


@check("a list", kind="a list of templates")
def _events(value: object) -> tuple[Template, ...]:
    return check_each(enumerate(items(value)), template)


#: Accepts a list of nested sections, which are checked later.
_rules: Check[Any] = Check(items, "a list", kind="a list of settings, see below")


def has_year(format: str) -> bool:
    """Returns whether times in a format of `datetime.strptime` have a year."""
    return bool(re.search("%[YycxG]", format))


@section
class TailSession:
    """The action of a session that a line reports."""

    id: Template = setting(
        template, example="'{pid}'", since="2.0", meaning="Text that identifies the session."
    )
    action: ActionName = setting(
        one_of(*ACTIONS), example="start", since="2.0", meaning="What the session does."
    )
    event: Template | None = setting(
        template,
        default=None,
        since="2.0",
        meaning="Event that counts the session. Required unless the action is `end`.",
    )


@section
class TailTime:
    """The time in a line."""

    value: Template = setting(template, example="'{time}'", since="2.0", meaning="Text with the time.")
    format: str = setting(
        _time_format,
        example="'%Y-%m-%d %H:%M:%S'",
        since="2.0",
        meaning="Format of the time, for Python's `datetime.strptime`.",
    )
    zone: tzinfo = setting(
        _zone,
        default=timezone.utc,
        since="2.0",
        meaning="Time zone of times that do not name theirs, such as `Europe/Berlin`.",
    )

    @property
    def has_year(self) -> bool:
        """True if times in the line have a year."""
        return has_year(self.format)


@section
class TailRule:
    """A pattern, and the counts of the lines that match it."""

    pattern: re.Pattern[str] = setting(
        _pattern,
        example="error",
        name="match",
        since="2.0",
        meaning="Regular expression, searched for anywhere in the line.",
    )
    events: tuple[Template, ...] = setting(
        _events,
        default=(),
        since="2.0",
        meaning="Events that a line adds 1 to. `{name}` stands for the text that `(?P<name>...)` captures.",
    )
    counts: tuple[tuple[Template, Template], ...] = setting(
        Check(_counts, _COUNTS.expected),
        default=(),
        since="2.0",
        meaning="Events with the captured number that a line adds to each.",
    )
    session: TailSession | None = setting(
        nested,
        default=None,
        since="2.0",
        meaning="Action of a [session](sources.md#sessions) that a line reports.",
    )
    time: TailTime | None = setting(
        nested,
        default=None,
        default_text="when the line is read",
        since="2.0",
        meaning="Time of the session's action.",
    )


@section
class TailConfig:
    """A log file, or several, with the rules for their lines."""

    file: str = setting(
        text,
        example="/var/log/nginx/access.log",
        since="2.0",
        meaning="Path of a log file, relative to the configuration; with `*`, `?` and `**` for several.",
    )
    group: str = setting(text, example="http", since="2.0", meaning="Group that counts the lines.")
    rules: tuple[TailRule, ...] = setting(
        _rules,
        example="[{match: error, events: [error]}]",
        since="2.0",
        meaning="Rules for the lines. A line counts by each rule that matches it.",
    )
    source: str = setting(
        line,
        default_factory=lambda: os.uname().nodename,
        default_text="the host name",
        since="2.0",
        meaning="Name of this machine. It must differ between machines that count in the same group.",
    )

    @property
    def source_id(self) -> str:
        """The name of its position in Redis."""
        return f"tail:{self.source}:{self.file}"


TAIL = settings_of(TailConfig)

TAIL_RULE = settings_of(TailRule)

TAIL_SESSION = settings_of(TailSession)

TAIL_TIME = settings_of(TailTime)
