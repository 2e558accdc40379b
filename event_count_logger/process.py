"""Detects forks, also those of C code, and gives a child process objects of its own.

The hooks of `os.register_at_fork` do not run when C code forks, as in uWSGI. Therefore the number of the
process is in a page of memory that the kernel clears in a child process (MADV_WIPEONFORK):

    MARK[0] == 0      a child process that has not noticed the fork
    MARK[0] == n      process number n: 1 at the import of this package, and one more with each fork

`current()` finds the 0 and calls `leave_to_parent()` of all members, the objects given to `register()`.
A child process begins with new

    - counters of each group: cells, spool file, source and shard       `PerProcess` in redis_group.py
    - session outbox of each group                                      the same
    - background thread                                                 `PerProcess` in syncer.py
    - connections to Redis                                              `PerProcess` in store/client.py
    - maps of `Counting`, which are empty                               registered in pure.py and _native.c

and leaves these to its parent:

    - spool files: the locks are closed, the mapped memory is detached  registered in spool_file.py
    - batches that the parent was sending (BatchSender, FairLock)       both compare `current()`
    - recovery of spool files, which runs once in each process          compares `current()`
"""

from __future__ import annotations

import logging  # noqa: F401 - registers its hook first, see below
import mmap
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

#: MADV_WIPEONFORK of Linux 4.14 and later, missing in the module mmap.
_WIPE_ON_FORK = 18

#: Seconds that a thread waits for another one that renews the members, which may be frozen for good.
_RENEWAL_S = 5.0


class _ByPid:
    """The fallback for `MARK` on systems without MADV_WIPEONFORK: compares process IDs."""

    def __init__(self) -> None:
        self._number, self._pid = 0, 0

    def __getitem__(self, index: int) -> int:
        return self._number if os.getpid() == self._pid else 0

    def __setitem__(self, index: int, number: int) -> None:
        self._number, self._pid = number, os.getpid()


def _mark() -> Any:
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_WIPE_ON_FORK)
    except (AttributeError, OSError):
        return _ByPid()
    return memoryview(page).cast("Q")


#: The number of this process; 0 in a child process that has not noticed the fork. Read it with `current()`.
MARK = _mark()
MARK[0] = 1

_number = 1
_renewing = threading.RLock()


class Member(Protocol):
    """An object that belongs to one process."""

    def leave_to_parent(self, number: int) -> None:
        """Drop the objects of the parent. Runs in a child process, and must not wait for a lock.

        Args:
            number: Number of the child process. A signal handler may have made objects for it: keep these.
        """


_members: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def register(member: Member) -> None:
    """Call `leave_to_parent()` of an object in each child process, as long as the object exists."""
    _members[id(member)] = member


def current() -> int:
    """Returns the number of this process.

    In a new child process, first calls `leave_to_parent()` of all members.
    """
    return MARK[0] or _renew()


def _renew() -> int:
    global _number
    # Reentrant: a signal handler may interrupt this method and call it again.
    acquired = _renewing.acquire(timeout=_RENEWAL_S)
    try:
        number = _number + 1
        if not MARK[0]:
            # As a list: a member that only another member refers to must not be freed before it is called.
            for member in [member for ref in _members.valuerefs() if (member := ref()) is not None]:
                member.leave_to_parent(number)
            # No function is called in between: a signal handler runs before, or after both are set.
            if _number != number:
                _number = number
                MARK[0] = number
        return _number
    finally:
        if acquired:
            _renewing.release()


#: The thread that is forking with Python's hooks, and the number of its process; 0 for none.
_forking = _forked = 0


def _before_fork() -> None:
    global _forking, _forked
    _forking, _forked = threading.get_ident(), current()


def _after_fork_in_parent() -> None:
    global _forking
    _forking = 0


def _after_fork_in_child() -> None:
    global _forking, _renewing
    _renewing = threading.RLock()  # another thread of the parent may have held it
    if _number == _forked:  # else a signal handler has renewed the members
        MARK[0] = 0  # for kernels that do not clear it
    current()
    _forking = 0


# Hooks run in the order of registration: logging, imported before, has renewed its locks by then.
os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)


class PerProcess(Generic[T]):
    """A value that each process makes when it first needs it."""

    def __init__(self, make: Callable[[], T]) -> None:
        """`make` returns the value. Two threads may call it at the same time: one result is then dropped."""
        self._make = make
        self._values: dict[int, T] = {}
        register(self)

    def get(self) -> T:
        """Returns the value of this process, after making it if it is missing."""
        number = current()
        value = self._values.get(number)
        return value if value is not None else self._values.setdefault(number, self._make())

    def peek(self) -> T | None:
        """Returns the value of this process; None if it was not made."""
        return self._values.get(current())

    def leave_to_parent(self, number: int) -> None:
        """See `Member`."""
        for of_process in list(self._values):
            if of_process != number:
                self._values.pop(of_process, None)


def is_ending() -> bool:
    """Returns whether the interpreter ends: other threads are frozen for good, and may hold any lock."""
    return sys.is_finalizing()


def has_threads() -> bool:
    """Returns whether a background thread may be started in this process.

    False in these cases:

    - In uWSGI's master, which forks in C. A thread that holds the GIL during the fork would leave it locked
      in the worker. Without a master, that process becomes a worker itself: the answer may change.
    - In uWSGI before 2.0.27 without `--enable-threads`, where no thread runs between requests.
    - While this thread forks. A signal handler may count in the child process before the hooks of other
      modules, such as logging, have renewed their locks. A thread would wait for these.
    """
    if _forking == threading.get_ident():
        return False
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None:
        return True
    is_spooler = getattr(uwsgi, "i_am_the_spooler", bool)
    return bool(uwsgi.has_threads and (uwsgi.worker_id() or uwsgi.mule_id() or is_spooler()))
