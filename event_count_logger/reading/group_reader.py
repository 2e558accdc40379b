"""The public API to read the counts of one group."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from event_count_logger.config import GroupConfig
from event_count_logger.errors import NotConfigured
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.reading.follow import After, Follower
from event_count_logger.reading.reader import Reader, Snapshot, Totals
from event_count_logger.reading.rotation_wait import read_once_rotated
from event_count_logger.store import Store


def choose_interval(group: GroupConfig, name: str | None) -> Interval:
    """Returns the interval of a group by its name; without a name the only one.

    Raises:
        NotConfigured: No such interval, or no name although there are several.
    """
    if name is None and len(group.intervals) == 1:
        return group.intervals[0]
    found = None if name is None else group.interval(name)
    if found is None:
        names = ", ".join(interval.name for interval in group.intervals)
        problem = "several intervals, name one" if name is None else f"no interval '{name}'"
        raise NotConfigured(f"group '{group.name}' has {problem} (configured: {names})")
    return found


class GroupReader:
    """A thread-safe reader of the counts of one group.

    Intervals have the names of the configuration. The name may be omitted where the group has only one.
    All methods raise `NotConfigured` for an unknown interval, and `StoreError` when Redis does not answer.
    """

    def __init__(self, group: GroupConfig, store: Store) -> None:
        self.group = group
        self._store = store
        self._reader = Reader(store)

    def last(self, interval: str | None = None) -> Snapshot:
        """Returns the last finished interval."""
        return self._reader.read(self.group, self.interval(interval), "last")[0]

    def rotated(self, interval: str | None, *halves: Half) -> tuple[Snapshot, ...]:
        """Returns a snapshot of each half as of the same time; waits up to 1 s for a rotation that is due."""
        return read_once_rotated(self._reader, self.group, self.interval(interval), *halves)

    def current(self, interval: str | None = None) -> Snapshot:
        """Returns the current interval."""
        return self._reader.read(self.group, self.interval(interval), "cur")[0]

    def both(self, interval: str | None = None) -> tuple[Snapshot, Snapshot]:
        """Returns the last finished and the current interval, as of the same time."""
        last, current = self._reader.read(self.group, self.interval(interval), "last", "cur")
        return last, current

    def history(self, interval: str | None = None, n: int | None = None) -> list[Snapshot]:
        """Returns the last `n` finished intervals, oldest first; all that the history holds if None."""
        return self._reader.history(self.group, self.interval(interval), n)

    def totals(self) -> Totals:
        """Returns the all-time total of each event, including the current interval.

        Raises:
            NotConfigured: The group keeps no totals.
        """
        return self._reader.totals(self.group)

    def position(self, interval: str | None = None) -> str:
        """Returns the position of the newest finished interval; `follow` after it gives all later ones."""
        return str(self._store.reads.newest_position(self.group, self.interval(interval)))

    def follow(self, interval: str | None = None, after: After = None) -> Iterator[Snapshot]:
        """Yield each interval once, in order, as it finishes; wait while Redis is unavailable.

        Args:
            interval: Name of the interval.
            after: The `position` of the last snapshot processed, to continue behind it. Unix seconds stand
                for all intervals that ended later, None for those that finish from now on.

        Returns:
            An endless iterator. `Snapshot.missed` is the number of intervals that the history had already
            dropped before that one.

        Raises:
            NotConfigured: The group keeps no history.
            ValueError: `after` is neither a position nor a time.
        """
        return self._follow(self.follower(interval, after))

    def follower(self, interval: str | None = None, after: After = None) -> Follower:
        """Returns the cursor of `follow`, for programs that wait between its steps in their own way."""
        return Follower(self._store, self.group, self.interval(interval), after)

    def _follow(self, follower: Follower) -> Iterator[Snapshot]:
        while True:
            snapshot, wait_s = follower.step()
            if snapshot:
                yield snapshot
            else:
                time.sleep(wait_s)

    def interval(self, name: str | None) -> Interval:
        """Returns the interval of that name, or the only one."""
        return choose_interval(self.group, name)

    def close(self) -> None:
        """Close the connections; the next read makes new ones."""
        self._store.close()


class AsyncGroupReader:
    """`GroupReader` for asyncio: the same methods, each run in a thread."""

    def __init__(self, reader: GroupReader) -> None:
        self._reader = reader

    async def last(self, interval: str | None = None) -> Snapshot:
        """Returns the last finished interval."""
        return await asyncio.to_thread(self._reader.last, interval)

    async def current(self, interval: str | None = None) -> Snapshot:
        """Returns the current interval."""
        return await asyncio.to_thread(self._reader.current, interval)

    async def both(self, interval: str | None = None) -> tuple[Snapshot, Snapshot]:
        """Returns the last finished and the current interval, as of the same time."""
        return await asyncio.to_thread(self._reader.both, interval)

    async def history(self, interval: str | None = None, n: int | None = None) -> list[Snapshot]:
        """Returns the last `n` finished intervals, oldest first."""
        return await asyncio.to_thread(self._reader.history, interval, n)

    async def totals(self) -> Totals:
        """Returns the all-time total of each event."""
        return await asyncio.to_thread(self._reader.totals)

    async def position(self, interval: str | None = None) -> str:
        """Returns the position of the newest finished interval."""
        return await asyncio.to_thread(self._reader.position, interval)

    def follow(self, interval: str | None = None, after: After = None) -> AsyncIterator[Snapshot]:
        """Yield each interval once, in order, as it finishes."""
        return self._follow(self._reader.follower(interval, after))

    async def _follow(self, follower: Follower) -> AsyncIterator[Snapshot]:
        while True:
            snapshot, wait_s = await asyncio.to_thread(follower.step)
            if snapshot:
                yield snapshot
            else:
                await asyncio.sleep(wait_s)
