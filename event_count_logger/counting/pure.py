"""The types that count, in Python: the fallback for `_native.c`, with the same behaviour."""

from __future__ import annotations

import mmap
import sys
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any, Protocol

from event_count_logger import process
from event_count_logger.process import MARK

#: The largest count, and the most unsent counts of one event.
LARGEST = 2**63 - 1

#: A value of `CellMap.sync_at` that is never reached.
NEVER = 2**63

_MASK = 2**64 - 1

#: From <sys/mman.h>, missing in the module mmap; the same value on Linux and macOS.
_MAP_FIXED = 0x10

#: Whether `Cell.add` cannot be interrupted. Since 3.11, CPython with a global lock lets other threads and
#: signal handlers run at calls and backward jumps only.
_UNINTERRUPTED: bool = sys.version_info >= (3, 11) and getattr(sys, "_is_gil_enabled", lambda: True)()


class Cell:
    """The counts of one event: three words of 64 bits, counted modulo 2^64.

    Attributes:
        event_id: ID of the event.
        unwrapped_acked: `acked`, not modulo 2^64: `total - unwrapped_acked` counts are unsent.
    """

    __slots__ = ("_at", "_total", "_words", "event_id", "unwrapped_acked")

    def __init__(self, event_id: str, words: memoryview[int], at: int) -> None:
        """The words are `words[at]` to `words[at + 2]`: `total`, `pending`, `acked`."""
        self.event_id = event_id
        self._words = words
        self._at = at
        self._remember()

    def _remember(self) -> None:
        """Copy `total` and `acked` into attributes, which are faster to read; not modulo 2^64."""
        total, acked = self._words[self._at], self._words[self._at + 2]
        self._total = total
        self.unwrapped_acked = total - (total - acked & _MASK)

    def add(self, count: int) -> int | None:
        """Add to `total`. Returns it, not modulo 2^64.

        Returns None, and adds nothing, in a child process: the cell belongs to its parent.
        """
        if not MARK[0]:
            return None
        # Atomic: between reading and writing, no call and no backward jump lets other code run.
        total = self._total + count
        if total - self.unwrapped_acked > LARGEST:
            raise OverflowError(f"more than 2^63-1 counts of event {self.event_id!r} would be unsent")
        self._total = total
        self._words[self._at] = total & _MASK
        return total

    @property
    def total(self) -> int:
        """The counts logged."""
        return self._words[self._at]

    @total.setter
    def total(self, value: int) -> None:
        self._words[self._at] = value
        self._remember()

    @property
    def pending(self) -> int:
        """`total` as of the current batch."""
        return self._words[self._at + 1]

    @pending.setter
    def pending(self, value: int) -> None:
        self._words[self._at + 1] = value

    @property
    def acked(self) -> int:
        """The part of `total` that Redis has confirmed."""
        return self._words[self._at + 2]

    @acked.setter
    def acked(self, value: int) -> None:
        self._words[self._at + 2] = value
        total = self._total  # read once: another thread may add meanwhile
        self.unwrapped_acked = total - (total - value & _MASK)


class CellMap:
    """The cells of a group by event ID.

    Attributes:
        by_id: A read-only view; `put` adds a cell.
        sync_at: Number of unsent counts of one event at which `Counting._send` is called.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, Cell] = {}
        self.by_id: Mapping[str, Cell] = MappingProxyType(self._by_id)
        self.sync_at = NEVER
        # Reentrant, because a signal handler may count, too.
        self._adding = threading.RLock()

    def adding(self) -> AbstractContextManager[Any]:
        """Returns the lock for `Cell.add`, where that is not atomic."""
        # While the interpreter ends, the lock may be held by a thread that is frozen for good.
        return nullcontext() if sys.is_finalizing() else self._adding

    def put(self, cell: Cell) -> Cell:
        """Add a cell, unless its event has one. Returns the cell of the event."""
        return self._by_id.setdefault(cell.event_id, cell)

    def clear(self) -> None:
        """Forget all cells. A thread that has found one before may still add to it."""
        self._by_id.clear()


#: The map before the first event of a process.
_EMPTY = CellMap()


class Counting:
    """The base class of `RedisEventGroup`, with the fast path of `log()`.

    A subclass has two methods. `_log_unusual(event_id, count)` gets all arguments but a known event ID with a
    positive integer. `_send(cell, total)` is called when `total - acked` has reached `sync_at`.
    """

    __slots__ = ("cells",)

    #: The cells of this process.
    cells: CellMap

    def __new__(cls, *args: object, **kwargs: object) -> Counting:
        """Ignores the parameters, which are for `__init__`."""
        self = super().__new__(cls)
        self.cells = _EMPTY
        process.register(self)
        return self

    def leave_to_parent(self, number: int) -> None:
        """In a child process: start without cells; see `process.Member`."""
        self.cells = _EMPTY

    def log(self, event_id: str, count: int = 1) -> None:
        """Count an event.

        A direct group waits until Redis confirms the count, for no longer than the configured time-out.
        In a thread with a running event loop, and in a group with `sync_interval` or `sync_limit`, this
        only adds to local counters. The background thread sends them. While Redis is unavailable, counts
        are kept and sent later. An event that is neither declared nor declared automatically is not
        counted.

        Args:
            event_id: ID of the event.
            count: Number of events; 0 does nothing.

        Raises:
            TypeError: `event_id` is not a string, or `count` not an integer.
            ValueError: `count` is negative or over 2^63-1, or `event_id` cannot be an event ID.
            OverflowError: More than 2^63-1 would be unsent of this event.
        """
        cells = self.cells
        cell = cells.by_id.get(event_id) if type(event_id) is str else None
        if cell is None or type(count) is not int or not 0 < count <= LARGEST:
            self._log_unusual(event_id, count)
            return
        if _UNINTERRUPTED:
            total = cell.add(count)
        else:
            with cells.adding():
                total = cell.add(count)
        if total is None:
            self._log_unusual(event_id, count)
        elif total - cell.unwrapped_acked >= cells.sync_at:
            self._send(cell, total & _MASK)

    def _log_unusual(self, event_id: object, count: object) -> None:
        raise NotImplementedError

    def _send(self, cell: Cell, total: int) -> None:
        raise NotImplementedError


class Logs(Protocol):
    """A group with the method `log`."""

    def log(self, event_id: str, count: int = 1) -> None:
        """See `EventGroup.log`."""


class Counter:
    """One event of a group, looked up once, for loops."""

    def __init__(self, group: Logs, event_id: str) -> None:
        """See `EventGroup.counter`."""
        self._group = group
        self._event_id = event_id

    def inc(self, n: int = 1) -> None:
        """Count the event `n` times; otherwise as `EventGroup.log`."""
        self._group.log(self._event_id, n)


def detach(mapping: Any) -> None:
    """Replace mapped memory by private memory, all 0, in a child process."""
    # Importing takes 10 ms, and only child processes without the C extension need it.
    import ctypes

    memory = (ctypes.c_char * len(mapping)).from_buffer(mapping)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    at, size = ctypes.c_void_p(ctypes.addressof(memory)), ctypes.c_size_t(len(mapping))
    access, kind = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED
    if libc.mmap(at, size, access, kind, -1, ctypes.c_long(0)) != at.value:
        raise OSError(ctypes.get_errno(), "mmap failed")
