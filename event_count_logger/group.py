"""Event groups: what an application counts with and reads its own counts from."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from event_count_logger import keys, process
from event_count_logger.config import GroupConfig
from event_count_logger.config.session_actions import ActionName
from event_count_logger.counting import event_loops, syncer
from event_count_logger.counting.admission import Admission, check_event_id
from event_count_logger.counting.group_counters import GroupCounters
from event_count_logger.counting.implementation import Cell, Counter, Counting
from event_count_logger.counting.local_counters import LocalCounters
from event_count_logger.counting.outbox import Outbox
from event_count_logger.counting.recovery import Recovery
from event_count_logger.counting.spool_format import has_reached
from event_count_logger.counting.validation import checked_event, checked_id
from event_count_logger.errors import NotConfigured
from event_count_logger.logs import Log
from event_count_logger.outcome import Outcome
from event_count_logger.process import PerProcess
from event_count_logger.reading.reader import Reader
from event_count_logger.sources.sessions import Session, checked_action
from event_count_logger.sources.source import Source
from event_count_logger.sources.stream import DEFAULT_BATCH_SIZE, Consumer, Fields, Records
from event_count_logger.store import Store


class EventGroup(Counting):
    """Counts the events of one group; made by `EventCountLogger`, one per group and process.

    Threads may share it, and so may forked processes: a child counts on its own.

    Attributes:
        admission: Which events may be counted.
    """

    # Python calls methods faster where there is no dictionary in use.
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
    )

    def __init__(
        self,
        config: GroupConfig,
        store: Store,
        reader: Reader,
        recovery: Recovery,
        timeout_s: float,
        log_level: str | int,
    ) -> None:
        """See `EventCountLogger.get_group`; a direct `log()` waits for `timeout_s` at most, in seconds."""
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

    @property
    def local(self) -> LocalCounters:
        """The counters of this process, without counters that were replaced."""
        return self._counters.get().local

    @property
    def all_local(self) -> list[LocalCounters]:
        """The counters of this process, with those that were replaced and are not yet done."""
        return self._counters.get().all_local()

    @property
    def senders(self) -> list[syncer.Sender]:
        """Everything of this process that may have something to send."""
        return self._counters.get().senders()

    @property
    def outbox(self) -> Outbox:
        """The session actions that this process has to send."""
        return self._counters.get().outbox

    @property
    def group_name(self) -> str:
        """Name of the group."""
        return self._config.name

    @property
    def event_ids(self) -> set[str]:
        """The declared event IDs; a copy."""
        return set(self.admission.declared)

    @property
    def intervals(self) -> list[str]:
        """The names of the group's intervals; a copy."""
        return [interval.name for interval in self._config.intervals]

    if TYPE_CHECKING:
        # `Counting` gives each subclass this method, in C where that was built. A `def` here, or
        # `log = Counting.log`, would replace it: Python then calls `log()` half as fast.
        def log(self, event_id: str, count: int = 1) -> None:
            """Count an event.

            A direct group tries to have it confirmed by Redis, for no longer than the configured time-out.
            In a thread with a running event loop, and in a group with `sync_interval` or `sync_limit`, this
            only adds to local counters, and the background thread sends them. When Redis is unavailable
            the count is kept and sent later. An event that is neither declared nor declared automatically
            is not counted.

            Args:
                event_id: Which event.
                count: How many of them; 0 does nothing.

            Raises:
                TypeError: `event_id` is not a string, or `count` not an integer.
                ValueError: `count` is negative or over 2^63-1, or `event_id` cannot be an event ID.
                OverflowError: More than 2^63-1 would be unsent of this event.
            """

    def counter(self, event_id: str) -> Counter:
        """One event, bound, for loops: `inc(n=1)` is `log(event_id, n)`, without looking the event up.

        Raises:
            TypeError: Not a string.
            ValueError: Not an event ID.
        """
        event_id, _ = checked_event(event_id, 0)
        self._check(event_id)
        return Counter(self, event_id)

    def sync(self) -> bool:
        """Send what was counted in this process and is not yet in Redis; waits for it a few seconds at most.

        Coroutines use `flush`, which does not block their event loop.

        Returns:
            Whether Redis has confirmed all of it; what other threads count meanwhile is left out.
        """
        target = self._counters.get().flush_target()
        for sender in target.attempts():
            syncer.current().flush(sender, syncer.FLUSH_TIMEOUT_S)
        return target.is_confirmed()

    async def flush(self) -> bool:
        """The same as `sync` for coroutines of asyncio and trio: waits without blocking the event loop.

        Returns:
            Whether Redis has confirmed all that was counted in this process before.
        """
        target = self._counters.get().flush_target()
        for sender in target.attempts():
            ask = partial(syncer.current().wake, sender)
            await event_loops.wait_for_call(ask, syncer.FLUSH_TIMEOUT_S)
        return target.is_confirmed()

    def outcome(self, success: str | None = None, failure: str | None = None) -> Outcome:
        """Count how a block or function ends.

        Example:
            with group.outcome("import_ok", "import_failed"):
                run_import()

        Args:
            success: Event that is counted when the block ends normally, if any.
            failure: Event that is counted when it raises, if any. The exception passes on.

        Raises:
            TypeError: Not a string.
            ValueError: Not an event ID.
        """
        for event_id in (success, failure):
            if event_id is not None:
                self._check(checked_event(event_id, 0)[0])
        return Outcome(self.log, success, failure)

    def session(self, id: str, event: str) -> Session:
        """A session of this group, to be told of when it starts, is there, and ends.

        It is counted once as `event`, and its time in milliseconds as `event:ms`. Each call tries to have
        it confirmed by Redis, for no longer than the configured time-out, and not at all in a thread with a
        running event loop; while Redis is unavailable it is kept in memory and sent later.

        Example:
            session = group.session(request.cookies["visit"], "shop")
            session.heartbeat()

        Args:
            id: Tells it from all other sessions of the group.
            event: What it is counted as. For a session that is known by another event, that one stays.
                An event that is not declared is not counted, as with `log`.

        Raises:
            NotConfigured: The group has no `sessions` in its configuration.
            TypeError: The ID or the event is not a string.
            ValueError: Not the ID of a session.
        """
        self._check_sessions()
        event_id, _ = checked_event(event, 0)
        return Session(checked_id(id, "a session"), event_id, self._act)

    def end_session(self, id: str) -> None:
        """End a session now, whatever event it is counted as; one that is not known is no error.

        Raises:
            NotConfigured: The group has no `sessions` in its configuration.
            TypeError: The ID is not a string.
            ValueError: Not the ID of a session.
        """
        self._check_sessions()
        self._act(id, None, "end", None)

    def consume(
        self,
        source_id: str,
        records: Records,
        *,
        position: Callable[[Any], int | str] | None = None,
        key: Callable[[Any], str] | None = None,
        count: Callable[[Any], int] | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
        committed: Callable[[str], object] | None = None,
    ) -> str:
        """Count the records of a stream that can be read again, each exactly once.

        Counts and the position are stored together, in batches. Records up to the stored position are
        passed over, so that a program which is killed at any moment goes on where it was. Waits for Redis
        as long as it is away.

        Example:
            with open("numbers.txt") as lines:
                group.consume("numbers.txt", ((at, "sum", int(line)) for at, line in enumerate(lines)))

        Args:
            source_id: Name of the stream in Redis. Two streams need two, and one stream one consumer. It must
                not begin with '@'.
            records: (position, event, count) each, in the order of their positions; or a function that gives
                those after a stored position, which is '' at first. None in place of a record commits
                what there is so far, for streams on which nothing may come for a while.
            position: Finds the position in a record: a number, or a string in which numbers count as numbers,
                such as '1764000000000-12'. Records with the same position are counted together.
            key: Finds the event in a record.
            count: Finds the count in a record.
            batch_size: Records that are committed at once; fewer after a second.
            committed: Is called with each position that Redis has confirmed.

        Returns:
            The position that is confirmed at the end; '' if there never was a record.

        Raises:
            SourceMoved: Another consumer has moved the stream on: what it counted is not counted here. Or
                Redis has lost data and is behind it, and `records` is no function, which is asked again.
            Rejected: Redis cannot count an event: nothing of the batch was counted.
            errors.NotDurable: The batch was counted, and the server cannot do what the group's `durability`
                wants.
            TypeError: A record has a position, event or count of a wrong type.
            ValueError: Positions go back, or a position, event or count cannot be one.
        """
        source = Source(
            self._store, self._config, checked_id(source_id, "a source", keys.name_fault), self._log
        )
        fields = Fields(position, key, count)
        return Consumer(source, self.admission, fields, batch_size, committed).run(records)

    def declare_event_id(self, event_id: str) -> None:
        """Let this process count an event as if the configuration declared it.

        Raises:
            TypeError: Not a string.
            ValueError: Not an event ID.
        """
        event_id, _ = checked_event(event_id, 0)
        self.admission.declare(event_id)

    def declare_event_ids(self, event_ids: Iterable[str]) -> None:
        """The same for several events; see `declare_event_id`."""
        for event_id in event_ids:
            self.declare_event_id(event_id)

    def get_current_counts(self, event_id: str) -> dict[str, int] | None:
        """Counts of one event in the running intervals, with what this process has not sent yet.

        Returns:
            Count per interval name; None for an event that is not declared.

        Raises:
            StoreError: Redis does not answer.
        """
        if event_id not in self.admission.declared:
            self._log.warning("Event '%s' is not declared!", event_id)
            return None
        self.sync()
        with ExitStack() as paused:
            unsent = 0
            for local in self.all_local:
                paused.enter_context(local.sending_paused())
                unsent += local.unsent().get(event_id, 0)
            return {name: self.get_current_count(event_id, name) + unsent for name in self.intervals}

    def get_last_count(self, event_id: str, interval: str) -> int:
        """Count of one event in the last finished interval; 0 where there is none.

        Raises:
            StoreError: Redis does not answer.
        """
        return self._reader.count(self._config, interval, "last", event_id)

    def get_current_count(self, event_id: str, interval: str) -> int:
        """Count of one event in the running interval, as far as it has reached Redis; 0 where there is none.

        Raises:
            StoreError: Redis does not answer.
        """
        return self._reader.count(self._config, interval, "cur", event_id)

    def get_counts(self, interval: str, current: bool = False) -> dict[str, int]:
        """Counts of all events, as of one moment, as far as they have reached Redis.

        Args:
            interval: Name of the interval; an unknown one is logged as an error and gives no counts.
            current: Read the running interval instead of the last finished one.

        Raises:
            StoreError: Redis does not answer.
        """
        found = self._config.interval(interval)
        if found is None:
            self._log.error("Interval '%s' is not defined for group '%s'!", interval, self.group_name)
            return {}
        group = replace(self._config, events=(*self.admission.declared,))
        (snapshot,) = self._reader.read(group, found, "cur" if current else "last")
        return dict(snapshot.counts)

    def _log_unusual(self, event_id: object, count: object) -> None:
        event_id, count = checked_event(event_id, count)
        counters = self._counters.get()
        # In a new process there are no cells so far; see `process`.
        self.cells = counters.maps.events
        if not count:
            self._check(event_id)
            return
        counted_as = self.admission.counted_as(event_id)
        if counted_as is None:
            return
        counters.add(counted_as)
        if keys.is_reserved(counted_as):
            counters.adder(counted_as, self._send).log(counted_as, count)
        else:
            EventGroup.log(self, counted_as, count)

    def _send(self, cell: Cell, total: int) -> None:
        counters = self._counters.get()
        local = counters.local
        if local.is_backing_off(cell.event_id):
            syncer.current().remind(local)
        elif not self._config.direct or event_loops.is_running_here() or process.is_ending():
            self._hand_over(local)
        elif local.cells.holds(cell):
            self._confirm(local, cell, total)
        else:  # the counters were replaced meanwhile, and those that were are being sent
            counters.flush_replaced(self._timeout_s)

    def _hand_over(self, local: LocalCounters) -> None:
        """Let the background thread send; does not wait."""
        if local.wake_requested:
            return
        try:
            local.note_wake_request()
            syncer.current().wake(local)
        except BaseException:  # out of a signal handler: the next event asks for it again
            local.clear_wake_request()
            raise

    def _confirm(self, local: LocalCounters, cell: Cell, total: int) -> None:
        """Wait until Redis has confirmed a direct count, or the time is over."""
        deadline = time.monotonic() + self._timeout_s
        try:
            if not local.confirm(cell, total, self._timeout_s / 2):
                syncer.current().flush(local, deadline - time.monotonic())
        finally:  # also when it was interrupted
            if not has_reached(cell.acked, total):
                syncer.current().remind(local)

    def _check_sessions(self) -> None:
        if self._config.sessions is None:
            raise NotConfigured(f"Group '{self.group_name}' has no sessions: give it the setting 'sessions'")

    def _act(self, id: str, event: str | None, name: ActionName, at: float | None) -> None:
        action = checked_action(id, event, name, self._store.client.now() if at is None else at)
        if action.event is not None:
            counted_as = self.admission.session_counted_as(action.event)
            if counted_as is None:
                return
            action = action._replace(event=counted_as)
        outbox, background = self.outbox, syncer.current()
        outbox.put(action)
        if outbox.is_backing_off:
            background.remind(outbox)
        elif event_loops.is_running_here():
            background.wake(outbox)
        else:
            background.flush(outbox, self._timeout_s)

    def _check(self, event_id: str) -> None:
        """Raises ValueError for a string that is not an event ID."""
        if event_id not in self.admission.declared:
            check_event_id(event_id)


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
