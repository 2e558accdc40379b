"""The local counters of one group in one process, which are replaced when events expire."""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress

from event_count_logger import process
from event_count_logger.config import GroupConfig
from event_count_logger.counting import event_loops, syncer
from event_count_logger.counting.admission import IDLE_PART, Admission
from event_count_logger.counting.cells import CellMaps, CellsClosed, unless_ending
from event_count_logger.counting.implementation import Cell, CellMap, Counting
from event_count_logger.counting.local_counters import LocalCounters
from event_count_logger.counting.outbox import Outbox
from event_count_logger.counting.recovery import Recovery
from event_count_logger.counting.spool_format import distance, has_reached
from event_count_logger.counting.usage import Usage
from event_count_logger.logs import Log
from event_count_logger.store import Store

#: Counters are replaced when this part of the events is idle, or this part of `max_events` is in use.
_IDLE_PART_OF_EVENTS, _CROWDED = 1 / 8, 3 / 4

#: The most replaced counters with unsent counts: they accumulate while Redis is unavailable.
_MAX_REPLACED = 3

#: The most attempts to send counts that a caller waits for.
_MAX_ATTEMPTS = 2

#: Seconds that a thread waits for another one that replaces the counters.
_MAX_WAIT_S = 1.0


class GroupCounters:
    """The local counters and the session outbox of one group in one process.

    Idle events expire in one way only: all counters are replaced, as if the process had been restarted. The
    new counters have a file and a source of their own. An event in use gets a new cell with its next `log()`.

        expire_idle, make_room
          -> the admission drops idle events
          -> the old counters are closed, which empties the maps
          -> new counters
          -> the background thread sends the old ones and deletes their file

    Attributes:
        maps: Maps from event ID to cell, the same ones for the life of the process.
        outbox: Session actions to send.
    """

    def __init__(
        self, config: GroupConfig, store: Store, recovery: Recovery, log: Log, admission: Admission
    ) -> None:
        """The first event opens the spool file. `admission` forgets the events that expire here."""
        self.maps = CellMaps.new()
        self.outbox = Outbox(config, store, log)
        self._config = config
        self._admission = admission
        # A random shard for each process; the spool file names it.
        shard = config.shard(random.Random().randrange(config.n_shards))
        expire_idle = weakref.WeakMethod(self.expire_idle) if config.auto_declare_events else None
        move_unsent = weakref.WeakMethod(self.move_unsent)
        self._local = LocalCounters(shard, store, recovery, log, self.maps, expire_idle, move_unsent)
        self._usage = Usage(self._local.cells)
        self._replaced: list[LocalCounters] = []
        self._watched: LocalCounters | None = None
        self._replacing = threading.RLock()  # reentrant, because a signal handler may count, too
        self._is_expiring = False

    @property
    def local(self) -> LocalCounters:
        """The counters that get new events."""
        if self._local.cells.is_closed:
            self._replace(self._local)  # another thread has not finished replacing them
        return self._local

    def all_local(self) -> list[LocalCounters]:
        """Returns the current counters and the replaced ones with unsent counts."""
        for each in tuple(self._replaced):
            if not each.has_unsent():
                with suppress(ValueError):  # another thread has removed it
                    self._replaced.remove(each)
        return [self.local, *self._replaced]

    def senders(self) -> list[syncer.Sender]:
        """Returns all senders of the group in this process."""
        return [*self.all_local(), self.outbox]

    def add(self, event_id: str) -> None:
        """Make a cell for an event that has none."""
        while True:
            local = self.local
            with suppress(CellsClosed):
                local.cells.add(event_id)
                break
        if self._watched is not local:
            syncer.current().watch(local)
            self._watched = local

    def flush_target(self) -> FlushTarget:
        """Returns the counts that are unsent now."""
        return FlushTarget(self.all_local(), self.outbox)

    def flush_replaced(self, timeout_s: float) -> None:
        """Send the counters that were replaced. Waits for one attempt, for `timeout_s` at most."""
        deadline = time.monotonic() + timeout_s
        for local in self.all_local()[1:]:
            syncer.current().flush(local, deadline - time.monotonic())

    def release(self) -> None:
        """Send the rest: nothing will be counted any more."""
        for local in self._replaced:
            local.is_replaced = False  # they are the last ones
        for sender in (self._local, self.outbox):
            syncer.current().release(sender)

    def adder(self, event_id: str, send: Callable[[Cell, int], object]) -> Adder:
        """Returns an `Adder`, which counts an event without asking the admission; see `Counting._send`."""
        return Adder(self.maps.of(event_id), self.add, send)

    def move_unsent(self, finished: LocalCounters) -> None:
        """Move unsent counts to new counters: another process has sent the rest and deleted the file."""
        self._replace(finished)
        for cell in finished.cells.unsent():
            total = cell.total
            self.adder(cell.event_id, _ignore).log(cell.event_id, distance(total, cell.acked))
            cell.acked = total
        syncer.current().wake(self._local)

    def expire_idle(self, now: float) -> None:
        """Expire events not used for `expire_after`, if there are enough of them."""
        self._expire(now, self._config.expire_after, at_once=False)

    def make_room(self, now: float) -> None:
        """Expire events not used for a part of `expire_after`: `max_events` are in use."""
        self._expire(now, self._config.expire_after * IDLE_PART, at_once=True)

    def _expire(self, now: float, idle_s: float, at_once: bool) -> None:
        if process.is_ending():
            return
        acquired = False
        try:
            acquired = self._replacing.acquire(timeout=0 if event_loops.is_running_here() else _MAX_WAIT_S)
            local = self.local
            # `_is_expiring`: this is a signal handler that has interrupted this method.
            if not acquired or self._is_expiring or not self._drop_idle(now, now - idle_s, at_once):
                return
        finally:
            if acquired:
                self._replacing.release()
        self._replace(local)

    def _drop_idle(self, now: float, since: float, at_once: bool) -> bool:
        """Drop idle events from the admission. Returns whether any of them has a cell."""
        self._is_expiring = True
        try:
            admission, by_id = self._admission, self._local.cells.by_id
            admission.note_used(self._usage.used(), now)
            idle = self._without_unsent(admission.idle(since))
            have_cells = any(event_id in by_id for event_id in idle)
            if not (at_once or self._is_worth_while(len(idle))):
                return False
            if have_cells and len(self.all_local()) > _MAX_REPLACED:
                return False
            admission.drop(idle, since)
            return have_cells
        finally:
            self._is_expiring = False

    def _without_unsent(self, event_ids: list[str]) -> list[str]:
        unsent = {event_id for local in self.all_local() for event_id in local.unsent()}
        return [event_id for event_id in event_ids if event_id not in unsent]

    def _is_worth_while(self, n_idle: int) -> bool:
        n_events = len(self._admission.declared)
        is_crowded = n_events >= _CROWDED * self._config.max_events
        return n_idle > 0 and (is_crowded or n_idle >= _IDLE_PART_OF_EVENTS * n_events)

    def _replace(self, old: LocalCounters) -> None:
        with unless_ending(self._replacing):
            if self._local is not old or not old.close():
                return
            new = old.make_successor(self.maps)
            usage = Usage(new.cells)
            # No function is called in between: a signal handler may have replaced them.
            if self._local is old:
                self._local, self._usage = new, usage
                self._replaced.append(old)
        syncer.current().wake(old)


class Adder(Counting):
    """Adds counts to the cells of one map. Threads may log meanwhile."""

    def __init__(
        self, cell_map: CellMap, add: Callable[[str], None], send: Callable[[Cell, int], object]
    ) -> None:
        """`add` makes a cell for an event that has none; `send` is called as `Counting._send`."""
        self.cells = cell_map
        self._add = add
        self._request_send = send

    def _log_unusual(self, event_id: object, count: object) -> None:
        assert isinstance(event_id, str) and isinstance(count, int)
        self._add(event_id)
        self.log(event_id, count)

    def _send(self, cell: Cell, total: int) -> None:
        self._request_send(cell, total)


def _ignore(cell: Cell, total: int) -> None:
    """Does nothing: the next send includes these counts."""


class FlushTarget:
    """The counts and session actions that are unsent when a flush begins."""

    def __init__(self, all_local: list[LocalCounters], outbox: Outbox) -> None:
        self._senders: list[syncer.Sender] = [*all_local, outbox]
        self._outbox, self._end = outbox, outbox.end_position()
        self._totals = [(cell, cell.total) for local in all_local for cell in local.cells.unsent()]

    def attempts(self) -> Iterator[syncer.Sender]:
        """Yields the senders to flush, twice if needed: the first attempt may find a broken connection."""
        for _ in range(_MAX_ATTEMPTS):
            if not self.is_confirmed():
                yield from (sender for sender in self._senders if sender.has_unsent())

    def is_confirmed(self) -> bool:
        """Returns whether Redis has confirmed these counts and session actions."""
        are_confirmed = all(has_reached(cell.acked, total) for cell, total in self._totals)
        return are_confirmed and self._outbox.is_sent(self._end)
