"""What one process has counted for one group, and when it is to be sent."""

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

#: Seconds between attempts while Redis is away or refuses everything.
_RETRY_S = 0.5

#: Seconds: what fails sooner did not wait for an answer in vain, and may be tried again when a process ends.
_AT_ONCE_S = 0.5

#: Seconds that a process without a background thread waits for another one that sends what is in its file.
_TAKEN_S = 1.0

#: Counts are sent this part of an interval before its end, within these seconds: earlier leaves more
#: counts to the next interval, later may miss the end when the machine is busy.
_LEAD_PART, _SHORTEST_LEAD_S, _LONGEST_LEAD_S = 0.05, 0.02, 0.25

#: How often within `expire_after` it is looked at which events are in use.
_EXPIRY_CHECKS = 8

#: What becomes of counts after an error, by `StoreError.applied`.
_CONSEQUENCES = {
    "yes": "the batch is in Redis, and further counts are kept until it is confirmed",
    "no": "counts are kept and tried again",
    "unknown": "counts are kept and tried again",
}

#: Returns a function that looks at which events are in use, given the time; None if it is not there any more.
ExpireIdle = Callable[[], Callable[[float], object] | None]

#: Returns a function that moves the counts of these counters to others; None if it is not there any more.
MoveUnsent = Callable[[], "Callable[[LocalCounters], object] | None"]


class LocalCounters:
    """The cells of a group, and the one way out of them.

    Attributes:
        cells: The cells, by event.
        wake_requested: Whether a sync was asked for that has not begun: it will send what is counted now.
        released: Whether nothing will be added any more.
        is_replaced: Whether that is because other counters of the same group go on.
        failure: Why the last attempt to send failed, in words; '' if it did not.
        applied: Whether the batch under way was counted, by all attempts to send it; see `StoreError`.
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
        """Opens nothing.

        Args:
            config: The group, or the shard of it.
            store: Where the counts go.
            recovery: Runs once, with the first sync.
            log: Of the group.
            maps: See `Cells`.
            expire_idle: What is called some times within `expire_after`, if anything.
            move_unsent: Moves counts to other counters, once another process has finished this file.
        """
        self.config = config
        self.is_replaced = False
        self.failure = ""  # not the error itself, whose frames keep the caller alive
        self.applied: Applied = "no"
        self._failed_batch = 0  # position of the batch that `applied` is about
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
        self._failed = False  # the last sync
        self._is_closing = False  # everything is sent at once
        # Each process has its own moment, so that not all come at once. It stays the same, so that under
        # constant load as much is left to the next interval as was left by the one before.
        self._jitter = random.Random().uniform(0.6, 1)

    def send(self, timeout_s: float) -> None:
        """Send what is unsent, as far as Redis accepts it; waits for its turn for `timeout_s`."""
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
        """Returns False if another process sends what is in the file. The turn is this thread's."""
        self._to_confirm.clear()  # what is in there is among all that is sent now
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
        """Make sure that no other process sends what is in the file: that may have been taken over."""
        lock = self._spool.check_lock()
        deadline = time.monotonic() + _TAKEN_S
        while lock is LockState.TAKEN and not process.has_threads() and time.monotonic() < deadline:
            time.sleep(_TAKEN_S / 20)  # no background thread looks again
            lock = self._spool.check_lock()
        self._is_taken = lock is LockState.TAKEN
        if lock is LockState.RELOCKED:  # another process may have finished a batch meanwhile
            self._sender = BatchSender(self.config, self.cells, self._store, self._log)
            self._sender.unanswered = True
        if lock is LockState.FINISHED:
            move_unsent = self._move_unsent() if self._move_unsent else None
            if move_unsent:
                move_unsent(self)
            else:  # the group is gone, so that no other counters take the counts
                self._spool.use_memory()
                self.cells.start_over()
                lock = LockState.HELD
            # It refers to cells of a batch that was under way, and they keep the file from being deleted.
            self._sender = BatchSender(self.config, self.cells, self._store, self._log)
        return lock in (LockState.HELD, LockState.RELOCKED)

    def _expire_if_due(self, now: float) -> None:
        if now >= self._expire_at and self._expire_idle is not None and not self.released:
            self._expire_at = now + self.config.expire_after / _EXPIRY_CHECKS
            expire_idle = self._expire_idle()
            if expire_idle:
                expire_idle(now)

    def clear_wake_request(self) -> None:
        """Have `log()` ask for a sync as soon as enough is unsent."""
        self.wake_requested = False
        self.cells.sync_at = self._sync_at if process.has_threads() else 1

    def note_wake_request(self) -> None:
        """A sync was asked for: until it begins, `log()` has nothing more to ask for."""
        self.wake_requested = True
        if not self.config.direct and process.has_threads():
            self.cells.sync_at = NEVER

    def _touch_source_if_due(self) -> None:
        now = time.monotonic()
        if now >= self._touch_at:
            with suppress(Rejected):  # what there is to count is sent all the same
                self._sender.touch_source()
                self._touch_at = now + self.config.source_ttl / 4

    def _await_retry(self) -> None:
        """`log()` needs to ask for nothing while there is something unsent, since that is retried soon."""
        if self.has_unsent():
            self.note_wake_request()
        else:
            self._failed = False

    def send_at_once(self) -> None:
        """Do not wait for the next sync with what is logged from now on."""
        self._is_closing = True
        self._sync_at = 1
        self.clear_wake_request()

    def close(self) -> bool:
        """Add no events from now on, because other counters take the place of these; may be called again.

        The background thread sends what is left, and then leaves nothing behind.

        Returns:
            False if that is impossible now; see `Cells.close`.
        """
        if not self.cells.close():
            return False
        self.is_replaced = self.released = True
        return True

    def make_successor(self, maps: CellMaps) -> LocalCounters:
        """The counters that take the place of these, which are closed."""
        new = LocalCounters(
            self.config, self._store, self._recovery, self._log, maps, self._expire_idle, self._move_unsent
        )
        new._jitter = self._jitter
        if self._is_closing:
            new.send_at_once()
        return new

    def prepare(self) -> None:
        """Connect, and learn the clock of Redis, before the first boundary comes near; finish what
        processes that were killed have left.
        """
        with suppress(StoreError):  # told where noticed
            with self._store.client.attempt(self.config, self.config.prefix):
                self._store.client.server_time(self.config)
            self._recovery.run_once()

    def confirm(self, cell: Cell, total: int, timeout_s: float) -> bool:
        """Have a cell sent up to `total` by the connection that there is; callers share one commit.

        Returns:
            False if it was not confirmed, and another attempt, with a new connection, is worth while.
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
        """Returns the own cell and those of the threads that wait for their turn.

        The own one may be missing in the list: a turn that failed for want of a connection has taken it out.
        """
        cells = [own]
        while self._to_confirm:
            cell = self._to_confirm.popleft()
            if cell.total != cell.acked and cell not in cells:
                cells.append(cell)
        return cells

    def sending_paused(self) -> Ticket:
        """While this is held, nothing is under way to Redis."""
        return Ticket(self._send_lock, threading.TIMEOUT_MAX)

    @property
    def spool_file(self) -> Path | None:
        """The spool file that the counts are in; None if they are in memory only."""
        storage = self.cells.storage
        return storage.path if isinstance(storage, SpoolFile) and not storage.is_deleted() else None

    def unsent(self) -> dict[str, int]:
        """What Redis has not confirmed, per event."""
        return {cell.event_id: unsent(cell) for cell in self.cells.unsent()}

    def describe_unsent(self) -> str:
        """How much that is; '' for nothing."""
        unsent = self.unsent()
        if not unsent:
            return ""
        return f"{counted(sum(unsent.values()), 'count')} of {counted(len(unsent), 'event')}"

    def has_unsent(self) -> bool:
        """Whether there is anything that Redis has not confirmed."""
        return self.cells.has_unsent()

    def retire(self) -> None:
        """See whether Redis still knows what it has confirmed, and take the source's position out of it, if
        nothing of it can arrive there any more.
        """
        with Ticket(self._send_lock, 0) as acquired:
            if not acquired or self._store.client.is_unavailable(self.config) or self.has_unsent():
                return
            if not self._spool.is_held():
                return
            began = time.monotonic()
            with suppress(StoreError):  # what is left of it only takes up room
                try:
                    self._sender.retire()
                except Unavailable:
                    if time.monotonic() - began > _AT_ONCE_S:
                        raise
                    self._sender.retire()  # the connection had broken: a new one may lead to another server

    def dispose(self) -> str:
        """At the end: nothing is left behind of counters that are all sent.

        Returns:
            What becomes of those that are not, in words.
        """
        with Ticket(self._send_lock, 0) as acquired:
            fate = self._spool.dispose(acquired and not self.has_unsent())
        self._recovery.log_recovered()
        if self.released and not self.is_replaced:
            self._store.close()  # it may be garbage by now, whose finalizer has run before this used it again
        return fate

    def is_backing_off(self, event_id: str) -> bool:
        """Whether sending this event is known to fail for now: the next attempt is to be waited for."""
        is_waiting = self._is_taken or self._is_rejected
        return (
            is_waiting or self._store.client.is_unavailable(self.config) or self._sender.is_rejected(event_id)
        )

    def next_send(self, now: float) -> float:
        """When to sync next, if nobody asks before; `now` and the result are `time.monotonic()`."""
        # Where all is sent at once, nothing else would send what came while `log()` found no reason to ask.
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
        """Seconds until just before the first boundary that there is still time to be before."""
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
        if batch == self._failed_batch:  # an earlier attempt may have counted, though this one has not
            known = (error.applied, self.applied)
        self.failure, self._failed_batch = str(error), batch
        self.applied = next(each for each in SUREST_FIRST if each in known)
