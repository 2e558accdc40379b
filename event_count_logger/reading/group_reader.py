"""The public API to read the counts of one group."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from event_count_logger.config import GroupConfig
from event_count_logger.config.choices import choices
from event_count_logger.errors import NotConfigured
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.reading.follow import After, Follower
from event_count_logger.reading.range_sum import RangeSum
from event_count_logger.reading.reader import Reader, Snapshot, Totals
from event_count_logger.reading.rotation_wait import read_once_rotated
from event_count_logger.reading.times import Time
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
        names = choices(name or "", (interval.name for interval in group.intervals))
        if name is None:
            raise NotConfigured(f"group '{group.name}' has several intervals, name one{names}")
        raise NotConfigured(f"group '{group.name}' has no interval '{name}'{names}")
    return found


class GroupReader:
    """A reader of the counts of one group; see `EventCountLogger.reader`. Threads may share it.

    `interval` is the name of an interval in the configuration; None stands for the only one. All methods
    raise `NotConfigured` for an unknown interval. Methods that read raise `Unavailable` if Redis does not
    answer, and `Rejected` if it answers with an error. `follow` waits while Redis is unavailable.

    Example:
        last, current = reader.both("5m")
        print(last.counts["ok"], current.counts["ok"])  # 4 0
        print(reader.totals().counts["ok"])  # 4

    Attributes:
        group: The settings of the group.
    """

    def __init__(self, group: GroupConfig, store: Store) -> None:
        self.group = group
        self._store = store
        self._reader = Reader(store)

    def last(self, interval: str | None = None) -> Snapshot:
        """Returns the last finished interval; `Snapshot.empty` if none has finished."""
        return self._reader.read(self.group, self._interval(interval), "last")[0]

    def rotated(self, interval: str | None, *halves: Half) -> tuple[Snapshot, ...]:
        """Returns snapshots as of the same time, as `both` does; waits up to 1 s for a rotation that is due.

        Example:
            last, current = reader.rotated("5m", "last", "cur")

        Args:
            interval: Name of the interval; None for the only one.
            *halves: "last" for the last finished interval, "cur" for the current one, or both.
        """
        return read_once_rotated(self._reader, self.group, self._interval(interval), *halves)

    def current(self, interval: str | None = None) -> Snapshot:
        """Returns the current interval; `Snapshot.empty` if no master has started it."""
        return self._reader.read(self.group, self._interval(interval), "cur")[0]

    def both(self, interval: str | None = None) -> tuple[Snapshot, Snapshot]:
        """Returns the last finished and the current interval, as of the same time."""
        last, current = self._reader.read(self.group, self._interval(interval), "last", "cur")
        return last, current

    def history(
        self,
        interval: str | None = None,
        n: int | None = None,
        *,
        since: Time | None = None,
        until: Time | None = None,
    ) -> list[Snapshot]:
        """Returns finished intervals, oldest first; an empty list if the group keeps no history.

        An interval belongs to a range of time if its start does: `since` is the first start in the range, and
        `until` the first one after it. Adjacent ranges therefore share no interval, and lose none. A time is
        one of these:

        * Unix seconds;
        * a `datetime` with a time zone;
        * a length of time before now, by the clock of Redis, such as `"2h"` or `"7d"`;
        * a date, or date and time, in ISO 8601, such as `"2026-11-30T12:00Z"`; in UTC if it names no zone.

        Example:
            for snapshot in reader.history("5m", since="2h"):
                print(snapshot.counts["ok"])  # 4

        Args:
            interval: Name of the interval; None for the only one.
            n: Number of intervals, the newest ones; None for all that the history holds.
            since: Start of the range of time; None for the beginning of the history.
            until: End of the range of time; None for now.

        Raises:
            ValueError: A time is invalid, or `since` is after `until`.
        """
        wanted = self._reader.range_of(self.group, since, until)
        return self._reader.history(self.group, self._interval(interval), n, wanted)

    def sum(
        self, interval: str | None = None, *, since: Time | None = None, until: Time | None = None
    ) -> RangeSum:
        """Returns the sum of the finished intervals in a range of time; see `history` for the range.

        It also has the time that these intervals cover, and the parts of the range that are missing. It takes
        the same memory for any range, and asks Redis for a part of the history at a time.

        Example:
            found = reader.sum("5m", since="2h")
            print(found.counts["ok"], found.n_intervals)  # 4 1

        Args:
            interval: Name of the interval; None for the only one.
            since: Start of the range of time; None for the beginning of the history.
            until: End of the range of time; None for now.

        Raises:
            ValueError: A time is invalid, or `since` is after `until`.
        """
        wanted = self._reader.range_of(self.group, since, until)
        return self._reader.sum(self.group, self._interval(interval), wanted)

    def totals(self) -> Totals:
        """Returns the all-time total of each event, including the current interval.

        Raises:
            NotConfigured: The group keeps no totals.
        """
        return self._reader.totals(self.group)

    def position(self, interval: str | None = None) -> str:
        """Returns the position of the newest finished interval; `follow` after it gives all later ones."""
        return str(self._store.reads.newest_position(self.group, self._interval(interval)))

    def follow(self, interval: str | None = None, after: After = None) -> Iterator[Snapshot]:
        """Yield each interval once, in order, as it finishes; wait while Redis is unavailable.

        Example:
            for snapshot in reader.follow("5m", after=0):
                print(snapshot.counts["ok"], snapshot.missed)  # 4 0
                break

        Args:
            interval: Name of the interval; None for the only one.
            after: The `position` of the last snapshot processed, to continue behind it. Unix seconds stand
                for all intervals that ended later, None for those that finish from now on.

        Returns:
            An endless iterator. `Snapshot.missed` is the number of intervals that the history had already
            dropped before that one.

        Raises:
            NotConfigured: The group keeps no history.
            Rejected: Redis answers with an error.
            ValueError: `after` is neither a position nor a time.
        """
        return self._follow(self.follower(interval, after))

    def follower(self, interval: str | None = None, after: After = None) -> Follower:
        """Returns the cursor of `follow`, for programs that wait between its steps in their own way.

        Args:
            interval: Name of the interval; None for the only one.
            after: See `follow`.

        Raises:
            NotConfigured: The group keeps no history.
            ValueError: `after` is neither a position nor a time.
        """
        return Follower(self._store, self.group, self._interval(interval), after)

    def _follow(self, follower: Follower) -> Iterator[Snapshot]:
        while True:
            snapshot, wait_s = follower.step()
            if snapshot:
                yield snapshot
            else:
                time.sleep(wait_s)

    def close(self) -> None:
        """Close the connections of all readers of this `EventCountLogger`; the next read opens new ones."""
        self._store.close()

    def _interval(self, name: str | None) -> Interval:
        return choose_interval(self.group, name)


class AsyncGroupReader:
    """A `GroupReader` for asyncio; see `EventCountLogger.async_reader`. Each method runs in a thread.

    Arguments and errors are those of the methods of `GroupReader`: `interval`, `n`, `since`, `until` and
    `after`.

    Example:
        async def print_last():
            reader = ecl.async_reader("requests")
            print((await reader.last("5m")).counts["ok"])


        asyncio.run(print_last())  # prints 4
    """

    def __init__(self, reader: GroupReader) -> None:
        self._reader = reader

    async def last(self, interval: str | None = None) -> Snapshot:
        """Returns the last finished interval; see `GroupReader.last`."""
        return await asyncio.to_thread(self._reader.last, interval)

    async def current(self, interval: str | None = None) -> Snapshot:
        """Returns the current interval; see `GroupReader.current`."""
        return await asyncio.to_thread(self._reader.current, interval)

    async def both(self, interval: str | None = None) -> tuple[Snapshot, Snapshot]:
        """Returns the last finished and the current interval; see `GroupReader.both`."""
        return await asyncio.to_thread(self._reader.both, interval)

    async def history(
        self,
        interval: str | None = None,
        n: int | None = None,
        *,
        since: Time | None = None,
        until: Time | None = None,
    ) -> list[Snapshot]:
        """Returns finished intervals, oldest first; see `GroupReader.history`."""
        return await asyncio.to_thread(self._reader.history, interval, n, since=since, until=until)

    async def sum(
        self, interval: str | None = None, *, since: Time | None = None, until: Time | None = None
    ) -> RangeSum:
        """Returns the sum of the finished intervals in a range of time; see `GroupReader.sum`."""
        return await asyncio.to_thread(self._reader.sum, interval, since=since, until=until)

    async def totals(self) -> Totals:
        """Returns the all-time total of each event; see `GroupReader.totals`."""
        return await asyncio.to_thread(self._reader.totals)

    async def position(self, interval: str | None = None) -> str:
        """Returns the position of the newest finished interval; see `GroupReader.position`."""
        return await asyncio.to_thread(self._reader.position, interval)

    def follow(self, interval: str | None = None, after: After = None) -> AsyncIterator[Snapshot]:
        """Yield each interval once, in order, as it finishes; see `GroupReader.follow`.

        Returns:
            An endless iterator, for `async for`.
        """
        return self._follow(self._reader.follower(interval, after))

    async def _follow(self, follower: Follower) -> AsyncIterator[Snapshot]:
        while True:
            snapshot, wait_s = await asyncio.to_thread(follower.step)
            if snapshot:
                yield snapshot
            else:
                await asyncio.sleep(wait_s)
