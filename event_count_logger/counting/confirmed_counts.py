"""The counts that Redis has confirmed for one source, batch by batch.

When Redis loses data, its position of the source is behind. The counts of the batches in between are lost.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import NamedTuple

from event_count_logger.counting.spool_format import distance

#: The least number of batches remembered, 16 bytes each: about the last second of a direct group.
RECENT = 10_000


#: Counters and their sums are counted modulo 2^64.
_MASK = 2**64 - 1


class Loss(NamedTuple):
    """Counts that were confirmed and are gone.

    Attributes:
        counts: Number of counts lost.
        is_exact: False if older batches, which are not remembered, are lost too.
    """

    counts: int
    is_exact: bool


class ConfirmedCounts:
    """Sums of confirmed counts by position, for the recent batches of a source."""

    def __init__(self, position: int = 0) -> None:
        """Start at a position; the counts before are unknown, unless the position is 0."""
        self._start_at(position)

    def _start_at(self, position: int) -> None:
        self._positions = array("Q", (position,))
        self._sums = array("Q", (0,))

    def add(self, position: int, counts: int) -> None:
        """Add a confirmed batch that has moved the source to this position."""
        positions, sums = self._positions, self._sums
        positions.append(position)
        sums.append(sums[-1] + counts & _MASK)
        if len(sums) >= 2 * RECENT:
            del positions[:-RECENT], sums[:-RECENT]

    def rewind(self, position: int) -> Loss:
        """Go back to the position that Redis has after a loss of data. Returns the loss."""
        total, n_left = self._sums[-1], bisect_right(self._positions, position)
        if n_left == 0:
            loss = Loss(distance(total, self._sums[0]), is_exact=False)
            self._start_at(position)
            return loss
        del self._positions[n_left:], self._sums[n_left:]
        return Loss(distance(total, self._sums[-1]), is_exact=True)
