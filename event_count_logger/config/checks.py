"""Checks of single values.

A check converts a value, or raises `Invalid` with a message that shows the value and what it must be.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from event_count_logger import keys
from event_count_logger.config.environment import FromEnvironment, as_written
from event_count_logger.config.templates import Template
from event_count_logger.intervals import DURATION_UNITS, parse_duration

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
K = TypeVar("K")

#: Limits the length of values in messages: a value may be of any size, and may contain itself.
_brief = reprlib.Repr()
_brief.maxlevel = 1
_brief.maxstring = _brief.maxother = _brief.maxlong = 60

#: The longest accepted time in seconds; the operating system can wait as long.
LONGEST_S = 1e9

#: Values of a length of time that may be 0.
_ZEROS = (0, "0", *(f"0{unit}" for unit in DURATION_UNITS))

_TRUE = ("1", "true", "yes", "on", "enable")
_FALSE = ("0", "false", "no", "off", "disable")


def show(value: object) -> str:
    """Returns a value for messages, in one short line."""
    if value is None:
        return "an empty value"
    return str(value).lower() if isinstance(value, bool) else _brief.repr(value)


class Fault(NamedTuple):
    """One problem: the keys and positions that lead from a value to the faulty part of it, and a message."""

    steps: tuple[object, ...]
    message: str


class Invalid(Exception):
    """A check rejects a value.

    Attributes:
        faults: All problems of the value.
    """

    def __init__(self, message: str = "", faults: Sequence[Fault] = ()) -> None:
        self.faults = faults or [Fault((), message)]
        super().__init__(self.faults[0].message)


class Mismatch(Exception):
    """A value is not what its check expects; `Check` writes the message and raises `Invalid`."""


class Check(Generic[T_co]):
    """A check of one value.

    Attributes:
        convert: Returns the converted value; raises `Mismatch`, or `Invalid` with a message of its own.
        expected: What a value must be, in the message "300 is not EXPECTED (HINT)".
        kind: What a value must be, in the reference; usually the same.
    """

    __slots__ = ("_hint", "_show", "convert", "expected", "kind")

    def __init__(
        self,
        convert: Callable[[object], T_co],
        expected: str,
        hint: str = "",
        kind: str = "",
        show: Callable[[object], str] = show,
    ) -> None:
        self.convert = convert
        self.expected = expected
        self.kind = kind or expected
        self._hint = f" ({hint})" if hint else ""
        self._show = show

    def __call__(self, value: object) -> T_co:
        """Returns the converted value; raises `Invalid`."""
        try:
            return self.convert(value)
        except Mismatch as error:
            raise Invalid(f"{self._show(value)} is not {self.expected}{self._hint}") from error


def check(
    expected: str, hint: str = "", *, kind: str = "", show: Callable[[object], str] = show
) -> Callable[[Callable[[object], T]], Check[T]]:
    """Make a check of a function that converts a value or raises `Mismatch`."""
    return lambda convert: Check(convert, expected, hint, kind, show)


def check_each(values: Iterable[tuple[object, K]], accept: Callable[[K], T]) -> tuple[T, ...]:
    """Returns the checked values, or raises the faults of all.

    `values` has pairs of a key or position, which leads to the value, and the value.
    """
    results, faults = [], []
    for step, value in values:
        try:
            results.append(accept(value))
        except Invalid as error:
            faults += [Fault((step, *fault.steps), fault.message) for fault in error.faults]
    if faults:
        raise Invalid(faults=faults)
    return tuple(results)


def quoting_hint(value: object) -> str:
    """Returns the end of a message: advice about a value that YAML does not read as text."""
    if isinstance(value, bool):
        return ": YAML reads on, off, yes and no as true and false; put it in quotes"
    if isinstance(value, int | float):
        return f": put it in quotes, '{value}'"
    if isinstance(value, Mapping):
        return ": YAML reads 'a: b' as a mapping; put it in quotes"
    return ""


anything: Check[Any] = Check(
    lambda value: str(value) if isinstance(value, FromEnvironment) else value, "anything"
)

#: Accepts a nested section, which is checked later, by its own table of settings.
nested: Check[Any] = Check(lambda value: value, "a mapping of settings", kind="settings, see below")


def parsed(value: object, parse: Callable[[str], T]) -> T:
    """Returns the result of a parser, or raises its message. The message quotes text, but no other value."""
    shown = value if isinstance(value, str) else show(value)
    try:
        return parse(shown)
    except ValueError as error:
        message = str(error)
        raise Invalid(message if shown is value else message.replace(repr(shown), shown, 1)) from error


@check("a string")
def text(value: object) -> str:
    """Accept text that is not empty, and paths."""
    if not isinstance(value, str | os.PathLike):
        raise Invalid(f"{show(value)} is not a string{quoting_hint(value)}")
    if not str(value).strip():
        raise Invalid(f"{show(value)} is empty")
    if "\0" in str(value):
        raise Invalid(f"{show(value)} contains a NUL character")
    return str(value)


@check("a path")
def path(value: object) -> Path:
    """Accept the path of a file or directory; `~` is the home directory."""
    return Path(os.path.expanduser(text(value)))


@check("a string")
def line(value: object) -> str:
    """Accept text without control characters."""
    found = text(value)
    if not found.isprintable():
        raise Invalid(f"{show(value)} contains control characters")
    return found


@check("an event ID")
def event_id(value: object) -> str:
    """Accept an event ID."""
    if not isinstance(value, str):
        raise Invalid(f"{show(value)} is not a string{quoting_hint(value)}")
    fault = keys.event_id_fault(value)
    if fault:
        raise Invalid(f"{show(value)} is not an event ID: it {fault}")
    return str(value)


@check("a template")
def template(value: object) -> Template:
    """Accept text with placeholders."""
    found = line(value)
    try:
        return Template.parse(found)
    except ValueError as error:
        raise Invalid(f"{show(value)} is not a template: {error}") from error


@check("true or false")
def boolean(value: object) -> bool:
    """Accept true or false, also as 0, 1 or a word such as `yes` or `off`."""
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    if not isinstance(value, str) or value.lower() not in (*_TRUE, *_FALSE):
        raise Mismatch
    return value.lower() in _TRUE


@check("a length of time")
def duration(value: object) -> float:
    """Convert a length of time, such as 5m, to seconds."""
    seconds = parsed(value, parse_duration)
    if not 0 < seconds <= LONGEST_S:
        raise Invalid(f"{show(value)} is not a length of time above 0 and up to {int(LONGEST_S // 3600)}h")
    return seconds


def whole_number(lowest: int, highest: int | None = None) -> Check[int]:
    """Returns a check for a whole number in a range."""
    expected = f"a whole number from {lowest} to {highest}"
    if highest is None:
        expected = "a whole number above 0" if lowest else "a whole number, 0 or more"

    def convert(value: object) -> int:
        number = _number(value)
        if not lowest <= number <= (highest or LONGEST_S) or int(number) != number:
            raise Mismatch
        return int(number)

    return Check(convert, expected)


@check("a number of seconds above 0")
def seconds(value: object) -> float:
    """Accept a number of seconds."""
    number = _number(value)
    if not 0 < number <= LONGEST_S:
        raise Mismatch
    return float(number)


def or_zero(positive: Check[float], expected: str = "") -> Check[float]:
    """Returns a check that also accepts 0, with or without a unit, but not `false`, which equals 0."""

    def convert(value: object) -> float:
        is_zero = value in _ZEROS and not isinstance(value, bool)
        return 0.0 if is_zero else positive.convert(value)

    return Check(convert, expected or positive.expected)


def one_of(*names: T) -> Check[T]:
    """Returns a check for one of several values."""
    *first, last = (f"'{name}'" if isinstance(name, str) else str(name) for name in names)
    numeric = not isinstance(names[0], str)

    def convert(value: object) -> T:
        found = value.as_number() if numeric and isinstance(value, FromEnvironment) else value
        for name in names:
            if found == name:
                return name
        raise Mismatch

    return Check(convert, f"{', '.join(first)} or {last}")


def _number(value: object) -> int | float:
    number = value.as_number() if isinstance(value, FromEnvironment) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise Mismatch
    return number


def items(value: object) -> list[Any]:
    """Returns the items of a list or another collection."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        single = f"{as_written(value)}" if isinstance(value, str | int | float) else ""
        is_shown = single.strip() and single.isprintable() and len(single) <= _brief.maxstring
        hint = f" (write [{single}] for a single one)" if is_shown else ""
        raise Invalid(f"{show(value)} is not a list{hint}")
    return list(value)


def list_of(accept: Check[T], kind: str) -> Check[tuple[T, ...]]:
    """Returns a check for a list; repeated items are left out."""

    def convert(value: object) -> tuple[T, ...]:
        return tuple(dict.fromkeys(check_each(enumerate(items(value)), accept)))

    return Check(convert, "a list", kind=kind)


def mapping_of(accept_key: Check[K], accept: Check[T], content: str) -> Check[dict[K, T]]:
    """Returns a check for a mapping; `content` describes it, such as `event IDs to labels`."""

    def convert(value: object) -> dict[K, T]:
        if not isinstance(value, Mapping):
            raise Mismatch
        pairs = ((key, (key, item)) for key, item in value.items())
        return dict(check_each(pairs, lambda pair: (accept_key(pair[0]), accept(pair[1]))))

    return Check(convert, f"a mapping of {content}")
