"""Counts, history and totals, as they are in Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from event_count_logger import keys
from event_count_logger.errors import Rejected
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.store.connections import Connections
from event_count_logger.store.values import Finished, Position, Reading
from event_count_logger.store.wire import ms, seconds, text

#: Events that are read at once, where there are too many to read all at once.
_PAGE = 2_500

#: How often a read begins anew because an interval was rotated meanwhile.
_MOST_READS = 20

#: The greatest number that an ID of a stream can have.
_LAST_NUMBER = 2**64 - 1

#: Bytes of history that are asked for at once: more would keep the server from others for too long.
_HISTORY_BYTES = 1 << 20


class ReadingStore(Connections):
    """Reads the counters in one Redis database."""

    def read(
        self,
        group: str,
        interval: Interval,
        declared: Sequence[str],
        halves: Sequence[Half],
        now: float | None = None,
        totals: bool = False,
    ) -> Reading:
        """Read counts as of one moment; declared events come first, the others sorted by name.

        Of more than 10,000 events, those of the running interval are read some at a time: all of the same
        interval, and each as of a moment during the read.

        Args:
            group: Name of the group.
            interval: The interval to read.
            declared: Events to read even when no counter is known for them.
            halves: `cur`, `last`, or both.
            now: Unix seconds; the server's clock if None.
            totals: Whether to read the totals, too; `halves` is then `cur`.

        Raises:
            Unavailable: No answer.
            Rejected: The server cannot answer.
        """
        events: dict[Half, list[str]] = {half: list(declared) for half in halves}
        while True:
            reading, unnamed = self._read_once(group, interval, events, now, totals, all_events=True)
            if reading:
                return reading
            if not unnamed:
                return self._read_in_pages(group, interval, declared, halves, now, totals)
            for half, more in unnamed.items():
                events[half] += sorted(more)

    def _read_once(
        self,
        group: str,
        interval: Interval,
        events: Mapping[Half, Sequence[str]],
        now: float | None,
        totals: bool,
        all_events: bool,
    ) -> tuple[Reading | None, Mapping[Half, list[str]]]:
        """What was read; or None, and the events that must be named to read them (none: too many)."""
        names = [keys.timestamp(group, interval.name, half) for half in ("cur", "last")]
        names += (keys.history(group, interval.name), keys.totals(group), keys.totals_interval(group))
        arguments: list[Any] = [ms(now), "all" if all_events else "named", "totals" if totals else ""]
        for half, named in events.items():
            names.append(keys.index(group, interval.name, half))
            names += [keys.counter(group, interval.name, half, event_id) for event_id in named]
            arguments += (half, len(named), *named)
        now_ms, current_start, last_start, totals_interval, stored, *replies = self._run(
            "read", names, arguments
        )
        lists = dict(zip(events, replies, strict=True))
        if [b"many"] in (stored, *replies):
            return None, {}
        unnamed = {
            half: list(map(text, reply[1:])) for half, reply in lists.items() if reply[0] == b"unnamed"
        }
        if unnamed:
            return None, unnamed
        counts: dict[Half, Mapping[str, int]] = {
            half: _entry_counts(*reply[1:]) if reply[0] == b"entry" else _counts(events[half], reply[1:])
            for half, reply in lists.items()
        }
        if stored[:1] == [b"counts"]:
            named = next(iter(events.values()))
            stored_totals = _counts(named, stored[1:])
        else:
            stored_totals = _counts(list(map(text, stored[::2])), stored[1::2])
        return Reading(
            now_ms / 1000,
            seconds(current_start),
            seconds(last_start),
            text(totals_interval),
            counts,
            stored_totals,
        ), {}

    def _read_in_pages(
        self,
        group: str,
        interval: Interval,
        declared: Sequence[str],
        halves: Sequence[Half],
        now: float | None,
        totals: bool,
    ) -> Reading:
        for _ in range(_MOST_READS):
            pages = list(self._pages(group, interval, declared, halves, now, totals))
            first = pages[0]
            if all(page.is_of_one_interval_with(first) for page in pages):
                counts: dict[Half, Mapping[str, int]] = {
                    half: {
                        event_id: count
                        for page in pages
                        for event_id, count in page.counts.get(half, {}).items()
                    }
                    for half in halves
                }
                stored = {event_id: count for page in pages for event_id, count in page.totals.items()}
                return replace(first, counts=counts, totals=stored)
        raise self._gone(f"interval '{interval.name}' of group '{group}' ends faster than it can be read")

    def _pages(
        self,
        group: str,
        interval: Interval,
        declared: Sequence[str],
        halves: Sequence[Half],
        now: float | None,
        totals: bool,
    ) -> Iterator[Reading]:
        for half in halves:
            found = self._members("SSCAN", keys.index(group, interval.name, half))
            if totals:
                found |= self._members("HSCAN", keys.totals(group))
            events = [*declared, *sorted(found.difference(declared))]
            for first in range(0, len(events), _PAGE):
                some: dict[Half, list[str]] = {half: events[first : first + _PAGE]}
                page, _ = self._read_once(group, interval, some, now, totals, all_events=False)
                assert page
                yield page

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

    def history(self, group: str, interval: Interval, count: int) -> list[Finished]:
        """The newest finished intervals in the history, oldest first, at most `count` of them.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.history(group, interval.name)
        newest_first: list[Finished] = []
        end = "+"
        while len(newest_first) < count:
            wanted = _at_once(newest_first, count - len(newest_first))
            entries = self._ask("XREVRANGE", key, end, "-", "COUNT", str(wanted), key=key)
            newest_first += [_finished(key, entry) for entry in entries]
            if len(entries) < wanted:
                break
            end = f"({newest_first[-1].position}"
        return newest_first[::-1]

    def finished_after(
        self, group: str, interval: Interval, position: Position
    ) -> tuple[Finished | None, float | None]:
        """The first finished interval after a position, and the start of the running one, Unix seconds.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.history(group, interval.name)
        number = position.number or _LAST_NUMBER
        self.server_time()
        start = self.start(group, interval)
        entries = self._ask("XRANGE", key, f"({position.time_ms}-{number}", "+", "COUNT", "1", key=key)
        return _finished(key, entries[0]) if entries else None, start

    def start(self, group: str, interval: Interval) -> float | None:
        """When the running interval began, Unix seconds; None if there is none.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.timestamp(group, interval.name, "cur")
        return seconds(self._ask("GET", key, key=key) or b"")

    def count(self, group: str, interval: str, half: Half, event_id: str) -> int:
        """The count of one event; 0 where there is none.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.counter(group, interval, half, event_id)
        return int(self._ask("GET", key, key=key) or 0)


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


def _finished(key: str, entry: Any) -> Finished:
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
