"""Event groups: what an application counts with and reads its own counts from."""

from __future__ import annotations

import os
import random
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from event_count_logger import syncer
from event_count_logger.admission import Admission, check_event_id
from event_count_logger.arguments import checked_event, checked_id
from event_count_logger.config import GroupConfig
from event_count_logger.counters.hot import Cell, Counter, Counting
from event_count_logger.counters.layout import has_reached
from event_count_logger.counters.local import LocalCounters
from event_count_logger.counters.recovery import Recovery
from event_count_logger.errors import NotConfigured
from event_count_logger.logs import Log
from event_count_logger.outcome import Outcome
from event_count_logger.reader import Reader
from event_count_logger.sources.sessions import Outbox, Session, checked_action
from event_count_logger.sources.source import Source
from event_count_logger.sources.stream import DEFAULT_BATCH_SIZE, Consumer, Fields, Records
from event_count_logger.store import ActionName, Store


class EventGroup(Counting):
    """Counts the events of one group; made by `EventCountLogger`, one per group and process.

    Threads may share it, and so may forked processes: a child counts on its own.

    Attributes:
        admission: Which events may be counted.
        local: What this process has counted.
        outbox: What it has to tell of sessions.
    """

    # Python calls methods faster where there is no dictionary in use.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_config",
        "_log",
        "_reader",
        "_recovery",
        "_sends_sessions",
        "_store",
        "_timeout_s",
        "_watched",
        "admission",
        "local",
        "outbox",
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
        self._recovery = recovery
        self._timeout_s = timeout_s
        self._log = Log(f"EventGroup({config.name})")
        self._log.setLevel(log_level)
        self.admission = Admission(config, self._log)
        self._count_from_zero()
        _groups.add(self)

    def _count_from_zero(self) -> None:
        """Also in a forked child, since what was counted before belongs to the parent."""
        # One of its own for each process; the file that the counts are in says which one it is.
        shard = self._config.shard(random.Random().randrange(self._config.n_shards))
        self.local = LocalCounters(shard, self._store, self._recovery, self._log)
        self.outbox = Outbox(self._config, self._store, self._log)
        self.cells = self.local.cells
        self._watched = False
        self._sends_sessions = False

    def __del__(self) -> None:
        local = getattr(self, "local", None)
        if local is not None and self._watched:
            syncer.current().release(local)
        if getattr(self, "_sends_sessions", False):
            syncer.current().release(self.outbox)

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

    def counter(self, event_id: str) -> Counter:
        """One event, bound, for loops: `inc(n=1)` is `log(event_id, n)`, without looking the event up.

        Raises:
            TypeError: Not a string.
            ValueError: Not an event ID.
        """
        event_id, _ = checked_event(event_id, 0)
        if event_id not in self.admission.declared:
            check_event_id(event_id)
        return Counter(self, event_id)

    def sync(self) -> bool:
        """Send what was counted in this process and is not yet in Redis; waits for it a few seconds at most.

        Returns:
            Whether Redis has confirmed all of it; what other threads count meanwhile is left out.
        """
        totals = [(cell, cell.total) for cell in self.local.cells.unsent()]
        for sender in (self.local, self.outbox):
            if sender.has_unsent():
                syncer.current().flush(sender, syncer.FLUSH_TIMEOUT_S)
        return all(has_reached(cell.acked, total) for cell, total in totals) and not self.outbox.has_unsent()

    def outcome(self, success: str | None = None, failure: str | None = None) -> Outcome:
        """Count how a block or function ends.

        Example:
            with group.outcome("import_ok", "import_failed"):
                run_import()

        Args:
            success: Event that is counted when the block ends normally, if any.
            failure: Event that is counted when it raises, if any. The exception passes on.
        """
        return Outcome(self.log, success, failure)

    def session(self, id: str, event: str) -> Session:
        """A session of this group, to be told of when it starts, is there, and ends.

        It is counted once as `event`, and its time in milliseconds as `event:ms`. Each call tries to have
        it confirmed by Redis, for no longer than the configured time-out; while Redis is away it is kept in
        memory and sent later.

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
            source_id: Name of the stream in Redis. Two streams need two, and one stream one consumer.
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
            TypeError: A record has a position, event or count of a wrong type.
            ValueError: Positions go back, or a position, event or count cannot be one.
        """
        source = Source(self._store, self._config, checked_id(source_id, "a source"), self._log)
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
        with self.local.at_rest():
            unsent = self.local.unsent().get(event_id, 0)
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
        group = replace(self._config, events=tuple(self.admission.declared))
        (snapshot,) = self._reader.read(group, found, "cur" if current else "last")
        return dict(snapshot.counts)

    def _log_unusual(self, event_id: object, count: object) -> None:
        event_id, count = checked_event(event_id, count)
        counted_as = self._make_cell(event_id) if count else None
        if counted_as:
            EventGroup.log(self, counted_as, count)

    def _send(self, cell: Cell, total: int) -> None:
        local, background = self.local, syncer.current()
        if local.held_up(cell.event_id):
            background.remind(local)
        elif local.cells.sync_at == 1:
            deadline = time.monotonic() + self._timeout_s
            try:
                if not local.confirm(cell, total, self._timeout_s / 2):
                    background.flush(local, deadline - time.monotonic())
            finally:  # also when it was interrupted
                if not has_reached(cell.acked, total):
                    background.remind(local)
        elif not local.wake_requested:
            local.wake_requested = True
            background.wake(local)

    def _check_sessions(self) -> None:
        if self._config.sessions is None:
            raise NotConfigured(f"Group '{self.group_name}' has no sessions: give it the setting 'sessions'")

    def _act(self, id: str, event: str | None, name: ActionName, at: float | None) -> None:
        action = checked_action(id, event, name, self._store.now() if at is None else at)
        if action.event is not None:
            counted_as = self.admission.session_counted_as(action.event)
            if counted_as is None:
                return
            action = action._replace(event=counted_as)
        self.outbox.put(action)
        self._send_outbox()

    def _send_outbox(self) -> None:
        background = syncer.current()
        if not self._sends_sessions:
            self._sends_sessions = True
            background.watch(self.outbox)
        if self.outbox.held_up:
            background.remind(self.outbox)
        else:
            background.flush(self.outbox, self._timeout_s)

    def _make_cell(self, event_id: str) -> str | None:
        """See to it that an event has a cell; returns the ID that it is counted as, None if it is not."""
        counted_as = self.admission.counted_as(event_id)
        if counted_as is None:
            return None
        self.local.cells.add(counted_as)
        if not self._watched:
            self._watched = True
            syncer.current().watch(self.local)
        return counted_as


_groups: weakref.WeakSet[EventGroup] = weakref.WeakSet()


def _after_fork() -> None:
    for group in tuple(_groups):
        group._count_from_zero()


os.register_at_fork(after_in_child=_after_fork)
