"""The layout with one hash per interval, for very many events.

The end of an interval takes the same time for any number of events. In return, each interval of the history
keeps a hash of its own, and each commit adds to the totals.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate, chain, takewhile
from typing import Any

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.errors import Rejected
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.store.client import Client
from event_count_logger.store.resp import count, length, ms, pairs, seconds, text
from event_count_logger.store.results import HistoryEntry, HistoryPosition, Reading, Rotation, declared_first
from event_count_logger.store.scripts import SCRIPTS

#: Events of one page, if there are too many for one read.
_PAGE = 2_500

#: Counts of finished intervals in one packet. More would delay other clients of the server.
_MOST_AT_ONCE = 10_000

#: Attempts to read all pages without a rotation in between.
_MOST_READS = 20

#: Intervals that one rotation removes from the history, if it has become much shorter.
_MOST_GOING = 1_000

#: Totals that one request looks at. More would delay other clients of the server.
_CHUNK = 250


class HashLayout:
    """Counts of groups with hashes. See `KeyLayout` for the methods."""

    commit_script = SCRIPTS["commit_hash"]

    def __init__(self, client: Client) -> None:
        self._client = client

    @staticmethod
    def commit_keys(group: GroupConfig, events: Collection[str]) -> list[str]:
        """See `KeyLayout.commit_keys`: the start and the hash of each interval, then the totals."""
        names = []
        for interval in group.intervals:
            names.append(keys.timestamp(group.prefix, interval.name, "cur"))
            names.append(keys.counts(group.prefix, interval.name, "cur"))
        names += [keys.totals(group.prefix)] if group.totals else []
        return [*names, keys.created(group.prefix)] if group.notes_created else names

    @staticmethod
    def expected_types(group: GroupConfig) -> Mapping[str, str]:
        """See `KeyLayout.expected_types`."""
        hashes = [
            keys.counts(group.prefix, interval.name, half)
            for interval in group.intervals
            for half in ("cur", "last")
        ]
        return dict.fromkeys(hashes, "hash") | {keys.totals(group.prefix): "hash"}

    @staticmethod
    def own_keys(group: GroupConfig, interval: Interval) -> list[str]:
        """See `KeyLayout.own_keys`."""
        return [keys.counts(group.prefix, interval.name, "cur")]

    def count(self, group: GroupConfig, interval: str, half: Half, event_id: str) -> int:
        """See `Reads.count`."""
        key = keys.counts(group.prefix, interval, half)
        return count(self._client.ask("HGET", key, event_id, key=key) or b"") or 0

    def read(
        self,
        group: GroupConfig,
        interval: Interval,
        halves: Sequence[Half],
        now: float | None = None,
        totals: bool = False,
    ) -> Reading:
        """See `Reads.read`."""
        hashes = [keys.counts(group.prefix, interval.name, half) for half in halves]
        hashes += [keys.totals(group.prefix)] if totals else []
        for _ in range(_MOST_READS):
            reading, found = self._look(group, interval, hashes, now, "last" in halves)
            counts = [
                _ordered(group, pairs(self._scan(key) if some is None else some))
                for key, some in zip(hashes, found, strict=True)
            ]
            if None not in found or self._look(group, interval, [], now)[0].is_of_one_interval_with(reading):
                of_totals = counts.pop() if totals else {}
                return replace(reading, counts=dict(zip(halves, counts, strict=True)), totals=of_totals)
        raise self._client.not_serving(
            keys.history(group.prefix, interval.name),
            f"interval '{interval.name}' of group '{group.name}' ends faster than it can be read",
        )

    def _look(
        self,
        group: GroupConfig,
        interval: Interval,
        hashes: Sequence[str],
        now: float | None,
        is_last: bool = False,
    ) -> tuple[Reading, list[list[bytes] | None]]:
        """Returns a reading without counts, and the fields of each hash; None if too large."""
        name = group.prefix
        frame = [keys.timestamp(name, interval.name, half) for half in ("cur", "last")]
        frame.append(keys.history(name, interval.name))
        about = hashes[0] if hashes else frame[0]
        reply = self._client.run("read_hash", [*frame, *hashes], [ms(now), "last" if is_last else ""], about)
        now_ms, start, last_start, position, *found = reply
        last_position = HistoryPosition.parse(text(position)) if position else None
        reading = Reading(now_ms / 1000, seconds(start), seconds(last_start), "", {}, {}, last_position)
        return reading, [None if some[0] == b"many" else some[1:] for some in found]

    def _scan(self, key: str) -> list[bytes]:
        """Returns the fields and values of a hash. Of a field that comes twice, the latter value is newer."""
        return list(chain.from_iterable(self._client.scan("HSCAN", key, _PAGE)))

    def finished(
        self, group: GroupConfig, interval: Interval, entries: Sequence[Any]
    ) -> Iterator[HistoryEntry | None]:
        """See `KeyLayout.finished`.

        The counts of a finished interval do not change, so no script has to read them. It is needed for the
        last interval, whose hash is renamed when the next one ends, and for those with very many events.
        """
        key = keys.history(group.prefix, interval.name)
        ids = [text(entry_id) for entry_id, _ in entries]
        hashes = self._hashes([keys.finished_counts(group.prefix, interval.name, each) for each in ids])
        for entry_id, (_, words), found in zip(ids, entries, hashes, strict=True):
            start, end = _span(key, entry_id, words)
            counts = found or self._in_pages(group, interval, entry_id)
            position = HistoryPosition.parse(entry_id)
            yield None if counts is None else HistoryEntry(position, start, end, _ordered(group, counts))

    def _hashes(self, names: Sequence[str]) -> Iterator[Mapping[bytes, bytes]]:
        """Yield the fields of each hash, some hashes in one packet; none if it is missing or too large."""
        sizes = self._client.ask_all([("HLEN", name) for name in names]) if names else []
        first = 0
        while first < len(names):
            fitting = takewhile(lambda size: size <= _MOST_AT_ONCE, accumulate(sizes[first:]))
            some = names[first : first + sum(1 for _ in fitting)]
            first += max(1, len(some))
            if some:
                yield from map(pairs, self._client.ask_all([("HGETALL", name) for name in some]))
            else:
                yield {}

    def _in_pages(
        self, group: GroupConfig, interval: Interval, entry_id: str
    ) -> Mapping[bytes, bytes] | None:
        """Returns the counts of any interval of the history; None if it was removed."""
        key_names = [
            keys.history(group.prefix, interval.name),
            keys.last_in_history(group.prefix, interval.name),
            keys.counts(group.prefix, interval.name, "last"),
            keys.finished_counts(group.prefix, interval.name, entry_id),
        ]
        found: list[bytes] = []
        cursor = "0"
        while True:
            reply = self._client.run("finished_hash", key_names, [entry_id, cursor, _PAGE], key_names[3])
            if not reply:
                return None
            found += reply[1]
            cursor = text(reply[0])
            if cursor == "0":
                return pairs(found)

    def rotate(self, group: GroupConfig, interval: Interval, now: float | None = None) -> Rotation:
        """See `Rotator.rotate`."""
        name = group.prefix
        frame = [
            *(keys.timestamp(name, interval.name, half) for half in ("cur", "last")),
            *(keys.counts(name, interval.name, half) for half in ("cur", "last")),
            keys.finished(name, interval.name),
            keys.history(name, interval.name),
            keys.last_in_history(name, interval.name),
            keys.totals(name),
            keys.idle(name),
            keys.created(name),
        ]
        settings = ["history" if group.keeps_history(interval) else "", "totals" if group.totals else ""]
        outcome = b"changed"
        while outcome == b"changed":
            start = self._client.ask("GET", frame[0], key=frame[0])
            noted = self._noted(group, interval)
            own = [keys.finished_counts(name, interval.name, entry_id) for entry_id in noted]
            arguments = [length(interval), ms(now), text(start or b""), *settings, *noted]
            reply = self._client.run("rotate_hash", [*frame, *own], arguments)
            outcome, _, until_next_ms, *rest = reply
        rotation = Rotation.of(text(outcome), until_next_ms, rest)
        if rotation.outcome == "rotated" and group.totals and interval == group.totals_interval:
            try:
                self._expire(group, interval)
            except Rejected as error:  # the rotation is done
                return replace(rotation, obstacles=(*rotation.obstacles, error.key))
        return rotation

    def _noted(self, group: GroupConfig, interval: Interval) -> list[str]:
        """Returns the ID of the last interval in the history, or '', and those that the next one removes."""
        last = keys.last_in_history(group.prefix, interval.name)
        key = keys.history(group.prefix, interval.name)
        found = [""]
        with suppress(Rejected):  # the script reports the key
            found = [text(self._client.ask("GET", last, key=last) or b"")]
            n_kept = group.n_history(interval)
            n_too_many = int(self._client.ask("XLEN", key, key=key)) + (n_kept > 0) - n_kept
            if n_too_many > 0:
                n = str(min(n_too_many, _MOST_GOING))
                going = self._client.ask("XRANGE", key, "-", "+", "COUNT", n, key=key)
                found += [text(entry_id) for entry_id, _ in going]
        return found

    def _expire(self, group: GroupConfig, interval: Interval) -> None:
        """Remove undeclared events from the totals that were not in use for `expire_after`, in pages."""
        name = group.prefix
        key_names = [keys.totals(name), keys.idle(name)]
        key_names += [keys.counts(name, interval.name, half) for half in ("cur", "last")]
        key_names += [keys.timestamp(name, interval.name, half) for half in ("cur", "last")]
        key_names.append(keys.created(name))
        declared = set(group.events)
        for first in range(0, len(group.events), _PAGE):
            some = group.events[first : first + _PAGE]
            self._client.ask("ZREM", key_names[1], *some, key=key_names[1])
        for page in self._client.scan("HSCAN", key_names[0], _CHUNK):
            others = [event_id for event_id in map(text, page[::2]) if event_id not in declared]
            for first in range(0, len(others), _CHUNK):
                chunk = others[first : first + _CHUNK]
                self._client.run("expire_hash", key_names, [group.expire_after, *chunk], key_names[1])


def _span(key: str, entry_id: str, words: Sequence[bytes]) -> tuple[float, float]:
    """Returns start and end of an entry of the history, as rotate_hash.lua writes it."""
    fields = dict(zip(words[::2], words[1::2], strict=True))
    try:
        start, end, _ = float(fields[b"start"]), float(fields[b"end"]), int(fields[b"number"])
    except (KeyError, ValueError) as error:
        raise Rejected(key, f"entry {entry_id} of the history cannot be read: {error}") from error
    return start, end


def _ordered(group: GroupConfig, found: Mapping[bytes, bytes]) -> dict[str, int]:
    """Returns the counts in the fields of a hash."""
    fields, event_ids = _in_order(group.events, frozenset(found))
    values = [found[field] for field in fields]
    try:
        return dict(zip(event_ids, map(int, values), strict=True))
    except ValueError:
        counts = zip(event_ids, map(count, values), strict=True)
        return {event_id: value for event_id, value in counts if value is not None}


@lru_cache(maxsize=2)  # most intervals of a group have the same events
def _in_order(declared: Sequence[str], fields: Set[bytes]) -> tuple[Sequence[bytes], Sequence[str]]:
    """Returns the fields of a hash in the order of their event IDs, and these."""
    by_id = {text(field): field for field in fields}
    event_ids = declared_first(declared, by_id)
    return [by_id[event_id] for event_id in event_ids], event_ids
