"""Memory that the processes of scripts/soak share; it has nothing to do with the library.

Each thread that counts has a row, and notes there what it has begun to log and what it has ended.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path

#: Settings of each group, besides those that all of them have.
GROUPS: dict[str, dict[str, float]] = {
    "direct": {},
    "also-direct": {},
    "quick": {"sync_interval": 0.02},
    "cached": {"sync_interval": 0.3},
    "limited": {"sync_limit": 50},
    "both": {"sync_interval": 1, "sync_limit": 500},
    "slow": {"sync_interval": 3600},
}

#: Workers in one run, and threads of one of them and of all its children: each has an event of its own.
WORKERS, ROWS_OF_WORKER = 80, 40

#: First the role, then for each group what was begun and ended of the thread's own event and of its worker's.
_WORDS_OF_ROW = 1 + 4 * len(GROUPS)


#: Where the commands are.
PROGRAMS = Path(sys.executable).parent


class Control(IntEnum):
    """The first words."""

    LOSE = 0  #: how many of the next answers are to be lost
    DELAY = 1  #: how many of the next requests are to be held back
    CUT = 2  #: how often all connections were to be cut
    LOST = 3  #: how many answers were lost
    DELAYED = 4  #: how many requests were held back


class Role(IntEnum):
    """The first word of a row."""

    UNUSED = 0
    THREAD = 1
    CHILD = 2  #: the first thread of a forked process
    CUT_OFF = 3  #: the same, of one that has left without cleaning up


class Row:
    """What one thread says about its own counting."""

    def __init__(self, words: memoryview[int], number: int) -> None:
        self._words = words
        self._at = len(Control) + number * _WORDS_OF_ROW
        self.worker_event = worker_event(number // ROWS_OF_WORKER)
        self.own_event = f"{self.worker_event}.{number}"

    @property
    def role(self) -> Role:
        return Role(self._words[self._at])

    @role.setter
    def role(self, role: Role) -> None:
        self._words[self._at] = role

    @property
    def events(self) -> tuple[str, str]:
        return self.own_event, self.worker_event

    def told(self, group: int, log: Callable[[int], None], count: int, shared: bool) -> None:
        """Log, and tell it before and after."""
        begun = self._begun_at(group, shared)
        self._words[begun] += count
        log(count)
        self._words[begun + 1] += count

    def begun_and_done(self, group: int, shared: bool) -> tuple[int, int]:
        begun = self._begun_at(group, shared)
        return self._words[begun], self._words[begun + 1]

    def _begun_at(self, group: int, shared: bool) -> int:
        return self._at + 1 + 4 * group + 2 * shared


class Page:
    """The shared memory: words of control, and the rows."""

    def __init__(self, file: Path) -> None:
        size = 8 * (len(Control) + WORKERS * ROWS_OF_WORKER * _WORDS_OF_ROW)
        with file.open("ab") as opened:
            opened.truncate(size)
        with file.open("r+b") as opened:
            self.control = memoryview(mmap.mmap(opened.fileno(), size)).cast("Q")

    def row(self, number: int) -> Row:
        return Row(self.control, number)

    def rows(self) -> Iterator[Row]:
        for number in range(WORKERS * ROWS_OF_WORKER):
            yield self.row(number)


def worker_event(number: int) -> str:
    """The event that all threads of a worker and of its children log."""
    return f"w{number}"
