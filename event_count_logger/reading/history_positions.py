"""Parsing and comparison of history positions given by people and programs."""

from __future__ import annotations

import re
from decimal import Decimal

from event_count_logger.store import HistoryPosition

#: Twelve digits last for 30,000 years: a longer number is no time.
_UNIX_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]*)?")


def is_behind(position: HistoryPosition, other: HistoryPosition) -> bool:
    """Returns whether a position is later than another one; one without a number is the last of its time."""
    return position > other if other.number else position.time_ms > other.time_ms


def parse(text: str) -> HistoryPosition:
    """Parse a position, or Unix seconds: the position behind all intervals that had ended by then.

    Raises:
        ValueError: The text is neither.
    """
    if _UNIX_SECONDS.fullmatch(text):
        return HistoryPosition(int(Decimal(text) * 1000))
    try:
        return HistoryPosition.parse(text)
    except ValueError as error:
        raise ValueError(f"{error}, nor Unix seconds") from error
