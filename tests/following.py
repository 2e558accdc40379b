"""Sums of the counts that readers get, interval by interval."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from event_count_logger.config import Config
from event_count_logger.reading.group_reader import GroupReader
from event_count_logger.store import Store


@dataclass
class Finished:
    """One finished interval, as read."""

    start: float
    end: float
    counts: Counter[str]


@dataclass
class IntervalCollector:
    """A thread that reads one interval of a group repeatedly, and keeps every finished one.

    The sum of all finished intervals and of the current one is read as of one time. The history yields the
    intervals that ended while the machine was too busy for this thread.
    """

    config: Config
    group: str
    interval: str
    finished: list[Finished] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = GroupReader(self.config.groups[self.group], Store(self.config.redis, timeout_s=10))
        self._history = self._reader.follower(self.interval, after=0)
        self._stop = threading.Event()
        self._current: Counter[str] = Counter()
        self.look()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def look(self) -> None:
        while True:
            last, current = self._reader.both(self.interval)
            self._take_finished()
            if last.end == (self.finished[-1].end if self.finished else None):
                break  # no interval ended between the two reads
        if self.finished:
            assert self.finished[-1].counts == Counter(last.counts)
        self._current = Counter(current.counts)

    def _take_finished(self) -> None:
        while snapshot := self._history.step()[0]:
            assert not snapshot.missed
            assert snapshot.start is not None and snapshot.end is not None
            assert not self.finished or snapshot.start == self.finished[-1].end
            self.finished.append(Finished(snapshot.start, snapshot.end, Counter(snapshot.counts)))

    def _follow(self) -> None:
        while not self._stop.wait(0.05):
            self.look()

    def total(self) -> dict[str, int]:
        """Stop the thread, and return all counts so far."""
        self._stop.set()
        self._thread.join()
        self.look()
        self._reader.close()
        total = sum((each.counts for each in self.finished), Counter(self._current))
        return {event: count for event, count in total.items() if count}
