"""Delivery of notifications: one thread for each address, so that one that hangs does not delay others."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from queue import Empty, Full, Queue

from event_count_logger.alerts.addresses import Address, addresses, send
from event_count_logger.alerts.outbox import Entry, Outbox, due_at
from event_count_logger.config import NotifyConfig
from event_count_logger.errors import StoreError
from event_count_logger.logs import Log

#: Seconds before the second attempt; each further one waits twice as long, up to the second number.
_FIRST_RETRY_S, _LONGEST_RETRY_S = 5.0, 300.0

#: Seconds after which a notification is given up.
_GIVEN_UP_S = 24 * 3600.0

#: Seconds after which a notification to an unknown target is given up. Until then, another service may send
#: it, with a newer configuration.
_UNKNOWN_S = 600.0

#: Entries that wait for one address in a group; older ones are given up.
_MOST_ENTRIES = 10_000

#: Entries in the queue of one thread. All others stay in their outbox.
_MOST_QUEUED = 100

#: Seconds that a claim lasts longer than the attempt may take.
_CLAIM_MARGIN_S = 5.0

#: Seconds between two looks at an outbox with entries that are being sent.
_LOOK_AGAIN_S = 0.5

#: Entries that were sent and could not be removed from their outbox.
_MOST_UNCONFIRMED = 10_000

#: Seconds for the attempts that run when the service stops.
_STOP_S = 3.0


class Delivery:
    """Sends the entries of outboxes to their addresses."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._addresses: dict[str, Address] = {}
        self._workers: dict[str, _Worker] = {}
        self._running = _Running()

    def use(self, targets: Mapping[str, NotifyConfig]) -> None:
        """Use the targets of a configuration; attempts that run go on."""
        self._addresses = {each.id: each for each in addresses(targets, targets)}
        for name in [name for name in self._workers if name not in self._addresses]:
            self._workers.pop(name).end()

    @property
    def failing(self) -> list[Address]:
        """The addresses whose last attempt has failed."""
        return [worker.address for worker in self._workers.values() if worker.is_failing]

    def dispatch(self, outbox: Outbox) -> float | None:
        """Give the due entries of an outbox to the threads of their addresses.

        Those of one alert are sent in their order: `resolved` never overtakes `firing`.

        Returns:
            Seconds until the next entry is due; None if there is none.

        Raises:
            StoreError: Redis does not answer.
        """
        now = outbox.now()
        wait_s = []
        waiting: set[tuple[str, str]] = set()
        previous: dict[tuple[str, str], str] = {}
        for entry in self._kept(outbox, outbox.entries(), now):
            address = self._addresses.get(entry.to)
            if address is None:
                wait_s.append(_LONGEST_RETRY_S)
                continue
            line = entry.notification.alert, entry.to
            behind, previous[line] = previous.get(line, ""), entry.key
            if line in waiting:
                continue
            pause_s = _pause_s(entry, address, now)
            wait_s.append(max(_LOOK_AGAIN_S, pause_s))
            if pause_s > 0:
                waiting.add(line)
            elif self._running.is_sent(entry):
                self._running.confirm(outbox, entry)
            elif not self._worker(address).put(outbox, entry, behind):
                waiting.add(line)
        return min(wait_s, default=None)

    def stop(self) -> None:
        """End all threads. Attempts that run have a few seconds; their entries remain otherwise."""
        workers = self._workers.values()
        for worker in workers:
            worker.end()
        until = time.monotonic() + _STOP_S
        for worker in workers:
            worker.join(until)
        for worker in workers:
            worker.end_attempt()
        for worker in workers:
            worker.join(until + _STOP_S)

    def _kept(self, outbox: Outbox, entries: list[Entry], now: float) -> list[Entry]:
        """Give up entries that are too old, too many, or without an address; returns the others."""
        kept: list[Entry] = []
        n_newer: Counter[str] = Counter()
        for entry in reversed(entries):
            reason = _reason_to_give_up(entry, now, n_newer[entry.to], entry.to in self._addresses)
            if not reason:
                n_newer[entry.to] += 1
                kept.append(entry)
            elif outbox.replace(entry, None):
                self._log.error(
                    "Alert '%s': notification '%s' to target '%s' was given up: %s",
                    entry.notification.alert,
                    entry.notification.kind,
                    entry.to.rpartition(":")[0],
                    reason,
                )
        return kept[::-1]

    def _worker(self, address: Address) -> _Worker:
        worker = self._workers.get(address.id)
        if worker is None or not worker.is_alive:
            worker = self._workers[address.id] = _Worker(address, self._running, self._log)
        worker.address = address
        return worker


class _Running:
    """The entries that threads have taken, and those that were sent and are still in their outbox."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[str] = set()
        self._sent: OrderedDict[str, None] = OrderedDict()

    def take(self, entry: Entry) -> bool:
        """Mark an entry as taken; returns False if it is."""
        with self._lock:
            is_new = entry.key not in self._taken
            self._taken.add(entry.key)
            return is_new

    def give_back(self, entry: Entry) -> None:
        """Mark an entry as not taken."""
        with self._lock:
            self._taken.discard(entry.key)

    def is_sent(self, entry: Entry) -> bool:
        """Returns whether an entry was sent, and only has to be removed."""
        with self._lock:
            return entry.key in self._sent

    def confirm(self, outbox: Outbox, entry: Entry) -> None:
        """Remove an entry that was sent.

        Raises:
            StoreError: Redis does not answer; the entry is not sent again by this process.
        """
        with self._lock:
            self._sent[entry.key] = None
            while len(self._sent) > _MOST_UNCONFIRMED:
                self._sent.popitem(last=False)
        if outbox.replace(entry, None):
            with self._lock:
                self._sent.pop(entry.key, None)


class _Worker:
    """The thread of one address.

    Attributes:
        address: The address, with its current settings.
        is_failing: Whether the last attempt has failed.
    """

    def __init__(self, address: Address, running: _Running, log: Log) -> None:
        self.address = address
        self.is_failing = False
        self._running = running
        self._log = log
        self._queue: Queue[tuple[Outbox, Entry, str] | None] = Queue(_MOST_QUEUED)
        self._is_ending = threading.Event()
        self._is_urgent = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"notify {address.id}", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """True unless the thread has ended."""
        return self._thread.is_alive()

    def put(self, outbox: Outbox, entry: Entry, behind: str) -> bool:
        """Queue an entry, unless it is queued; returns False if the queue is full.

        `behind` is the key of the previous entry of the same alert, which is sent before.
        """
        if not self._running.take(entry):
            return True
        try:
            self._queue.put_nowait((outbox, entry, behind))
        except Full:
            self._running.give_back(entry)
            return False
        return True

    def end(self) -> None:
        """End the thread after its current attempt."""
        self._is_ending.set()
        with suppress(Full):  # then the thread has something to do, and looks behind it
            self._queue.put_nowait(None)

    def end_attempt(self) -> None:
        """End the current attempt."""
        self._is_urgent.set()

    def join(self, until: float) -> None:
        """Wait for the end of the thread, up to a time by the monotonic clock."""
        self._thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        try:
            while not self._is_ending.is_set():
                queued = self._queue.get()
                if queued:
                    self._take(*queued)
        finally:  # also after an uncaught exception, which is logged
            self._empty()

    def _empty(self) -> None:
        """Leave the queued entries in their outboxes."""
        with suppress(Empty):
            while True:
                queued = self._queue.get_nowait()
                if queued:
                    self._running.give_back(queued[1])

    def _take(self, outbox: Outbox, entry: Entry, behind: str) -> None:
        try:
            if not self._is_ending.is_set():
                self._deliver(outbox, entry, behind)
        except StoreError:
            self._empty()  # logged by the store; the entry is still in its outbox
        finally:
            self._running.give_back(entry)

    def _deliver(self, outbox: Outbox, entry: Entry, behind: str) -> None:
        address = self.address
        claimed = due_at(entry, outbox.now() + address.timeout_s + _CLAIM_MARGIN_S)
        if not outbox.replace(entry, claimed, behind):
            self._empty()  # another process has claimed it, or the previous one of its alert
            return
        reason = send(address, entry.notification, self._is_urgent.is_set)
        if reason is None:
            self._log_success(entry)
            self._running.confirm(outbox, claimed)
            return
        if self._is_urgent.is_set():
            outbox.replace(claimed, entry)
            return
        self._log_failure(entry, reason)
        failed = replace(claimed, n_failed=entry.n_failed + 1)
        self._empty()  # later notifications of this alert wait for this one
        outbox.replace(claimed, due_at(failed, outbox.now() + retry_s(failed.n_failed)))

    def _log_success(self, entry: Entry) -> None:
        if self.is_failing:
            self._log.info("Notifications to target %s are sent again", self.address)
        self.is_failing = False
        self._log.info("Sent to target %s: %s", self.address, entry.notification.text)

    def _log_failure(self, entry: Entry, reason: str) -> None:
        if not self.is_failing:
            self._log.warning(
                "Alert '%s': not sent to target %s, retrying: %s",
                entry.notification.alert,
                self.address,
                reason,
            )
        self.is_failing = True


def retry_s(n_failed: int) -> float:
    """Returns the seconds until the next attempt."""
    return float(min(_FIRST_RETRY_S * 2 ** min(n_failed - 1, 30), _LONGEST_RETRY_S))


def _pause_s(entry: Entry, address: Address, now: float) -> float:
    """Returns the seconds until the next attempt, or 0. After the clock was set back, it is due at once."""
    pause_s = entry.not_before - now
    longest_s = max(_LONGEST_RETRY_S, address.timeout_s + _CLAIM_MARGIN_S)
    return pause_s if 0 < pause_s <= longest_s else 0.0


def _reason_to_give_up(entry: Entry, now: float, n_newer: int, is_known: bool) -> str:
    age_s = now - entry.notification.created
    if not is_known and age_s > _UNKNOWN_S:
        return "the target is no longer configured"
    if age_s > _GIVEN_UP_S:
        return "it was not sent within 24 hours"
    return f"{_MOST_ENTRIES:,} newer ones are waiting" if n_newer >= _MOST_ENTRIES else ""
