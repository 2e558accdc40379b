"""Sums over the shards of a group, in intervals that all shards have finished. Pure functions.

Each shard is rotated on its own. At any time, some shards may be behind. A shard that was rotated late has
one long interval where others have several:

    shard 0   |-----|-----|-----|--- current
    shard 1   |-----------|-----|--- current         rotated late once
    shard 2   |-----|-----|--------- current         not yet rotated

    shared    |           |                          boundaries of all shards
    sealed    |===========|                          never changes again
    current               |--------- current         all counts since the last shared boundary

A shared boundary is one that all shards have had. The time from one to the next is a sealed interval. It
never changes again: no shard counts in it, and no shard can get another boundary within it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf

from event_count_logger.store.results import HistoryEntry, HistoryPosition, Reading, declared_first


@dataclass(frozen=True, slots=True)
class Part:
    """The intervals of one shard at one time.

    Attributes:
        start: Start of the current interval, Unix seconds; None if none has begun.
        finished: Some finished intervals, oldest first, without a gap.
        is_all: Whether these are the first intervals of the shard.
    """

    start: float | None
    finished: tuple[HistoryEntry, ...] = ()
    is_all: bool = False

    @classmethod
    def of(cls, start: float | None, held: Sequence[HistoryEntry]) -> Part:
        """Returns a shard at the time when its `start` was read; `held` was read from its history later.

        Intervals that have finished in between are left out.
        """
        if start is None:
            return cls(None)
        is_all = not held or held[0].position.number == 1
        return cls(start, tuple(one for one in held if one.start < start), is_all)

    def boundaries(self) -> set[float]:
        """Returns the known boundaries up to `start`. Later ones come from a clock that was ahead."""
        if self.start is None:
            return set()
        known = {time for one in self.finished for time in (one.start, one.end) if time <= self.start}
        return known or {self.start}


def shared_boundaries(parts: Sequence[Part]) -> list[float]:
    """Returns the boundaries that all shards have had, in order.

    A shard has counted nothing before its first interval: it has all boundaries before that. A shard that has
    not begun has none, because it may begin at any time.
    """
    own = [part.boundaries() for part in parts]
    begins = [
        min(times) if part.is_all and times else float("-inf") for part, times in zip(parts, own, strict=True)
    ]
    shards = list(zip(own, begins, strict=True))
    return [
        time
        for time in sorted(set().union(*own))
        if all(time in times or time < begin for times, begin in shards)
    ]


def sealed(parts: Sequence[Part], events: Sequence[str] = ()) -> list[HistoryEntry]:
    """Returns the known sealed intervals, oldest first; `events` come first in their counts."""
    shared = shared_boundaries(parts)
    found: list[list[Mapping[str, int]]] = [[] for _ in pairwise(shared)]
    for one in (one for part in parts for one in part.finished):
        # An interval beyond the next shared boundary was ended by a clock that was ahead, and was set back.
        at = bisect_right(shared, one.start) - 1
        if 0 <= at < len(found):
            found[at].append(one.counts)
    return [
        HistoryEntry(HistoryPosition(round(end * 1000)), start, end, added(events, counts))
        for (start, end), counts in zip(pairwise(shared), found, strict=True)
    ]


def n_finished_before(parts: Iterable[Part], start: float) -> int:
    """Returns the number of intervals finished at `start`, of the shard that has most."""
    firsts = [next((one for one in part.finished if one.start >= start), None) for part in parts]
    return max((one.position.number - 1 for one in firsts if one), default=0)


def joined(readings: Sequence[Reading], events: Sequence[str]) -> Reading | None:
    """Returns the sum of the readings of all shards; None if they are of different intervals.

    Each reading has a time of its own; `now` is the latest.
    """
    first = readings[0]
    if not all(reading.is_of_one_interval_with(first) for reading in readings):
        return None
    counts = {half: added(events, [reading.counts[half] for reading in readings]) for half in first.counts}
    position = None
    if first.current_start is not None and any(reading.last_position for reading in readings):
        position = HistoryPosition(round(first.current_start * 1000))
    return replace(first, now=_now(readings), counts=counts, last_position=position)


def reconciled(readings: Sequence[Reading], parts: Sequence[Part], events: Sequence[str]) -> Reading:
    """Returns the sum of the readings of all shards that are of different intervals.

    The last interval is the last sealed one. The current interval is everything since its end, as in the
    shard that is behind most. Without a shared boundary, it is everything that is known.

    Args:
        readings: The readings of all shards.
        parts: The same shards at the same times.
        events: Events that come first in the counts.
    """
    shared = shared_boundaries(parts)
    begin = shared[-1] if shared else min(part.start for part in parts if part.start is not None)
    last = sealed(parts, events)[-1:]
    counts = dict(readings[0].counts)
    if "cur" in counts:
        running = [reading.counts["cur"] for reading in readings]
        since = [one.counts for part in parts for one in part.finished if one.start >= begin]
        counts["cur"] = added(events, [*running, *since])
    if "last" in counts:
        counts["last"] = last[0].counts if last else {}
    return Reading(
        now=_now(readings),
        current_start=begin,
        last_start=last[0].start if last else None,
        totals_interval="",
        counts=counts,
        totals={},
        last_position=last[0].position if last else None,
    )


def added(events: Sequence[str], counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Returns the sums in the order of `declared_first`."""
    sums: dict[str, int] = {}
    for some in counts:
        for event_id, count in some.items():
            sums[event_id] = sums.get(event_id, 0) + count
    return {event_id: sums[event_id] for event_id in declared_first(events, sums)}


def created(readings: Sequence[Reading], noted: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Returns the time at which the sum of the totals of all shards began, by event, Unix seconds.

    It is unknown if one of the shards has a total without a time: that total is older than such times.

    Args:
        readings: The totals of all shards.
        noted: The times of each shard, read later. An event that has expired and was counted again in between
            has a time after that of the reading.
    """
    times: dict[str, list[float]] = {}
    for reading, at in zip(readings, noted, strict=True):
        for event_id, total in reading.totals.items():
            began = at.get(event_id, inf)
            if total:
                times.setdefault(event_id, []).append(began if began <= reading.now else inf)
    return {event_id: min(found) for event_id, found in times.items() if inf not in found}


def _now(readings: Iterable[Reading]) -> float:
    return max(reading.now for reading in readings)
