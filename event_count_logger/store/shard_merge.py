"""Adds up what the shards of a group have counted, in intervals that all of them have finished: pure.

Each shard is rotated on its own: at any moment some are behind others, and where a master was away one has
merged what others have not. A boundary that all shards have had is a shared boundary. From one to the next is
a sealed interval, which never changes any more: no shard counts in it, and none can get a boundary within it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from event_count_logger.store.results import HistoryEntry, HistoryPosition, Reading, declared_first


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of one shard, as of one moment.

    Attributes:
        start: Of the running interval, Unix seconds; None if none has begun.
        finished: Some finished intervals, oldest first, without any in between missing.
        is_all: Whether the shard has finished none before these.
    """

    start: float | None
    finished: tuple[HistoryEntry, ...] = ()
    is_all: bool = False

    @classmethod
    def of(cls, start: float | None, held: Sequence[HistoryEntry]) -> Part:
        """A shard as of when its `start` was read; `held` was read from its history after that.

        What has finished in between is left out.
        """
        if start is None:
            return cls(None)
        is_all = not held or held[0].position.number == 1
        return cls(start, tuple(one for one in held if one.start < start), is_all)

    def boundaries(self) -> set[float]:
        """Those that it is known to have had; what a clock that was ahead has ended is still to come."""
        if self.start is None:
            return set()
        known = {time for one in self.finished for time in (one.start, one.end) if time <= self.start}
        return known or {self.start}


def shared_boundaries(parts: Sequence[Part]) -> list[float]:
    """The boundaries that all shards have had, in order.

    A shard that has begun later has counted nothing before, so that it has all boundaries before; one that
    has not begun has none, since nobody knows when it will.
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
    """The sealed intervals that are known, oldest first; `events` come first in their counts."""
    shared = shared_boundaries(parts)
    found: list[list[Mapping[str, int]]] = [[] for _ in pairwise(shared)]
    for one in (one for part in parts for one in part.finished):
        # If it goes on beyond the next shared boundary, a clock that was ahead and was set back has ended it.
        at = bisect_right(shared, one.start) - 1
        if 0 <= at < len(found):
            found[at].append(one.counts)
    return [
        HistoryEntry(HistoryPosition(round(end * 1000)), start, end, added(events, counts))
        for (start, end), counts in zip(pairwise(shared), found, strict=True)
    ]


def n_finished_before(parts: Iterable[Part], start: float) -> int:
    """How many intervals had finished at `start`, at most: those of the shard that has had most."""
    firsts = [next((one for one in part.finished if one.start >= start), None) for part in parts]
    return max((one.position.number - 1 for one in firsts if one), default=0)


def joined(readings: Sequence[Reading], events: Sequence[str]) -> Reading | None:
    """Readings of all shards, added up; None if they are not of the same intervals.

    Each shard is as of its own moment, and `now` is the last of them.
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
    """Readings of all shards, added up although they are not of the same intervals.

    The last interval is the last sealed one, and the running one is all since that, so that it began when
    it did in the shard that is behind most. Where no boundary is shared, it is as much of that as is known.

    Args:
        readings: Of all shards.
        parts: The same shards, as of the same moments.
        events: Come first in the counts.
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
    """The sums, of those events first, and of the others by name."""
    sums: dict[str, int] = {}
    for some in counts:
        for event_id, count in some.items():
            sums[event_id] = sums.get(event_id, 0) + count
    return {event_id: sums[event_id] for event_id in declared_first(events, sums)}


def _now(readings: Iterable[Reading]) -> float:
    return max(reading.now for reading in readings)
