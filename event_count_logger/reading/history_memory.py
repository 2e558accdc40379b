"""An estimate of the memory that the history takes in Redis, for `ecl check`.

docs/layouts.md has the figures, and the command that measured them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from event_count_logger.config import Config, GroupConfig
from event_count_logger.errors import Rejected
from event_count_logger.intervals import Interval
from event_count_logger.logs import counted
from event_count_logger.store import Store

#: Bytes of a finished interval with `layout: keys`, and of each of its counts besides the event ID.
_ENTRY, _COUNT = 70, 9

#: The same with `layout: hash`; the last one is for hashes that Redis does not store in compact form.
_HASH_ENTRY, _HASH_COUNT, _LARGE_HASH_COUNT = 190, 7, 64

#: The largest hash that Redis stores in compact form: number of fields, and bytes of each
#: (`hash-max-listpack-entries` and `hash-max-listpack-value`).
_MOST_FIELDS, _LONGEST_FIELD = 512, 64

#: An estimate below this many bytes is not shown, and is no problem of any server.
_WORTH_SHOWING = 16 * 2**20

#: Bytes that the history may take without a warning, if the servers have no `maxmemory`.
_MOST = 2**30

#: Intervals that one line names, at most.
_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class HistoryMemory:
    """The memory of the whole history of one interval, for the events in use now.

    Attributes:
        group: Name of the group.
        interval: Name of the interval.
        n_intervals: Number of finished intervals, as configured.
        n_events: Number of events in use now.
        n_bytes: Bytes in Redis.
    """

    group: str
    interval: str
    n_intervals: int
    n_events: int
    n_bytes: int

    def __str__(self) -> str:
        size = f"{counted(self.n_intervals, 'interval')} of {counted(self.n_events, 'event')}"
        return f"group '{self.group}', interval '{self.interval}' {_mb(self.n_bytes)} ({size})"


def estimate(config: Config, store: Store) -> list[HistoryMemory]:
    """Returns the memory of the history of each interval, largest first; without those that cannot be read.

    Raises:
        Unavailable: Redis does not answer.
    """
    found = []
    for group in config.groups.values():
        for interval in group.intervals:
            with suppress(Rejected):  # reported as a problem
                found.append(_estimate(group, interval, store))
    return sorted(found, key=lambda each: -each.n_bytes)


def fact(found: Sequence[HistoryMemory]) -> Iterator[str]:
    """Yield a line about the memory of all histories, unless it is small."""
    total = sum(each.n_bytes for each in found)
    if total >= _WORTH_SHOWING:
        yield f"history takes up to {_mb(total)} in Redis with the events in use now: {_largest(found)}"


def problem(found: Sequence[HistoryMemory], servers: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield a problem if all histories take more than half of `maxmemory`, or 1 GiB without it."""
    limits = [int(settings.get("maxmemory", 0)) for settings in servers.values()]
    total, limit = sum(each.n_bytes for each in found), sum(limits)
    if limit and min(limits):
        bound, words = max(limit // 2, _WORTH_SHOWING), f"half of its maxmemory ({_mb(limit)})"
    else:
        bound, words = _MOST, f"{_mb(_MOST)}"
    if total > bound:
        yield (
            f"history takes up to {_mb(total)} in Redis with the events in use now, more than {words}: "
            f"{_largest(found)}; shorten 'history'"
        )


def _estimate(group: GroupConfig, interval: Interval, store: Store) -> HistoryMemory:
    reading = store.reads.read(group, interval, ("last", "cur"))
    events = {event_id for counts in reading.counts.values() for event_id in counts}
    if group.layout == "keys":
        events.update(group.events)  # a declared event has a count also when it is 0
    n_intervals = group.n_history(interval)
    n_bytes = n_intervals * group.n_shards * _bytes_of_entry(group, [len(each.encode()) for each in events])
    return HistoryMemory(group.name, interval.name, n_intervals, len(events), n_bytes)


def _bytes_of_entry(group: GroupConfig, lengths: Sequence[int]) -> int:
    """Returns the bytes of a finished interval, for the lengths of its event IDs."""
    if group.layout == "keys":
        return _ENTRY + sum(lengths) + _COUNT * len(lengths)
    is_compact = len(lengths) <= _MOST_FIELDS and max(lengths, default=0) <= _LONGEST_FIELD
    return _HASH_ENTRY + sum(lengths) + (_HASH_COUNT if is_compact else _LARGE_HASH_COUNT) * len(lengths)


def _largest(found: Sequence[HistoryMemory]) -> str:
    named, more = "; ".join(map(str, found[:_MOST_NAMES])), len(found) - _MOST_NAMES
    return named + (f"; and {more:,} more" if more > 0 else "")


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.0f} MB"
