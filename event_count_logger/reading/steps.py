"""Finished intervals as spans of time: one by one, or added up in steps such as hours. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from event_count_logger.intervals import Interval
from event_count_logger.reading.range_sum import Cover, Span, length_of, united
from event_count_logger.reading.times import InvalidTime
from event_count_logger.store import HistoryEntry

#: Most finished intervals, or steps, in memory; and most counts in them, which take some 200 MB.
MOST_INTERVALS, MOST_COUNTS = 10_000, 1_000_000

#: Most finished intervals that are added up into steps, and most counts in them: a few seconds of work.
MOST_SUMMED, MOST_SUMMED_COUNTS = 50_000, 5_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """A finished interval, or the sum of those that begin in one step of time.

    Attributes:
        start: Start of its first interval, Unix seconds.
        end: End of its last interval.
        spans: The time that its intervals cover, which has no overlaps, even after a clock was set back.
        n_intervals: Number of its intervals.
        position: Position of its newest interval in the history.
        counts: Count per event ID.
    """

    start: float
    end: float
    spans: Sequence[Span]
    n_intervals: int
    position: str
    counts: Mapping[str, int]

    @classmethod
    def of(cls, entry: HistoryEntry) -> Step:
        """Returns one finished interval."""
        span = entry.start, entry.end
        return cls(*span, (span,), 1, str(entry.position), entry.counts)

    @property
    def covered_s(self) -> float:
        """Seconds that its intervals cover: the time from `start` to `end` without the gaps in it."""
        return length_of(self.spans)


def parse_step(text: str, interval: Interval) -> Interval:
    """Returns the step of a request, whose boundaries are boundaries of the interval.

    Raises:
        InvalidTime: Not a length of time, or not a multiple of the interval.
    """
    try:
        step = Interval.parse(text)
    except ValueError as error:
        raise InvalidTime(f"step: {error}") from error
    if step.length_ms % interval.length_ms or (step.offset_ms - interval.offset_ms) % interval.length_ms:
        raise InvalidTime(f"step: {text!r} is not a multiple of the interval '{interval.name}'")
    return step


def fitting(entries: Iterable[HistoryEntry]) -> list[HistoryEntry]:
    """Returns the finished intervals of a range.

    Raises:
        InvalidTime: They do not fit into memory.
    """
    found: list[HistoryEntry] = []
    n_counts = 0
    for entry in entries:
        found.append(entry)
        n_counts += len(entry.counts)
        if len(found) > MOST_INTERVALS or n_counts > MOST_COUNTS:
            limit = f"{MOST_INTERVALS:,} intervals or {MOST_COUNTS:,} counts"
            raise InvalidTime(
                f"since, until: the range has more than {limit}; request parts of it, or a step"
            )
    return found


def in_steps(entries: Iterable[HistoryEntry], step: Interval, shift_s: float = 0.0) -> list[Step]:
    """Returns the sums of finished intervals by the step in which they begin, oldest first.

    The memory that this takes does not depend on the number of intervals.

    Args:
        entries: The intervals, in the order of the history.
        step: The step.
        shift_s: Seconds by which the boundaries of the steps are earlier.

    Raises:
        InvalidTime: There is too much to add up, or to return.
    """
    sums: dict[float, _Sum] = {}
    work = Work()
    for entry in entries:
        at = step.start_of(round(entry.start + shift_s, 3))  # exact at the boundaries
        if at not in sums:
            sums[at] = _Sum()
        n_before = len(sums[at].counts)
        sums[at].add(entry)
        work.add(len(entry.counts), len(sums), len(sums[at].counts) - n_before)
    return [sums[at].step for at in sorted(sums)]


class _Sum:
    """The sum of some finished intervals."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._cover = Cover()
        self._n_intervals = 0
        self._position = ""

    def add(self, entry: HistoryEntry) -> None:
        """Add an interval."""
        self._cover.add((entry.start, entry.end))
        self._n_intervals += 1
        self._position = str(entry.position)
        add_to(self.counts, entry.counts)

    @property
    def step(self) -> Step:
        """The sum of at least one interval."""
        start, end = self._cover.ends
        assert start is not None
        assert end is not None
        return Step(start, end, self._cover.spans, self._n_intervals, self._position, self.counts)


class Work:
    """The work done so far."""

    def __init__(self) -> None:
        self._n_intervals = self._n_summed = self._n_held = 0

    def add(self, n_counts: int, n_steps: int = 0, n_new: int = 0) -> None:
        """Record an interval of `n_counts` counts, of which `n_new` need memory.

        Raises:
            InvalidTime: That is too much.
        """
        self._n_intervals += 1
        self._n_summed += n_counts
        self._n_held += n_new
        if self._n_intervals > MOST_SUMMED or self._n_summed > MOST_SUMMED_COUNTS:
            limit = f"{MOST_SUMMED:,} intervals or {MOST_SUMMED_COUNTS:,} counts to read"
            raise InvalidTime(f"since, until: the range has more than {limit}; request parts of it")
        if n_steps > MOST_INTERVALS or self._n_held > MOST_COUNTS:
            limit = f"{MOST_INTERVALS:,} steps or {MOST_COUNTS:,} counts in them"
            raise InvalidTime(f"step: the range has more than {limit}; use a longer step")


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of steps.

    Attributes:
        start: Start of the first one, Unix seconds.
        end: End of the last one.
        covered_s: Seconds that their intervals cover: the same whether they are added up in steps or not.
        counts: Count per event ID.
    """

    start: float
    end: float
    covered_s: float
    counts: Mapping[str, int]

    @classmethod
    def of(cls, steps: Sequence[Step], declared: Iterable[str]) -> Sum | None:
        """Returns the sum of steps; None without any. Declared events always have a count."""
        if not steps:
            return None
        spans = united(span for step in steps for span in step.spans)
        counts = dict.fromkeys(declared, 0) | added([step.counts for step in steps])
        return cls(spans[0][0], spans[-1][1], length_of(spans), counts)


def added(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Returns the sums of counts."""
    events = list(counts[0])
    if all(list(each) == events for each in counts):  # many events in the same order are added faster
        return dict(zip(events, map(sum, zip(*(each.values() for each in counts), strict=True)), strict=True))
    sums: dict[str, int] = {}
    for some in counts:
        add_to(sums, some)
    return sums


def add_to(sums: dict[str, int], counts: Mapping[str, int]) -> None:
    """Add counts to sums."""
    for event_id, count in counts.items():
        sums[event_id] = sums.get(event_id, 0) + count
