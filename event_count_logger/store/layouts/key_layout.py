"""The layout with a key for each count and a set that names them, as in version 1.1."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.errors import Rejected
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.store.client import Client
from event_count_logger.store.resp import count, length, ms, seconds, text
from event_count_logger.store.results import HistoryEntry, HistoryPosition, Reading, Rotation, declared_first
from event_count_logger.store.scripts import SCRIPTS
from event_count_logger.store.shard_merge import added

#: Events of one page, if there are too many for one read.
_PAGE = 2_500

#: Declared events named in one read. With more, read.lua only replies that they are too many.
_MOST_NAMED = 10_000

#: Attempts to read all events at once: each names the new events that the one before has found.
_MOST_ROUNDS = 3

#: Attempts to read all pages without a rotation in between.
_MOST_READS = 20

#: The events named for each half.
_Events = dict[Half, list[str]]


@dataclass(frozen=True, slots=True)
class _ReadRequest:
    """Arguments of `KeyLayout.read`."""

    group: GroupConfig
    interval: Interval
    now: float | None
    totals: bool


class KeyLayout:
    """Counts of groups with a key for each count.

    Attributes:
        commit_script: See commit.lua.
    """

    commit_script = SCRIPTS["commit"]

    def __init__(self, client: Client) -> None:
        self._client = client

    @staticmethod
    def commit_keys(group: GroupConfig, events: Collection[str]) -> list[str]:
        """Returns the keys that a batch of these events needs."""
        prefix = group.prefix
        names: list[str] = []
        for interval in group.intervals:
            names += (keys.timestamp(prefix, interval.name, "cur"), keys.index(prefix, interval.name, "cur"))
            names += [keys.counter(prefix, interval.name, "cur", event_id) for event_id in events]
        return [*names, keys.totals(prefix), keys.created(prefix)] if group.notes_created else names

    @staticmethod
    def expected_types(group: GroupConfig) -> Mapping[str, str]:
        """Returns the keys of this layout that are not counters, with their types, as TYPE names them."""
        return {keys.totals(group.prefix): "hash", keys.totals_interval(group.prefix): "string"}

    @staticmethod
    def own_keys(group: GroupConfig, interval: Interval) -> list[str]:
        """Returns keys that exist only if a process counts with this layout."""
        counters = [keys.counter(group.prefix, interval.name, "cur", event_id) for event_id in group.events]
        return [keys.index(group.prefix, interval.name, "cur"), *counters]  # version 1.1 keeps no index

    def count(self, group: GroupConfig, interval: str, half: Half, event_id: str) -> int:
        """See `Reads.count`."""
        key = keys.counter(group.prefix, interval, half, event_id)
        return count(self._client.ask("GET", key, key=key) or b"") or 0

    def read(
        self,
        group: GroupConfig,
        interval: Interval,
        halves: Sequence[Half],
        now: float | None = None,
        totals: bool = False,
    ) -> Reading:
        """See `Reads.read`. Redis has the totals of finished intervals."""
        request = _ReadRequest(group, interval, now, totals)
        if not totals:
            return self._read(request, halves)
        reading = self._read(request, [*(half for half in halves if half != "cur"), "cur"])
        return replace(reading, totals=added(group.events, [reading.totals, reading.counts["cur"]]))

    def _read(self, request: _ReadRequest, halves: Sequence[Half]) -> Reading:
        group = request.group
        events: _Events = {half: list(group.events) for half in halves}
        for _ in range(_MOST_ROUNDS if len(group.events) <= _MOST_NAMED else 0):
            reading, unnamed = self._read_at_once(request, events, "all")
            if reading:
                return reading
            if not unnamed:
                break
            for half, more in unnamed.items():
                events[half] = declared_first(group.events, events[half] + more)
        return self._read_in_pages(request, halves)

    def _read_at_once(
        self, request: _ReadRequest, events: _Events, which: Literal["all", "named"]
    ) -> tuple[Reading | None, _Events]:
        """Returns the reading; or None, and the events to name in the next read (none if too many)."""
        group, interval = request.group.prefix, request.interval.name
        names = [keys.timestamp(group, interval, half) for half in ("cur", "last")]
        names += (keys.history(group, interval), keys.totals(group), keys.totals_interval(group))
        arguments: list[Any] = [ms(request.now), which, "totals" if request.totals else ""]
        for half, named in events.items():
            names.append(keys.index(group, interval, half))
            names += [keys.counter(group, interval, half, event_id) for event_id in named]
            arguments += (half, len(named), *named)
        reply = self._client.run("read", names, arguments, f"{group}:{interval}:*")
        try:
            return _reading(events, reply)
        except ValueError as error:
            reason = f"its newest entry cannot be read: {error}"
            raise Rejected(keys.history(group, interval), reason) from error

    def _read_in_pages(self, request: _ReadRequest, halves: Sequence[Half]) -> Reading:
        for _ in range(_MOST_READS):
            pages = [page for half in halves for page in self._pages(request, half)]
            if all(page.is_of_one_interval_with(pages[-1]) for page in pages):  # only that half has totals
                return _joined(pages, halves)
        raise self._client.not_serving(
            keys.history(request.group.prefix, request.interval.name),
            f"interval '{request.interval.name}' of group '{request.group.name}' ends faster than it can be "
            "read",
        )

    def _pages(self, request: _ReadRequest, half: Half) -> Iterator[Reading]:
        request = replace(request, totals=request.totals and half == "cur")
        declared = request.group.events
        named = list(declared) if len(declared) <= _MOST_NAMED else []
        whole, _ = self._read_at_once(request, {half: named}, "all")
        # The last interval out of the history is never too large, and needs no names.
        if whole and (whole.last_position or len(named) == len(declared)):
            yield whole
            return
        # Before the search for events: this page shows whether an interval ends meanwhile.
        yield self._read_named(request, half, [])
        found = self.indexed(request.group, request.interval, half)
        if request.totals:
            found |= self._with_totals(request.group)
        events = declared_first(request.group.events, found.union(request.group.events))
        for first in range(0, len(events), _PAGE):
            yield self._read_named(request, half, events[first : first + _PAGE])

    def _read_named(self, request: _ReadRequest, half: Half, events: list[str]) -> Reading:
        page, _ = self._read_at_once(request, {half: events}, "named")
        assert page, "named events are always read"
        return page

    def indexed(self, group: GroupConfig, interval: Interval, half: Half) -> set[str]:
        """Returns the events in an index: at least those that are in it from beginning to end."""
        pages = self._client.scan("SSCAN", keys.index(group.prefix, interval.name, half), _PAGE)
        return {text(member) for page in pages for member in page}

    def _with_totals(self, group: GroupConfig) -> set[str]:
        pages = self._client.scan("HSCAN", keys.totals(group.prefix), _PAGE)
        return {text(field) for page in pages for field in page[::2]}

    def finished(
        self, group: GroupConfig, interval: Interval, entries: Iterable[Any]
    ) -> Iterator[HistoryEntry | None]:
        """Yield the interval of each entry of the history; None if it was removed after it was listed."""
        key = keys.history(group.prefix, interval.name)
        return (_finished(key, *entry) for entry in entries)

    def rotate(self, group: GroupConfig, interval: Interval, now: float | None = None) -> Rotation:
        """See `Rotator.rotate`."""
        name, declared = group.prefix, group.events
        timestamps = [keys.timestamp(name, interval.name, half) for half in ("cur", "last")]
        indexes = [keys.index(name, interval.name, half) for half in ("cur", "last")]
        records = [
            keys.finished(name, interval.name),
            keys.history(name, interval.name),
            keys.totals(name),
            keys.idle(name),
            keys.totals_interval(name),
            keys.created(name),
        ]
        outcome = b"changed"
        while outcome == b"changed":
            start = self._client.ask("GET", timestamps[0], key=timestamps[0])
            others = map(text, self._client.ask("SUNION", *indexes, key=indexes[0]))
            events = declared_first(declared, {*declared, *others})
            counters = [
                keys.counter(name, interval.name, half, event_id)
                for half in ("cur", "last")
                for event_id in events
            ]
            settings = (
                group.n_history(interval),
                self.part_in_totals(group, interval),
                group.expire_after,
            )
            arguments = [length(interval), ms(now), text(start or b""), *settings, len(declared), *events]
            reply = self._client.run("rotate", timestamps + indexes + records + counters, arguments)
            outcome, _, until_next_ms, *rest = reply
        return Rotation.of(text(outcome), until_next_ms, rest)

    def part_in_totals(self, group: GroupConfig, interval: Interval) -> str:
        """Returns the argument of rotate.lua about totals: the interval that adds to them, `other` or `off`.

        Each count is in all intervals. Therefore only one of them adds to the totals.
        """
        if not group.totals:
            return "off"
        key, before = keys.totals_interval(group.prefix), ""
        with suppress(Rejected):  # the script reports the key
            before = text(self._client.ask("GET", key, key=key) or b"")
        if before and group.interval(before) is None:
            self._adopt_totals(group, before)
            before = group.totals_interval.name
        return interval.name if interval.name == (before or group.totals_interval.name) else "other"

    def _adopt_totals(self, group: GroupConfig, before: str) -> None:
        """Let another interval add to the totals, after `before` was removed from the configuration."""
        name, after = group.prefix, group.totals_interval.name
        indexes = [
            keys.index(name, before, "cur"),
            keys.index(name, before, "last"),
            keys.index(name, after, "cur"),
        ]
        events = sorted({*group.events, *map(text, self._client.ask("SUNION", *indexes, key=indexes[0]))})
        counters = [
            keys.counter(name, interval, "cur", event_id)
            for interval in (before, after)
            for event_id in events
        ]
        records = [keys.totals_interval(name), keys.totals(name), keys.idle(name)]
        self._client.run("adopt", records + counters, [before, after, *events])


def _finished(key: str, entry_id: bytes, words: Sequence[bytes]) -> HistoryEntry:
    """Returns the interval of an entry of the history, as rotate.lua writes it."""
    fields = dict(zip(words[::2], words[1::2], strict=True))
    try:
        start, end = float(fields[b"start"]), float(fields[b"end"])
        counts = _entry_counts(fields[b"events"], fields[b"counts"])
        return HistoryEntry(HistoryPosition.parse(text(entry_id)), start, end, counts)
    except (KeyError, ValueError) as error:
        raise Rejected(key, f"entry {text(entry_id)} of the history cannot be read: {error}") from error


def _reading(events: _Events, reply: Any) -> tuple[Reading | None, _Events]:
    """Returns the result of `KeyLayout._read_at_once` from a reply of read.lua."""
    now_ms, start, last_start, totals_interval, totals, *halves = reply
    adding = text(totals_interval) if totals else None
    lists = dict(zip(events, halves, strict=True))
    unnamed = {half: list(map(text, some[1:])) for half, some in lists.items() if some[0] == b"unnamed"}
    if unnamed or [b"many"] in (totals, *halves):
        return None, unnamed
    counts: dict[Half, Mapping[str, int]] = {
        half: _entry_counts(*some[2:]) if some[0] == b"entry" else _counts(events[half], some[1:])
        for half, some in lists.items()
    }
    positions = [HistoryPosition.parse(text(some[1])) for some in lists.values() if some[0] == b"entry"]
    times = now_ms / 1000, seconds(start), seconds(last_start)
    return Reading(*times, adding, counts, _totals(events, totals), positions[0] if positions else None), {}


def _totals(events: _Events, reply: Sequence[bytes]) -> dict[str, int]:
    if reply[:1] == [b"counts"]:
        (named,) = events.values()
        return _counts(named, reply[1:])
    return _counts(list(map(text, reply[1::2])), reply[2::2])


def _joined(pages: Sequence[Reading], halves: Sequence[Half]) -> Reading:
    counts: dict[Half, dict[str, int]] = {half: {} for half in halves}
    totals: dict[str, int] = {}
    for page in pages:
        for half, some in page.counts.items():
            counts[half].update(some)
        totals.update(page.totals)
    return replace(pages[0], counts=counts, totals=totals, totals_interval=pages[-1].totals_interval)


def _counts(events: Sequence[str], values: Sequence[bytes]) -> dict[str, int]:
    found = zip(events, map(count, values), strict=True)
    return {event_id: value for event_id, value in found if value is not None}


def _entry_counts(events: bytes, counts: bytes) -> dict[str, int]:
    return dict(zip(_event_ids(events), json.loads(text(counts)), strict=True))


@lru_cache(maxsize=4)  # most intervals of a group have the same events
def _event_ids(events: bytes) -> Sequence[str]:
    return tuple(json.loads(text(events)))
