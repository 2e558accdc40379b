"""What a single value may be, and what is said when it is not; and how a section is checked.

All checks raise voluptuous.Invalid, with a message that names the value and what was expected.
"""

from __future__ import annotations

import difflib
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import voluptuous as vol

from event_count_logger import keys
from event_count_logger.config.environment import FromEnvironment, as_written
from event_count_logger.config.report import Place, Report
from event_count_logger.config.templates import Template
from event_count_logger.intervals import parse_duration

#: Values may be of any size, and refer to themselves.
_brief = reprlib.Repr()
_brief.maxlevel = 1
_brief.maxstring = _brief.maxother = _brief.maxlong = 60

#: Seconds; what the operating system can wait for.
LONGEST_S = 1e9


def show(value: object) -> str:
    """A value as its author would recognise it, in one short line."""
    if value is None:
        return "an empty value"
    return str(value).lower() if isinstance(value, bool) else _brief.repr(value)


def quoting_hint(value: object) -> str:
    """What to do about a value that YAML has taken for something else than text, in words that follow it."""
    if isinstance(value, bool):
        return ": YAML reads on, off, yes and no as true and false; put it in quotes"
    if isinstance(value, int | float):
        return f": put it in quotes, '{value}'"
    if isinstance(value, Mapping):
        return ": YAML reads 'a: b' as a mapping; put it in quotes"
    return ""


def an_event_id(value: object) -> str:
    """An event ID."""
    if not isinstance(value, str):
        raise vol.Invalid(f"{show(value)} is not a string{quoting_hint(value)}")
    fault = keys.event_id_fault(value)
    if fault:
        raise vol.Invalid(f"{show(value)} is not an event ID: it {fault}")
    return str(value)


def a_duration(value: object) -> float:
    """A length of time such as 5m, in seconds."""
    if not isinstance(value, str):
        raise vol.Invalid(f"{show(value)} is not a length of time (use <number><s|m|h>, for example '72h')")
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise vol.Invalid(str(error)) from error
    if not 0 < seconds <= LONGEST_S:
        raise vol.Invalid(f"{show(value)} is not above 0 and at most {int(LONGEST_S // 3600)}h")
    return seconds


def a_line(value: object) -> str:
    """Text without control characters."""
    text = a_text(value)
    if not text.isprintable():
        raise vol.Invalid(f"{show(value)} contains control characters")
    return text


def a_list(value: object) -> list[Any]:
    """A list of anything."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        is_single = isinstance(value, str | int | float)
        hint = f" (write [{as_written(value)}] for a single one)" if is_single else ""
        raise vol.Invalid(f"{show(value)} is not a list{hint}")
    return list(value)


def a_mapping(
    what: str, key: Callable[[object], Any], value: Callable[[object], Any]
) -> Callable[[object], dict[Any, Any]]:
    """A mapping, as `what` says, of what both others check."""

    def check(given: object) -> dict[Any, Any]:
        if not isinstance(given, Mapping):
            raise vol.Invalid(f"{show(given)} is not a mapping of {what}")
        checked = {}
        for each_key, each_value in given.items():
            try:
                checked[key(each_key)] = value(each_value)
            except vol.Invalid as error:
                raise vol.Invalid(error.msg, path=[each_key]) from error
        return checked

    return check


def a_number(kind: type, what: str, lowest: float = 0, highest: float = LONGEST_S) -> Callable[[object], Any]:
    """A number above `lowest` and up to `highest`; `what` says so."""

    def check(given: object) -> Any:
        value = given.as_number() if isinstance(given, FromEnvironment) else given
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if not numeric or not lowest < value <= highest or kind(value) != value:  # type: ignore[operator]
            raise vol.Invalid(f"{show(given)} is not {what}")
        return kind(value)

    return check


def optional(check: Callable[[object], Any]) -> Callable[[object], Any]:
    """The same, or nothing."""
    return lambda value: None if value is None else check(value)


def a_text(value: object) -> str:
    """Text that is not empty; a path is text, too."""
    if not isinstance(value, str | os.PathLike):
        raise vol.Invalid(f"{show(value)} is not a string{quoting_hint(value)}")
    if not str(value).strip():
        raise vol.Invalid(f"{show(value)} is empty")
    if "\0" in str(value):
        raise vol.Invalid(f"{show(value)} contains a NUL, which nothing can be called")
    return str(value)


def a_template(value: object) -> Template:
    """A text with placeholders."""
    try:
        return Template.parse(a_line(value))
    except ValueError as error:
        raise vol.Invalid(str(error)) from error


def a_boolean(value: object) -> bool:
    """True or false, as YAML or people write it."""
    if not isinstance(value, bool | str) and value not in (0, 1):
        raise vol.Invalid(f"{show(value)} is not true or false")
    return bool(vol.Boolean(msg=f"{show(value)} is not true or false")(value))


def check(
    schema: vol.Schema, section: object, place: Place, report: Report, *, strict: bool
) -> dict[str, Any] | None:
    """What the schema makes of a section, without what is empty; None if that fails.

    A key that is not known is a problem; unless `strict`, only one that looks like a slip is fatal,
    because configurations in use may carry keys of their own.
    """
    if not isinstance(section, Mapping):
        # What stands in place of settings may be an address with a password.
        what = "is" if strict else f"{show(section)} is"
        report(place, f"{what} not a mapping of settings")
        return None
    known = [str(key) for key in schema.schema]
    names = {key: key.replace("-", "_") if isinstance(key, str) else key for key in section}
    for key, name in names.items():
        if key != name and name in section:
            report((*place, name), f"is given twice, also as '{key}'")
    section = {names[key]: value for key, value in section.items()}
    for key in [key for key in section if key not in known]:
        name, colon, _ = str(key).partition(":")
        meant = slip_of(name, known)
        hint = f"did you mean '{meant}'?" if meant else f"known here: {', '.join(known)}"
        hint += "; a setting and its value need a blank after the colon" if colon else ""
        # What follows a colon may be a password: YAML takes {password:secret} for one word.
        report((*place, name if colon else key), f"is not known ({hint})", fatal=strict or bool(meant))
        del section[key]
    try:
        return {key: value for key, value in schema(section).items() if value is not None}
    except vol.MultipleInvalid as error:
        for each in error.errors:
            report((*place, *(getattr(step, "schema", step) for step in each.path)), each.msg)
        return None


def slip_of(key: object, known: Iterable[str]) -> str | None:
    """The known key that was probably meant by one that is not known."""
    return next(iter(difflib.get_close_matches(str(key), known, 1, 0.75)), None)
