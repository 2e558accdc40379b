"""Server-sent events of finished intervals. Each interval is read once for all of its streams.

Format: html.spec.whatwg.org/multipage/server-sent-events.html.

A feed follows one interval of one group. The first stream creates it:

    feed      what it does                             next state, and what leads there
    --------  ---------------------------------------  ------------------------------------------------
    starting  reads the newest position                running: the position is known
    running   queues each finished interval            stopped: Redis rejects a read
              for its streams                          closed: the last stream leaves
    stopped   ends its streams; the next `open`        closed: the last stream leaves
              creates another feed

    stream       what it sends                         next state, and what leads there
    -----------  ------------------------------------  ------------------------------------------------
    catching up  intervals of the history after its    live: the position of the feed is reached
                 position                              closed: the client disconnects
    live         intervals of its queue                ended: the client is too slow, the feed stops,
                                                       its group changes, or the server stops
                                                       closed: the client disconnects
    ended        the rest of its queue                 closed: the queue is empty

The feed fills the queue of a stream from `join` on, also while the stream is catching up. So an interval may
come from both the history and the queue; `Stream` sends it once, because it compares positions.
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

#: Most intervals that wait for a client. A slower client is disconnected, and can resume.
_LONGEST_QUEUE = 16

#: Seconds without an event after which a comment is sent, so that proxies keep the connection open.
_KEEP_ALIVE_S = 15.0
_KEEP_ALIVE = b":\n\n"

#: Start of each stream: milliseconds until a browser reconnects, and the position after which it then resumes
#: if no event has arrived. Browsers keep an `id` that comes without data, too.
_PREAMBLE = "retry: 1000\nid: {position}\n\n"

#: Most concurrent reads of all followers.
_THREADS = 4


class Event(NamedTuple):
    """A finished interval in the format of the stream."""

    position: HistoryPosition
    text: bytes

    @classmethod
    def of(cls, snapshot: Snapshot) -> Event:
        """Returns the event of a finished interval."""
        data = json.dumps(representations.finished_interval(snapshot), separators=(",", ":"))
        position = HistoryPosition.parse(snapshot.position or "")
        return cls(position, f"event: interval\nid: {position}\ndata: {data}\n\n".encode())


class _Feed:
    """Follows one interval of a group for all of its streams.

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
        """Add a stream; return the position after which the feed queues all finished intervals for it.

        Raises:
            StoreError: Redis does not answer.
        """
        self._streams.add(stream)
        return max(self._position, await asyncio.shield(self._started))

    @property
    def is_stopped(self) -> bool:
        """True if the feed has stopped because Redis rejected a read."""
        return self._task is not None and self._task.done()

    def leave(self, stream: Stream) -> bool:
        """Remove a stream; return whether it was the last one, which closes the feed."""
        self._streams.discard(stream)
        if not self._streams:
            for task in filter(None, (self._started, self._task)):
                task.cancel()
        return not self._streams

    def end_streams(self) -> None:
        """End each stream after the rest of its queue."""
        for stream in tuple(self._streams):
            stream.end()

    async def since(self, position: HistoryPosition) -> AsyncIterator[Event]:
        """Returns the intervals after a position, up to the position of the feed."""
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
            pass  # the next `open` raises it
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
    """The stream of one client.

    Attributes:
        sent: Position up to which the client has the intervals.
    """

    def __init__(self, feed: _Feed, on_close: Callable[[Stream], None]) -> None:
        self.sent = HistoryPosition(0)
        self._feed = feed
        self._on_close = on_close
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()

    def put(self, event: Event) -> None:
        """Queue an event; end the stream if too many are waiting."""
        if self._queue.qsize() < _LONGEST_QUEUE:
            self._queue.put_nowait(event)
        else:
            self.close()
            self._queue = asyncio.Queue()  # frees the events, which the client does not read
            self.end()

    def end(self) -> None:
        """End after the rest of the queue."""
        self._queue.put_nowait(None)

    def close(self) -> None:
        """Leave the feed."""
        self._on_close(self)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Returns the bytes of the response."""
        yield _PREAMBLE.format(position=self.sent).encode()
        async for event in _with_keep_alives(self._events()):
            yield event.text if event else _KEEP_ALIVE

    async def _events(self) -> AsyncIterator[Event]:
        """Returns each event once."""
        async for event in self._feed.since(self.sent):
            self.sent = event.position
            yield event
        while event_or_end := await self._queue.get():
            # The first events of the queue may have been sent from the history.
            if history_positions.is_behind(event_or_end.position, self.sent):
                yield event_or_end


async def _with_keep_alives(events: AsyncIterator[Event]) -> AsyncIterator[Event | None]:
    """Returns each event, and None after each 15 s without one."""
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
        """Open a stream of intervals that finish after a position, or from now on; the caller closes it.

        Raises:
            NotConfigured: The group keeps no history.
            StoreError: Redis does not answer.
        """
        key = (group.name, interval.name)
        feed = self._feeds.get(key)
        if feed is None or feed.is_stopped:
            reader = GroupReader(group, self._store)
            reader.follower(interval.name)  # raises if the group keeps no history
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
        """End the streams of groups that a configuration changes, hides or lacks; clients can resume."""
        shown = config.shown_groups
        for key, feed in tuple(self._feeds.items()):
            if feed.group not in shown:
                del self._feeds[key]
                feed.end_streams()

    def end(self) -> None:
        """End all streams after the rest of their queues."""
        for feed in self._feeds.values():
            feed.end_streams()

    def _close(self, key: tuple[str, str], feed: _Feed, stream: Stream) -> None:
        if feed.leave(stream) and self._feeds.get(key) is feed:
            del self._feeds[key]
