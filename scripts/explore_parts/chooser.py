"""Enumeration of choices: a run is repeated until each sequence of choices was made once."""

from __future__ import annotations

from collections.abc import Sequence


class Chooser:
    """Makes the choices of one run after the other, depth first.

    The first option of a choice is the normal case; each other one is a fault. A run first repeats the
    choices of the run before, up to the last one that has an option left. It takes that option, and then the
    first option of every later choice.

    Attributes:
        faults: Descriptions of the faults of this run so far.
    """

    def __init__(self, most_faults: int) -> None:
        """`most_faults` is the largest number of faults in one run."""
        self.faults: list[str] = []
        self._most_faults = most_faults
        self._path: list[list[int]] = []  # of each choice, the option taken and the number of options
        self._made = 0

    @property
    def faults_left(self) -> int:
        """Number of further faults that this run may have."""
        return self._most_faults - len(self.faults)

    @property
    def is_repeating(self) -> bool:
        """True if the next choice was made by the run before."""
        return self._made < len(self._path)

    def choose(self, place: str, options: Sequence[str]) -> str:
        """Returns one of the options; the first one if this run has no fault left."""
        if not self.faults_left:
            return options[0]
        if self._made == len(self._path):
            self._path.append([0, len(options)])
        taken, n_options = self._path[self._made]
        assert n_options == len(options), f"a repeated run differs at {place}"
        self._made += 1
        if taken:
            self.faults.append(f"{place}: {options[taken]}")
        return options[taken]

    def next_run(self) -> bool:
        """Begin the next run. Returns False after the last one."""
        del self._path[self._made :]
        while self._path and self._path[-1][0] + 1 == self._path[-1][1]:
            self._path.pop()
        if not self._path:
            return False
        self._path[-1][0] += 1
        self._made = 0
        self.faults.clear()
        return True
