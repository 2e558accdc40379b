"""Sends local counts to Redis in batches, each exactly once.

A batch is a commit that moves the source from `position` to `next_position` and adds `pending - acked` of
each cell. Redis counts a repeated commit once, because it has stored the next position already. All these
words are in the spool file. A process may be killed after any write: the next sender of the file resumes
from there.

    state          event                                    writes                             next state
    IDLE           counts are unsent                        pending = total, next_position     SENDING
    SENDING        commit confirmed, now or before                                             ACKED
                   commit rejected                                                             ABANDONING
                   no answer: it may have been counted                                         SENDING
                   Redis is at a lower position:            position = that of Redis           SENDING
                     data was lost
                   Redis is at a higher position:           pending = acked                    STARTING_OVER
                     a clone of this process has sent         (recovery: raises `Damaged`)
    ABANDONING     empty commit to next_position + 1        pending = acked,                   IDLE
                     confirmed: no copy can be counted        position = next_position + 1
                   Redis is at next_position:                                                  SENDING
                     a late copy of the batch was counted
                   Redis is at another position             as in SENDING; a lower one stays   ABANDONING
    ACKED                                                   acked = pending,                   IDLE
                                                              position = next_position
    STARTING_OVER                                           generation + 1, positions = 0      IDLE

The state is always written last, except STARTING_OVER; see `Cells.start_over`.
"""

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

#: Increments (events x intervals) in one batch. They block the server for about 2 ms.
_BATCH_INCREMENTS = 1000

#: Low bits of a position, different in each clone of a process. The high bits are the number of the batch.
_TOKEN_BITS = 24

#: Sources that `retire` removes at most: the current one, and after a loss of data the one that counts it.
_MAX_RETIREMENTS = 2

#: A context that never delays attempts.
_UNLIMITED = nullcontext()

#: Seconds until a count that Redis has rejected is retried.
RETRY_REJECTED_S = 1.0


class BatchSender:
    """Sends the unsent counts of one group, each exactly once. One thread at a time may use it.

    Attributes:
        unanswered: Whether a request of this source was ever left without an answer. A copy of that request
            may still arrive.
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
        """`run` sends the cells.

        Args:
            config: The group, or one shard of it.
            cells: The cells to send.
            store: Gets the counts.
            log: Gets warnings about rejected and lost counts.
            clock: Returns the time in seconds.
            is_found: The cells are from the spool file of an ended process, or from a copy of that file.
        """
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
        # In state ACKED, some cells may be finished already: the counts of that batch are not known.
        is_acked = cells.state is State.ACKED
        self._confirmed = ConfirmedCounts(cells.next_position if is_acked else cells.position)
        self._unsent_losses: list[Cell] = []  # the cell of @lost, if a loss was noticed since the last batch
        self._batch: list[Cell] | None = None  # the current batch; None if not known
        self._connect = True
        self._rejected: dict[str, float] = {}  # event ID -> time of the next attempt, by the clock

    def run(self, cells: list[Cell] | None = None, connect: bool = True) -> None:
        """Send the counts that are unsent when this begins.

        Skips events that Redis has rejected less than a second ago.

        Args:
            cells: The cells to send; all if None.
            connect: Open a connection if there is none.

        Raises:
            NotConnected: There is no connection, and `connect` is False.
            Unavailable: Redis may have counted the current batch. The next run sends it again.
            Rejected: Redis rejects the whole batch, and has counted nothing. The next run sends it again.
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
        """Check whether Redis still has all confirmed counts, and remove the source's position from Redis.

        All counts must be sent. Later counts belong to a new source. The position stays in Redis if a copy of
        an unanswered request may still arrive.

        Raises:
            StoreError: The position is left in Redis, where it only takes up space. May be retried.
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
            if known <= position:  # a higher one is from a clone, which still uses the source
                self._store.sources.retire(self._config, source)

    def touch_source(self) -> None:
        """Tell Redis that this source is alive, so that `Sources.prune` keeps its position.

        Raises:
            StoreError: Redis was not reached, or rejects the request.
        """
        if self._cells.next_position:
            with self._attempt():
                self._store.sources.touch(self._config, self._cells.source)

    def retry_at(self) -> float | None:
        """Returns the time of the next attempt for rejected events, by the clock; None if there are none."""
        # A copy: a thread that sends may add an entry meanwhile.
        return min(list(self._rejected.values()), default=None)

    def is_rejected(self, event_id: str) -> bool:
        """Returns whether Redis has rejected this event, and not accepted it since."""
        return event_id in self._rejected

    def _acceptable(self, cells: list[Cell]) -> list[Cell]:
        """Returns the cells except rejected ones that are not due: these must not delay the others."""
        if not self._rejected:
            return cells
        now = self._clock()
        return [cell for cell in cells if self._rejected.get(cell.event_id, now) <= now]

    def _begin(self, batch: list[Cell]) -> None:
        for cell in self._cells_of_batch():
            cell.pending = cell.acked  # of a batch whose process was killed before the state SENDING
        self._batch = None
        for cell in batch:
            cell.pending = cell.total
        self._cells.next_position = self._after(self._cells.position)
        self._cells.state = State.SENDING
        self._batch = batch

    def _after(self, position: int) -> int:
        """Returns the position after this one: the number of the next batch, and a token in the low bits.

        The token is the time in nanoseconds, so that clones of a process choose different positions. It is 0
        for a file that was found: two processes that finish copies of one file choose the same positions, so
        the counts are added once.
        """
        number, token = (position >> _TOKEN_BITS) + 1, 0 if self._is_found else round(self._clock() * 1e9)
        return number << _TOKEN_BITS | token % (1 << _TOKEN_BITS)

    def _resume(self) -> bool:
        """Take the current batch to its end. Returns whether it was counted."""
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
        for cell in self._cells_of_batch():  # a recovered file may have two cells of @lost
            counts = distance(cell.pending, cell.acked)
            if counts:  # 0 if the last batch has sent them; a 0 would create a counter in Redis
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
        """Move the source past the rejected batch, so that a late copy of it cannot be counted."""
        beyond = self._cells.next_position + 1
        commit = self._commit(beyond, {})
        if commit.outcome != "conflict":
            for cell in self._cells_of_batch():
                cell.pending = cell.acked
            self._end(beyond)
        elif commit.stored == str(self._cells.next_position):
            self._cells.state = State.SENDING  # a copy was counted: the next commit confirms it
        else:
            self._continue_from(commit.stored)

    def _finish(self) -> None:
        counts = 0
        for cell in self._cells_of_batch():
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

    def _cells_of_batch(self) -> list[Cell]:
        if self._batch is None:
            self._batch = self._cells.in_current_batch()
        return self._batch

    def _commit(self, next_position: int, batch: Mapping[str, int]) -> Commit:
        if process.current() != self._process:
            raise NotConnected  # a child process, forked from a thread that sends: the parent sends these
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
        """See `Client.attempt`, which delays attempts while Redis is unavailable.

        Recovery is never delayed. Neither is a direct `log()`, which first uses the open connection.
        """
        if self._is_found or not self._connect:
            return _UNLIMITED
        return self._store.client.attempt(self._config, self._cells.source)

    def _note_rejection(self, refusal: RejectedKey, batch: Mapping[str, int]) -> None:
        if refusal.event_id not in self._rejected:
            self._log.warning(
                "Redis rejects event '%s' (key %s): %s; %s unsent, retrying",
                refusal.event_id,
                refusal.key,
                refusal.reason,
                counted(batch[refusal.event_id], "count"),
            )
        self._rejected[refusal.event_id] = self._clock() + RETRY_REJECTED_S

    def _continue_from(self, stored: str) -> None:
        """Adopt another position that Redis has stored: it has not counted the current batch."""
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
        """Redis is at a higher position: a clone of this process has sent a batch. Become a new source."""
        if self._is_found:
            raise Damaged("its source is further in Redis: it is a copy, and the original was sent later")
        self._log.warning(
            "Group '%s': another process uses source %s too (cloned machine, restored snapshot); continuing "
            "as a new source, counts that were unsent in the snapshot may be counted twice",
            self._config.name,
            self._cells.source,
        )
        for cell in self._cells_of_batch():
            cell.pending = cell.acked
        self._end(self._cells.position)
        self._start_over()

    def _note_position(self, stored: str) -> None:
        """Note a loss if Redis had no position of this source before the current batch."""
        if not stored:
            self._note_loss(self._cells.position, 0, self._confirmed)

    def _note_loss(self, position: int, stored: int, confirmed: ConfirmedCounts) -> None:
        """Log, and count as `@lost`, what Redis has confirmed up to `position` and lost after `stored`."""
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
