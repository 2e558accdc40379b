"""Finished intervals: as a follower reads them, and all of them, from the append-only files of the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from event_count_logger.config import Config, RedisConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.group_reader import GroupReader
from event_count_logger.store import Store

#: Counts by group and start, in Unix seconds.
Finished = dict[tuple[str, float], Mapping[str, int]]


class Follower:
    """Follows all groups while faults happen to the server.

    Attributes:
        finished: Counts of each interval that was read.
        missed: Number of intervals that had left the history before they were read.
    """

    def __init__(self, config: Config, interval: Interval, socket: Path) -> None:
        self.finished: Finished = {}
        self.missed = 0
        store = Store(RedisConfig(url=f"unix://{socket}"))
        self._readers = {name: GroupReader(group, store) for name, group in config.groups.items()}
        self._followers = [reader.follower(interval.name, 0) for reader in self._readers.values()]

    def read_finished(self) -> None:
        """Read the intervals that have finished since the last call.

        Raises:
            ValueError: An interval was read twice.
        """
        for follower in self._followers:
            while snapshot := follower.step()[0]:
                assert snapshot.start is not None
                if (snapshot.group, snapshot.start) in self.finished:
                    raise ValueError(f"{snapshot.group}: the interval from {snapshot.start} was read twice")
                self.finished[snapshot.group, snapshot.start] = snapshot.counts
                self.missed += snapshot.missed

    def current(self, group: str, interval: Interval) -> Mapping[str, int]:
        """Returns the counts of the current interval."""
        return self._readers[group].current(interval.name).counts

    def totals(self, group: str) -> Mapping[str, int]:
        """Returns the all-time totals."""
        return self._readers[group].totals().counts


def in_append_only_files(folder: Path, interval: Interval) -> Finished:
    """Returns all finished intervals, from the commands in the append-only files of the server.

    Raises:
        ValueError: An interval was rotated twice.
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
                raise ValueError(f"{group}: the interval from {start} was rotated twice")
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
