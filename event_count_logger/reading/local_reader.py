"""Local counters of this machine's processes, read from their spool files at no cost to them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from event_count_logger.config import Config
from event_count_logger.counting import spool_file
from event_count_logger.counting.implementation import LARGEST
from event_count_logger.counting.spool_file import SpoolReader
from event_count_logger.counting.spool_format import Damaged, Description, HeaderWord, SpoolContents, distance


@dataclass(frozen=True, slots=True)
class LocalCount:
    """The counts of one event in one process, or in several.

    Attributes:
        total: Number logged.
        unsent: Number of logged counts that Redis has not confirmed.
    """

    total: int = 0
    unsent: int = 0

    @property
    def sent(self) -> int:
        """The counts that Redis has confirmed."""
        return self.total - self.unsent

    def __add__(self, other: LocalCount) -> LocalCount:
        return LocalCount(self.total + other.total, self.unsent + other.unsent)


@dataclass(frozen=True, slots=True)
class LocalSnapshot:
    """The counters of one process for one group.

    Attributes:
        group: Name of the group.
        pid: Process ID.
        alive: True if the process runs. If it has ended, its unsent counts are to be recovered.
        counts: Counts per event, in the order in which the process first logged the events.
        path: Its spool file.
        sent_s: Seconds since the process had last sent everything, or since it began to count.
        native: True if it counts in C, False if in pure Python.
    """

    group: str
    pid: int
    alive: bool
    counts: Mapping[str, LocalCount]
    path: Path
    sent_s: float
    native: bool = True

    @property
    def unsent(self) -> int:
        """The number of counts that Redis has not confirmed."""
        return sum(count.unsent for count in self.counts.values())

    def has_sent(self, earlier: LocalSnapshot) -> bool:
        """Returns whether Redis has confirmed all counts of an earlier snapshot."""
        return all(
            self.counts.get(event_id, LocalCount()).sent >= count.total
            for event_id, count in earlier.counts.items()
        )


@dataclass(frozen=True, slots=True)
class UndeliveredFile:
    """A spool file whose process has ended, and whose counts are not in Redis.

    Attributes:
        path: Path of the file.
        size: Size in bytes.
        since: Unix seconds at which its process began to count; if unknown, of the last write to the file.
        group: Name of the group; '' if unknown.
        redis: The database that the counts are for; '' if unknown.
        is_ours: True if that is the database of this configuration, or unknown.
        unsent: Number of counts that Redis has not confirmed; None if the file was not read.
        fault: The reason why the file cannot be read; '' if it can.
    """

    path: Path
    size: int
    since: float
    group: str = ""
    redis: str = ""
    is_ours: bool = True
    unsent: int | None = None
    fault: str = ""


class LocalReader:
    """A reader of the spool files of one configuration on this machine."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def read(self) -> list[LocalSnapshot]:
        """Returns a snapshot for each process and group, sorted by group.

        Raises:
            OSError: A spool directory cannot be used.
        """
        return self.examine()[0]

    def examine(self) -> tuple[list[LocalSnapshot], list[UndeliveredFile]]:
        """Returns the snapshots of `read`, and the undelivered files in the order of their names.

        Raises:
            OSError: A spool directory cannot be used.
        """
        return self.examine_files(self.paths())

    def examine_files(self, paths: Iterable[Path]) -> tuple[list[LocalSnapshot], list[UndeliveredFile]]:
        """Returns the same as `examine` for some spool files; files that are gone are left out."""
        snapshots: list[LocalSnapshot] = []
        undelivered: list[UndeliveredFile] = []
        for path in paths:
            with suppress(FileNotFoundError):
                try:
                    snapshot, file = self._examine(path)
                except (Damaged, OSError) as error:
                    snapshot, file = None, _unreadable(path, error)
                snapshots += [snapshot] if snapshot else []
                undelivered += [file] if file else []
        return sorted(snapshots, key=lambda snapshot: (snapshot.group, snapshot.pid)), undelivered

    def _examine(self, path: Path) -> tuple[LocalSnapshot | None, UndeliveredFile | None]:
        """Read a file: all of it if it is for this Redis, otherwise only its header."""
        with SpoolReader(path) as window:
            alive, described, size = window.is_held(), window.description(), window.size()
            file = UndeliveredFile(path, size, described.started, described.group, described.redis)
            if not self.is_ours(described):
                return None, None if alive else replace(file, is_ours=False)
            contents = window.contents()
        sent_s = (time.monotonic_ns() - contents.words[HeaderWord.SENT_UNTIL]) / 1e9
        group, pid = described.group, described.pid
        snapshot = LocalSnapshot(group, pid, alive, _counts(contents), path, sent_s, described.native)
        return snapshot, None if alive or not snapshot.unsent else replace(file, unsent=snapshot.unsent)

    def paths(self) -> list[Path]:
        """Returns all spool files, including those of other configurations.

        Raises:
            OSError: A spool directory cannot be used.
        """
        return [path for directory in self._config.spool_dirs for path in spool_file.find(directory)]

    def is_ours(self, description: Description) -> bool:
        """Returns whether a file is for the Redis of this configuration."""
        return description.redis == self._config.redis.identity


class LocalRates:
    """Counts logged between one call of `next` and the following one, summed over all processes of a group.

    Processes that start or end in between are included.
    """

    def __init__(self, reader: LocalReader, group: str, events: Sequence[str]) -> None:
        self._reader = reader
        self._group = group
        self._events = events
        self._watched: dict[Path, tuple[SpoolReader, list[int]]] = {}
        self._ignored: set[Path] = set()

    def next(self) -> list[int]:
        """Returns the counts of each event since the last call; the first call returns those so far.

        Raises:
            OSError: A spool directory cannot be used.
        """
        existing = set(self._reader.paths())
        self._ignored &= existing
        for path in existing - self._watched.keys() - self._ignored:
            self._watch(path)
        sums = [0] * len(self._events)
        for path, (window, before) in tuple(self._watched.items()):
            totals = self._totals(window)
            sums = [sum_ + distance(*pair) for sum_, *pair in zip(sums, totals, before, strict=True)]
            self._watched[path] = window, totals
            if path not in existing:  # its process has ended, and its last counts have just been read
                window.close()
                del self._watched[path]
        return sums

    def close(self) -> None:
        """Close all spool files."""
        for window, _ in self._watched.values():
            window.close()
        self._watched.clear()

    def _watch(self, path: Path) -> None:
        with suppress(OSError, Damaged):
            window = SpoolReader(path)
            if self._is_wanted(window):
                self._watched[path] = window, [0] * len(self._events)
                return
            window.close()
        self._ignored.add(path)

    def _is_wanted(self, window: SpoolReader) -> bool:
        try:
            description = window.description()
            if not self._reader.is_ours(description) or description.group != self._group:
                return False
            window.contents()
        except Damaged:
            return False
        return True

    def _totals(self, window: SpoolReader) -> list[int]:
        counts = _counts(window.contents())
        return [counts[event_id].total if event_id in counts else 0 for event_id in self._events]


def _unreadable(path: Path, error: Exception) -> UndeliveredFile:
    """Returns the entry of a file that cannot be read; raises FileNotFoundError if the file is gone."""
    status = path.lstat()
    fault = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return UndeliveredFile(path, status.st_size, status.st_mtime, fault=fault)


def _counts(contents: SpoolContents) -> dict[str, LocalCount]:
    counts: dict[str, LocalCount] = {}
    for cell in contents.cells():
        unsent = distance(cell.total, cell.acked)
        count = LocalCount(cell.total, unsent if unsent <= LARGEST else 0)  # confirmed during this read
        counts[cell.event_id] = counts.get(cell.event_id, LocalCount()) + count
    return counts
