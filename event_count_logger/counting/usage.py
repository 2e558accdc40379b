"""Finds the events in use by comparing two copies of the totals; `log()` records nothing for it."""

from __future__ import annotations

from array import array

from event_count_logger.counting.cells import Cells


class Usage:
    """A copy of the totals of all cells of one group, 8 bytes per event."""

    def __init__(self, cells: Cells) -> None:
        """`cells` are the cells to watch. The first call of `used` returns all events counted so far."""
        self._cells = cells
        self._totals: list[array[int]] = []

    def used(self) -> list[str]:
        """Returns the events counted since the last call."""
        used = []
        for index, extent in enumerate(self._cells.extents()):
            if index == len(self._totals):
                self._totals.append(array("Q"))
            earlier, self._totals[index] = self._totals[index], extent.totals()
            used += [cell.event_id for cell in extent.counted_between(earlier, self._totals[index])]
        return used
