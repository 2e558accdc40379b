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
from event_count_logger.counting.spool import Hold, Spool
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
_LOOKS = 8

#: What becomes of counts after an error, by `StoreError.applied`.
_FATES = {
    "yes": "the batch is in Redis, and further counts are kept until it is confirmed",
    "no": "counts are kept and tried again",
    "unknown": "counts are kept and tried again",
}

#: Returns a function that looks at which events are in use, given the time; None if it is not there any more.
Look = Callable[[], Callable[[float], object] | None]

#: Returns a function that moves the counts of these counters to others; None if it is not there any more.
Carry = Callable[[], "Callable[[LocalCounters], object] | None"]


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
        look: Look | None = None,
        carry: Carry | None = None,
    ) -> None:
        """Opens nothing.

        Args:
            config: The group, or the shard of it.
            store: Where the counts go.
            recovery: Runs once, with the first sync.
            log: Of the group.
            maps: See `Cells`.
            look: What is called some times within `expire_after`, if anything.
            carry: What moves counts to other counters, once another process has finished the file of these.
        """
        self.config = config
        self.is_replaced = False
        self.failure = ""  # not the error itself, whose frames keep the caller alive
        self.applied: Applied = "no"
        self._failed_batch = 0  # position of the batch that `applied` is about
        self._keeper = Spool(config, store.identity, log)
        self.cells = Cells(self._keeper.open, self._keeper.note_full, maps)
        self._keeper.keep(self.cells)
        self._look = look
        self._carry = carry
        self._is_taken = False  # another process sends what is in the file
        self._look_at = time.monotonic() + config.expire_after / _LOOKS
        self._sync_at = 1 if config.direct or config.sync_interval == 0 else config.sync_limit or NEVER
        self.expect_wake()
        self.released = False
        self._store = store
        self._recovery = recovery
        self._log = log
        self._sync = BatchSender(config, self.cells, store, log)
        self._turns = FairLock()
        self._show_alive_at = time.monotonic() + config.source_ttl / 4
        self._to_confirm: deque[Cell] = deque()
        self._in_trouble = False
        self._failed = False  # the last sync
        self._is_closing = False  # everything is sent at once
        # Each process has its own moment, so that not all come at once. It stays the same, so that under
        # constant load as much is left to the next interval as was left by the one before.
        self._own_pace = random.Random().uniform(0.6, 1)

    def sync(self, timeout_s: float) -> None:
        """Send what is unsent, as far as Redis accepts it; waits for its turn for `timeout_s`."""
        self.expect_wake()
        self._failed = True
        with suppress(StoreError):  # logged where noticed; the counts are kept
            with Ticket(self._turns, timeout_s) as mine:
                if mine:
                    self._failed = not self._send_all()
            self._recovery.run_once()
        if self._failed:
            self._expect_retry()
        self._look_if_due(time.monotonic())

    def _send_all(self) -> bool:
        """Returns False if another process sends what is in the file. The turn is this thread's."""
        self._to_confirm.clear()  # what is in there is among all that is sent now
        try:
            if not self._may_send():
                return False
            self._show_alive()
            self._run()
        except StoreError:
            if not process.has_threads():
                self._keeper.give_up()  # no background thread retries
            raise
        return True

    def _may_send(self) -> bool:
        """Make sure that no other process sends what is in the file: that may have been taken over."""
        hold = self._keeper.look_after()
        deadline = time.monotonic() + _TAKEN_S
        while hold is Hold.TAKEN and not process.has_threads() and time.monotonic() < deadline:
            time.sleep(_TAKEN_S / 20)  # no background thread looks again
            hold = self._keeper.look_after()
        self._is_taken = hold is Hold.TAKEN
        if hold is Hold.REGAINED:  # another process may have finished a batch meanwhile
            self._sync = BatchSender(self.config, self.cells, self._store, self._log)
            self._sync.unanswered = True
        if hold is Hold.FINISHED:
            carry = self._carry() if self._carry else None
            if carry:
                carry(self)
            else:  # the group is gone, so that no other counters take the counts
                self._keeper.go_on_without_file()
                self.cells.start_over()
                hold = Hold.HELD
            # It refers to cells of a batch that was under way, and they keep the file from being deleted.
            self._sync = BatchSender(self.config, self.cells, self._store, self._log)
        return hold in (Hold.HELD, Hold.REGAINED)

    def _look_if_due(self, now: float) -> None:
        if now >= self._look_at and self._look is not None and not self.released:
            self._look_at = now + self.config.expire_after / _LOOKS
            look = self._look()
            if look:
                look(now)

    def expect_wake(self) -> None:
        """Have `log()` ask for a sync as soon as enough is unsent."""
        self.wake_requested = False
        self.cells.sync_at = self._sync_at if process.has_threads() else 1

    def note_wake(self) -> None:
        """A sync was asked for: until it begins, `log()` has nothing more to ask for."""
        self.wake_requested = True
        if not self.config.direct and process.has_threads():
            self.cells.sync_at = NEVER

    def _show_alive(self) -> None:
        now = time.monotonic()
        if now >= self._show_alive_at:
            with suppress(Rejected):  # what there is to count is sent all the same
                self._sync.show_alive()
                self._show_alive_at = now + self.config.source_ttl / 4

    def _expect_retry(self) -> None:
        """`log()` needs to ask for nothing while there is something unsent, since that is retried soon."""
        if self.has_unsent():
            self.note_wake()
        else:
            self._failed = False

    def send_at_once(self) -> None:
        """Do not wait for the next sync with what is logged from now on."""
        self._is_closing = True
        self._sync_at = 1
        self.expect_wake()

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

    def replaced_by(self, maps: CellMaps) -> LocalCounters:
        """The counters that take the place of these, which are closed."""
        new = LocalCounters(
            self.config, self._store, self._recovery, self._log, maps, self._look, self._carry
        )
        new._own_pace = self._own_pace
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
        with Ticket(self._turns, timeout_s) as mine:
            if not mine or has_reached(cell.acked, total):
                return True
            if not (self._keeper.is_held() or self._may_send()):
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

    def at_rest(self) -> Ticket:
        """While this is held, nothing is under way to Redis."""
        return Ticket(self._turns, threading.TIMEOUT_MAX)

    @property
    def spool_file(self) -> Path | None:
        """The spool file that the counts are in; None if they are in memory only."""
        storage = self.cells.storage
        return storage.path if isinstance(storage, SpoolFile) and not storage.is_deleted() else None

    def unsent(self) -> dict[str, int]:
        """What Redis has not confirmed, per event."""
        return {cell.event_id: unsent(cell) for cell in self.cells.unsent()}

    def unsent_in_words(self) -> str:
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
        with Ticket(self._turns, 0) as mine:
            if not mine or self._store.client.is_unavailable(self.config) or self.has_unsent():
                return
            if not self._keeper.is_held():
                return
            began = time.monotonic()
            with suppress(StoreError):  # what is left of it only takes up room
                try:
                    self._sync.retire()
                except Unavailable:
                    if time.monotonic() - began > _AT_ONCE_S:
                        raise
                    self._sync.retire()  # the connection had broken: a new one may lead to another server

    def put_away(self) -> str:
        """At the end: nothing is left behind of counters that are all sent.

        Returns:
            What becomes of those that are not, in words.
        """
        with Ticket(self._turns, 0) as mine:
            fate = self._keeper.put_away(mine and not self.has_unsent())
        self._recovery.log_recovered()
        if self.released and not self.is_replaced:
            self._store.close()  # it may be garbage by now, whose finalizer has run before this used it again
        return fate

    def held_up(self, event_id: str) -> bool:
        """Whether sending this event is known to fail for now: the next attempt is to be waited for."""
        is_waiting = self._is_taken or self._in_trouble
        return is_waiting or self._store.client.is_unavailable(self.config) or self._sync.is_refused(event_id)

    def next_sync(self, now: float) -> float:
        """When to sync next, if nobody asks before; `now` and the result are `time.monotonic()`."""
        # Where all is sent at once, nothing else would send what came while `log()` found no reason to ask.
        is_waiting = self._failed or self._sync_at == 1 or self._store.client.is_unavailable(self.config)
        if self.released or (is_waiting and self.has_unsent()):
            return now + _RETRY_S * self._own_pace
        when = min(max(self._show_alive_at, now + _RETRY_S), self._sync.retry_at() or math.inf)
        if self._look is not None:
            when = min(when, max(self._look_at, now))
        if self._sync_at == 1:
            return when
        return min(when, now + (self.config.sync_interval or math.inf), now + self._until_boundary())

    def _until_boundary(self) -> float:
        """Seconds until just before the first boundary that there is still time to be before."""
        server_now = time.time() + self._store.client.clock_offset_of(self.config)
        waits = []
        for interval in self.config.intervals:
            lead = min(max(interval.length_s * _LEAD_PART, _SHORTEST_LEAD_S), _LONGEST_LEAD_S)
            wait = interval.end_of(server_now) - server_now - lead * self._own_pace
            waits.append(wait if wait > 0 else wait + interval.length_s)
        return min(waits)

    def _run(self, some: list[Cell] | None = None, connect: bool = True) -> None:
        try:
            self._sync.run(some, connect)
        except StoreError as error:
            self._note_failure(error)
            if isinstance(error, Rejected | NotYet):
                if not self._in_trouble:
                    self._log.warning("%s; %s", error, _FATES[error.applied])
                self._in_trouble = True
            raise
        self.failure, self.applied = "", "no"
        if self._in_trouble:
            self._log.info("Redis accepts the counts of group '%s' again", self.config.name)
        self._in_trouble = False

    def _note_failure(self, error: StoreError) -> None:
        batch = self.cells.next_position
        known: tuple[Applied, ...] = (error.applied,)
        if batch == self._failed_batch:  # an earlier attempt may have counted, though this one has not
            known = (error.applied, self.applied)
        self.failure, self._failed_batch = str(error), batch
        self.applied = next(each for each in SUREST_FIRST if each in known)
