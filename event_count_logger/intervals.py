"""Intervals such as `5m` and their boundaries, as pure functions of `now`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_NUMBER = r"[0-9]*\.[0-9]+|[0-9]+"
_SYNTAX = re.compile(rf"({_NUMBER})([smh])", re.IGNORECASE)
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000}

#: Other spellings of units, with the factor and the valid unit: for suggestions in messages.
_OTHER_SYNTAX = re.compile(rf"\s*({_NUMBER})\s*([a-z]+)\s*", re.IGNORECASE)
_OTHER_UNITS = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), (0.001, "s")),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), (1, "s")),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), (1, "m")),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), (1, "h")),
    **dict.fromkeys(("d", "day", "days"), (24, "h")),
    **dict.fromkeys(("w", "week", "weeks"), (168, "h")),
}

#: Limits in milliseconds. A shorter interval would end before it can be rotated and read. The longest one is
#: 11 years.
_SHORTEST_MS, _LONGEST_MS = 100, 100_000 * 3_600_000


def parse_duration(text: str) -> float:
    """Returns the seconds of `<number><s|m|h>`; decimals and upper case are allowed.

    Raises:
        ValueError: Another form.
    """
    match = _SYNTAX.fullmatch(text)
    if not match:
        example = _example(text, "72h")
        raise ValueError(f"{text!r} is not a length of time (use <number><s|m|h>, for example {example})")
    length, divisor = _exact_ms(match)
    try:
        return length / (divisor * 1000)
    except OverflowError:
        return math.inf


def _example(text: str, default: str) -> str:
    """Returns a length of time in the valid form, such as 24h for 1d; the default if there is none."""
    match = _OTHER_SYNTAX.fullmatch(text)
    if not match or match[2].lower() not in _OTHER_UNITS:
        return default
    factor, unit = _OTHER_UNITS[match[2].lower()]
    number = float(match[1]) * factor
    return f"{number:.10g}{unit}" if _SHORTEST_MS <= number * _UNIT_MS[unit] <= _LONGEST_MS else default


def _exact_ms(match: re.Match[str]) -> tuple[int, int]:
    """Returns a length of time as a fraction of integers, in milliseconds.

    `Decimal` is not safe in a process with several interpreters: after one of them has ended, CPython 3.11
    may crash in the others.
    """
    whole, _, part = match[1].partition(".")
    return int(whole + part) * _UNIT_MS[match[2].lower()], 10 ** len(part)


@dataclass(frozen=True, slots=True)
class Interval:
    """A length of time; its boundaries are the multiples of the length since the Unix epoch.

    Attributes:
        name: Name as written in the configuration, which is part of each key.
        length_ms: Length in milliseconds.
    """

    name: str
    length_ms: int

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Returns the interval of `<number><s|m|h>`; decimals and upper case are allowed.

        Raises:
            ValueError: Another form, under 0.1 s, or not a whole number of milliseconds.
        """
        match = _SYNTAX.fullmatch(text)
        if not match:
            example = _example(text, "5m")
            raise ValueError(f"{text!r} is not an interval (use <number><s|m|h>, for example {example})")
        length, divisor = _exact_ms(match)
        length_ms, rest = divmod(length, divisor)
        if rest:
            raise ValueError(f"{text!r} is not a whole number of milliseconds")
        if not _SHORTEST_MS <= length_ms <= _LONGEST_MS:
            raise ValueError(f"{text!r} is not an interval from 0.1s to 100000h")
        return cls(str(text), length_ms)

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        return self.length_ms / 1000

    def start_of(self, now: float) -> float:
        """Returns the last boundary at or before `now`, both in Unix seconds."""
        now_ms = int(now * 1000)
        return (now_ms - now_ms % self.length_ms) / 1000

    def end_of(self, now: float) -> float:
        """Returns the first boundary after `now`, both in Unix seconds."""
        return self.start_of(now) + self.length_s
