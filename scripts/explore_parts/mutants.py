"""Mutants: faults put into the code on purpose. Exploring must find each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from event_count_logger.counting.batch_sender import BatchSender
from event_count_logger.counting.cells import Cells
from event_count_logger.counting.spool_format import HeaderWord
from explore_parts.interception import replace


class Mutant(NamedTuple):
    """One fault.

    Attributes:
        program: The program that finds it with the fewest faults.
        apply: Changes Python code.
        script: Name of the Lua script that is changed.
        before: Text in that script.
        after: Text that replaces it.
    """

    program: str
    apply: Callable[[], None] = lambda: None
    script: str = ""
    before: str = ""
    after: str = ""

    def changed(self, name: str, text: str) -> str:
        """Returns the text of a script, with the fault if it is this script's."""
        if name != self.script:
            return text
        assert self.before in text
        return text.replace(self.before, self.after)


def _start_over_in_the_wrong_order() -> None:
    def start_over(cells: Cells) -> None:
        cells.position = cells.next_position = 0
        cells._words[HeaderWord.GENERATION] += 1

    replace(Cells, start_over=start_over)


def _start_over_without_a_state() -> None:
    def start_over(cells: Cells) -> None:
        cells._words[HeaderWord.GENERATION] += 1
        cells.position = cells.next_position = 0

    replace(Cells, start_over=start_over)


def _abandon_nothing() -> None:
    def abandon(sender: BatchSender) -> None:
        for cell in sender._cells_of_batch():
            cell.pending = cell.acked
        sender._end(sender._cells.position)

    replace(BatchSender, _abandon=abandon)


MUTANTS = {
    "none": Mutant(""),
    "generation-last": Mutant("life", _start_over_in_the_wrong_order),
    "generation-without-state": Mutant("life", _start_over_without_a_state),
    "no-abandon": Mutant("rejected", _abandon_nothing),
    "no-position-check": Mutant(
        "life", script="commit", before="(stored == next or stored ~= prev)", after="stored == next"
    ),
    "prunes-the-living": Mutant(
        "pruned", script="prune", before="elseif now - since > forget_after", after="elseif true"
    ),
}
