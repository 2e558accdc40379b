"""Takes local counts to Redis: the steps of a batch, each of which may be cut off and done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from event_count_logger import keys, process
from event_count_logger.config import GroupConfig
from event_count_logger.counting.cells import Cells
from event_count_logger.counting.confirmed_counts import ConfirmedCounts, Loss
from event_count_logger.counting.implementation import Cell
from event_count_logger.counting.spool_format import Damaged, State, distance
from event_count_logger.errors import NotConnected, Rejected, StoreError, Unconfirmed
from event_count_logger.logs import Log, counted
from event_count_logger.store import Commit, RejectedKey, Store

#: Increments (events x intervals) in one batch: about 2 ms for the server, in which it serves nobody else.
_BATCH_INCREMENTS = 1000

#: Lower bits of a position, which tell the batches of clones from each other; the others number the batches.
_TOKEN_BITS = 24

#: A source is retired; if Redis had forgotten some of it, so is the one by which that is counted.
_MAX_RETIREMENTS = 2

#: No limit to attempts.
_UNLIMITED = nullcontext()

#: Seconds after which a count that Redis refused is tried again.
RETRY_REJECTED_S = 1.0


class BatchSender:
    """Sends the unsent counts of one group, exactly once. One thread at a time may use it.

    Attributes:
        unanswered: Whether a request of this source was ever left without an answer, so that a copy
            of it may still be under way.
    """

    def __init__(
        self,
        config: GroupConfig,
        cells: Cells,
        store: Store,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
        is_found: bool = False,
    ) -> None:
        """`is_found` says that the cells are those of a file whose process has ended, or of a copy of it."""
        self.unanswered = False
        self._is_found = is_found
        # The position before Redis lost data: a late copy of a batch may move the source there again.
        self._highest_position = 0
        self._process = process.current()
        self._config = config
        self._cells = cells
        self._store = store
        self._log = log
        self._clock = clock
        self._batch_size = max(1, _BATCH_INCREMENTS // len(config.intervals))
        # Of a batch found confirmed, some cells may be finished: its counts are not known.
        is_acked = cells.state is State.ACKED
        self._confirmed = ConfirmedCounts(cells.next_position if is_acked else cells.position)
        self._unsent_losses: list[Cell] = []  # what counts losses, if one was noticed since the last batch
        self._batch: list[Cell] | None = None  # the one under way; None if it is not known
        self._connect = True
        self._rejected: dict[str, float] = {}  # event ID -> when to try again, by the clock

    def run(self, cells: list[Cell] | None = None, connect: bool = True) -> None:
        """Send all that was unsent when this began, or of some cells, except what Redis has just refused.

        Raises:
            NotConnected: There is no connection, and `connect` says that none is to be made.
            Unavailable: The batch under way is in doubt, and will be sent again by the next run.
            Rejected: The same, but nothing of it was counted.
        """
        self._connect = connect
        is_all = cells is None
        began = self._clock() if is_all else 0.0
        self._resume()
        todo = self._acceptable(self._cells.unsent() if cells is None else cells)
        while todo or self._unsent_losses:
            if self._unsent_losses:
                others = [cell for cell in todo if cell not in self._unsent_losses]
                todo, self._unsent_losses = [*others, *self._unsent_losses], []
            self._begin(todo[: self._batch_size])
            todo = todo[self._batch_size :] if self._resume() else self._acceptable(todo)
        if is_all and not self._rejected:
            self._cells.record_sent_until(began)

    def retire(self) -> None:
        """Take the source's position out of Redis, if nothing of it can arrive there any more; in any case,
        see whether Redis still knows what it has confirmed. Only while nothing is unsent.

        Raises:
            StoreError: What is left in Redis only takes up room. May be tried again.
        """
        cells = self._cells
        self._resume()
        for _ in range(_MAX_RETIREMENTS):
            if not cells.position:
                return
            stored = self._store.sources.position(self._config, cells.source)
            if self.unanswered:
                if stored != str(cells.position):
                    self._begin([])
                    self._resume()
                    self.run()
                return
            source, position, confirmed = cells.source, cells.position, self._confirmed
            self._start_over()
            known = int(stored) if stored.isdecimal() else 0
            self._note_loss(position, known, confirmed)
            self.run()
            if known <= position:  # else a clone of this process goes on with it
                self._store.sources.retire(self._config, source)

    def touch_source(self) -> None:
        """Keep the source's position in Redis though it does not move; see `Store.prune`.

        Raises:
            StoreError: It could not be said.
        """
        if self._cells.next_position:
            with self._attempt():
                self._store.sources.touch(self._config, self._cells.source)

    def retry_at(self) -> float | None:
        """When the next refused count is to be tried again, by the clock."""
        # A copy: a thread that sends may be taking note of a refusal.
        return min(list(self._rejected.values()), default=None)

    def is_rejected(self, event_id: str) -> bool:
        """Whether Redis has refused this event, and not accepted it since."""
        return event_id in self._rejected

    def _acceptable(self, cells: list[Cell]) -> list[Cell]:
        """Without those that Redis has just refused, so that they do not hold up the others."""
        if not self._rejected:
            return cells
        now = self._clock()
        return [cell for cell in cells if self._rejected.get(cell.event_id, now) <= now]

    def _begin(self, batch: list[Cell]) -> None:
        for cell in self._under_way():
            cell.pending = cell.acked  # of a batch that was cut off before it was under way
        self._batch = None
        for cell in batch:
            cell.pending = cell.total
        self._cells.next_position = self._after(self._cells.position)
        self._cells.state = State.SENDING
        self._batch = batch

    def _after(self, position: int) -> int:
        """The next position, which no clone of this process chooses, though it begins at the same one.

        Its lower bits are the time, or 0 for a file that was found: two who finish copies of that choose the
        same positions, so that its counts are counted once.
        """
        number, token = (position >> _TOKEN_BITS) + 1, 0 if self._is_found else round(self._clock() * 1e9)
        return number << _TOKEN_BITS | token % (1 << _TOKEN_BITS)

    def _resume(self) -> bool:
        """Take the batch under way to its end; whether it was counted."""
        counted = False
        while (state := self._cells.state) is not State.IDLE:
            counted = state is State.ACKED
            if state is State.SENDING:
                self._send()
            elif state is State.ABANDONING:
                self._abandon()
            elif state is State.STARTING_OVER:
                self._start_over()
            else:
                self._finish()
        return counted

    def _send(self) -> None:
        batch: dict[str, int] = {}
        for cell in self._under_way():  # a recovered file may have two cells of @lost
            counts = distance(cell.pending, cell.acked)
            if counts:  # else the batch before has sent them meanwhile; a 0 would make a counter of the event
                batch[cell.event_id] = batch.get(cell.event_id, 0) + counts
        commit = self._commit(self._cells.next_position, batch)
        if commit.outcome == "refused":
            for refusal in commit.refusals:
                self._note_rejection(refusal, batch)
            self._cells.state = State.ABANDONING
        elif commit.outcome == "conflict":
            self._continue_from(commit.stored)
        else:
            self._cells.state = State.ACKED

    def _abandon(self) -> None:
        """Move the source past the refused batch, so that no copy of it still under way can be counted."""
        beyond = self._cells.next_position + 1
        commit = self._commit(beyond, {})
        if commit.outcome != "conflict":
            for cell in self._under_way():
                cell.pending = cell.acked
            self._end(beyond)
        elif commit.stored == str(self._cells.next_position):
            self._cells.state = State.SENDING  # a copy was counted after all: that will be the answer
        else:
            self._continue_from(commit.stored)

    def _finish(self) -> None:
        counts = 0
        for cell in self._under_way():
            counts += distance(cell.pending, cell.acked)
            cell.acked = cell.pending
            if self._rejected and self._rejected.pop(cell.event_id, 0.0):
                self._log.info("Event '%s' is accepted by Redis again", cell.event_id)
        self._confirmed.add(self._cells.next_position, counts)
        self._end(self._cells.next_position)

    def _start_over(self) -> None:
        self._cells.start_over()
        self._confirmed = ConfirmedCounts()
        self._highest_position = 0

    def _end(self, position: int) -> None:
        self._cells.position = position
        self._cells.state = State.IDLE
        self._batch = []

    def _under_way(self) -> list[Cell]:
        if self._batch is None:
            self._batch = self._cells.under_way()
        return self._batch

    def _commit(self, next_position: int, batch: Mapping[str, int]) -> Commit:
        if process.current() != self._process:
            raise NotConnected  # a forked child that goes on where its parent was: the parent sends these
        cells, answered = self._cells, False
        try:
            with self._attempt():
                commit = self._store.commits.commit(
                    self._config,
                    cells.source,
                    cells.position,
                    next_position,
                    batch,
                    connect=self._connect,
                )
            answered = True
        except StoreError as error:
            answered = error.applied != "unknown"
            if isinstance(error, Unconfirmed):
                self._note_position(error.stored)
            raise
        finally:
            self.unanswered |= not answered
        for refusal in commit.refusals:
            if not refusal.event_id:
                raise Rejected(refusal.key, refusal.reason)
        if not commit.stored and commit.outcome == "applied":
            self._note_position("")
        return commit

    def _attempt(self) -> AbstractContextManager[None]:
        """See `Store.attempt`. Recovery always asks, and a direct `log()` first uses what is connected."""
        if self._is_found or not self._connect:
            return _UNLIMITED
        return self._store.client.attempt(self._config, self._cells.source)

    def _note_rejection(self, refusal: RejectedKey, batch: Mapping[str, int]) -> None:
        if refusal.event_id not in self._rejected:
            self._log.warning(
                "Redis refuses to count event '%s' (key %s): %s; %s not sent",
                refusal.event_id,
                refusal.key,
                refusal.reason,
                counted(batch[refusal.event_id], "count"),
            )
        self._rejected[refusal.event_id] = self._clock() + RETRY_REJECTED_S

    def _continue_from(self, stored: str) -> None:
        """The server has the source at another position, so it has not counted the batch under way."""
        if not stored.isdecimal():
            raise Rejected(self._config.name, f"'{stored}' is not a position of source {self._cells.source}")
        if int(stored) > max(self._cells.position, self._highest_position):
            self._leave_to_clone()
            return
        self._highest_position = max(self._cells.position, self._highest_position)
        self._note_loss(self._cells.position, int(stored), self._confirmed)
        self._cells.next_position = max(self._cells.next_position, self._after(int(stored)))
        self._cells.position = int(stored)

    def _leave_to_clone(self) -> None:
        """Another process has sent a batch of this source, from the position that this one begins at."""
        if self._is_found:
            raise Damaged("its source is further in Redis: it is a copy, and the original was sent later")
        self._log.warning(
            "Group '%s': another process uses source %s too (cloned machine, restored snapshot); continuing "
            "as a new source, counts that were unsent in the snapshot may be counted twice",
            self._config.name,
            self._cells.source,
        )
        for cell in self._under_way():
            cell.pending = cell.acked
        self._end(self._cells.position)
        self._start_over()

    def _note_position(self, stored: str) -> None:
        """Where the server had the source before it has counted the batch under way."""
        if not stored:
            self._note_loss(self._cells.position, 0, self._confirmed)

    def _note_loss(self, position: int, stored: int, confirmed: ConfirmedCounts) -> None:
        """The server has the source at `stored`, though it has confirmed it up to `position`."""
        if stored >= position:
            return
        loss = confirmed.rewind(stored)
        self._log.warning(
            "Redis at %s has lost data: %s, %s",
            self._store.location,
            counted((position >> _TOKEN_BITS) - (stored >> _TOKEN_BITS), "confirmed batch", "es"),
            _describe(loss, self._config.name),
        )
        if loss.counts:
            cell = self._cells.add_lost()
            cell.total += loss.counts
            self._unsent_losses = [cell]


def _describe(loss: Loss, group: str) -> str:
    if not (loss.counts or loss.is_exact):
        return f"with an unknown number of counts of group '{group}'"
    least = "" if loss.is_exact else "at least "
    return f"with {least}{counted(loss.counts, 'count')} of group '{group}' (counted as {keys.LOST})"
