"""Counts the entries of a Redis Stream, each exactly once, as one of the consumers of a consumer group.

Usage: redis_stream.py CONFIG GROUP URL STREAM CONSUMER

Entries have the fields `event` and `count`. GROUP is the group of events in CONFIG, and the name of the
consumer group. It may be killed at any moment and started again. Several may run at the same time, each with
a CONSUMER name of its own, which it keeps when it is started again.

Not allowed is to claim entries of another consumer (XCLAIM, XAUTOCLAIM): they may have been counted and not
acknowledged yet. Start the other consumer again instead.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from operator import itemgetter
from typing import Any

import redis

from event_count_logger import EventCountLogger

#: Entries that are read at once, and for which acknowledgements are looked up at once.
BATCH_SIZE = 1000

#: Milliseconds to wait for new entries before those that have come are committed.
WAIT_MS = 500


class Stream:
    """What one consumer gets of a stream."""

    def __init__(self, url: str, stream: str, group: str, consumer: str) -> None:
        self._client: Any = redis.Redis.from_url(url, decode_responses=True, protocol=2)
        self._stream = stream
        self._group = group
        self._consumer = consumer
        with suppress(redis.ResponseError):  # it is there already
            self._client.xgroup_create(stream, group, id="0", mkstream=True)

    def entries(self, position: str) -> Iterator[tuple[str, dict[str, str]] | None]:
        """First those that this consumer was given before, then new ones; None if none come for a while."""
        if position:
            self.acknowledge(position)  # it may have been killed before it could
        after = "0"
        while old := self._read(after):
            yield from (entry for entry in old if entry[1])  # what was trimmed has nothing in it
            after = old[-1][0]
        while True:
            new = self._read(">")
            yield from new
            if not new:
                yield None

    def acknowledge(self, position: str) -> None:
        """Everything up to a position is counted."""
        mine = {"consumername": self._consumer, "min": "-", "max": position, "count": BATCH_SIZE}
        while pending := self._client.xpending_range(self._stream, self._group, **mine):
            self._client.xack(self._stream, self._group, *(entry["message_id"] for entry in pending))

    def _read(self, after: str) -> list[tuple[str, dict[str, str]]]:
        found = self._client.xreadgroup(
            self._group, self._consumer, {self._stream: after}, count=BATCH_SIZE, block=WAIT_MS
        )
        return found[0][1] if found else []


def main(config: str, group: str, url: str, stream: str, consumer: str) -> None:
    """Count until it is killed."""
    source = Stream(url, stream, group, consumer)
    with EventCountLogger.from_file(config) as ecl:
        ecl[group].consume(
            f"{stream} {consumer}",
            source.entries,
            position=itemgetter(0),
            key=lambda entry: entry[1]["event"],
            count=lambda entry: int(entry[1]["count"]),
            committed=source.acknowledge,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
