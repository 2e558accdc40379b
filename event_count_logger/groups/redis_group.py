"""`RedisEventGroup`: the event group that counts in Redis."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from event_count_logger import keys, process
from event_count_logger.config import GroupConfig
from event_count_logger.counting import event_loops, syncer
from event_count_logger.counting.admission import Admission
from event_count_logger.counting.group_counters import GroupCounters
from event_count_logger.counting.implementation import Cell, Counter, Counting
from event_count_logger.counting.local_counters import LocalCounters
from event_count_logger.counting.outbox import Outbox
from event_count_logger.counting.recovery import Recovery
from event_count_logger.counting.spool_format import has_reached
from event_count_logger.groups.configured_group import ConfiguredGroup
from event_count_logger.groups.in_use import InUse
from event_count_logger.logs import Log
from event_count_logger.process import PerProcess
from event_count_logger.reading.reader import Reader
from event_count_logger.sources.source import Source
from event_count_logger.store import SessionAction, Store

#: All groups of this process that count in Redis.
in_use: InUse[RedisEventGroup] = InUse()


class RedisEventGroup(Counting, ConfiguredGroup):
    """An event group that counts in Redis. After a fork, a child process gets counters of its own.

    Attributes:
        recording: The group that records in place of this one; see `CapturedGroup`.
    """

    # Python calls methods faster on objects whose dictionary is not in use.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_config",
        "_counters",
        "_log",
        "_reader",
        "_store",
        "_timeout_s",
        "admission",
        "recording",
    )

    recording: ConfiguredGroup

    def __init__(
        self,
        config: GroupConfig,
        store: Store,
        reader: Reader,
        recovery: Recovery,
        timeout_s: float,
        log_level: str | int,
    ) -> None:
        """Made by `EventCountLogger.get_group`. A direct `log()` waits for `timeout_s` seconds at most."""
        self._config = config
        self._store = store
        self._reader = reader
        self._timeout_s = timeout_s
        self._log = Log(f"EventGroup({config.name})")
        self._log.setLevel(log_level)
        self.admission = Admission(config, self._log)
        self._counters = PerProcess(
            partial(GroupCounters, config, store, recovery, self._log, self.admission)
        )
        self.admission.make_room = _room_finder(weakref.ref(self._counters))
        weakref.finalize(self, _release, self._counters).atexit = False
        in_use.add(self)

    @property
    def local(self) -> LocalCounters:
        """The current local counters of this process."""
        return self._counters.get().local

    @property
    def all_local(self) -> list[LocalCounters]:
        """The local counters of this process: the current ones, and replaced ones with unsent counts."""
        return self._counters.get().all_local()

    @property
    def senders(self) -> list[syncer.Sender]:
        """All senders of this group in this process."""
        return self._counters.get().senders()

    @property
    def outbox(self) -> Outbox:
        """The session actions of this process that wait to be sent."""
        return self._counters.get().outbox

    # There is no `def log` and no `log = Counting.log` here. `Counting` gives each subclass this method, in C
    # where that was built. Another definition would replace it: Python then calls `log()` half as fast.

    def counter(self, event_id: str) -> Counter:
        """See `EventGroup`."""
        return Counter(self, self._checked(event_id))

    def sync(self) -> bool:
        """See `EventGroup`."""
        target = self._counters.get().flush_target()
        for sender in target.attempts():
            syncer.current().flush(sender, syncer.FLUSH_TIMEOUT_S)
        return target.is_confirmed()

    async def flush(self) -> bool:
        """See `EventGroup`."""
        target = self._counters.get().flush_target()
        for sender in target.attempts():
            ask = partial(syncer.current().wake, sender)
            await event_loops.wait_for_call(ask, syncer.FLUSH_TIMEOUT_S)
        return target.is_confirmed()

    def get_current_counts(self, event_id: str) -> dict[str, int] | None:
        """See `EventGroup`."""
        if not self._is_declared(event_id):
            return None
        self.sync()
        with ExitStack() as paused:
            unsent = 0
            for local in self.all_local:
                paused.enter_context(local.sending_paused())
                unsent += local.unsent().get(event_id, 0)
            return {name: self.get_current_count(event_id, name) + unsent for name in self.intervals}

    def get_last_count(self, event_id: str, interval: str) -> int:
        """See `EventGroup`."""
        return self._reader.count(self._config, interval, "last", event_id)

    def get_current_count(self, event_id: str, interval: str) -> int:
        """See `EventGroup`."""
        return self._reader.count(self._config, interval, "cur", event_id)

    def get_counts(self, interval: str, current: bool = False) -> dict[str, int]:
        """See `EventGroup`."""
        found = self._interval(interval)
        if found is None:
            return {}
        group = replace(self._config, events=(*self.admission.declared,))
        (snapshot,) = self._reader.read(group, found, "cur" if current else "last")
        return dict(snapshot.counts)

    def record_action(self, action: SessionAction) -> None:
        """See `ConfiguredGroup`."""
        admitted = self._admitted_action(action)
        if admitted is None:
            return
        outbox, background = self.outbox, syncer.current()
        outbox.put(admitted)
        if outbox.is_backing_off:
            background.remind(outbox)
        elif event_loops.is_running_here():
            background.wake(outbox)
        else:
            background.flush(outbox, self._timeout_s)

    def _source(self, id: str) -> Source:
        return Source(self._store, self._config, id, self._log)

    def _now(self) -> float:
        return self._store.client.now()

    def _log_unusual(self, event_id: object, count: object) -> None:
        counters = self._counters.get()
        # A child process starts without cells; see `process`.
        self.cells = counters.maps.events
        admitted = self._admitted(event_id, count)
        if admitted is None:
            return
        counted_as, number = admitted
        counters.add(counted_as)
        if keys.is_reserved(counted_as):
            counters.adder(counted_as, self._send).log(counted_as, number)
        else:
            RedisEventGroup.log(self, counted_as, number)

    def _send(self, cell: Cell, total: int) -> None:
        counters = self._counters.get()
        local = counters.local
        if local.is_backing_off(cell.event_id):
            syncer.current().remind(local)
        elif not self._config.direct or event_loops.is_running_here() or process.is_ending():
            self._hand_over(local)
        elif local.cells.holds(cell):
            self._confirm(local, cell, total)
        else:  # the counters were replaced meanwhile: send those
            counters.flush_replaced(self._timeout_s)

    def _hand_over(self, local: LocalCounters) -> None:
        """Request a send by the background thread, without waiting."""
        if local.wake_requested:
            return
        try:
            local.note_wake_request()
            syncer.current().wake(local)
        except BaseException:  # raised by a signal handler: the next event repeats the request
            local.clear_wake_request()
            raise

    def _confirm(self, local: LocalCounters, cell: Cell, total: int) -> None:
        """Wait until Redis has confirmed a direct count, for the time-out at most."""
        deadline = time.monotonic() + self._timeout_s
        try:
            if not local.confirm(cell, total, self._timeout_s / 2):
                syncer.current().flush(local, deadline - time.monotonic())
        finally:  # also if a signal handler raises
            if not has_reached(cell.acked, total):
                syncer.current().remind(local)


def _release(counters: PerProcess[GroupCounters]) -> None:
    made = counters.peek()
    if made:
        made.release()


def _room_finder(counters: weakref.ref[PerProcess[GroupCounters]]) -> Callable[[float], None]:
    def make_room(now: float) -> None:
        found = counters()
        if found is not None:
            found.get().make_room(now)

    return make_room
