"""Finished intervals made by rotations at given times, and what the database of an export has of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from event_count_logger.config import GroupConfig
from event_count_logger.errors import Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.store import Store

T = TypeVar("T")

#: The start of the first interval, Unix seconds: 2023-11-14 22:13:30 UTC.
BEGIN = 1_700_000_010


class Finishing:
    """Finishes intervals of a group one after another, and adds up all counts."""

    def __init__(self, store: Store, group: GroupConfig, begin: float = BEGIN) -> None:
        self.group = group
        self.total: Counter[str] = Counter()
        self.n = 0
        self._store = store
        self._position = 0
        self._begin(begin)

    def _begin(self, begin: float) -> None:
        self._now_ms = round(begin * 1000)
        for shard in self.group.shards:
            self._store.rotation.rotate(shard, self._interval, self._now)

    @property
    def _now(self) -> float:
        return (self._now_ms + 0.5) / 1000  # the store cuts it to milliseconds

    @property
    def _interval(self) -> Interval:
        return self.group.intervals[0]

    def finish(self, counts: Mapping[str, int], n_merged: int = 1) -> None:
        """Count, and end the interval; with `n_merged`, some intervals late. Wait while Redis is down."""
        source = f"source {self._position % 7}"
        shard = self.group.shard_of(source)
        at = self._position // 7
        done = _repeat(lambda: self._store.commits.commit(shard, source, at, at + 1, counts, self._now))
        assert done.outcome in ("applied", "duplicate"), done
        self._position += 1
        self.total.update(counts)
        self._now_ms += n_merged * self._interval.length_ms
        for each in self.group.shards:
            _repeat(partial(self._store.rotation.rotate, each, self._interval, self._now))
        self.n += 1

    def restart(self, begin: float) -> None:
        """Go on after the data of Redis was lost."""
        self.n = self._position = 0
        self.total.clear()
        self._begin(begin)


def _repeat(request: Callable[[], T]) -> T:
    while True:
        try:
            return request()
        except Unavailable:
            time.sleep(0.05)
