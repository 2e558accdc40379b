"""Reads the figures of groups again and again, with few requests: finished intervals are read once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import inf

from event_count_logger.config import GroupConfig
from event_count_logger.keys import Half
from event_count_logger.reading.overview import (
    DAY_S,
    N_SLOTS,
    Adder,
    Change,
    SpanSum,
    Trend,
    change,
    day_before,
    trend,
)
from event_count_logger.reading.reader import is_overdue, overdue_by
from event_count_logger.store import HistoryEntry, HistoryPosition, Reading, Store
from event_count_logger.store.vitals import Vitals


@dataclass(frozen=True, slots=True)
class Last:
    """The last finished interval.

    Attributes:
        start: Unix seconds; None if it was ended by a master of version 1.1.
        end: Unix seconds.
        sum: Sum of the counts that may be added up.
    """

    start: float | None
    end: float | None
    sum: int


@dataclass(frozen=True, slots=True)
class Current:
    """The current interval; see `Last`."""

    start: float
    sum: int


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """The figures of the first interval of a group, and the state of the group.

    Attributes:
        now: Time of the read, Unix seconds of the server's clock.
        last: The last finished interval; None if none has finished.
        current: The current interval; None if none has begun.
        change: Change of the last interval; None if there is nothing to compare it with.
        trend: The last finished intervals.
        overdue_s: Seconds by which the most overdue interval of the group is late; None if none has begun.
        has_master: True if a master with a heartbeat rotates the group.
        started: True if a master has started the first interval.
        open_sessions: Number of open sessions; None if the group has no sessions.
    """

    now: float
    last: Last | None
    current: Current | None
    change: Change | None
    trend: Trend
    overdue_s: float | None
    has_master: bool
    started: bool
    open_sessions: int | None

    @property
    def is_overdue(self) -> bool:
        """True if an interval of the group is overdue by more than the tolerance."""
        return is_overdue(self.overdue_s)


@dataclass(frozen=True, slots=True)
class _Finished:
    """The figures that stay the same until another interval finishes.

    Attributes:
        key: Starts of the current and the last interval.
        sums: The newest intervals of the history, in the order of time.
        newest: Position of the last one; None without any.
    """

    key: tuple[float | None, float | None]
    last: Last | None
    sums: Sequence[SpanSum]
    newest: HistoryPosition | None
    change: Change | None
    trend: Trend


class FiguresReader:
    """A reader of the figures of one group."""

    def __init__(self, group: GroupConfig, store: Store) -> None:
        self._group = group
        self._store = store
        self._interval = group.intervals[0]
        self._n_kept = min(N_SLOTS, group.n_history(self._interval))
        self._adder = Adder(group)
        self._named = group  # with undeclared events, too: a read that names all events is one request
        self._finished: _Finished | None = None

    def read(self, vitals: Vitals | None = None) -> GroupFigures:
        """Returns the figures; `vitals` is the state of the group, if it was read already.

        Raises:
            Unavailable: Redis does not answer.
            Rejected: A key has another type.
        """
        vitals = vitals or self._store.vitals.of(self._group)
        reading, finished = self._read(self._finished)
        start, self._finished = reading.current_start, finished
        return GroupFigures(
            now=reading.now,
            last=finished.last,
            current=None if start is None else Current(start, self._adder.sum(reading.counts["cur"])),
            change=finished.change,
            trend=finished.trend,
            overdue_s=_most_overdue(self._group, vitals),
            has_master=any(master.alive for master in vitals.masters),
            started=vitals.taken[0] or finished.last is not None,
            open_sessions=vitals.open_sessions,
        )

    def _read(self, before: _Finished | None) -> tuple[Reading, _Finished]:
        """Returns the counts, at least those of the current interval, and the finished intervals."""
        if before:
            reading = self._counts("cur")
            if before.key == _key(reading):
                return reading, before
        reading = self._counts("last", "cur")
        return reading, self._read_finished(reading, before)

    def _counts(self, *halves: Half) -> Reading:
        reading = self._store.reads.read(self._named, self._interval, halves)
        found = [event_id for counts in reading.counts.values() for event_id in counts]
        named = self._named.events if halves == ("cur",) else self._group.events
        if not set(self._named.events).issuperset(found) or named is not self._named.events:
            self._named = replace(self._group, events=tuple(dict.fromkeys((*named, *found))))
        return reading

    def _read_finished(self, reading: Reading, before: _Finished | None) -> _Finished:
        sums, newest = self._newest(before)
        last = self._last(reading)
        return _Finished(
            key=_key(reading),
            last=last,
            sums=sums,
            newest=newest,
            change=self._change(sums) if last and sums and sums[-1].end == last.end else None,
            trend=trend(sums, self._interval),
        )

    def _last(self, reading: Reading) -> Last | None:
        counts = reading.counts["last"]
        if not counts and reading.last_start is None:
            return None
        return Last(reading.last_start, reading.current_start, self._adder.sum(counts))

    def _newest(self, before: _Finished | None) -> tuple[Sequence[SpanSum], HistoryPosition | None]:
        """Returns the sums of the newest intervals of the history, and the position of the last one.

        Only those after `before` are read, if their numbers show that the history was not restarted.
        """
        if not self._group.keeps_history(self._interval):
            return (), None
        if before and before.newest and before.newest.number:
            later = self._store.reads.overlapping(
                self._group, self._interval, before.newest.time_ms / 1000, inf
            )
            found = list(islice(later, self._n_kept + 1))
            is_next = found and found[0].position.number == before.newest.number + 1
            if is_next and len(found) <= self._n_kept:
                return [*before.sums, *self._sums(found)][-self._n_kept :], found[-1].position
        found = self._store.reads.history(self._group, self._interval, self._n_kept)
        return self._sums(found), found[-1].position if found else None

    def _change(self, sums: Sequence[SpanSum]) -> Change | None:
        *earlier, last = sums
        start, end = day_before(last.start, last.end)
        if start < sums[0].start and self._holds_a_day():
            yesterday = self._store.reads.overlapping(
                self._group, self._interval, start, min(end, sums[0].start)
            )
            earlier = [*self._sums(yesterday), *earlier]
        return change(last, earlier, self._interval)

    def _holds_a_day(self) -> bool:
        return self._group.n_history(self._interval) * self._interval.length_s >= DAY_S

    def _sums(self, entries: Iterable[HistoryEntry]) -> list[SpanSum]:
        return [SpanSum(one.start, one.end, self._adder.sum(one.counts)) for one in entries]


def _key(reading: Reading) -> tuple[float | None, float | None]:
    return reading.current_start, reading.last_start


def _most_overdue(group: GroupConfig, vitals: Vitals) -> float | None:
    """Returns the seconds by which the most overdue interval is late; None if none has begun."""
    late = (
        overdue_by(interval, start, vitals.now)
        for interval, start in zip(group.intervals, vitals.starts, strict=True)
    )
    return max((each for each in late if each is not None), default=None)
