"""What Redis has confirmed of one source, so that it can be said what is lost when it has forgotten."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import NamedTuple

from event_count_logger.counting.spool_format import distance

#: Batches that are remembered at least, 16 bytes each; of a direct group, that is the last second or so.
RECENT = 10_000


#: Counters, and so their sums, are counted modulo 2^64.
_MASK = 2**64 - 1


class Loss(NamedTuple):
    """Counts that were confirmed and are gone.

    Attributes:
        counts: How many.
        is_exact: Whether those are all, and not only those that are remembered.
    """

    counts: int
    is_exact: bool


class ConfirmedCounts:
    """How many counts were confirmed up to each of the recent positions of a source."""

    def __init__(self, position: int = 0) -> None:
        """What was confirmed up to that position is not known, unless it is 0."""
        self._start_at(position)

    def _start_at(self, position: int) -> None:
        self._positions = array("Q", (position,))
        self._sums = array("Q", (0,))

    def add(self, position: int, counts: int) -> None:
        """A batch was confirmed that took the source to this position."""
        positions, sums = self._positions, self._sums
        positions.append(position)
        sums.append(sums[-1] + counts & _MASK)
        if len(sums) >= 2 * RECENT:
            del positions[:-RECENT], sums[:-RECENT]

    def rewind(self, position: int) -> Loss:
        """What is lost if Redis has the source at this position; from now on it is there."""
        total, n_left = self._sums[-1], bisect_right(self._positions, position)
        if n_left == 0:
            loss = Loss(distance(total, self._sums[0]), is_exact=False)
            self._start_at(position)
            return loss
        del self._positions[n_left:], self._sums[n_left:]
        return Loss(distance(total, self._sums[-1]), is_exact=True)
