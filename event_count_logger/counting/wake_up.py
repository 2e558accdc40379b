"""Signals between threads whose sender never blocks."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

#: Seconds until a waiting thread checks again: eventlet's locks miss a release by another OS thread.
_LOOK_AGAIN_S = 0.2


class WakeUp:
    """Wakes one thread. `set()` never blocks, while that of `threading.Event` waits for a lock."""

    def __init__(self) -> None:
        # Looked up now: gevent or eventlet may have replaced the locks of the standard library since import.
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Make the current or the next `wait()` return."""
        if self._lock.locked():
            with suppress(RuntimeError):  # another thread has just released it
                self._lock.release()

    def wait(self, timeout_s: float) -> None:
        """Sleep until `set()`, for `timeout_s` at most."""
        self._lock.acquire(timeout=max(0.0, min(timeout_s, threading.TIMEOUT_MAX)))


class Done:
    """An event that one thread waits for: the end of a task."""

    def __init__(self) -> None:
        self._is_done = False
        self._wake_up = WakeUp()

    def set(self) -> None:
        """Mark the task as ended."""
        self._is_done = True
        self._wake_up.set()

    def wait(self, timeout_s: float) -> None:
        """Wait until the task has ended, for `timeout_s` at most."""
        deadline = time.monotonic() + timeout_s
        while not self._is_done and (left_s := deadline - time.monotonic()) > 0:
            self._wake_up.wait(min(left_s, _LOOK_AGAIN_S))
