"""Memory in which workers record what they log, so that killed workers can be checked, too.

The file is a sequence of 64-bit words in the order of this machine:

    control words       the words of the fault proxy (`fault_proxy.Word`), and CUT
    record 0            of one thread: its role, then for each group and event two counts: begun, ended
    record 1            ...

A thread adds to `begun` before it calls `log()`, and to `ended` afterwards. A thread that was killed inside
`log()` leaves the two different: its last count may be in Redis or not.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path

from fault_proxy import Word

#: The control word that is the number of times that the proxy is to cut all connections.
CUT = len(Word)

_CONTROL_WORDS = len(Word) + 1
_WORD_BYTES = 8

#: Threads of one worker and of all its child processes: each has a record.
RECORDS_PER_WORKER = 40

#: An event that all workers log.
COMMON_EVENT = "all"

#: Events that one thread logs; see `ThreadRecord.events`.
_EVENTS = 3


class Role(IntEnum):
    """The first word of a record."""

    UNUSED = 0
    THREAD = 1  #: a thread of a worker
    CHILD = 2  #: the first thread of a forked process
    CUT_OFF = 3  #: the same, of a process that ended by os._exit() or SIGKILL
    THREAD_OF_CHILD = 4  #: another thread of a forked process


class ThreadRecord:
    """The counts of one thread.

    Attributes:
        events: An event that no other thread logs, one of the worker and its child processes, and one that
            all workers log.
    """

    def __init__(self, words: memoryview[int], number: int, n_groups: int) -> None:
        self._words = words
        self._at = _CONTROL_WORDS + number * _record_words(n_groups)
        of_worker = worker_event(number // RECORDS_PER_WORKER)
        self.events = (f"{of_worker}.{number}", of_worker, COMMON_EVENT)

    @property
    def role(self) -> Role:
        return Role(self._words[self._at])

    @role.setter
    def role(self, role: Role) -> None:
        self._words[self._at] = role

    def log(self, group: int, event: int, count: int, log: Callable[[int], None]) -> None:
        """Call `log(count)` and record it. `group` and `event` are indexes."""
        begun = self._begun_at(group, event)
        self._words[begun] += count
        log(count)
        self._words[begun + 1] += count

    def begun_and_ended(self, group: int, event: int) -> tuple[int, int]:
        begun = self._begun_at(group, event)
        return self._words[begun], self._words[begun + 1]

    def _begun_at(self, group: int, event: int) -> int:
        return self._at + 1 + 2 * (group * _EVENTS + event)


class SharedMemory:
    """The memory, mapped into this process.

    Attributes:
        words: All words; the control words come first.
        groups: Names of the groups in which workers count.
    """

    def __init__(self, file: Path, groups: Sequence[str]) -> None:
        self.groups = [*groups]
        with file.open("r+b") as opened:
            self.words = memoryview(mmap.mmap(opened.fileno(), 0)).cast("Q")

    @classmethod
    def create(cls, file: Path, groups: Sequence[str], workers: int) -> SharedMemory:
        """Make the file, with records for so many workers."""
        n_words = _CONTROL_WORDS + workers * RECORDS_PER_WORKER * _record_words(len(groups))
        with file.open("wb") as opened:
            opened.truncate(n_words * _WORD_BYTES)
        return cls(file, groups)

    def record(self, number: int) -> ThreadRecord:
        return ThreadRecord(self.words, number, len(self.groups))

    def used_records(self) -> Iterator[ThreadRecord]:
        """Yields the records of threads that have begun to count."""
        n = (len(self.words) - _CONTROL_WORDS) // _record_words(len(self.groups))
        for number in range(n):
            record = self.record(number)
            if record.role is not Role.UNUSED:
                yield record

    def counts(self, group: str) -> dict[str, list[tuple[int, int]]]:
        """Returns, for each event of a group, the counts begun and ended by each thread."""
        found: dict[str, list[tuple[int, int]]] = {}
        for record in self.used_records():
            for event, event_id in enumerate(record.events):
                counts = record.begun_and_ended(self.groups.index(group), event)
                found.setdefault(event_id, []).append(counts)
        return found

    def logged(self, group: str) -> Counter[str]:
        """Returns the counts of all calls of `log()` that have returned, by event."""
        return Counter({event: sum(ended for _, ended in each) for event, each in self.counts(group).items()})


def worker_event(number: int) -> str:
    """The event that all threads of a worker and of its child processes log."""
    return f"w{number}"


def _record_words(n_groups: int) -> int:
    return 1 + 2 * _EVENTS * n_groups
