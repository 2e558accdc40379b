"""Reads shortly after a boundary, while the master may still be ending the interval."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.reading.reader import Reader, Snapshot

_T = TypeVar("_T", bound=tuple[Any, ...])

#: Time for the master to end an interval: this part of its length, at most these seconds. Then the
#: seconds between two reads.
_GRACE_PART, _LONGEST_GRACE_S, _LOOK_AGAIN_S = 0.25, 1.0, 0.02


def read_once_rotated(
    reader: Reader, group: GroupConfig, interval: Interval, *halves: Half
) -> tuple[Snapshot, ...]:
    """Returns snapshots; shortly after a boundary, repeats the read until the rotation is done.

    Args:
        reader: Reader of the counts.
        group: The group. Its declared events are always in the counts.
        interval: One of its intervals.
        *halves: `last`, `cur`, or both; all as of the same time.

    Raises:
        StoreError: Redis does not answer.
    """
    return once_rotated(interval, lambda: reader.read(group, interval, *halves))


def once_rotated(interval: Interval, read: Callable[[], _T]) -> _T:
    """Returns what `read` returns: a snapshot, and perhaps more; see `read_once_rotated`.

    Raises:
        StoreError: Redis does not answer.
    """
    grace_s = min(interval.length_s * _GRACE_PART, _LONGEST_GRACE_S)
    while True:
        found = read()
        if not 0 < (found[0].overdue_s or 0) < grace_s:
            return found
        time.sleep(_LOOK_AGAIN_S)
