"""The local counters of one group: cells, their spool file, and the times to send them."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from event_count_logger import process
from event_count_logger.config import GroupConfig
from event_count_logger.counting.batch_sender import BatchSender
from event_count_logger.counting.cells import CellMaps, Cells
from event_count_logger.counting.fair_lock import FairLock, Ticket
from event_count_logger.counting.implementation import NEVER, Cell
from event_count_logger.counting.recovery import Recovery
from event_count_logger.counting.spool import LockState, Spool
from event_count_logger.counting.spool_file import SpoolFile
from event_count_logger.counting.spool_format import has_reached, unsent
from event_count_logger.errors import SUREST_FIRST, Applied, NotYet, Rejected, StoreError, Unavailable
from event_count_logger.logs import Log, counted
from event_count_logger.store import Store

#: Seconds between attempts while Redis is unavailable or rejects all counts.
_RETRY_S = 0.5

#: Seconds: a failure within this time was no time-out, and is retried once at the end of the process.
_AT_ONCE_S = 0.5

#: Seconds that a process without a background thread waits while another process sends its file.
_TAKEN_S = 1.0

#: Time before the end of an interval at which counts are sent: this part of the interval, at least and at
#: most these seconds. An earlier send leaves more counts to the next interval. A later one may miss the end.
_LEAD_PART, _SHORTEST_LEAD_S, _LONGEST_LEAD_S = 0.05, 0.02, 0.25

#: Number of checks for idle events in `expire_after`.
_EXPIRY_CHECKS = 8

#: The fate of counts after an error, by `StoreError.applied`, for messages.
_CONSEQUENCES = {
    "yes": "the batch is in Redis, and further counts are kept until it is confirmed",
    "no": "counts are kept, retrying",
    "unknown": "counts are kept, retrying",
}

#: Returns a function that expires idle events, given the time; None if the group is gone.
ExpireIdle = Callable[[], Callable[[float], object] | None]

#: Returns a function that moves unsent counts to other counters; None if the group is gone.
MoveUnsent = Callable[[], "Callable[[LocalCounters], object] | None"]


class LocalCounters:
    """The cells of a group, with the batch sender and the spool file; a `Sender` for the background thread.

    Attributes:
        cells: The cells.
        wake_requested: Whether a send was requested and has not begun: it will include counts logged now.
        released: Whether nothing will be added any more.
        is_replaced: Whether other counters of the group have replaced these.
        failure: The reason why the last attempt to send failed, in words; '' if it succeeded.
        applied: Whether Redis has counted the current batch, judged by all attempts; see `StoreError`.
    """

    def __init__(
        self,
        config: GroupConfig,
        store: Store,
        recovery: Recovery,
        log: Log,
        maps: CellMaps | None = None,
        expire_idle: ExpireIdle | None = None,
        move_unsent: MoveUnsent | None = None,
    ) -> None:
        """The first event opens the file, and the first send a connection.

        Args:
            config: The group, or one shard of it.
            store: Gets the counts.
            recovery: Runs once per process, with the first send.
            log: Logger of the group.
            maps: See `Cells`.
            expire_idle: Called several times in `expire_after`; None if events never expire.
            move_unsent: Called after another process has sent and deleted the file of these counters.
        """
        self.config = config
        self.is_replaced = False
        self.failure = ""  # no error object: its frames keep the caller alive
        self.applied: Applied = "no"
        self._failed_batch = 0  # next position of the batch that `applied` is about
        self._spool = Spool(config, store.identity, log)
        self.cells = Cells(self._spool.open, self._spool.warn_full, maps)
        self._spool.attach(self.cells)
        self._expire_idle = expire_idle
        self._move_unsent = move_unsent
        self._is_taken = False  # another process sends what is in the file
        self._expire_at = time.monotonic() + config.expire_after / _EXPIRY_CHECKS
        self._sync_at = 1 if config.direct or config.sync_interval == 0 else config.sync_limit or NEVER
        self.clear_wake_request()
        self.released = False
        self._store = store
        self._recovery = recovery
        self._log = log
        self._sender = BatchSender(config, self.cells, store, log)
        self._send_lock = FairLock()
        self._touch_at = time.monotonic() + config.source_ttl / 4
        self._to_confirm: deque[Cell] = deque()
        self._is_rejected = False
        self._failed = False  # the last send
        self._is_closing = False  # each count is sent at once
        # Random, so that the processes do not all send at the same time. Constant in one process: under
        # constant load, each interval leaves as many counts to the next one as it got from the last one.
        self._jitter = random.Random().uniform(0.6, 1)

    def send(self, timeout_s: float) -> None:
        """See `Sender`. Also recovers the files of ended processes, once, and expires idle events."""
        self.clear_wake_request()
        self._failed = True
        with suppress(StoreError):  # logged where noticed; the counts are kept
            with Ticket(self._send_lock, timeout_s) as acquired:
                if acquired:
                    self._failed = not self._send_all()
            self._recovery.run_once()
        if self._failed:
            self._await_retry()
        self._expire_if_due(time.monotonic())

    def _send_all(self) -> bool:
        """Send all counts. Returns False if another process sends the file. This thread holds the lock."""
        self._to_confirm.clear()  # these cells are sent with all others
        try:
            if not self._may_send():
                return False
            self._touch_source_if_due()
            self._run()
        except StoreError:
            if not process.has_threads():
                self._spool.release_lock()  # no background thread retries
            raise
        return True

    def _may_send(self) -> bool:
        """Returns whether this process may send the counts: no other process has taken the file over."""
        lock = self._spool.check_lock()
        deadline = time.monotonic() + _TAKEN_S
        while lock is LockState.TAKEN and not process.has_threads() and time.monotonic() < deadline:
            time.sleep(_TAKEN_S / 20)  # no background thread checks again
            lock = self._spool.check_lock()
        self._is_taken = lock is LockState.TAKEN
        if lock is LockState.RELOCKED:  # another process may have finished a batch meanwhile
            self._sender = BatchSender(self.config, self.cells, self._store, self._log)
            self._sender.unanswered = True
        if lock is LockState.FINISHED:
            move_unsent = self._move_unsent() if self._move_unsent else None
            if move_unsent:
                move_unsent(self)
            else:  # the group is gone: there are no other counters
                self._spool.use_memory()
                self.cells.start_over()
                lock = LockState.HELD
            # The old one refers to cells of its last batch: with these, the counters would never be done.
            self._sender = BatchSender(self.config, self.cells, self._store, self._log)
        return lock in (LockState.HELD, LockState.RELOCKED)

    def _expire_if_due(self, now: float) -> None:
        if now >= self._expire_at and self._expire_idle is not None and not self.released:
            self._expire_at = now + self.config.expire_after / _EXPIRY_CHECKS
            expire_idle = self._expire_idle()
            if expire_idle:
                expire_idle(now)

    def clear_wake_request(self) -> None:
        """Forget the last request: `log()` requests a send again when enough counts are unsent."""
        self.wake_requested = False
        self.cells.sync_at = self._sync_at if process.has_threads() else 1

    def note_wake_request(self) -> None:
        """Note that a send was requested: `log()` requests no other one until it begins."""
        self.wake_requested = True
        if not self.config.direct and process.has_threads():
            self.cells.sync_at = NEVER

    def _touch_source_if_due(self) -> None:
        now = time.monotonic()
        if now >= self._touch_at:
            with suppress(Rejected):  # counts are sent all the same
                self._sender.touch_source()
                self._touch_at = now + self.config.source_ttl / 4

    def _await_retry(self) -> None:
        """Keep `log()` from requesting a send: unsent counts are retried soon anyway."""
        if self.has_unsent():
            self.note_wake_request()
        else:
            self._failed = False

    def send_at_once(self) -> None:
        """See `Sender`."""
        self._is_closing = True
        self._sync_at = 1
        self.clear_wake_request()

    def close(self) -> bool:
        """Add no events from now on: other counters replace these. A further call has no effect.

        The background thread sends the rest and deletes the file.

        Returns:
            False if nothing was closed; see `Cells.close`.
        """
        if not self.cells.close():
            return False
        self.is_replaced = self.released = True
        return True

    def make_successor(self, maps: CellMaps) -> LocalCounters:
        """Returns new counters of the group, which replace these after `close`."""
        new = LocalCounters(
            self.config, self._store, self._recovery, self._log, maps, self._expire_idle, self._move_unsent
        )
        new._jitter = self._jitter
        if self._is_closing:
            new.send_at_once()
        return new

    def prepare(self) -> None:
        """Connect, get the clock of Redis before the first boundary, and recover files of ended processes."""
        with suppress(StoreError):  # logged where noticed
            with self._store.client.attempt(self.config, self.config.prefix):
                self._store.client.server_time(self.config)
            self._recovery.run_once()

    def confirm(self, cell: Cell, total: int, timeout_s: float) -> bool:
        """Send a cell up to `total`, on the open connection. Threads that wait share one commit.

        Returns:
            False if it is worth while to retry with a new connection.
        """
        self._to_confirm.append(cell)
        with Ticket(self._send_lock, timeout_s) as acquired:
            if not acquired or has_reached(cell.acked, total):
                return True
            if not (self._spool.is_held() or self._may_send()):
                return True
            try:
                self._run(self._all_to_confirm(cell), connect=False)
            except (Rejected, NotYet):
                return True
            except StoreError:
                return False
            return True

    def _all_to_confirm(self, own: Cell) -> list[Cell]:
        """Returns the own cell and those of the threads that wait for the lock.

        The own one may be missing in the queue: another thread removed it, and then found no connection.
        """
        cells = [own]
        while self._to_confirm:
            cell = self._to_confirm.popleft()
            if cell.total != cell.acked and cell not in cells:
                cells.append(cell)
        return cells

    def sending_paused(self) -> Ticket:
        """Returns a context in which no other thread sends."""
        return Ticket(self._send_lock, threading.TIMEOUT_MAX)

    @property
    def spool_file(self) -> Path | None:
        """The path of the spool file; None if the counts are in memory only."""
        storage = self.cells.storage
        return storage.path if isinstance(storage, SpoolFile) and not storage.is_deleted() else None

    def unsent(self) -> dict[str, int]:
        """Returns the counts that Redis has not confirmed, by event ID."""
        return {cell.event_id: unsent(cell) for cell in self.cells.unsent()}

    def describe_unsent(self) -> str:
        """Returns the numbers of unsent counts and events, in words; '' for none."""
        unsent = self.unsent()
        if not unsent:
            return ""
        return f"{counted(sum(unsent.values()), 'count')} of {counted(len(unsent), 'event')}"

    def has_unsent(self) -> bool:
        """Returns whether Redis has not confirmed all counts."""
        return self.cells.has_unsent()

    def retire(self) -> None:
        """See `BatchSender.retire`. Has no effect if that is impossible now."""
        with Ticket(self._send_lock, 0) as acquired:
            if not acquired or self._store.client.is_unavailable(self.config) or self.has_unsent():
                return
            if not self._spool.is_held():
                return
            began = time.monotonic()
            with suppress(StoreError):  # the position that is left only takes up space
                try:
                    self._sender.retire()
                except Unavailable:
                    if time.monotonic() - began > _AT_ONCE_S:
                        raise
                    self._sender.retire()  # the connection was broken, and a new one may work

    def dispose(self) -> str:
        """Delete the file if all counts are sent. Returns the fate of unsent counts, in words."""
        with Ticket(self._send_lock, 0) as acquired:
            fate = self._spool.dispose(acquired and not self.has_unsent())
        self._recovery.log_recovered()
        if self.released and not self.is_replaced:
            self._store.close()  # its finalizer may have run before this used it again
        return fate

    def is_backing_off(self, event_id: str) -> bool:
        """Returns whether sending this event is known to fail now: wait for the next attempt."""
        is_waiting = self._is_taken or self._is_rejected
        return (
            is_waiting or self._store.client.is_unavailable(self.config) or self._sender.is_rejected(event_id)
        )

    def next_send(self, now: float) -> float:
        """See `Sender`."""
        # With a limit of 1, nothing else would send counts that were logged while a send was requested.
        is_waiting = self._failed or self._sync_at == 1 or self._store.client.is_unavailable(self.config)
        if self.released or (is_waiting and self.has_unsent()):
            return now + _RETRY_S * self._jitter
        when = min(max(self._touch_at, now + _RETRY_S), self._sender.retry_at() or math.inf)
        if self._expire_idle is not None:
            when = min(when, max(self._expire_at, now))
        if self._sync_at == 1:
            return when
        return min(when, now + (self.config.sync_interval or math.inf), now + self._until_boundary())

    def _until_boundary(self) -> float:
        """Returns the seconds until just before the next boundary that can still be met."""
        server_now = time.time() + self._store.client.clock_offset_of(self.config)
        waits = []
        for interval in self.config.intervals:
            lead = min(max(interval.length_s * _LEAD_PART, _SHORTEST_LEAD_S), _LONGEST_LEAD_S)
            wait = interval.end_of(server_now) - server_now - lead * self._jitter
            waits.append(wait if wait > 0 else wait + interval.length_s)
        return min(waits)

    def _run(self, some: list[Cell] | None = None, connect: bool = True) -> None:
        try:
            self._sender.run(some, connect)
        except StoreError as error:
            self._note_failure(error)
            if isinstance(error, Rejected | NotYet):
                if not self._is_rejected:
                    self._log.warning("%s; %s", error, _CONSEQUENCES[error.applied])
                self._is_rejected = True
            raise
        self.failure, self.applied = "", "no"
        if self._is_rejected:
            self._log.info("Redis accepts the counts of group '%s' again", self.config.name)
        self._is_rejected = False

    def _note_failure(self, error: StoreError) -> None:
        batch = self.cells.next_position
        known: tuple[Applied, ...] = (error.applied,)
        if batch == self._failed_batch:  # an earlier attempt may have been counted
            known = (error.applied, self.applied)
        self.failure, self._failed_batch = str(error), batch
        self.applied = next(each for each in SUREST_FIRST if each in known)
