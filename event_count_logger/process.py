"""Detects forks, also those that Python does not notice, and renews what belongs to one process.

The hooks of `os.register_at_fork` do not run when C code forks, as uWSGI does. Therefore a word of memory
that the kernel clears in a forked child (MADV_WIPEONFORK) holds the number of this process:

    MARK[0] == 0      a forked child in which nothing was renewed yet
    MARK[0] == n      process number n: 1 where this package was imported, one more with each fork

`current()` renews all members as soon as it finds a 0. The members are

    - `PerProcess` values: the counters of each group with their source, its session outbox, the connections,
      and the background thread,
    - spool files: a child gives up the locks of its parent, and can no longer write into its memory.

Recovery and the locks of senders compare `current()` with the process that they were made in.
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

#: MADV_WIPEONFORK of Linux 4.14 and later, for which the module mmap has no name.
_WIPE_ON_FORK = 18

#: Seconds that a thread waits for another one that renews the members: what takes longer was interrupted.
_RENEWAL_S = 5.0


class _ByPid:
    """The mark on systems without MADV_WIPEONFORK: compares process IDs."""

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


#: The number of this process; 0 in a forked child that has not noticed yet. Read it with `current()`.
MARK = _mark()
MARK[0] = 1

_number = 1
_renewing = threading.RLock()


class Member(Protocol):
    """An object that belongs to one process."""

    def leave_to_parent(self, number: int) -> None:
        """Give up what belongs to the parent. Runs in a forked child; must wait for no lock.

        Args:
            number: Of the child. A signal handler may have made something for it already, which stays.
        """


_members: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def register(member: Member) -> None:
    """Call `leave_to_parent()` of this object in forked children, for as long as the object exists."""
    _members[id(member)] = member


def current() -> int:
    """Returns the number of this process, after renewing the members if it is a new one."""
    return MARK[0] or _renew()


def _renew() -> int:
    global _number
    # A handler of a signal may interrupt this and come here again: the lock is reentrant.
    acquired = _renewing.acquire(timeout=_RENEWAL_S)
    try:
        number = _number + 1
        if not MARK[0]:
            # All at once: a member that another one refers to must not be gone before its turn.
            for member in [member for ref in _members.valuerefs() if (member := ref()) is not None]:
                member.leave_to_parent(number)
            # No function is called in between: a handler that interrupted this has done the same.
            if _number != number:
                _number = number
                MARK[0] = number
        return _number
    finally:
        if acquired:
            _renewing.release()


#: The thread that forks with the hooks of Python, and the number of its process; 0 if none does.
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
    if _number == _forked:  # else a signal handler has counted in this child before
        MARK[0] = 0  # where the kernel does not clear it
    current()
    _forking = 0


# Imported before, logging has renewed its locks in a child when it comes to this.
os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)


class PerProcess(Generic[T]):
    """A value that each process makes for itself when it first needs it."""

    def __init__(self, make: Callable[[], T]) -> None:
        """`make` must have no effect before its result is used: two threads may call it at the same time."""
        self._make = make
        self._values: dict[int, T] = {}
        register(self)

    def get(self) -> T:
        """The value of this process."""
        number = current()
        value = self._values.get(number)
        return value if value is not None else self._values.setdefault(number, self._make())

    def peek(self) -> T | None:
        """The value of this process, or None if it was not needed so far."""
        return self._values.get(current())

    def leave_to_parent(self, number: int) -> None:
        """See `Member`."""
        for of_process in list(self._values):
            if of_process != number:
                self._values.pop(of_process, None)


def is_ending() -> bool:
    """Returns whether the interpreter ends: other threads were stopped for good, and may hold any lock."""
    return sys.is_finalizing()


def has_threads() -> bool:
    """Returns whether a background thread may be started in this process.

    False in uWSGI's master, which forks in C: a thread that holds the interpreter's lock at that time would
    leave it locked for ever in the worker. Without a master that process becomes a worker itself, so the
    answer may change. False also in uWSGI before 2.0.27 without `--enable-threads`, where no thread runs
    between requests. And False while this thread forks: a signal handler may count in the child before the
    hooks of other modules, such as logging, have renewed the locks that a thread would wait for.
    """
    if _forking == threading.get_ident():
        return False
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None:
        return True
    is_spooler = getattr(uwsgi, "i_am_the_spooler", bool)
    return bool(uwsgi.has_threads and (uwsgi.worker_id() or uwsgi.mule_id() or is_spooler()))
