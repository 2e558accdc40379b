"""Reads shortly after a boundary, while the master may still be ending the interval."""

from __future__ import annotations

import time

from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.reading.reader import Reader, Snapshot

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
    grace_s = min(interval.length_s * _GRACE_PART, _LONGEST_GRACE_S)
    while True:
        snapshots = reader.read(group, interval, *halves)
        if not 0 < (snapshots[0].overdue_s or 0) < grace_s:
            return snapshots
        time.sleep(_LOOK_AGAIN_S)
