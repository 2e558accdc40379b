"""A fair lock that cannot be left locked: one thread at a time sends the counts of a group."""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from collections import deque
from contextlib import suppress

from event_count_logger import process

#: Seconds until a waiting thread looks again: a turn that was garbage-collected wakes no one.
_LOOK_AGAIN_S = 0.2


class FairLock:
    """A queue of turns; the first one that still exists holds the lock.

    The queue holds weak references. An exception out of a signal handler, wherever it strikes, ends the block
    or the call that keeps the `Ticket`, and a turn that is gone holds nothing. Nothing here waits for another
    thread, except for a turn, up to a time limit.
    """

    def __init__(self) -> None:
        self._process = process.current()
        self._queue: deque[weakref.ref[Ticket]] = deque()

    def acquire(self, ticket: Ticket, timeout_s: float) -> bool:
        """Acquire the lock for a turn. Returns False on time-out, and in a forked child, whose parent sends
        these counts.
        """
        if process.current() != self._process:
            return False
        deadline = time.monotonic() + timeout_s
        self._queue.append(weakref.ref(ticket))
        while self._holder() is not ticket:
            wait_s = deadline - time.monotonic()
            # A signal handler may have interrupted the very thread that holds the lock or waits for it.
            if wait_s <= 0 or self._has_earlier_ticket(ticket):
                self._remove(weakref.ref(ticket))
                return False
            ticket.wait(min(wait_s, _LOOK_AGAIN_S))
        return True

    def release(self, ticket: Ticket) -> None:
        """Release the lock, if this turn holds it or waits for it."""
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
        """Remove a turn, wherever in the queue it stands."""
        while True:
            try:
                return self._queue.remove(reference)
            except ValueError:  # another thread has found it dead, too
                return None
            except IndexError:  # another thread has changed the queue meanwhile
                continue

    def _has_earlier_ticket(self, ticket: Ticket) -> bool:
        """Returns whether a turn of the same thread stands before this one."""
        # By place: without a global lock, a deque that other threads change cannot even be copied.
        with suppress(IndexError):
            for index in itertools.count():
                other = self._queue[index]()
                if other is ticket:
                    return False
                if other is not None and other.thread == ticket.thread:
                    return True
        return False


class Ticket:
    """`with Turn(turns, timeout_s) as mine`: inside, `mine` is whether this thread holds the lock."""

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
        """Sleep until `wake()`, or until the time is over."""
        if self._awake is None:
            # Not before: gevent and eventlet may have replaced the locks of the standard library by then.
            self._awake = threading.Lock()
            self._awake.acquire()
        else:  # the first time, the caller looks again: `wake()` may have come before there was a lock
            self._awake.acquire(timeout=timeout_s)

    def wake(self) -> None:
        """Let `wait()` return."""
        if self._awake is not None:
            with suppress(RuntimeError):  # it is awake
                self._awake.release()
