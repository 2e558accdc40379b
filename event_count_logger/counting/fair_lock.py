"""A first-come, first-served lock under which one thread at a time sends the counts of a group.

    thread A        thread B         thread C
    Ticket          Ticket           Ticket
       ^               ^                ^
       |  weak         |  weak          |  weak references
    [ first         , second         , third ]     queue: the first ticket that still exists holds the lock

A thread waits until its ticket is the first one. `with Ticket(lock, timeout_s)` removes the ticket at the
end of the block and wakes the next thread. A signal handler may raise an exception at any instruction, also
before that removal. Then the ticket is garbage-collected with the block, its reference is dead, and the next
ticket is the first one. A `threading.Lock` would stay locked.
"""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from collections import deque
from contextlib import suppress

from event_count_logger import process

#: Seconds until a waiting thread checks again: a ticket that is garbage-collected wakes no thread.
_CHECK_AGAIN_S = 0.2


class FairLock:
    """A lock that is released when its holder is garbage-collected; see the module.

    No method waits for another thread, except `acquire`, up to its time limit.
    """

    def __init__(self) -> None:
        self._process = process.current()
        self._queue: deque[weakref.ref[Ticket]] = deque()

    def acquire(self, ticket: Ticket, timeout_s: float) -> bool:
        """Acquire the lock. Returns False on time-out and in a child process: its parent sends the counts."""
        if process.current() != self._process:
            return False
        deadline = time.monotonic() + timeout_s
        self._queue.append(weakref.ref(ticket))
        while self._holder() is not ticket:
            wait_s = deadline - time.monotonic()
            # If this thread has an earlier ticket, this is a signal handler that has interrupted it: waiting
            # would be a deadlock.
            if wait_s <= 0 or self._has_earlier_ticket(ticket):
                self._remove(weakref.ref(ticket))
                return False
            ticket.wait(min(wait_s, _CHECK_AGAIN_S))
        return True

    def release(self, ticket: Ticket) -> None:
        """Remove a ticket, which holds the lock or waits for it, and wake the next one."""
        self._remove(weakref.ref(ticket))
        holder = self._holder()
        if holder:
            holder.wake()

    def _holder(self) -> Ticket | None:
        while True:
            try:
                first = self._queue[0]
            except IndexError:
                return None
            ticket = first()
            if ticket is not None:
                return ticket
            self._remove(first)

    def _remove(self, reference: weakref.ref[Ticket]) -> None:
        """Remove a ticket from any place in the queue."""
        while True:
            try:
                return self._queue.remove(reference)
            except ValueError:  # another thread has removed the dead reference
                return None
            except IndexError:  # another thread has changed the queue
                continue

    def _has_earlier_ticket(self, ticket: Ticket) -> bool:
        """Returns whether an earlier ticket belongs to the same thread."""
        # By index: iterating over a deque, or copying it, fails if another thread changes it.
        with suppress(IndexError):
            for index in itertools.count():
                other = self._queue[index]()
                if other is ticket:
                    return False
                if other is not None and other.thread == ticket.thread:
                    return True
        return False


class Ticket:
    """A place in the queue of a `FairLock`, and the context manager that acquires and releases the lock.

    Example:
        with Ticket(lock, timeout_s=5) as acquired:
            if acquired:
                ...

    Attributes:
        thread: Identifier of the thread that made the ticket.
    """

    __slots__ = ("__weakref__", "_awake", "_lock", "_timeout_s", "thread")

    def __init__(self, lock: FairLock, timeout_s: float) -> None:
        self.thread = threading.get_ident()
        self._lock = lock
        self._timeout_s = timeout_s
        self._awake: threading.Lock | None = None

    def __enter__(self) -> bool:
        try:
            return self._lock.acquire(self, self._timeout_s)
        except BaseException:
            # A kept exception refers to this frame, and the frame refers to the ticket.
            self._lock.release(self)
            raise

    def __exit__(self, *error: object) -> None:
        try:
            self._lock.release(self)
        except BaseException:
            self._lock.release(self)
            raise

    def wait(self, timeout_s: float) -> None:
        """Sleep until `wake()`, for `timeout_s` at most."""
        if self._awake is None:
            # Not in `__init__`: gevent or eventlet may replace the locks of the standard library later.
            # This call returns at once, and the caller checks again: `wake()` may have come before.
            self._awake = threading.Lock()
            self._awake.acquire()
        else:
            self._awake.acquire(timeout=timeout_s)

    def wake(self) -> None:
        """Make `wait()` return."""
        if self._awake is not None:
            with suppress(RuntimeError):  # the thread is awake
                self._awake.release()
