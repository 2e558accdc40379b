"""Irregularities in a range of finished intervals: late rotations, missing history, lost counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from event_count_logger import keys
from event_count_logger.intervals import Interval
from event_count_logger.logs import counted
from event_count_logger.reading.range_sum import Cover, Span
from event_count_logger.reading.reader import Snapshot
from event_count_logger.reading.times import InvalidTime, Range

#: Most finished intervals and most counts that one range may have. Their evaluation takes some seconds.
MOST_INTERVALS, MOST_COUNTS = 20_000, 5_000_000

MarkKind = Literal["late", "missing", "lost"]


class Mark(NamedTuple):
    """An irregularity.

    Attributes:
        kind: `late` for an interval that covers several, `missing` for time that is not in the history,
            `lost` for counts that Redis has confirmed and lost.
        start: Its start, Unix seconds.
        end: Its end.
        text: Description for people.
    """

    kind: MarkKind
    start: float
    end: float
    text: str


class RangeMarks:
    """The irregularities of the intervals that pass through it."""

    def __init__(self, interval: Interval, wanted: Range) -> None:
        """`wanted` is the range of the starts of the intervals."""
        self._interval = interval
        self._wanted = wanted
        self._covered = Cover()
        self._found: list[Mark] = []

    def noting(self, history: Iterable[Snapshot]) -> Iterator[Snapshot]:
        """Yield finished intervals unchanged, and note the irregular ones of the range."""
        for snapshot in history:
            start, end = snapshot.start or 0.0, snapshot.end or 0.0
            if self._wanted.since <= start < self._wanted.until:
                self._covered.add((start, end))
                self._found += _marks(self._interval, start, end, snapshot.counts.get(keys.LOST, 0))
            yield snapshot

    def found(self, current_start: float | None, begin: float | None) -> list[Mark]:
        """Returns the irregularities in the order of time, after all intervals have passed.

        Args:
            current_start: Start of the current interval, Unix seconds; None if none has begun.
            begin: Start of the oldest interval in the history; None without any. No time before is missing.
        """
        gaps: Sequence[Span] = ()
        if begin is not None:
            expected = self._wanted._replace(since=max(begin, self._wanted.since))
            gaps = self._covered.missing(self._interval, expected, current_start)
        missing = [Mark("missing", start, end, "not in the history") for start, end in gaps]
        return sorted([*self._found, *missing], key=lambda mark: mark.start)


def bounded(history: Iterable[Snapshot]) -> Iterator[Snapshot]:
    """Yield finished intervals, unless they are too many.

    Raises:
        InvalidTime: There are more than `MOST_INTERVALS`, or more than `MOST_COUNTS` in them.
    """
    n_counts = 0
    for n, snapshot in enumerate(history):
        n_counts += len(snapshot.counts)
        if n >= MOST_INTERVALS or n_counts > MOST_COUNTS:
            limit = f"{MOST_INTERVALS:,} intervals or {MOST_COUNTS:,} counts"
            raise InvalidTime(f"since, until: the range has more than {limit}; request parts of it")
        yield snapshot


def _marks(interval: Interval, start: float, end: float, n_lost: int) -> Iterator[Mark]:
    n_intervals = round((end - start) / interval.length_s)
    if n_intervals > 1:
        yield Mark("late", start, end, f"rotated late: {n_intervals} intervals in one")
    if n_lost:
        yield Mark("lost", start, end, f"{counted(n_lost, 'count')} lost by Redis")
