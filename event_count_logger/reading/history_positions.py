"""Places in the history of an interval, as people and programs give them."""

from __future__ import annotations

import re
from decimal import Decimal

from event_count_logger.store import HistoryPosition

#: Seconds enough for 30,000 years: what is longer is no time.
_UNIX_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]*)?")


def is_behind(position: HistoryPosition, other: HistoryPosition) -> bool:
    """Whether a position is behind another one, which without a number is that of the last of its time."""
    return position > other if other.number else position.time_ms > other.time_ms


def parse(text: str) -> HistoryPosition:
    """Read a position, or a time in Unix seconds, which stands for all that ended until then.

    Raises:
        ValueError: Neither of them.
    """
    if _UNIX_SECONDS.fullmatch(text):
        return HistoryPosition(int(Decimal(text) * 1000))
    try:
        return HistoryPosition.parse(text)
    except ValueError as error:
        raise ValueError(f"{error}, nor Unix seconds") from error
