"""Migration of a group from one layout to another. It can be interrupted anywhere, and repeated.

Each step is one script that moves some counts. A count is in one layout or in the other, never in both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from event_count_logger import keys
from event_count_logger.config import GroupConfig, Layout
from event_count_logger.errors import Rejected
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.store.client import Client
from event_count_logger.store.counter_index import index_counters
from event_count_logger.store.layouts import LAYOUTS, KeyLayout
from event_count_logger.store.resp import text
from event_count_logger.store.results import HistoryEntry

#: Events moved by one request.
_CHUNK = 500

_HALVES: tuple[Half, ...] = ("cur", "last")


@dataclass(frozen=True, slots=True)
class LayoutContents:
    """The contents of one interval of a group in one layout.

    Attributes:
        interval: Name of the interval.
        running: Number of events with a count in the current interval.
        finished: Number of events with a count in the last interval.
        history: Number of intervals in the history, of any layout.
    """

    interval: str
    running: int
    finished: int
    history: int


class Migration:
    """Moves one group, or one shard of it. No master and no worker of the group may run meanwhile."""

    def __init__(self, client: Client, group: GroupConfig, to: Layout) -> None:
        """Does not send requests; `to` is the new layout."""
        self._client = client
        self._keys = KeyLayout(client)
        self._to: Layout = to
        self._from: Layout = "keys" if to == "hash" else "hash"
        self._group = replace(group, layout=self._from)

    def contents(self) -> Iterator[LayoutContents]:
        """Yields the contents of each interval that are to be moved."""
        name = self._group.prefix
        for interval in self._group.intervals:
            running, finished = (len(self._events(interval, half)) for half in _HALVES)
            n_history = int(self._ask("XLEN", keys.history(name, interval.name)))
            yield LayoutContents(interval.name, running, finished, n_history)

    def run(self) -> list[str]:
        """Move all counts that were not moved before.

        Returns:
            Keys of an unexpected type, which were left unchanged.

        Raises:
            Unavailable: No answer: repeat.
            Rejected: A key that all counts need has an unexpected type: repeat without it.
        """
        key = keys.totals_interval(self._group.prefix)
        if self._to == "keys" and self._group.totals:
            self._ask("SETNX", key, self._group.totals_interval.name)
        obstacles: list[str] = []
        with suppress(Rejected):  # this user has no permission for SCAN
            for _ in index_counters(self._client, [self._group]):
                pass
        for interval in self._group.intervals:
            self._move_history(interval)
            for half in _HALVES:
                obstacles += self._move_counts(interval, half)
        if self._to == "hash" and not obstacles:
            self._ask("DEL", key)
        return obstacles

    def _move_counts(self, interval: Interval, half: Half) -> list[str]:
        name = self._group.prefix
        index, hash = keys.index(name, interval.name, half), keys.counts(name, interval.name, half)
        in_totals = half == "cur" and self._adds_to_totals(interval)
        events = self._events(interval, half)
        obstacles: list[str] = []
        for first in range(0, len(events), _CHUNK):
            some = events[first : first + _CHUNK]
            counters = [keys.counter(name, interval.name, half, event_id) for event_id in some]
            arguments = ["totals" if in_totals else "", *some]
            key_names = [index, hash, keys.totals(name), *counters]
            obstacles += map(text, self._client.run(f"move_to_{self._to}", key_names, arguments))
        return obstacles

    def _adds_to_totals(self, interval: Interval) -> bool:
        """Returns whether its current counts are part of the totals with hashes, and not with keys."""
        part = self._keys.part_in_totals(self._group, interval)
        return part == interval.name and part not in ("off", "other")

    def _events(self, interval: Interval, half: Half) -> list[str]:
        name = self._group.prefix
        if self._from == "keys":
            found = self._keys.indexed(self._group, interval, half)
            counters = {keys.counter(name, interval.name, half, event): event for event in self._group.events}
            # Version 1.1 keeps no index.
            found |= {event for key, event in counters.items() if int(self._ask("EXISTS", key))}
        else:
            pages = self._client.scan("HSCAN", keys.counts(name, interval.name, half), _CHUNK)
            found = {text(field) for page in pages for field in page[::2]}
        return sorted(found)

    def _move_history(self, interval: Interval) -> None:
        """Move the oldest interval first, each by one request, because one may be large."""
        name = self._group.prefix
        streams = keys.history(name, interval.name), keys.moving_history(name, interval.name)
        last_id = keys.last_in_history(name, interval.name)
        while entry := self._oldest(*streams):
            entry_id, finished = text(entry[0]), self._finished(interval, entry)
            own = keys.finished_counts(name, interval.name, entry_id)
            if self._to == "keys":
                events, counts = list(finished.counts), list(finished.counts.values())
                words: list[str | int] = ["events", _json(events), "counts", _json(counts)]
            else:
                if _layout(entry) == "keys":
                    self._store_counts(own, finished.counts)
                words = ["number", finished.position.number]
            self._client.run("move_history", [*streams, last_id, own], [entry_id, self._to, *words])

    def _oldest(self, stream: str, moving: str) -> Any:
        """Returns the oldest interval in the history if any of them must be moved."""
        entries = self._entries(stream)
        oldest = next(entries, None)
        if oldest is None or int(self._ask("EXISTS", moving)):
            return oldest
        return oldest if any(_layout(entry) == self._from for entry in chain([oldest], entries)) else None

    def _entries(self, stream: str) -> Iterator[Any]:
        after = "-"
        while found := self._ask("XRANGE", stream, after, "+", "COUNT", "1"):
            yield found[0]
            after = f"({text(found[0][0])}"

    def _finished(self, interval: Interval, entry: Any) -> HistoryEntry:
        (finished,) = LAYOUTS[_layout(entry)](self._client).finished(self._group, interval, [entry])
        assert finished, "nothing else changes the history meanwhile"
        return finished

    def _store_counts(self, key: str, counts: Mapping[str, int]) -> None:
        words = [str(word) for pair in counts.items() for word in pair]
        for first in range(0, len(words), 2 * _CHUNK):
            self._ask("HSET", key, *words[first : first + 2 * _CHUNK])

    def _ask(self, command: str, key: str, *words: str) -> Any:
        return self._client.ask(command, key, *words, key=key)


def _layout(entry: Any) -> Layout:
    """Returns the layout that wrote an entry of a history."""
    return "hash" if b"number" in entry[1][::2] else "keys"


def _json(value: object) -> str:
    """Returns JSON as rotate.lua writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
