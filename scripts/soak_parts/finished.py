"""The finished intervals: as the reader sees them, and as the journal of the server has them: all of them."""

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
    """Follows all groups past whatever happens to the server.

    Attributes:
        seen: What has finished, as it was given.
        missed: How many intervals were gone before they were given.
    """

    def __init__(self, config: Config, interval: Interval, socket: Path) -> None:
        self.seen: Finished = {}
        self.missed = 0
        store = Store(RedisConfig(url=f"unix://{socket}"))
        self._readers = {name: GroupReader(group, store) for name, group in config.groups.items()}
        self._followers = [reader.follower(interval.name, 0) for reader in self._readers.values()]

    def look(self) -> None:
        """Raises ValueError if an interval is given twice."""
        for follower in self._followers:
            while snapshot := follower.step()[0]:
                if (snapshot.group, snapshot.start) in self.seen:
                    raise ValueError(f"{snapshot.group}: the interval from {snapshot.start} was given twice")
                self.seen[snapshot.group, snapshot.start] = snapshot.counts
                self.missed += snapshot.missed

    def running(self, group: str, interval: Interval) -> Mapping[str, int]:
        """What is in the running interval."""
        return self._readers[group].current(interval.name).counts

    def totals(self, group: str) -> Mapping[str, int]:
        """What was counted since ever."""
        return self._readers[group].totals().counts


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
