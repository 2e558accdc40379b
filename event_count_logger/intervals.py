"""Intervals such as `5m` and their boundaries, as pure functions of `now`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_NUMBER = r"[0-9]*\.[0-9]+|[0-9]+"
_SECOND_MS = 1_000
_DAY_MS = 86_400 * _SECOND_MS
_UNIT_MS = {
    "s": _SECOND_MS,
    "m": 60 * _SECOND_MS,
    "h": 3_600 * _SECOND_MS,
    "d": _DAY_MS,
    "w": 7 * _DAY_MS,
    "y": 365 * _DAY_MS,
}

#: Units of lengths of time. A year is no interval: its boundaries would not be those of a calendar.
DURATION_UNITS, _OF_INTERVALS = "smhdwy", "smhdw"

#: Boundaries in weeks are counted from the first Monday, 1970-01-05 00:00 UTC.
_FIRST_MONDAY_MS = 4 * _DAY_MS

#: The form of an interval's name in a key.
NAME = f"[0-9.]+[{_OF_INTERVALS}{_OF_INTERVALS.upper()}]"


def _syntax(units: str) -> re.Pattern[str]:
    return re.compile(f"({_NUMBER})([{units}{units.upper()}])")


_DURATION, _INTERVAL = _syntax(DURATION_UNITS), _syntax(_OF_INTERVALS)

#: Other spellings of units, with the factor and the valid unit: for suggestions in messages.
_OTHER_SYNTAX = re.compile(rf"\s*({_NUMBER})\s*([a-z]+)\s*", re.IGNORECASE)
_OTHER_UNITS = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), (0.001, "s")),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), (1, "s")),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), (1, "m")),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), (1, "h")),
    **dict.fromkeys(("d", "day", "days"), (1, "d")),
    **dict.fromkeys(("w", "wk", "week", "weeks"), (1, "w")),
    **dict.fromkeys(("y", "yr", "year", "years"), (365, "d")),
}

#: Limits in milliseconds. A shorter interval would end before it can be rotated and read. The longest one is
#: 11 years.
_SHORTEST_MS, _LONGEST_MS = 100, 100_000 * 3_600_000


def parse_duration(text: str) -> float:
    """Returns the seconds of `<number><s|m|h|d|w|y>`; decimals and upper case are allowed.

    A year has 365 days.

    Raises:
        ValueError: Another form.
    """
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a length of time ({_use(DURATION_UNITS, text, '72h')})")
    length, divisor = _exact_ms(match)
    try:
        return length / (divisor * 1000)
    except OverflowError:
        return math.inf


def _use(units: str, text: str, default: str) -> str:
    """Returns the end of a message: the form, and an example with the meaning of the text, or the default."""
    return f"use <number><{'|'.join(units)}>, for example {_example(text) or default}"


def _example(text: str) -> str | None:
    """Returns a length of time in the valid form, such as 1d for '1 day'."""
    match = _OTHER_SYNTAX.fullmatch(text)
    if not match or match[2].lower() not in _OTHER_UNITS:
        return None
    factor, unit = _OTHER_UNITS[match[2].lower()]
    number = float(match[1]) * factor
    return f"{number:.10g}{unit}" if _SHORTEST_MS <= number * _UNIT_MS[unit] <= _LONGEST_MS else None


def _exact_ms(match: re.Match[str]) -> tuple[int, int]:
    """Returns a length of time as a fraction of integers, in milliseconds.

    `Decimal` is not safe in a process with several interpreters: after one of them has ended, CPython 3.11
    may crash in the others.
    """
    whole, _, part = match[1].partition(".")
    return int(whole + part) * _UNIT_MS[match[2].lower()], 10 ** len(part)


@dataclass(frozen=True, slots=True)
class Interval:
    """A length of time; its boundaries are an offset and multiples of the length, since the Unix epoch.

    Attributes:
        name: Name as written in the configuration, which is part of each key.
        length_ms: Length in milliseconds.
        offset_ms: Milliseconds from the epoch to a boundary: 0, or 4 days in weeks, which begin on Monday.
    """

    name: str
    length_ms: int
    offset_ms: int = 0

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Returns the interval of `<number><s|m|h|d|w>`; decimals and upper case are allowed.

        Raises:
            ValueError: Another form, under 0.1 s, or not a whole number of milliseconds.
        """
        match = _INTERVAL.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} is not an interval ({_use(_OF_INTERVALS, text, '5m')})")
        length, divisor = _exact_ms(match)
        length_ms, rest = divmod(length, divisor)
        if rest:
            raise ValueError(f"{text!r} is not a whole number of milliseconds")
        if not _SHORTEST_MS <= length_ms <= _LONGEST_MS:
            raise ValueError(f"{text!r} is not an interval from 0.1s to 100000h")
        return cls(str(text), length_ms, _FIRST_MONDAY_MS if match[2] in "wW" else 0)

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        return self.length_ms / 1000

    def start_of(self, now: float) -> float:
        """Returns the last boundary at or before `now`, both in Unix seconds."""
        return self._start_ms(now) / 1000

    def first_boundary(self, time: float) -> float:
        """Returns the first boundary at or after a time, both in Unix seconds."""
        start = self.start_of(time)
        return start if start >= time else self.end_of(time)

    def begins_as(self, other: Interval) -> bool:
        """Returns whether two intervals have the same boundaries, such as `60s` and `1m`."""
        return (self.length_ms, self.offset_ms) == (other.length_ms, other.offset_ms)

    def end_of(self, now: float) -> float:
        """Returns the first boundary after `now`, both in Unix seconds."""
        return (self._start_ms(now) + self.length_ms) / 1000

    def _start_ms(self, now: float) -> int:
        now_ms = int(now * 1000)
        return now_ms - (now_ms - self.offset_ms) % self.length_ms
