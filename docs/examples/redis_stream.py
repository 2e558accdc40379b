"""A consumer of a consumer group that counts each entry of a Redis Stream exactly once.

Usage: redis_stream.py CONFIG GROUP URL STREAM CONSUMER

Entries have the fields `event` and `count`. GROUP is the group of events in CONFIG, and the name of the
consumer group. Kill the program at any time and start it again. Several may run at the same time. Each needs
a CONSUMER name of its own, which it keeps over restarts.

Do not claim entries of another consumer (XCLAIM, XAUTOCLAIM): they may be counted and not yet acknowledged.
Start the other consumer again instead.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from operator import itemgetter
from typing import Any

import redis

from event_count_logger import EventCountLogger

#: Entries per XREADGROUP and per XPENDING.
BATCH_SIZE = 1000

#: Milliseconds to wait for new entries before the entries so far are committed.
WAIT_MS = 500


class Stream:
    """The entries of one consumer of a stream."""

    def __init__(self, url: str, stream: str, group: str, consumer: str) -> None:
        self._client: Any = redis.Redis.from_url(url, decode_responses=True, protocol=2)
        self._stream = stream
        self._group = group
        self._consumer = consumer
        with suppress(redis.ResponseError):  # the consumer group exists already
            self._client.xgroup_create(stream, group, id="0", mkstream=True)

    def entries(self, position: str) -> Iterator[tuple[str, dict[str, str]] | None]:
        """Yields entries that this consumer was given before, then new ones; None while there are none."""
        if position:
            self.acknowledge(position)  # the consumer may have been killed between commit and XACK
        after = "0"
        while old := self._read(after):
            yield from (entry for entry in old if entry[1])  # a trimmed entry has no fields
            after = old[-1][0]
        while True:
            new = self._read(">")
            yield from new
            if not new:
                yield None

    def acknowledge(self, position: str) -> None:
        """Acknowledge all entries up to a position, which are counted."""
        mine = {"consumername": self._consumer, "min": "-", "max": position, "count": BATCH_SIZE}
        while pending := self._client.xpending_range(self._stream, self._group, **mine):
            self._client.xack(self._stream, self._group, *(entry["message_id"] for entry in pending))

    def _read(self, after: str) -> list[tuple[str, dict[str, str]]]:
        found = self._client.xreadgroup(
            self._group, self._consumer, {self._stream: after}, count=BATCH_SIZE, block=WAIT_MS
        )
        return found[0][1] if found else []


def main(config: str, group: str, url: str, stream: str, consumer: str) -> None:
    """Count until the process is killed."""
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
