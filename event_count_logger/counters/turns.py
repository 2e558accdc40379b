"""Who may send the counts of a group: one thread at a time."""

from __future__ import annotations

import os
import threading
import time
import weakref

#: Seconds until somebody who waits for a turn notices that it was dropped.
_LOOK_AGAIN_S = 0.2


class Turns:
    """Gives out turns. They are no locks: when an exception out of a signal handler, at whatever moment, ends
    the one whose turn it is, the turn is gone with it, where a lock would be held for ever.
    """

    def __init__(self) -> None:
        # A fork's child must never send what its parent has counted: the parent does. Python (3.12 and later)
        # may run destructors of the parent's other threads in the child before any hook can prevent that.
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._ended = threading.Condition(self._lock)
        self._current: weakref.ref[Turn] | None = None
        self._anyone_waited = False

    def take(self, turn: Turn, timeout_s: float) -> bool:
        """Whether it becomes its turn in time."""
        if os.getpid() != self._pid:
            return False
        deadline = time.monotonic() + timeout_s
        with self._lock:
            while True:
                current = self._current() if self._current else None
                if current is None:
                    self._current = weakref.ref(turn)
                    return True
                wait_s = deadline - time.monotonic()
                # A signal handler may have interrupted the very thread whose turn it is.
                if wait_s <= 0 or current.thread == turn.thread:
                    return False
                self._anyone_waited = True
                self._ended.wait(min(wait_s, _LOOK_AGAIN_S))

    def end(self) -> None:
        """Let the next one have its turn."""
        with self._lock:
            self._current = None
            if self._anyone_waited:  # in most programs nobody ever does
                self._ended.notify()


class Turn:
    """`with Turn(turns, timeout_s) as mine`: inside, it is this thread's turn, if that came in time."""

    __slots__ = ("__weakref__", "_mine", "_timeout_s", "_turns", "thread")

    def __init__(self, turns: Turns, timeout_s: float) -> None:
        self.thread = threading.get_ident()
        self._turns = turns
        self._timeout_s = timeout_s

    def __enter__(self) -> bool:
        self._mine = self._turns.take(self, self._timeout_s)
        return self._mine

    def __exit__(self, *error: object) -> None:
        if self._mine:
            self._turns.end()
