"""Counts, history and totals, as they are in Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.errors import Rejected
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.store.connections import Connections
from event_count_logger.store.values import LAST_NUMBER, Finished, Position, Reading
from event_count_logger.store.wire import ms, seconds, text

#: Events that are read at once, where there are too many to read all at once.
_PAGE = 2_500

#: How often what is new is asked for, before it is left for the next read.
_MOST_ROUNDS = 3

#: How often a read begins anew because an interval was rotated meanwhile.
_MOST_READS = 20


#: Bytes of history that are asked for at once: more would keep the server from others for too long.
_HISTORY_BYTES = 1 << 20


#: For each half, the events that are named.
_Events = dict[Half, list[str]]


@dataclass(frozen=True, slots=True)
class _Request:
    """What `ReadingStore.read` was asked for."""

    group: GroupConfig
    interval: Interval
    now: float | None
    totals: bool


class ReadingStore(Connections):
    """Reads the counters in one Redis database."""

    def read(
        self,
        group: GroupConfig,
        interval: Interval,
        halves: Sequence[Half],
        now: float | None = None,
        totals: bool = False,
    ) -> Reading:
        """Read counts as of one moment; declared events come first, the others sorted by name.

        Of more than 10,000 events, those of the running interval are read some at a time: all of the same
        interval, and each as of a moment during the read.

        Args:
            group: Its declared events are read even when no counter is known for them; a shard of it, if it
                has some.
            interval: The interval to read.
            halves: `cur`, `last`, or both.
            now: Unix seconds; the server's clock if None.
            totals: Whether to read the totals, too; `halves` is then `cur`.

        Raises:
            Unavailable: No answer.
            Rejected: The server cannot answer.
        """
        request = _Request(group, interval, now, totals)
        events: _Events = {half: list(group.events) for half in halves}
        for _ in range(_MOST_ROUNDS):
            reading, unnamed = self._read_at_once(request, events, "all")
            if reading:
                return reading
            if not unnamed:
                break
            for half, more in unnamed.items():
                events[half] += sorted(more)
        return self._read_in_pages(request, halves)

    def _read_at_once(
        self, request: _Request, events: _Events, which: Literal["all", "named"]
    ) -> tuple[Reading | None, _Events]:
        """What was read; or None, and the events that must be named to read them (none: too many)."""
        group, interval = request.group.prefix, request.interval.name
        names = [keys.timestamp(group, interval, half) for half in ("cur", "last")]
        names += (keys.history(group, interval), keys.totals(group), keys.totals_interval(group))
        arguments: list[Any] = [ms(request.now), which, "totals" if request.totals else ""]
        for half, named in events.items():
            names.append(keys.index(group, interval, half))
            names += [keys.counter(group, interval, half, event_id) for event_id in named]
            arguments += (half, len(named), *named)
        reply = self._run("read", names, arguments, f"{group}:{interval}:*")
        try:
            return _reading(events, reply)
        except ValueError as error:
            reason = f"its newest entry cannot be read: {error}"
            raise Rejected(keys.history(group, interval), reason) from error

    def _read_in_pages(self, request: _Request, halves: Sequence[Half]) -> Reading:
        for _ in range(_MOST_READS):
            pages = [page for half in halves for page in self._pages(request, half)]
            if all(page.is_of_one_interval_with(pages[0]) for page in pages):
                return _joined(pages, halves)
        raise self._gone(
            keys.history(request.group.prefix, request.interval.name),
            f"interval '{request.interval.name}' of group '{request.group.name}' ends faster than it can be "
            "read",
        )

    def _pages(self, request: _Request, half: Half) -> Iterator[Reading]:
        whole, _ = self._read_at_once(request, {half: list(request.group.events)}, "all")
        if whole:  # the last interval out of the history is never too much
            yield whole
            return
        # Before the events are looked up: should an interval end meanwhile, this page shows it.
        yield self._read_named(request, half, [])
        found = self._members("SSCAN", keys.index(request.group.prefix, request.interval.name, half))
        if request.totals:
            found |= self._members("HSCAN", keys.totals(request.group.prefix))
        events = [*request.group.events, *sorted(found.difference(request.group.events))]
        for first in range(0, len(events), _PAGE):
            yield self._read_named(request, half, events[first : first + _PAGE])

    def _read_named(self, request: _Request, half: Half, events: list[str]) -> Reading:
        page, _ = self._read_at_once(request, {half: events}, "named")
        assert page, "what is named is always read"
        return page

    def _members(self, command: Literal["SSCAN", "HSCAN"], key: str) -> set[str]:
        """The members of a set, or the fields of a hash, that are there from beginning to end."""
        step = 2 if command == "HSCAN" else 1
        members: set[str] = set()
        cursor = "0"
        while True:
            next_cursor, some = self._ask(command, key, cursor, "COUNT", str(_PAGE), key=key)
            members.update(map(text, some[::step]))
            cursor = text(next_cursor)
            if cursor == "0":
                return members

    def history(self, group: GroupConfig, interval: Interval, count: int) -> list[Finished]:
        """The newest finished intervals in the history, oldest first, at most `count` of them.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.history(group.prefix, interval.name)
        newest_first: list[Finished] = []
        end = "+"
        while len(newest_first) < count:
            wanted = _at_once(newest_first, count - len(newest_first))
            entries = self._ask("XREVRANGE", key, end, "-", "COUNT", str(wanted), key=key)
            newest_first += [finished(key, entry) for entry in entries]
            if len(entries) < wanted:
                break
            end = f"({newest_first[-1].position}"
        return newest_first[::-1]

    def finished_after(
        self, group: GroupConfig, interval: Interval, position: Position
    ) -> tuple[Finished | None, float | None, int]:
        """The first finished interval after a position.

        Returns:
            That, if there is one; the start of the running interval, Unix seconds; and how many intervals had
            finished, both as of before that was looked for.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.history(group.prefix, interval.name)
        number = position.number or LAST_NUMBER
        self.server_time(group)
        start = self.start(group, interval)
        n_finished = self.n_finished(group, interval)
        entries = self._ask("XRANGE", key, f"({position.time_ms}-{number}", "+", "COUNT", "1", key=key)
        return finished(key, entries[0]) if entries else None, start, n_finished

    def newest_position(self, group: GroupConfig, interval: Interval) -> Position:
        """Where the history ends now.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under one of the keys.
        """
        n_finished = self.n_finished(group, interval)
        newest = self.history(group, interval, 1)
        return newest[0].position if newest else Position(0, n_finished)

    def n_finished(self, group: GroupConfig, interval: Interval) -> int:
        """How many intervals have finished so far.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.finished(group.prefix, interval.name)
        return int(self._ask("GET", key, key=key) or 0)

    def start(self, group: GroupConfig, interval: Interval) -> float | None:
        """When the running interval began, Unix seconds; None if there is none.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.timestamp(group.prefix, interval.name, "cur")
        return seconds(self._ask("GET", key, key=key) or b"")

    def count(self, group: GroupConfig, interval: str, half: Half, event_id: str) -> int:
        """The count of one event; 0 where there is none.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.counter(group.prefix, interval, half, event_id)
        return int(self._ask("GET", key, key=key) or 0)


def _reading(events: _Events, reply: Any) -> tuple[Reading | None, _Events]:
    """What read.lua answers; see `ReadingStore._read_at_once`."""
    now_ms, start, last_start, totals_interval, totals, *halves = reply
    lists = dict(zip(events, halves, strict=True))
    unnamed = {half: list(map(text, some[1:])) for half, some in lists.items() if some[0] == b"unnamed"}
    if unnamed or [b"many"] in (totals, *halves):
        return None, unnamed
    counts: dict[Half, Mapping[str, int]] = {
        half: _entry_counts(*some[2:]) if some[0] == b"entry" else _counts(events[half], some[1:])
        for half, some in lists.items()
    }
    positions = [Position.parse(text(some[1])) for some in lists.values() if some[0] == b"entry"]
    times = now_ms / 1000, seconds(start), seconds(last_start)
    return Reading(
        *times, text(totals_interval), counts, _totals(events, totals), positions[0] if positions else None
    ), {}


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
    return replace(pages[0], counts=counts, totals=totals)


def _counts(events: Sequence[str], values: Sequence[bytes]) -> dict[str, int]:
    counts = {}
    for event_id, value in zip(events, values, strict=True):
        try:
            counts[event_id] = int(value)
        except ValueError:
            continue  # no counter there, or a foreign value, which was never counted by anyone
    return counts


def _entry_counts(events: bytes, counts: bytes) -> dict[str, int]:
    return dict(zip(json.loads(text(events)), json.loads(counts), strict=True))


def finished(key: str, entry: Any) -> Finished:
    """An entry of a history, as rotate.lua writes it."""
    entry_id, words = entry
    fields = dict(zip(map(text, words[::2]), words[1::2], strict=True))
    try:
        start, end = float(fields["start"]), float(fields["end"])
        counts = _entry_counts(fields["events"], fields["counts"])
        return Finished(Position.parse(text(entry_id)), start, end, counts)
    except (KeyError, ValueError) as error:
        raise Rejected(key, f"entry {text(entry_id)} of the history cannot be read: {error}") from error


def _at_once(before: Sequence[Finished], most: int) -> int:
    """How many entries of a history to ask for, judging by the size of those before."""
    if not before:
        return 1
    size = sum(len(event_id) + 6 for event_id in before[-1].counts) or 1
    return max(1, min(most, _HISTORY_BYTES // size))
