"""`EventGroup`: the object with which an application counts the events of one group."""

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
    """Counts the events of one group; see `EventCountLogger.get_group`.

    `log()` is the method for each event. Threads may share a group. After a fork, parent and child process
    count separately, each with counters of its own.

    Attributes:
        admission: The events that are counted, and the limit to further ones.
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

            A direct group waits until Redis confirms the count, for no longer than the configured time-out.
            In a thread with a running event loop, and in a group with `sync_interval` or `sync_limit`, this
            only adds to local counters. The background thread sends them. While Redis is unavailable, counts
            are kept and sent later. An event that is neither declared nor declared automatically is not
            counted.

            Args:
                event_id: ID of the event.
                count: Number of events; 0 does nothing.

            Raises:
                TypeError: `event_id` is not a string, or `count` not an integer.
                ValueError: `count` is negative or over 2^63-1, or `event_id` cannot be an event ID.
                OverflowError: More than 2^63-1 would be unsent of this event.
            """

    def counter(self, event_id: str) -> Counter:
        """Returns a counter of one event, for loops: `inc(n=1)` is `log(event_id, n)` without the look-up.

        Raises:
            TypeError: Not a string.
            ValueError: Not an event ID.
        """
        event_id, _ = checked_event(event_id, 0)
        self._check(event_id)
        return Counter(self, event_id)

    def sync(self) -> bool:
        """Send all unsent counts and session actions of this process. Waits for some seconds at most.

        Coroutines use `flush`, which does not block their event loop.

        Returns:
            Whether Redis has confirmed everything logged before the call.
        """
        target = self._counters.get().flush_target()
        for sender in target.attempts():
            syncer.current().flush(sender, syncer.FLUSH_TIMEOUT_S)
        return target.is_confirmed()

    async def flush(self) -> bool:
        """As `sync`, for coroutines of asyncio and trio: waits without blocking the event loop.

        Returns:
            Whether Redis has confirmed everything logged before the call.
        """
        target = self._counters.get().flush_target()
        for sender in target.attempts():
            ask = partial(syncer.current().wake, sender)
            await event_loops.wait_for_call(ask, syncer.FLUSH_TIMEOUT_S)
        return target.is_confirmed()

    def outcome(self, success: str | None = None, failure: str | None = None) -> Outcome:
        """Count the success or failure of a block or function: a context manager and decorator.

        Example:
            with group.outcome("import_ok", "import_failed"):
                run_import()

        Args:
            success: Event counted when the block ends without an exception; None for no event.
            failure: Event counted when the block raises; None for no event. The exception is not caught.

        Raises:
            TypeError: Not a string.
            ValueError: Not an event ID.
        """
        for event_id in (success, failure):
            if event_id is not None:
                self._check(checked_event(event_id, 0)[0])
        return Outcome(self.log, success, failure)

    def session(self, id: str, event: str) -> Session:
        """Returns a session of this group, with methods to report its start, heartbeats and end.

        The session is counted once as `event`, and its time in milliseconds as `event:ms`. Each method waits
        until Redis confirms the action, for the configured time-out at most. In a thread with a running event
        loop it does not wait. While Redis is unavailable, actions are kept in memory and sent later.

        Example:
            session = group.session(request.cookies["visit"], "shop")
            session.heartbeat()

        Args:
            id: ID of the session, unique in the group.
            event: Event that the session is counted as. A session that is known with another event keeps
                that one. An event that is not declared is not counted, as with `log`.

        Raises:
            NotConfigured: The group has no `sessions` in its configuration.
            TypeError: The ID or the event is not a string.
            ValueError: The ID or the event is not valid.
        """
        self._check_sessions()
        event_id, _ = checked_event(event, 0)
        return Session(checked_id(id, "a session"), event_id, self._act)

    def end_session(self, id: str) -> None:
        """End a session now, counted as any event. An unknown session is no error.

        Raises:
            NotConfigured: The group has no `sessions` in its configuration.
            TypeError: The ID is not a string.
            ValueError: The ID is not valid.
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
        """Count the records of a stream that can be read again, each record exactly once.

        Counts and the position are stored together, in batches. Records up to the stored position are
        skipped: a program that is killed at any instruction continues where it was. Waits while Redis is
        unavailable.

        Example:
            with open("numbers.txt") as lines:
                group.consume("numbers.txt", ((at, "sum", int(line)) for at, line in enumerate(lines)))

        Args:
            source_id: Name of the stream in Redis, not beginning with '@'. Each stream needs a name of its
                own, and one consumer.
            records: Tuples (position, event, count) in the order of their positions. Or a function that
                returns the records after a stored position, which is '' at first. None in place of a record
                commits the batch so far, for streams that may pause.
            position: Returns the position of a record: a number, or a string such as '1764000000000-12',
                whose numbers are compared as numbers. Records with the same position are counted together.
            key: Returns the event of a record.
            count: Returns the count of a record.
            batch_size: Records in one commit; fewer after a second.
            committed: Called with each position that Redis has confirmed.

        Returns:
            The last confirmed position; '' if there never was a record.

        Raises:
            SourceMoved: Another consumer has counted records of this stream: they are not counted here. Or
                Redis has lost data, and `records` is not a function that can be called again.
            Rejected: Redis rejects an event. Nothing of the batch was counted.
            errors.NotDurable: The batch was counted, but the server does not support the `durability` of
                the group.
            TypeError: A position, event or count has a wrong type.
            ValueError: A position, event or count is not valid, or the positions are not in order.
        """
        source = Source(
            self._store, self._config, checked_id(source_id, "a source", keys.name_fault), self._log
        )
        fields = Fields(position, key, count)
        return Consumer(source, self.admission, fields, batch_size, committed).run(records)

    def declare_event_id(self, event_id: str) -> None:
        """Declare an event in this process, as if it were in the configuration.

        Raises:
            TypeError: Not a string.
            ValueError: Not an event ID.
        """
        event_id, _ = checked_event(event_id, 0)
        self.admission.declare(event_id)

    def declare_event_ids(self, event_ids: Iterable[str]) -> None:
        """Declare several events; see `declare_event_id`."""
        for event_id in event_ids:
            self.declare_event_id(event_id)

    def get_current_counts(self, event_id: str) -> dict[str, int] | None:
        """Returns the counts of one event in the current intervals, with the unsent counts of this process.

        Returns:
            Count by interval name; None for an event that is not declared.

        Raises:
            StoreError: Redis does not answer.
        """
        if event_id not in self.admission.declared:
            self._log.warning("Event '%s' is not declared: not counted", event_id)
            return None
        self.sync()
        with ExitStack() as paused:
            unsent = 0
            for local in self.all_local:
                paused.enter_context(local.sending_paused())
                unsent += local.unsent().get(event_id, 0)
            return {name: self.get_current_count(event_id, name) + unsent for name in self.intervals}

    def get_last_count(self, event_id: str, interval: str) -> int:
        """Returns the count of one event in the last interval; 0 if there is none.

        Raises:
            StoreError: Redis does not answer.
        """
        return self._reader.count(self._config, interval, "last", event_id)

    def get_current_count(self, event_id: str, interval: str) -> int:
        """Returns the count of one event in the current interval, as stored in Redis; 0 if there is none.

        Raises:
            StoreError: Redis does not answer.
        """
        return self._reader.count(self._config, interval, "cur", event_id)

    def get_counts(self, interval: str, current: bool = False) -> dict[str, int]:
        """Returns the counts of all events by event ID, as stored in Redis: one consistent snapshot.

        Args:
            interval: Name of the interval. An unknown one logs an error and returns no counts.
            current: Read the current interval instead of the last one.

        Raises:
            StoreError: Redis does not answer.
        """
        found = self._config.interval(interval)
        if found is None:
            self._log.error(
                "Interval '%s' is not configured for group '%s': no counts returned",
                interval,
                self.group_name,
            )
            return {}
        group = replace(self._config, events=(*self.admission.declared,))
        (snapshot,) = self._reader.read(group, found, "cur" if current else "last")
        return dict(snapshot.counts)

    def _log_unusual(self, event_id: object, count: object) -> None:
        event_id, count = checked_event(event_id, count)
        counters = self._counters.get()
        # A child process starts without cells; see `process`.
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

    def _check_sessions(self) -> None:
        if self._config.sessions is None:
            raise NotConfigured(f"Group '{self.group_name}' has no sessions: add the setting 'sessions'")

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
