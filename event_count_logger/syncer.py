"""The one background thread of a process: sends local counts when it is time, or when asked to."""

from __future__ import annotations

import atexit
import math
import os
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol

from event_count_logger.config import GroupConfig
from event_count_logger.logs import Log

#: Seconds that sending what is left may take when a process ends.
FLUSH_TIMEOUT_S = 5.0

#: Seconds between attempts to send what is left.
_DRAIN_PAUSE_S = 0.05

#: Seconds until counters are looked at again after a fault in this program.
_AFTER_FAULT_S = 1.0

#: Seconds: what is due that soon needs no reminder.
_SOON_S = 1.0

_log = Log("EventCountLogger")


class Sender(Protocol):
    """What has something to send from time to time.

    Attributes:
        config: The group that it is sent for.
        released: Whether nothing more will come.
    """

    config: GroupConfig
    released: bool

    def prepare(self) -> None:
        """Do what has to be done before the first `sync`."""

    def sync(self, timeout_s: float) -> None:
        """Send what is unsent, as far as Redis takes it; waits for its turn for `timeout_s`."""

    def next_sync(self, now: float) -> float:
        """When to sync next, if nobody asks before; `now` and the result are `time.monotonic()`."""

    def send_at_once(self) -> None:
        """From now on, send everything as soon as it comes."""

    def has_unsent(self) -> bool:
        """Whether there is anything that Redis has not confirmed."""

    def unsent_in_words(self) -> str:
        """What Redis has not confirmed; '' for nothing."""

    def retire(self) -> None:
        """Leave nothing in Redis that is only needed for what is still to be sent."""

    def put_away(self) -> str:
        """At the end; returns what becomes of what is unsent, in words."""


class Syncer:
    """Knows when each set of local counters is due. Its thread starts with the first of them."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        # Entered as it is, and not through the condition, whose own entry is a Python function: an exception
        # out of a signal handler could end that while it holds the lock.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._new: list[Sender] = []
        self._due: dict[Sender, float] = {}
        self._waiting: dict[Sender, list[SimpleQueue[None]]] = {}
        self._thread: threading.Thread | None = None
        self._ended = False

    def watch(self, local: Sender) -> None:
        """Sync these counters from now on, whenever it is time."""
        with self._lock:
            self._due[local] = math.inf
            self._new.append(local)
        self._notify(local)

    def remind(self, local: Sender) -> None:
        """See to it that these counters have a time to be synced at, if they have anything to send."""
        soon = time.monotonic() + _SOON_S
        if self._due.get(local, math.inf) > soon:
            with self._lock:
                due = self._due.get(local, math.inf)
                if due > soon:  # else somebody has just asked for a sync
                    self._due[local] = min(due, local.next_sync(time.monotonic()))
            self._notify(local)

    def wake(self, local: Sender) -> None:
        """Sync these counters soon; does not wait for it."""
        with self._lock:
            self._due[local] = -math.inf
        self._notify(local)

    def release(self, local: Sender) -> None:
        """Nobody counts here any more: send what is left, then let go of it."""
        if os.getpid() != self._pid:
            return  # in a child, before `_after_fork`; this lock may be held for ever
        with self._lock:
            if local in self._due and not self._ended:
                local.released = True
                self.wake(local)

    def flush(self, local: Sender, timeout_s: float) -> None:
        """Sync these counters; waits until that was tried, or the time is over."""
        done: SimpleQueue[None] = SimpleQueue()
        with self._lock:
            self._waiting.setdefault(local, []).append(done)
        self.wake(local)
        with suppress(Empty):
            done.get(timeout=max(0, timeout_s))

    def close(self, some: Iterable[Sender], timeout_s: float) -> list[Sender]:
        """Send all that is left, trying again until the time is over; what is logged later is sent at once.

        Returns:
            Those with something left unsent; they are still tried in the background.
        """
        deadline = time.monotonic() + timeout_s
        some = list(some)
        for local in some:
            local.send_at_once()
        left = [local for local in some if local.has_unsent()]
        while left and time.monotonic() < deadline:
            for local in left:
                self.flush(local, deadline - time.monotonic())
            left = [local for local in left if local.has_unsent()]
            if left:
                time.sleep(max(0, min(_DRAIN_PAUSE_S, deadline - time.monotonic())))
        for local in some:
            if local not in left and time.monotonic() < deadline:
                local.retire()
        return left

    def forget(self, local: Sender) -> None:
        """Leave these counters alone from now on, and what they hold unsent."""
        with self._lock:
            self._due.pop(local, None)

    def end(self, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Send what is left when the process ends; leaves no files behind of what is all sent."""
        some = list(self._due)
        self.close(some, timeout_s)
        self._ended = True
        for local in some:
            unsent, fate = local.unsent_in_words(), local.put_away()
            if unsent:
                _log.warning(
                    "The process ends with %s of group '%s' unsent: %s", unsent, local.config.name, fate
                )

    def _notify(self, local: Sender) -> None:
        with self._lock:
            self._changed.notify()
            running = self._ensure_running()
        if not running:
            local.send_at_once()  # there is nobody to send it later
            self._sync(local)

    def _ensure_running(self) -> bool:
        if self._thread is not None and self._thread.is_alive():
            return True
        if self._ended:
            return False
        self._thread = threading.Thread(target=self._loop, name="event-count-logger", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter is ending, or the system has no more threads
            return False
        _end_with_multiprocessing_child()
        return True

    def _loop(self) -> None:
        while True:
            try:
                self._serve_next()
            except Exception:  # noqa: BLE001 - the thread serves all groups, and must outlive a fault in one
                _log.exception("Sending counts failed; it is tried again")
                time.sleep(_AFTER_FAULT_S)

    def _serve_next(self) -> None:
        """A function of its own, so that nothing is held on to while there is nothing to do."""
        self._prepare_new()
        due = self._wait_for_due()
        if due:
            self._sync(due)

    def _prepare_new(self) -> None:
        while self._new:
            with self._lock:
                local = self._new.pop()
            try:
                local.prepare()
            finally:
                if local in self._due:  # nobody has said to forget them meanwhile
                    self.remind(local)

    def _wait_for_due(self) -> Sender | None:
        """The first counters that are due; None when new ones have come instead."""
        with self._lock:
            while not self._new:
                local = min(self._due, key=self._due.__getitem__, default=None)
                wait_s = self._due[local] - time.monotonic() if local else math.inf
                if local and wait_s <= 0:
                    return local
                self._changed.wait(min(wait_s, threading.TIMEOUT_MAX))
        return None

    def _sync(self, local: Sender) -> None:
        with self._lock:
            self._due[local] = time.monotonic() + _AFTER_FAULT_S  # should this fail
            waiting = self._waiting.pop(local, ())
        try:
            local.sync(FLUSH_TIMEOUT_S)
        finally:
            for done in waiting:
                done.put(None)
        released = local.released and not local.has_unsent()
        if released:
            local.retire()
            local.put_away()
        with self._lock:
            if released:
                self._due.pop(local, None)
            elif self._due.get(local, 0) > 0:  # neither forgotten nor asked for again
                self._due[local] = local.next_sync(time.monotonic())


_syncer = Syncer()


def current() -> Syncer:
    """The syncer of this process."""
    return _syncer


def _after_fork() -> None:
    global _syncer
    _syncer = Syncer()


def _end() -> None:
    _syncer.end()


def _end_with_multiprocessing_child() -> None:
    """Children of multiprocessing leave without running atexit functions, in some versions of Python."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util and process and process.parent_process() is not None:
        util.Finalize(None, _end, exitpriority=0)


atexit.register(_end)
os.register_at_fork(after_in_child=_after_fork)
