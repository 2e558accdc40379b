"""Adds up what readers see, interval by interval."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from event_count_logger.config import Config
from event_count_logger.reader import Reader
from event_count_logger.store import Store


@dataclass
class Finished:
    """One finished interval as it was read."""

    start: float
    end: float
    counts: Counter[str]


@dataclass
class Follower:
    """Reads one interval of a group again and again, and keeps every finished interval.

    The sum of all that have finished and of the running one is read as of one moment.
    """

    config: Config
    group: str
    interval: str
    finished: list[Finished] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = Reader(Store(self.config.redis, timeout_s=10))
        self._stop = threading.Event()
        self._current: Counter[str] = Counter()
        self.look()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def look(self) -> None:
        group = self.config.groups[self.group]
        interval = group.interval(self.interval)
        assert interval
        last, current = self._reader.read(group, interval, "last", "cur")
        before = self.finished[-1].end if self.finished else last.start
        if last.start is not None and last.end is not None and last.end != before:
            assert last.start == before, "no interval was missed"
            self.finished.append(Finished(last.start, last.end, Counter(last.counts)))
        self._current = Counter(current.counts)

    def _follow(self) -> None:
        while not self._stop.wait(0.05):
            self.look()

    def total(self) -> dict[str, int]:
        """Everything that was counted so far; ends the following."""
        self._stop.set()
        self._thread.join()
        self.look()
        self._reader.close()
        total = sum((each.counts for each in self.finished), Counter(self._current))
        return {event: count for event, count in total.items() if count}
