"""The one background thread of a process: sends local counts when it is time, or when asked to.

Requests reach the thread through a queue and a wake-up. Nothing here takes a lock, so that no thread can wait
for one that was stopped for good: by a fork, or by the end of the interpreter.

    watch, remind, wake,   request -> inbox -> wake-up
    release, forget
    flush, end             request -> inbox -> wake-up -> wait until it was carried out, or a time limit
    the thread             inbox -> due times -> sync what is due -> sleep until the next one or a wake-up

Where no thread can run, requests are carried out in the thread that makes them.
"""

from __future__ import annotations

import _thread
import atexit
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from enum import Enum, auto
from typing import NamedTuple, Protocol

from event_count_logger import process
from event_count_logger.config import GroupConfig
from event_count_logger.counting.wake_up import Done, WakeUp
from event_count_logger.logs import Log

#: Seconds that sending what is left may take when a process ends.
FLUSH_TIMEOUT_S = 5.0

#: Seconds beyond that time limit after which the main thread leaves the background thread behind.
_GRACE_S = 0.5

#: Seconds between attempts to send what is left.
_DRAIN_PAUSE_S = 0.05

#: Seconds that the thread leaves the interpreter to the one that started it, which waits in `Thread.start()`.
_START_PAUSE_S = 0.001

#: Seconds until counters are looked at again after a fault in this program.
_AFTER_FAULT_S = 1.0

#: Seconds: what is due that soon needs no reminder.
_SOON_S = 1.0

_log = Log("EventCountLogger")


class Sender(Protocol):
    """An object that has something to send from time to time.

    Attributes:
        config: The group that it is sent for.
        released: Whether nothing more will come.
    """

    config: GroupConfig
    released: bool

    def prepare(self) -> None:
        """Do what has to be done before the first `sync`."""

    def send(self, timeout_s: float) -> None:
        """Send what is unsent, as far as Redis accepts it; waits for its turn for `timeout_s`."""

    def next_send(self, now: float) -> float:
        """Returns when to sync next without a request; `now` and the result are `time.monotonic()`."""

    def send_at_once(self) -> None:
        """From now on, send everything as soon as it comes."""

    def clear_wake_request(self) -> None:
        """Ask for the next sync when there is something to send: none was asked for."""

    def has_unsent(self) -> bool:
        """Whether there is anything that Redis has not confirmed."""

    def describe_unsent(self) -> str:
        """What Redis has not confirmed; '' for nothing."""

    def retire(self) -> None:
        """Leave nothing in Redis that is only needed for what is still to be sent."""

    def dispose(self) -> str:
        """At the end; returns what becomes of what is unsent, in words."""


class _Ask(Enum):
    SEND = auto()  #: now
    PLAN = auto()  #: sync when the sender's own time comes
    RELEASE = auto()  #: sync now, and forget it when all is sent
    FORGET = auto()
    END = auto()  #: send what is left until the deadline, then let the thread end


class _Request(NamedTuple):
    ask: _Ask
    sender: Sender | None = None
    done: Callable[[], object] | None = None  #: called when it was carried out
    deadline: float = math.inf


class Syncer:
    """Knows when each sender is due. Its thread starts with the first request."""

    def __init__(self) -> None:
        self._inbox: deque[_Request] = deque()
        self._due: dict[Sender, float] = {}
        self._callbacks: dict[Sender, list[Callable[[], object]]] = {}  # called after the next sync
        self._wake_up = WakeUp()
        self._starts_threads = _thread.start_new_thread
        self._runner: threading.Thread | None = None
        self._ended = False

    def watch(self, sender: Sender) -> None:
        """Sync it from now on, whenever it is time."""
        self._request(_Request(_Ask.PLAN, sender))

    def remind(self, sender: Sender) -> None:
        """Make sure that it has a time to be synced at, if it has anything to send."""
        due, now, runs = self._due.get(sender), time.monotonic(), self._runs()
        if due is None or not runs:
            if (
                due is None or due <= now or due > now + _SOON_S
            ):  # without a thread, the next event is the occasion
                self._request(_Request(_Ask.PLAN, sender))
        elif due > now + _SOON_S:
            # No request: there may be one for each event, while the thread waits for a server.
            self._due[sender] = now + _SOON_S
            self._wake_up.set()

    def wake(self, sender: Sender, done: Callable[[], object] | None = None) -> None:
        """Sync it soon, without waiting; the thread calls `done` when that was tried."""
        self._request(_Request(_Ask.SEND, sender, done))

    def flush(self, sender: Sender, timeout_s: float) -> None:
        """Sync it; waits until that was tried, or the time is over."""
        done = Done()
        self.wake(sender, done.set)
        if threading.current_thread() is not self._runner:  # a handler of its log messages that counts
            done.wait(timeout_s)

    def release(self, sender: Sender) -> None:
        """Send what is left of a sender to which nothing will be added, then let go of it.

        Has no effect on one that was never watched, or is to be left alone.
        """
        if not self._ended and (sender in self._due or self._inbox):
            self._request(_Request(_Ask.RELEASE, sender))

    def forget(self, sender: Sender) -> None:
        """Leave it alone from now on, and what it holds unsent."""
        self._due.pop(sender, None)
        if self._runs():
            self._request(_Request(_Ask.FORGET, sender))

    def close(self, senders: Iterable[Sender], timeout_s: float) -> list[Sender]:
        """Send all that is left, retrying until the time is over; what is logged later is sent at once.

        Returns:
            Those with something left unsent; the thread still tries to send it.
        """
        deadline = time.monotonic() + timeout_s
        return _drain(senders, deadline, lambda each: self.flush(each, deadline - time.monotonic()))

    def end(self, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Send what is left when the process ends, and end the thread; takes `timeout_s` and a little more.

        Leaves no files behind of what is all sent.
        """
        request = _Request(_Ask.END, deadline=time.monotonic() + timeout_s)
        runner = self._runner
        if runner is not None and self._runs():
            done = Done()
            self._request(request._replace(done=done.set))
            done.wait(timeout_s + _GRACE_S)
            runner.join(_GRACE_S)
        else:
            self._carry_out(request)
        self._ended = True
        with suppress(IndexError):  # requests that came too late for the thread
            while True:
                self._request(self._inbox.popleft())
        for sender in list(self._due):
            unsent, fate = sender.describe_unsent(), sender.dispose()
            if unsent:
                _log.warning(
                    "The process ends with %s of group '%s' unsent: %s", unsent, sender.config.name, fate
                )
            elif sender.has_unsent():  # a signal handler has counted while this was put away
                self._send(sender, _GRACE_S)

    def _request(self, request: _Request) -> None:
        if self._ensure_running():
            self._inbox.append(request)
            self._wake_up.set()
        else:
            self._carry_out(request)
            self._send_without_thread(request)

    def _send_without_thread(self, request: _Request) -> None:
        sender = request.sender
        if sender is None or sender not in self._due:
            return
        if process.has_threads():  # in vain: there will be none later either
            sender.send_at_once()
        # While modules are torn down, anything may fail.
        with suppress(Exception) if process.is_ending() else nullcontext():
            try:
                self._send(sender, _GRACE_S)
            finally:
                sender.clear_wake_request()  # if that failed, no thread retries

    def _runs(self) -> bool:
        runner = self._runner
        return not self._ended and runner is not None and runner.is_alive() and not self._is_patched()

    def _is_patched(self) -> bool:
        """Returns whether gevent or eventlet has replaced threads and locks since the thread was started."""
        return self._starts_threads is not _thread.start_new_thread

    def _begin_patched(self) -> None:
        """Let the old thread end, and use locks of the new kind, which it could not release."""
        self._starts_threads = _thread.start_new_thread
        old, self._wake_up = self._wake_up, WakeUp()
        self._runner = None
        old.set()

    def _ensure_running(self) -> bool:
        if self._runs():
            return True
        if self._ended or not process.has_threads():
            return False
        if self._is_patched():
            self._begin_patched()
        # Two threads may come here at once: the loop of the runner that is replaced ends.
        runner = _Runner(target=lambda: self._loop(runner), name="event-count-logger", daemon=True)
        self._runner = runner
        try:
            runner.start()
        except RuntimeError:  # the interpreter is ending, or the system has no more threads
            return False
        _end_with_multiprocessing_child()
        return True

    def _loop(self, runner: threading.Thread) -> None:
        wake_up = self._wake_up
        time.sleep(_START_PAUSE_S)
        while self._runner is runner and not self._ended:
            try:
                self._serve_next()
            except Exception:  # noqa: BLE001 - the thread serves all groups, and must outlive a fault in one
                _log.exception("Sending counts failed; retrying")
                time.sleep(_AFTER_FAULT_S)
        wake_up.set()  # the thread that has replaced this one may be asleep

    def _serve_next(self) -> None:
        """A function of its own, so that no sender is kept alive while there is nothing to do.

        As many syncs that are due follow as requests were carried out, so that neither holds up the other.
        """
        n_requests = len(self._inbox)
        for _ in range(n_requests):
            self._carry_out_next()
            if self._ended:
                return
        for _ in range(max(1, n_requests)):
            sender, due = self._first_due()
            if sender is None or due > time.monotonic():
                del sender
                self._wake_up.wait(due - time.monotonic())
                return
            self._send(sender, FLUSH_TIMEOUT_S)

    def _carry_out_next(self) -> None:
        try:
            request = self._inbox.popleft()
        except IndexError:  # another thread has taken it
            return
        self._carry_out(request)

    def _first_due(self) -> tuple[Sender | None, float]:
        due: list[tuple[Sender | None, float]] = [*self._due.items()]
        return min(due, key=_time_of, default=(None, math.inf))

    def _carry_out(self, request: _Request) -> None:
        """Everything but the sync itself, which comes when the inbox is empty."""
        sender = request.sender
        if sender is None:
            self._end_with(request)
        elif request.ask is _Ask.FORGET:
            self._due.pop(sender, None)
            self._callbacks.pop(sender, None)
        elif request.ask is _Ask.RELEASE:
            if sender in self._due:
                sender.released = True
                self._due[sender] = time.monotonic()
        else:
            if request.done:
                self._callbacks.setdefault(sender, []).append(request.done)
            self._prepare(sender)
            # Not before those that are due already: under constant load it is asked for all the time.
            now = time.monotonic()
            when = now if request.ask is _Ask.SEND else sender.next_send(now)
            self._due[sender] = min(self._due.get(sender, math.inf), when)

    def _end_with(self, request: _Request) -> None:
        _drain(list(self._due), request.deadline, lambda each: self._send(each, _GRACE_S))
        self._ended = True
        for done in [done for waiting in self._callbacks.values() for done in waiting]:
            with suppress(Exception):
                done()
        if request.done:
            request.done()

    def _prepare(self, sender: Sender) -> None:
        if sender not in self._due:
            self._due[sender] = time.monotonic() + _AFTER_FAULT_S  # should this fail
            if self._runs():
                sender.prepare()
            self._due[sender] = math.inf

    def _send(self, sender: Sender, timeout_s: float) -> None:
        self._due[sender] = time.monotonic() + _AFTER_FAULT_S  # should this fail
        waiting = self._callbacks.pop(sender, ())
        try:
            sender.send(timeout_s)
        finally:
            for done in waiting:
                with suppress(Exception):  # such as an event loop that was closed
                    done()
        if sender.released and not sender.has_unsent():
            sender.retire()
            sender.dispose()
            self._due.pop(sender, None)
        elif sender in self._due:  # not forgotten meanwhile
            self._due[sender] = sender.next_send(time.monotonic())


class _Runner(threading.Thread):
    def _delete(self) -> None:
        with suppress(KeyError):  # gevent or eventlet has replaced the idents of threads meanwhile
            super()._delete()  # type: ignore[misc]


def _time_of(item: tuple[object, float]) -> float:
    return item[1]


def _unsent(senders: Iterable[Sender]) -> list[Sender]:
    """Those with counts to send; a reference to a cell of closed counters is no reason to wait."""
    return [sender for sender in senders if sender.has_unsent() and sender.describe_unsent()]


def _drain(senders: Iterable[Sender], deadline: float, send: Callable[[Sender], None]) -> list[Sender]:
    """Sync until all is sent or the time is over, then retire those that are done; returns the others."""
    senders = list(senders)
    for sender in senders:
        sender.send_at_once()
    left = _unsent(senders)
    while left and time.monotonic() < deadline:
        for sender in left:
            send(sender)
        left = _unsent(left)
        if left:
            time.sleep(max(0, min(_DRAIN_PAUSE_S, deadline - time.monotonic())))
    for sender in senders:
        if sender not in left and time.monotonic() < deadline:
            sender.retire()
    return left


_syncer = process.PerProcess(Syncer)


def current() -> Syncer:
    """The syncer of this process."""
    return _syncer.get()


def _end() -> None:
    syncer = _syncer.peek()
    if syncer:
        syncer.end()


def _end_with_multiprocessing_child() -> None:
    """Children of multiprocessing leave without running atexit functions, in some versions of Python."""
    util = sys.modules.get("multiprocessing.util")
    module = sys.modules.get("multiprocessing.process")
    if util and module and module.parent_process() is not None:
        util.Finalize(None, _end, exitpriority=0)


atexit.register(_end)
