"""The setting `history`: how many finished intervals of a group are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from event_count_logger.config.checks import check, check_each, duration, or_zero, show, whole_number
from event_count_logger.config.environment import FromEnvironment
from event_count_logger.intervals import Interval

#: Five hours of 5 minutes. Each finished interval takes some 20 bytes per event in Redis.
DEFAULT = 60

#: The most finished intervals; about a year of 5 minutes. All of them are in the memory of Redis.
MOST_HISTORY = 100_000


@dataclass(frozen=True, slots=True)
class HistoryLength:
    """The length of a history, which is a number of intervals or a length of time.

    Attributes:
        n: Number of intervals; None for a length of time.
        ms: Length of time, in milliseconds.
        given: The value in the configuration, for messages.
    """

    n: int | None
    ms: int = 0
    given: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.given or str(self.n)

    def n_intervals(self, interval: Interval) -> int:
        """Returns the number of finished intervals that cover the length of time."""
        return -(-self.ms // interval.length_ms) if self.n is None else self.n


@dataclass(frozen=True, slots=True)
class History:
    """The lengths of the histories of a group.

    Attributes:
        length: Length for each interval without its own.
        own: Names of intervals, each with its own length.
    """

    length: HistoryLength = HistoryLength(DEFAULT)
    own: tuple[tuple[str, HistoryLength], ...] = ()

    def __str__(self) -> str:
        own = ", ".join(f"{name}: {length}" for name, length in self.own)
        return f"{{{own}}}" if own else str(self.length)

    @classmethod
    def of(cls, n: int) -> History:
        """Returns a history of that number of finished intervals, for each interval."""
        return cls(HistoryLength(n))

    def length_of(self, interval: Interval) -> HistoryLength:
        """Returns the length for an interval."""
        return dict(self.own).get(interval.name, self.length)


_number, _time = whole_number(0, MOST_HISTORY), or_zero(duration)


def _is_time(value: object) -> bool:
    """Returns whether a value is text, which stands for a length of time; `${N}` may stand for a number."""
    is_number = isinstance(value, FromEnvironment) and value.as_number() is not None
    return isinstance(value, str) and not is_number


def _ms(seconds: float) -> int:
    return math.ceil(round(seconds * 1000, 3))


@check(f"{_number.expected}, or a length of time", "for example 7d")
def _length(value: object) -> HistoryLength:
    if _is_time(value):
        return HistoryLength(None, _ms(_time.convert(value)), show(value))
    return HistoryLength(_number.convert(value), given=show(value))


@check(f"{_number.expected}, a length of time, or a mapping of intervals to these")
def history(value: object) -> History:
    """Accept a length for all intervals, or a mapping from names of intervals to lengths."""
    if not isinstance(value, Mapping):
        return History(_length.convert(value))
    lengths = check_each(value.items(), _length)
    return History(own=tuple(zip(map(str, value), lengths, strict=True)))
