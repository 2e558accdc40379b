"""The overview for all clients: one read for all of them, and one per minute without a client.

    feed      what it does                               next state, and what leads there
    --------  -----------------------------------------  -------------------------------------------------
    idle      reads the overview for each request,       following: the first stream opens
              unless it has one of the last 0.4 s;
              without requests once per minute
    following reads it each second, and wakes the        idle: the last stream closes
              streams if anything has changed

A stream holds the number of the revision that its client has, and no queue. When the client can take more, it
gets the difference to the newest revision. A slow client therefore skips revisions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import inf

from event_count_logger.alerts.overview import Row
from event_count_logger.alerts.overview_reader import OverviewReader
from event_count_logger.config import Config
from event_count_logger.errors import StoreError
from event_count_logger.reading.overview import Trend
from event_count_logger.store import Store
from event_count_logger.web import overview
from event_count_logger.web.documents import Document
from event_count_logger.web.representations import public_reason
from event_count_logger.web.revisions import Revisions, RowText, State, to_json
from event_count_logger.web.single_flight import LONGEST_WAIT_S

#: Seconds for which the overview is reused, so that many viewers cost Redis no more than one.
_KEPT_S = 0.4

#: Seconds between two reads without a client. Finished intervals are read once. Without such reads, the first
#: visitor after some hours would wait until all of them are read: ten times as long as usual.
_IDLE_S = 60.0

#: Seconds between two reads for streams. After a slow read, the pause is four times as long as the read.
_PERIOD_S, _PAUSES = 1.0, 4

#: Seconds without an event after which a comment is sent, so that proxies keep the connection open;
#: and seconds between two checks of that. A comment thus comes after at most 15 s.
_KEEP_ALIVE_S, _WAKE_S = 10.0, 5.0
_KEEP_ALIVE = b":\n\n"

#: Threads that wait for Redis while it is read.
_THREADS = 4

#: Start of each stream: milliseconds until a browser reconnects.
_PREAMBLE = b"retry: 1000\n\n"


def _state(reader: OverviewReader) -> State:
    """Read the overview; returns it as JSON."""
    found = reader.read()
    return State(found.now, found.has_master, [_row_text(row) for row in found.rows])


def _row_text(row: Row) -> RowText:
    trend = row.figures.trend if row.figures else Trend()
    return RowText(row.group.name, to_json(overview.figures(row))[:-1], _trend_text(trend))


@lru_cache(maxsize=2000)  # a trend stays the same until an interval finishes
def _trend_text(trend: Trend) -> str:
    return to_json(overview.trend(trend))


class OverviewFeed:
    """The newest overview, and its streams."""

    def __init__(self, config: Config, store: Store, version: str, period_s: float = _PERIOD_S) -> None:
        """`period_s`: Seconds between two reads for streams."""
        self._store = store
        self._version = version
        self._period_s = period_s
        self._thread = ThreadPoolExecutor(1, "overview")
        self._revisions = Revisions()
        self._reading: asyncio.Future[State] | None = None
        self._read_at = self._prepared_at = -inf
        self._failure: str | None = None
        self._streams: set[OverviewStream] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.use(config)

    def use(self, config: Config) -> None:
        """Use another configuration."""
        self._reader = OverviewReader(config, self._store, _THREADS)
        self._read_at = self._prepared_at = -inf

    def prepare(self) -> None:
        """Start to read the overview, if that was not done for a minute; called again and again."""
        now = time.monotonic()
        if now - max(self._read_at, self._prepared_at) >= _IDLE_S:
            self._prepared_at = now
            self._start_reading()

    async def document(self) -> Document:
        """Returns the overview. Its entity tag is the revision.

        Raises:
            StoreError: Redis does not answer.
            asyncio.TimeoutError: The read takes more than 10 s.
        """
        await self._refresh(self._period_s if self._task else _KEPT_S)
        return Document(self._revisions.whole(self._version), f'W/"{self._revisions.id}"')

    async def open(self, after: str | None) -> OverviewStream:
        """Open a stream of the changes after a revision; the caller closes it.

        Raises:
            StoreError: Redis does not answer.
            asyncio.TimeoutError: The read takes more than 10 s.
        """
        await self._refresh(self._period_s if self._task else _KEPT_S)
        stream = OverviewStream(self, self._revisions.parse(after))
        self._streams.add(stream)
        if self._task is None:
            self._task = asyncio.ensure_future(self._follow())
        return stream

    def close(self, stream: OverviewStream) -> None:
        """Remove a stream. The last one ends the reads."""
        self._streams.discard(stream)
        if not self._streams and self._task:
            self._task.cancel()
            self._task = None

    def end(self) -> None:
        """End all streams."""
        for stream in self._streams:
            stream.has_ended = True
        self._wake()

    @property
    def is_reading(self) -> bool:
        """True while the feed reads for streams."""
        return self._task is not None

    @property
    def number(self) -> int:
        """The number of the newest revision."""
        return self._revisions.number

    @property
    def failure(self) -> str | None:
        """The reason why the last read failed; None if it succeeded."""
        return self._failure

    def event_since(self, number: int | None) -> bytes:
        """Returns the event with all changes after a revision, or with everything."""
        return self._revisions.event_since(number)

    async def changed(self) -> None:
        """Wait for a change, a failure, the end, or the time of a comment."""
        await self._changed.wait()

    async def _follow(self) -> None:
        try:
            await self._read_and_wake()
        except Exception:  # the streams would wait for ever
            self._task = None
            self.end()
            raise

    async def _read_and_wake(self) -> None:
        woken_at = time.monotonic()
        while True:
            began = time.monotonic()
            has_news = await self._has_news()
            now = time.monotonic()
            if has_news or now - woken_at >= _WAKE_S:
                woken_at = now
                self._wake()
            await asyncio.sleep(max(self._period_s - (now - began), _PAUSES * (now - began)))

    async def _has_news(self) -> bool:
        """Read the overview; returns whether the streams have anything to send."""
        number, failure = self._revisions.number, self._failure
        try:
            await self._refresh(0)
        except StoreError as error:
            self._failure = public_reason(error)
        except asyncio.TimeoutError:
            self._failure = "Redis does not answer"
        return (number, failure) != (self._revisions.number, self._failure)

    def _wake(self) -> None:
        self._changed.set()  # wakes all that wait now
        self._changed.clear()

    async def _refresh(self, most_age_s: float) -> None:
        """Read the overview, unless the newest one is young enough. Concurrent calls share one read."""
        if self._reading is None and time.monotonic() - self._read_at < most_age_s:
            return
        await asyncio.wait_for(asyncio.shield(self._start_reading()), LONGEST_WAIT_S)

    def _start_reading(self) -> asyncio.Future[State]:
        """Returns the read that is under way, or a new one."""
        if self._reading is None:
            reading = asyncio.get_running_loop().run_in_executor(self._thread, _state, self._reader)
            reading.add_done_callback(self._take)
            self._reading = reading
        return self._reading

    def _take(self, reading: asyncio.Future[State]) -> None:
        self._reading = None
        if reading.cancelled() or reading.exception():
            return
        self._read_at = time.monotonic()
        self._revisions.update(reading.result(), is_news=self._failure is not None)
        self._failure = None


class OverviewStream:
    """The stream of one client.

    Attributes:
        has_ended: True if the stream is to end.
    """

    def __init__(self, feed: OverviewFeed, number: int | None) -> None:
        """`number`: Number of the revision that the client has; None for none."""
        self.has_ended = False
        self._feed = feed
        self._number = number
        self._failure: str | None = None
        self._sent_at = time.monotonic()

    def close(self) -> None:
        """Leave the feed."""
        self._feed.close(self)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Returns the bytes of the response."""
        yield _PREAMBLE
        while not self.has_ended:
            event = self._next_event()
            if not event:
                await self._feed.changed()
                continue
            yield event
            self._sent_at = time.monotonic()

    def _next_event(self) -> bytes:
        """Returns what the client lacks; empty if it lacks nothing."""
        if self._feed.failure != self._failure:
            self._failure = self._feed.failure
            if self._failure:
                return f"event: unavailable\ndata: {to_json({'reason': self._failure})}\n\n".encode()
        if self._number != self._feed.number:
            number, self._number = self._number, self._feed.number
            return self._feed.event_since(number)
        return _KEEP_ALIVE if time.monotonic() - self._sent_at >= _KEEP_ALIVE_S else b""
