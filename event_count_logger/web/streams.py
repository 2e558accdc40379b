"""Server-sent events: each finished interval is read once, however many streams want it.

Format: html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from event_count_logger.config import Config, GroupConfig
from event_count_logger.errors import StoreError
from event_count_logger.intervals import Interval
from event_count_logger.reading import history_positions
from event_count_logger.reading.follow import Follower
from event_count_logger.reading.group_reader import GroupReader
from event_count_logger.reading.reader import Snapshot
from event_count_logger.store import HistoryPosition, Store
from event_count_logger.web import representations

_T = TypeVar("_T")

#: Finished intervals that may wait for a client; one that reads so slowly is cut off, and can resume.
_LONGEST_QUEUE = 16

#: Seconds without an event after which a comment is sent, so that proxies keep the connection.
_KEEP_ALIVE_S = 15.0
_KEEP_ALIVE = b":\n\n"

#: The first thing in a stream: how many milliseconds browsers wait before they connect again, and behind what
#: they then go on if no event has come before. An `id` counts without data, too.
_PREAMBLE = "retry: 1000\nid: {position}\n\n"

#: How many followers ask Redis at once.
_THREADS = 4


class Event(NamedTuple):
    """A finished interval, as it is sent."""

    position: HistoryPosition
    text: bytes

    @classmethod
    def of(cls, snapshot: Snapshot) -> Event:
        """The event that tells of a finished interval out of the history."""
        data = json.dumps(representations.finished_interval(snapshot), separators=(",", ":"))
        position = HistoryPosition.parse(snapshot.position or "")
        return cls(position, f"event: interval\nid: {position}\ndata: {data}\n\n".encode())


class _Feed:
    """Follows one interval of a group for all of its streams, as long as there are any.

    Attributes:
        group: The group.
    """

    def __init__(
        self, group: GroupConfig, reader: GroupReader, interval: Interval, threads: ThreadPoolExecutor
    ) -> None:
        self.group = group
        self._reader = reader
        self._interval = interval.name
        self._threads = threads
        self._position = HistoryPosition(0)
        self._streams: set[Stream] = set()
        self._task: asyncio.Task[None] | None = None
        self._started = asyncio.ensure_future(self._start())

    async def join(self, stream: Stream) -> HistoryPosition:
        """Give the stream all that finishes from now on; returns behind what that is.

        Raises:
            StoreError: Redis does not answer.
        """
        self._streams.add(stream)
        return max(self._position, await asyncio.shield(self._started))

    @property
    def is_stopped(self) -> bool:
        """Whether it follows no more, because Redis refused to go on."""
        return self._task is not None and self._task.done()

    def leave(self, stream: Stream) -> bool:
        """Give the stream nothing more; returns whether it was the last one, which ends the feed."""
        self._streams.discard(stream)
        if not self._streams:
            for task in filter(None, (self._started, self._task)):
                task.cancel()
        return not self._streams

    def end_streams(self) -> None:
        """Let every stream end when it has sent what it has."""
        for stream in tuple(self._streams):
            stream.end()

    async def since(self, position: HistoryPosition) -> AsyncIterator[Event]:
        """What has finished after a position, up to where the feed is."""
        follower = self._reader.follower(self._interval, str(position))
        while history_positions.is_behind(self._position, position):
            event, wait_s = await self._step(follower)
            if event:
                position = event.position
                yield event
            else:
                await asyncio.sleep(wait_s)

    async def _start(self) -> HistoryPosition:
        newest = await self._in_thread(lambda: self._reader.position(self._interval))
        self._position = HistoryPosition.parse(newest)
        self._task = asyncio.ensure_future(self._follow())
        return self._position

    async def _follow(self) -> None:
        follower = self._reader.follower(self._interval, str(self._position))
        try:
            while True:
                event, wait_s = await self._step(follower)
                if event:
                    self._publish(event)
                else:
                    await asyncio.sleep(wait_s)
        except StoreError:
            pass  # who opens a stream again is told why
        finally:
            self.end_streams()

    def _publish(self, event: Event) -> None:
        self._position = event.position
        for stream in tuple(self._streams):
            stream.put(event)

    async def _step(self, follower: Follower) -> tuple[Event | None, float]:
        def step() -> tuple[Event | None, float]:
            snapshot, wait_s = follower.step()
            return (Event.of(snapshot) if snapshot else None), wait_s

        return await self._in_thread(step)

    async def _in_thread(self, function: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)


class Stream:
    """What one client is sent.

    Attributes:
        sent: Up to where it knows; what finishes behind that is sent.
    """

    def __init__(self, feed: _Feed, on_close: Callable[[Stream], None]) -> None:
        self.sent = HistoryPosition(0)
        self._feed = feed
        self._on_close = on_close
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()

    def put(self, event: Event) -> None:
        """Send an event, or end if too many are waiting already."""
        if self._queue.qsize() < _LONGEST_QUEUE:
            self._queue.put_nowait(event)
        else:
            self.close()
            self._queue = asyncio.Queue()  # what it holds would be sent to nobody for as long as nobody reads
            self.end()

    def end(self) -> None:
        """End when what is waiting is sent."""
        self._queue.put_nowait(None)

    def close(self) -> None:
        """Take nothing more."""
        self._on_close(self)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the response."""
        yield _PREAMBLE.format(position=self.sent).encode()
        async for event in _with_keep_alives(self._events()):
            yield event.text if event else _KEEP_ALIVE

    async def _events(self) -> AsyncIterator[Event]:
        """Each event once."""
        async for event in self._feed.since(self.sent):
            self.sent = event.position
            yield event
        while event_or_end := await self._queue.get():
            # The first ones may have been sent already, from the history.
            if history_positions.is_behind(event_or_end.position, self.sent):
                yield event_or_end


async def _with_keep_alives(events: AsyncIterator[Event]) -> AsyncIterator[Event | None]:
    """Each event, and None whenever there was none for long."""
    while True:
        coming = asyncio.ensure_future(anext(events))
        try:
            while not (await asyncio.wait([coming], timeout=_KEEP_ALIVE_S))[0]:
                yield None
            yield coming.result()
        except StopAsyncIteration:
            return
        finally:
            coming.cancel()


class Hub:
    """All open streams."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._feeds: dict[tuple[str, str], _Feed] = {}
        self._threads = ThreadPoolExecutor(_THREADS, "follow")

    async def open(self, group: GroupConfig, interval: Interval, after: HistoryPosition | None) -> Stream:
        """A stream of the intervals that finish after a position, or from now on; to be closed.

        Raises:
            NotConfigured: The group keeps no history.
            StoreError: Redis does not answer.
        """
        key = (group.name, interval.name)
        feed = self._feeds.get(key)
        if feed is None or feed.is_stopped:
            reader = GroupReader(group, self._store)
            reader.follower(interval.name)  # raises now if it keeps no history
            feed = self._feeds[key] = _Feed(group, reader, interval, self._threads)
        stream = Stream(feed, lambda stream: self._close(key, feed, stream))
        try:
            newest = await feed.join(stream)
        except BaseException:
            stream.close()
            raise
        stream.sent = newest if after is None else after
        return stream

    def use(self, config: Config) -> None:
        """End the streams of what another configuration changes, hides or lacks; they can be resumed."""
        shown = config.shown_groups
        for key, feed in tuple(self._feeds.items()):
            if feed.group not in shown:
                del self._feeds[key]
                feed.end_streams()

    def end(self) -> None:
        """Let all streams end when they have sent what they have."""
        for feed in self._feeds.values():
            feed.end_streams()

    def _close(self, key: tuple[str, str], feed: _Feed, stream: Stream) -> None:
        if feed.leave(stream) and self._feeds.get(key) is feed:
            del self._feeds[key]
