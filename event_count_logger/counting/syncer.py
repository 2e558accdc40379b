"""The background thread of a process, which sends local counts when they are due or on request.

Requests reach the thread through a queue (the inbox) and a wake-up. No method takes a lock: another thread
may be frozen for good while it holds one, after a fork or at the end of the interpreter.

    watch, remind, wake,   request -> inbox -> wake-up
    release, forget
    flush, end             request -> inbox -> wake-up -> wait for the result, up to a time limit
    the thread             inbox -> due times -> send what is due -> sleep until the next due time

Where no background thread can run, each request is carried out by the thread that makes it.
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

#: Seconds for sending the remaining counts when a process ends.
FLUSH_TIMEOUT_S = 5.0

#: Seconds after that limit until the main thread no longer waits for the background thread.
_GRACE_S = 0.5

#: Seconds between attempts to send the remaining counts.
_DRAIN_PAUSE_S = 0.05

#: Seconds that the new thread sleeps first: the thread that started it can return from `Thread.start()`.
_START_PAUSE_S = 0.001

#: Seconds until the next attempt after a fault in this program.
_AFTER_FAULT_S = 1.0

#: Seconds: a sender that is due sooner needs no reminder.
_SOON_S = 1.0

_log = Log("EventCountLogger")


class Sender(Protocol):
    """An object with counts or actions to send; one thread at a time calls `send`.

    Attributes:
        config: The group that is sent.
        released: Whether nothing will be added: the sender is dropped when all is sent.
    """

    config: GroupConfig
    released: bool

    def prepare(self) -> None:
        """Prepare the first `send`; connect, for example."""

    def send(self, timeout_s: float) -> None:
        """Send everything that Redis accepts. Waits up to `timeout_s` for another thread that sends."""

    def next_send(self, now: float) -> float:
        """Returns the next due time without a request; both times as `time.monotonic()`."""

    def send_at_once(self) -> None:
        """From now on, request a send with each new count."""

    def clear_wake_request(self) -> None:
        """Forget the last request: the next count makes a new one."""

    def has_unsent(self) -> bool:
        """Returns whether Redis has not confirmed everything."""

    def describe_unsent(self) -> str:
        """Returns the amount that Redis has not confirmed, in words; '' for nothing."""

    def retire(self) -> None:
        """Remove from Redis what only further sending would need, such as the position of the source."""

    def dispose(self) -> str:
        """Clean up at the end. Returns what becomes of everything unsent, in words."""


class _Ask(Enum):
    SEND = auto()  #: send now
    PLAN = auto()  #: send at the time that the sender returns
    RELEASE = auto()  #: send now, and forget the sender when all is sent
    FORGET = auto()
    END = auto()  #: send the rest until the deadline, then end the thread


class _Request(NamedTuple):
    ask: _Ask
    sender: Sender | None = None
    done: Callable[[], object] | None = None  #: called when the request was carried out
    deadline: float = math.inf


class Syncer:
    """Calls each sender when it is due. Its thread starts with the first request."""

    def __init__(self) -> None:
        self._inbox: deque[_Request] = deque()
        self._due: dict[Sender, float] = {}
        self._callbacks: dict[Sender, list[Callable[[], object]]] = {}  # called after the next send
        self._wake_up = WakeUp()
        self._starts_threads = _thread.start_new_thread
        self._runner: threading.Thread | None = None
        self._ended = False

    def watch(self, sender: Sender) -> None:
        """Send from now on, whenever the sender is due."""
        self._request(_Request(_Ask.PLAN, sender))

    def remind(self, sender: Sender) -> None:
        """Make sure that a sender with unsent counts is due within a second."""
        due, now, runs = self._due.get(sender), time.monotonic(), self._runs()
        if due is None or not runs:
            # Without a thread, this call is the occasion to send if the due time has passed.
            if due is None or due <= now or due > now + _SOON_S:
                self._request(_Request(_Ask.PLAN, sender))
        elif due > now + _SOON_S:
            # No request: this may be called for each event while the thread waits for a server.
            self._due[sender] = now + _SOON_S
            self._wake_up.set()

    def wake(self, sender: Sender, done: Callable[[], object] | None = None) -> None:
        """Request a send, without waiting. The thread calls `done` after the attempt."""
        self._request(_Request(_Ask.SEND, sender, done))

    def flush(self, sender: Sender, timeout_s: float) -> None:
        """Request a send, and wait for the end of the attempt, for `timeout_s` at most."""
        done = Done()
        self.wake(sender, done.set)
        # A log handler that counts in the background thread must not wait for that thread.
        if threading.current_thread() is not self._runner:
            done.wait(timeout_s)

    def release(self, sender: Sender) -> None:
        """Send the rest of a sender to which nothing will be added, then drop it.

        Has no effect on a sender that was never watched, or was forgotten.
        """
        if not self._ended and (sender in self._due or self._inbox):
            self._request(_Request(_Ask.RELEASE, sender))

    def forget(self, sender: Sender) -> None:
        """Drop a sender, with everything unsent in it."""
        self._due.pop(sender, None)
        if self._runs():
            self._request(_Request(_Ask.FORGET, sender))

    def close(self, senders: Iterable[Sender], timeout_s: float) -> list[Sender]:
        """Send everything, retrying for `timeout_s` at most. Later counts are sent at once.

        Returns:
            The senders with something unsent. The thread continues to retry.
        """
        deadline = time.monotonic() + timeout_s
        return _drain(senders, deadline, lambda each: self.flush(each, deadline - time.monotonic()))

    def end(self, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Send the rest at the end of the process, and end the thread. Takes about `timeout_s` at most.

        Deletes the spool files whose counts are all sent.
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
        with suppress(IndexError):  # requests that were too late for the thread
            while True:
                self._request(self._inbox.popleft())
        for sender in list(self._due):
            unsent, fate = sender.describe_unsent(), sender.dispose()
            if unsent:
                _log.warning(
                    "The process ends with %s of group '%s' unsent: %s", unsent, sender.config.name, fate
                )
            elif sender.has_unsent():  # a signal handler has counted during `dispose`
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
        if process.has_threads():  # starting one has failed: no later attempt will succeed
            sender.send_at_once()
        # While the interpreter tears down modules, any call may fail.
        with suppress(Exception) if process.is_ending() else nullcontext():
            try:
                self._send(sender, _GRACE_S)
            finally:
                sender.clear_wake_request()  # after a failure, no thread retries

    def _runs(self) -> bool:
        runner = self._runner
        return not self._ended and runner is not None and runner.is_alive() and not self._is_patched()

    def _is_patched(self) -> bool:
        """Returns whether gevent or eventlet has patched threads and locks since the thread was started."""
        return self._starts_threads is not _thread.start_new_thread

    def _begin_patched(self) -> None:
        """End the old thread, and use locks of the new kind. The old thread could not release these."""
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
        # Two threads may run this at once. The loop of the runner that is replaced ends.
        runner = _Runner(target=lambda: self._loop(runner), name="event-count-logger", daemon=True)
        self._runner = runner
        try:
            runner.start()
        except RuntimeError:  # the interpreter ends, or the system has no more threads
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
        wake_up.set()  # wakes the thread that has replaced this one

    def _serve_next(self) -> None:
        """Carry out the requests in the inbox, then send what is due, or sleep.

        As many sends follow as there were requests, so that neither delays the other. This is a function of
        its own: while the thread sleeps, its frame keeps no sender alive.
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
        """Carry out a request, except for the send itself, which follows when the inbox is empty."""
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
            # Behind the senders that are due: under constant load, requests never stop.
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
            self._due[sender] = time.monotonic() + _AFTER_FAULT_S  # if this raises
            if self._runs():
                sender.prepare()
            self._due[sender] = math.inf

    def _send(self, sender: Sender, timeout_s: float) -> None:
        self._due[sender] = time.monotonic() + _AFTER_FAULT_S  # if this raises
        waiting = self._callbacks.pop(sender, ())
        try:
            sender.send(timeout_s)
        finally:
            for done in waiting:
                with suppress(Exception):  # such as a closed event loop
                    done()
        if sender.released and not sender.has_unsent():
            sender.retire()
            sender.dispose()
            self._due.pop(sender, None)
        elif sender in self._due:  # it was not forgotten meanwhile
            self._due[sender] = sender.next_send(time.monotonic())


class _Runner(threading.Thread):
    def _delete(self) -> None:
        with suppress(KeyError):  # gevent or eventlet has patched the thread identifiers meanwhile
            super()._delete()  # type: ignore[misc]


def _time_of(item: tuple[object, float]) -> float:
    return item[1]


def _unsent(senders: Iterable[Sender]) -> list[Sender]:
    """Returns the senders with something to send, without those that a reference to a closed cell keeps."""
    return [sender for sender in senders if sender.has_unsent() and sender.describe_unsent()]


def _drain(senders: Iterable[Sender], deadline: float, send: Callable[[Sender], None]) -> list[Sender]:
    """Send until all is sent or the deadline passes. Retires senders that are done, returns the others."""
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
    """Returns the syncer of this process."""
    return _syncer.get()


def _end() -> None:
    syncer = _syncer.peek()
    if syncer:
        syncer.end()


def _end_with_multiprocessing_child() -> None:
    """End the syncer also in children of multiprocessing, which may skip atexit functions."""
    util = sys.modules.get("multiprocessing.util")
    module = sys.modules.get("multiprocessing.process")
    if util and module and module.parent_process() is not None:
        util.Finalize(None, _end, exitpriority=0)


atexit.register(_end)
