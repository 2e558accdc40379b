"""Finds the events that are in use by comparing totals, so that counting itself costs no more."""

from __future__ import annotations

from array import array

from event_count_logger.counting.cells import Cells


class Usage:
    """Copies of the totals of one group's cells, 8 bytes for each event."""

    def __init__(self, cells: Cells) -> None:
        """The first call of `used` returns all events that were counted so far."""
        self._cells = cells
        self._totals: list[array[int]] = []

    def used(self) -> list[str]:
        """The events that were counted since the last call."""
        used = []
        for place, extent in enumerate(self._cells.extents()):
            if place == len(self._totals):
                self._totals.append(array("Q"))
            earlier, self._totals[place] = self._totals[place], extent.totals()
            used += [cell.event_id for cell in extent.counted_between(earlier, self._totals[place])]
        return used
