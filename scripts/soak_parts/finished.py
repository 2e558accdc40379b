"""The finished intervals: as the reader sees them, and as the journal of the server has them: all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import redis

from event_count_logger import StoreError, keys
from event_count_logger.config import Config, RedisConfig
from event_count_logger.intervals import Interval
from event_count_logger.reader import Reader, Snapshot
from event_count_logger.store import Store

#: Counts by group and start, in Unix seconds.
Finished = dict[tuple[str, float], Mapping[str, int]]


class Follower:
    """Reads each finished interval once, unless the next one comes too soon after it.

    Attributes:
        seen: What it has read.
    """

    def __init__(self, config: Config, interval: Interval, socket: Path, client: redis.Redis) -> None:
        self.seen: Finished = {}
        self._groups = config.groups
        self._interval = interval
        self._client = client
        self._reader = Reader(Store(RedisConfig(url=f"unix://{socket}")))
        self._starts = [keys.timestamp(name, interval.name, "last") for name in config.groups]

    def look(self) -> None:
        with suppress(redis.RedisError, StoreError):  # the server is away now and then
            for name, start in zip(self._groups, self._client.mget(self._starts), strict=True):
                if start and (name, float(start)) not in self.seen:
                    last = self.read(name, self._interval, "last")
                    self.seen[name, last.start] = last.counts

    def read(self, group: str, interval: Interval, half: keys.Half) -> Snapshot:
        (snapshot,) = self._reader.read(self._groups[group], interval, half)
        return snapshot


def in_journal(folder: Path, interval: Interval) -> Finished:
    """From all the commands that the server has carried out, which are in its append-only files.

    Raises:
        ValueError: An interval was ended twice.
    """
    finished: Finished = {}
    counts: dict[str, dict[str, int]] = {}
    infix = f":{interval.name}:last:"
    for command, *words in _commands(folder):
        if command == "MSET":
            for key, value in zip(words[::2], words[1::2], strict=True):
                group, found, event_id = key.partition(infix)
                if found:
                    counts.setdefault(group, {})[event_id] = int(value)
        elif command == "SET" and words[0].endswith(f"{infix}@ts"):
            group, start = words[0].partition(infix)[0], float(words[1])
            if (group, start) in finished:
                raise ValueError(f"{group}: the interval that began at {start} was ended twice")
            finished[group, start] = counts.pop(group, {})
    return finished


def _commands(folder: Path) -> Iterator[list[str]]:
    for path in sorted(folder.glob("appendonlydir/*.incr.aof")):
        with path.open("rb") as file:
            while header := file.readline():
                yield [_word(file) for _ in range(int(header[1:]))]


def _word(file: BinaryIO) -> str:
    size = int(file.readline()[1:])
    return file.read(size + 2)[:-2].decode()
