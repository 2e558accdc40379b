"""`EventGroup`: the interface with which an application counts the events of one group."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from event_count_logger.outcome import Outcome
from event_count_logger.sources.sessions import Session
from event_count_logger.sources.stream import DEFAULT_BATCH_SIZE, Records


class Counter(Protocol):
    """One event of a group, for loops; see `EventGroup.counter`.

    Example:
        ok = group.counter("ok")
        for size in (1, 2, 3):
            ok.inc(size)
        print(group.get_counts("5m", current=True)["ok"])  # 6
    """

    def inc(self, n: int = 1) -> None:
        """Count the event `n` times; otherwise as `EventGroup.log`."""


class EventGroup(ABC):
    """Counts the events of one group; see `EventCountLogger.get_group`.

    `log()` is the method for each event. Threads may share a group. After a fork, parent and child process
    count separately.

    There are three kinds. A group of the configuration counts in Redis. `DummyEventGroup` stands in for a
    group that is not configured. `testing.RecordingGroup` keeps its counts in memory, for tests.

    Example:
        group.log("ok")
        group.log("failed", 3)
        print(group.get_counts("5m", current=True)["failed"])  # 3
    """

    __slots__ = ()

    @property
    @abstractmethod
    def group_name(self) -> str:
        """Name of the group."""

    @property
    @abstractmethod
    def event_ids(self) -> set[str]:
        """The declared event IDs; a copy."""

    @property
    @abstractmethod
    def intervals(self) -> list[str]:
        """The names of the group's intervals; a copy."""

    @abstractmethod
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

    @abstractmethod
    def counter(self, event_id: str) -> Counter:
        """Returns a counter of one event, for loops: `inc(n=1)` is `log(event_id, n)` without the look-up.

        Raises:
            TypeError: Not a string.
            ValueError: Not an event ID.
        """

    @abstractmethod
    def sync(self) -> bool:
        """Send all unsent counts and session actions of this group and process; takes 5 s at most.

        Coroutines use `flush`, which does not block their event loop.

        Returns:
            True if Redis has confirmed everything that was logged in this group before the call. Otherwise
            the counts are kept and sent later: do not log them again.
        """

    @abstractmethod
    async def flush(self) -> bool:
        """As `sync`, for coroutines of asyncio and trio: waits without blocking the event loop.

        Returns:
            See `sync`.
        """

    @abstractmethod
    def outcome(self, success: str | None = None, failure: str | None = None) -> Outcome:
        """Count the success or failure of a block or function: a context manager and decorator.

        Example:
            with group.outcome("ok", "failed"):
                total = sum([1, 2, 3])
            print(group.get_counts("5m", current=True)["ok"])  # 1

        Args:
            success: Event counted when the block ends without an exception; None for no event.
            failure: Event counted when the block raises; None for no event. The exception is not caught.

        Raises:
            TypeError: Not a string.
            ValueError: Not an event ID.
        """

    @abstractmethod
    def session(self, id: str, event: str) -> Session:
        """Returns a session of this group, with methods to report its start, heartbeats and end.

        The session is counted once as `event`, and its time in milliseconds as `event:ms`. Each method waits
        until Redis confirms the action, for the configured time-out at most. In a thread with a running event
        loop it does not wait. While Redis is unavailable, actions are kept in memory and sent later.

        Example:
            visits = ecl["visits"]
            session = visits.session("visitor 18", "shop")
            session.heartbeat()
            print(visits.get_counts("5m", current=True)["shop"])  # 1

        Args:
            id: ID of the session, unique in the group.
            event: Event that the session is counted as. A session that is known with another event keeps
                that one. An event that is not declared is not counted, as with `log`.

        Raises:
            NotConfigured: The group has no `sessions` in its configuration.
            TypeError: The ID or the event is not a string.
            ValueError: The ID or the event is not valid.
        """

    @abstractmethod
    def end_session(self, id: str) -> None:
        """End the session `id` now, counted as any event. An unknown session is no error.

        Raises:
            NotConfigured: The group has no `sessions` in its configuration.
            TypeError: The ID is not a string.
            ValueError: The ID is not valid.
        """

    @abstractmethod
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
            records = [(1, "ok", 2), (2, "failed", 1)]  # position, event, count
            group.consume("a list", records)
            group.consume("a list", records)  # counts nothing: it was counted before
            print(group.get_counts("5m", current=True)["ok"])  # 2

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
            NotDurable: The batch was counted, but the server does not support the `durability` of the group.
            TypeError: A position, event or count has a wrong type.
            ValueError: A position, event or count is not valid, or the positions are not in order.
        """

    @abstractmethod
    def declare_event_id(self, event_id: str) -> None:
        """Declare `event_id` in this process, as if it were in the configuration.

        Raises:
            TypeError: Not a string.
            ValueError: Not an event ID.
        """

    def declare_event_ids(self, event_ids: Iterable[str]) -> None:
        """Declare several events, `event_ids`; see `declare_event_id`."""
        for event_id in event_ids:
            self.declare_event_id(event_id)

    @abstractmethod
    def get_current_counts(self, event_id: str) -> dict[str, int] | None:
        """Returns the counts of one event in the current intervals, with the unsent counts of this process.

        Args:
            event_id: ID of the event.

        Returns:
            Count by interval name; None for an event that is not declared.

        Raises:
            StoreError: Redis does not answer, or answers with an error.
        """

    @abstractmethod
    def get_last_count(self, event_id: str, interval: str) -> int:
        """Returns the count of `event_id` in the last finished `interval`; 0 if there is none.

        Raises:
            StoreError: Redis does not answer, or answers with an error.
        """

    @abstractmethod
    def get_current_count(self, event_id: str, interval: str) -> int:
        """Returns the count of `event_id` in the current `interval`, as stored in Redis; 0 if there is none.

        Raises:
            StoreError: Redis does not answer, or answers with an error.
        """

    @abstractmethod
    def get_counts(self, interval: str, current: bool = False) -> dict[str, int]:
        """Returns the counts of all events by event ID, as stored in Redis: one consistent snapshot.

        Args:
            interval: Name of the interval. An unknown one logs an error and returns no counts.
            current: Read the current interval instead of the last one.

        Raises:
            StoreError: Redis does not answer, or answers with an error.
        """
