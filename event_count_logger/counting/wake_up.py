"""Waking up another thread without ever waiting for it."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

#: Seconds until a waiting thread looks again: eventlet's locks do not notice a release by another OS thread.
_LOOK_AGAIN_S = 0.2


class WakeUp:
    """Wakes one thread. Unlike `threading.Event`, it holds no lock, so `set()` cannot be blocked."""

    def __init__(self) -> None:
        # Looked up now: gevent and eventlet may have replaced the locks of the standard library after import.
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Let `wait()` return, now or the next time."""
        if self._lock.locked():
            with suppress(RuntimeError):  # another thread has just done so
                self._lock.release()

    def wait(self, timeout_s: float) -> None:
        """Sleep until `set()`, or until the time is over."""
        self._lock.acquire(timeout=max(0.0, min(timeout_s, threading.TIMEOUT_MAX)))


class Done:
    """The end of a task, which one thread waits for."""

    def __init__(self) -> None:
        self._is_done = False
        self._wake_up = WakeUp()

    def set(self) -> None:
        """The task has ended."""
        self._is_done = True
        self._wake_up.set()

    def wait(self, timeout_s: float) -> None:
        """Wait for the end of the task, for a limited time."""
        deadline = time.monotonic() + timeout_s
        while not self._is_done and (left_s := deadline - time.monotonic()) > 0:
            self._wake_up.wait(min(left_s, _LOOK_AGAIN_S))
