"""The settings of rules: conditions on a line of a log file, and what a line adds if it meets them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping
from datetime import datetime, timezone, tzinfo
from math import isfinite
from typing import Any

from event_count_logger.config.checks import (
    Check,
    Invalid,
    Mismatch,
    boolean,
    check,
    check_each,
    items,
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
from event_count_logger.config.templates import NAME, Template

#: POSIX classes, which Python's regular expressions lack, and what to write instead within brackets.
_POSIX_CLASSES = {
    "alnum": "A-Za-z0-9",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\s",
    "upper": "A-Z",
    "word": r"\w",
    "xdigit": "0-9A-Fa-f",
}

_POSIX_CLASS = re.compile(rf"\[:\^?({'|'.join(_POSIX_CLASSES)}):\]")

#: A number that YAML reads as text, because it has no decimal point, or no sign in the exponent.
_EXPONENT = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?[eE][+-]?[0-9]+")

#: Formats of times besides those of `datetime.strptime`: Unix seconds, Unix milliseconds, and ISO 8601.
EPOCH, EPOCH_MS, ISO = NAMED_TIME_FORMATS = ("epoch", "epoch_ms", "iso")


@check("a regular expression")
def pattern(value: object) -> re.Pattern[str]:
    """Accept a regular expression."""
    found = text(value)
    posix = _POSIX_CLASS.search(found)
    if posix:
        instead = _POSIX_CLASSES[posix[1]]
        raise Invalid(
            f"{show(value)} has the POSIX class {posix[0]}, which Python's regular expressions lack: "
            f"write {instead} instead, for example [{instead}]"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # about brackets in brackets, which are text
            return re.compile(found)
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        position = getattr(error, "pos", None)
        place = type(error).__name__ if position is None else f"error at character {position + 1}"
        reason = _reason(value, error, place)
        raise Invalid(f"{show(value)} is not a regular expression: {reason}") from error


def _reason(value: object, error: Exception, instead: str) -> object:
    """Returns an error of Python for messages, or other words if it may quote the value of a variable."""
    return instead if isinstance(value, FromEnvironment) else error


@check("a regular expression")
def _condition(value: object) -> re.Pattern[str]:
    """Accept a regular expression for a whole value; true, false and a whole number stand for their text."""
    if isinstance(value, bool | int):
        return re.compile(re.escape(show(value)))
    return pattern(value)


@check("a name")
def _name(value: object) -> str:
    found = text(value)
    if not NAME.fullmatch(found):
        raise Invalid(f"{show(value)} is not a name of letters, digits, '_', '@', '-' and '.'")
    return found


_WHERE = mapping_of(_name, _condition, "names to regular expressions")


def _where(value: object) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple(_WHERE.convert(value).items())


@check("one placeholder, such as '{bytes}', or a difference, such as '{end} - {begin}'")
def number_template(value: object) -> Template:
    """Accept a template of one number, or of two with a minus sign between them."""
    found = template(value)
    texts = tuple(map(str.strip, found.texts))
    if texts not in (("", ""), ("", "-", "")):
        raise Mismatch
    return found


@check("a number")
def _bound(value: object) -> float:
    number = value.as_number() if isinstance(value, FromEnvironment) else value
    if isinstance(number, str) and _EXPONENT.fullmatch(number):
        number = float(number)
    try:
        if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(number):
            raise Mismatch
    except OverflowError as error:  # a whole number that no `float` can be
        raise Mismatch from error
    return number


@check("a number above 0")
def _factor(value: object) -> float:
    found = _bound.convert(value)
    if found <= 0:
        raise Mismatch
    return found


@check("a list of numbers that rise", kind="a list of rising numbers")
def _bounds(value: object) -> tuple[float, ...]:
    found = check_each(enumerate(items(value)), _bound)
    if not found or list(found) != sorted(set(found)):
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
    if found in NAMED_TIME_FORMATS:
        return found
    if "%" not in found:
        named = ", ".join(NAMED_TIME_FORMATS)
        raise Invalid(
            f"{show(value)} is not a format of times: it is none of {named}, and has no part such as %H "
            "(see Python's strptime)"
        )
    format = found if has_year(found) else f"%Y {found}"  # a day cannot be parsed without a year
    try:
        datetime.strptime(datetime(2000, 1, 1, tzinfo=timezone.utc).strftime(format), format)
    except (ValueError, re.error) as error:
        reason = _reason(value, error, "Python's strptime rejects it")
        raise Invalid(f"{show(value)} is not a format of times (see Python's strptime): {reason}") from error
    if not _has_day(set(re.findall("%(.)", found))):
        raise Invalid(f"{show(value)} has no day: it needs %d with %m or %b, or another date")
    return found


def _has_day(parts: Collection[str]) -> bool:
    """Returns whether a format with these parts has a day of the year; without one it would be 1 January."""

    def has(*names: str) -> bool:
        return any(name in parts for name in names)

    is_of_month = has("d") and has("m", "b", "B")
    is_of_week = has("U", "W", "V") and has("a", "A", "u", "w")
    return has("c", "x", "j") or is_of_month or is_of_week


def has_year(format: str) -> bool:
    """Returns whether times in a format of `datetime.strptime` have a year."""
    return bool(re.search("%[YycxG]", format))


@check("a template")
def _event_key(value: object) -> object:
    """Accept a template, and return its text: different texts may have the same template."""
    template(value)
    return value


_COUNTS = mapping_of(_event_key, nested, "event IDs to numbers such as '{bytes}'")

_BUCKETS = mapping_of(_event_key, nested, "event IDs to settings such as {value: '{seconds}', at: [0.1, 1]}")


def _counts(value: object) -> tuple[tuple[Template, Any], ...]:
    return tuple((template(event), number) for event, number in _COUNTS.convert(value).items())


def _buckets(value: object) -> tuple[tuple[Template, Any], ...]:
    return tuple((template(event), buckets) for event, buckets in _BUCKETS.convert(value).items())


@check("a list", kind="a list of templates")
def _events(value: object) -> tuple[Template, ...]:
    return check_each(enumerate(items(value)), template)


#: Accepts a list of rules, which are checked later.
rule_list: Check[Any] = Check(items, "a list", kind="a list of rules, see below")


@section
class TailNumber:
    """A number that a line adds to an event."""

    value: Template = setting(
        number_template,
        example="'{seconds}'",
        since="2.0",
        meaning="The number, or a difference such as `'{end} - {begin}'`.",
    )
    times: float | None = setting(
        _factor,
        default=None,
        default_text="1, and the number must be whole",
        since="2.0",
        meaning="Factor. The product is rounded to a whole number.",
    )


@section
class TailBuckets:
    """A histogram of numbers: events that count those up to each bound."""

    value: Template = setting(
        number_template,
        example="'{seconds}'",
        since="2.0",
        meaning="The number, or a difference such as `'{end} - {begin}'`.",
    )
    at: tuple[float, ...] = setting(
        _bounds, example="[0.1, 0.5, 1, 5]", since="2.0", meaning="Upper bounds of the buckets."
    )
    times: float | None = setting(
        _factor, default=None, default_text="1", since="2.0", meaning="Factor of the number."
    )

    @property
    def bounds(self) -> tuple[str, ...]:
        """The bounds as text, such as `0.5`, without an exponent."""
        from decimal import Decimal

        return tuple(f"{Decimal(str(bound)):f}".removesuffix(".0") for bound in self.at)


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
        meaning="`iso` (ISO 8601), `epoch` (Unix seconds), `epoch_ms` (Unix milliseconds), or a format of "
        "Python's `datetime.strptime`. Digits behind microseconds are ignored.",
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
        return self.format in NAMED_TIME_FORMATS or has_year(self.format)


@section
class TailRule:
    """Conditions on a line, and what a line adds that meets them."""

    pattern: re.Pattern[str] | None = setting(
        pattern,
        default=None,
        name="match",
        since="2.0",
        meaning="Regular expression, searched for anywhere in the line.",
    )
    where: tuple[tuple[str, re.Pattern[str]], ...] = setting(
        Check(_where, _WHERE.expected),
        default=(),
        since="2.0",
        meaning="Names of values with a regular expression for the whole value of each. All must match.",
    )
    events: tuple[Template, ...] = setting(
        _events,
        default=(),
        since="2.0",
        meaning="Events that a line adds 1 to. `{name}` stands for the text that `(?P<name>...)` captures.",
    )
    counts: tuple[tuple[Template, TailNumber], ...] = setting(
        Check(_counts, _COUNTS.expected),
        default=(),
        since="2.0",
        meaning="Events with the number that a line adds to each: `'{bytes}'`, or settings as below.",
    )
    buckets: tuple[tuple[Template, TailBuckets], ...] = setting(
        Check(_buckets, _BUCKETS.expected),
        default=(),
        since="2.0",
        meaning="Events with the histogram of a number; settings as below.",
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
    rules: tuple[TailRule, ...] = setting(
        rule_list,
        default=(),
        since="2.0",
        meaning="Rules for the lines that this rule matches. They also see the values that it captures.",
    )
    otherwise: tuple[TailRule, ...] = setting(
        rule_list,
        default=(),
        name="else",
        since="2.0",
        meaning="Rules for the lines that this rule does not match.",
    )
    first: bool = setting(
        boolean,
        default=False,
        since="2.0",
        meaning="If true, later rules of the same list do not see the lines that this rule matches.",
    )


TAIL_RULE = settings_of(TailRule)

TAIL_NUMBER = settings_of(TailNumber)

TAIL_BUCKETS = settings_of(TailBuckets)

TAIL_SESSION = settings_of(TailSession)

TAIL_TIME = settings_of(TailTime)

#: Maps of texts, by name.
Maps = Mapping[str, Mapping[str, str]]
