"""JSON representation of the counts of one group and interval; see `representations` for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TypeVar

from typing_extensions import TypedDict  # pydantic does not take typing's own before Python 3.12

from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.comparison import Comparison, expected_counts
from event_count_logger.reading.event_rows import Rows
from event_count_logger.reading.figures import Figures
from event_count_logger.reading.steps import Step, Sum

_T = TypeVar("_T")

#: Fields that change with each answer, at its beginning.
UNSTABLE = ("server_time", "overdue_s")


class LastInterval(TypedDict):
    """Counts of the last interval."""

    start: float | None
    end: float | None
    counts: Mapping[str, int]


class CurrentInterval(TypedDict):
    """Counts of the current interval."""

    start: float | None
    counts: Mapping[str, int]


class Span(TypedDict):
    """One finished interval in the history, or a step: the sum of `n_intervals` intervals.

    `covered_s` is the number of seconds of these intervals. The rate of a span is its count per such second.
    """

    start: float
    end: float
    position: str
    n_intervals: int
    covered_s: float


class History(TypedDict):
    """Finished intervals or steps, oldest first.

    Each event has one count per span, null if it was not counted in that. `begin` is the start of the oldest
    interval that the history has, if `since` is before it.
    """

    begin: float | None
    spans: list[Span]
    counts: dict[str, Sequence[int | None]]


class RangeCounts(TypedDict):
    """The sum of finished intervals; `sum` adds up all matching events."""

    start: float
    end: float
    covered_s: float
    counts: Mapping[str, int]
    sum: int


class Sums(TypedDict):
    """Sums over all matching events; null where there is nothing yet."""

    last: int | None
    current: int | None
    total: int | None
    history: list[int]


class Compared(TypedDict):
    """Counts of an earlier time: `by_s` seconds before.

    `history` has a count for each span: the count in the same time earlier, at the rate of the intervals that
    were running then; null if there is none.
    """

    by_s: float
    last: RangeCounts | None
    range: RangeCounts | None
    history: list[float | None]


class Counts(TypedDict):
    """One interval of a group. `last` is null if no interval has finished, `totals` if they are off.

    Intervals begin at multiples of `length_s` after `offset_s`. `open_sessions` is null if the group has no
    sessions. Otherwise each event `E` counts sessions, and `E:ms` their milliseconds. `events` are those of
    this page, `n_events` is the number of all that match. `range` is the sum of the history.
    """

    server_time: float
    overdue_s: float | None
    group: str
    interval: str
    length_s: float
    offset_s: float
    title: str
    unit: str
    labels: Mapping[str, str]
    stale: bool
    n_events: int
    events: list[str]
    next: str | None
    last: LastInterval | None
    current: CurrentInterval | None
    totals: Mapping[str, int] | None
    open_sessions: int | None
    sums: Sums
    step_s: float | None
    history: History
    range: RangeCounts | None
    top: list[str]
    compared: Compared | None


def document(
    group: GroupConfig, interval: Interval, step: Interval | None, figures: Figures, rows: Rows
) -> Counts:
    """Returns one interval of a group; `step` is that of the history."""
    page = _Page(group, rows)
    last, current, totals = figures.last, figures.current, figures.totals
    sums, compared = figures.sum, figures.comparison
    return {
        "server_time": last.now,
        "overdue_s": last.overdue_s,
        "group": group.name,
        "interval": interval.name,
        "length_s": interval.length_s,
        "offset_s": interval.offset_ms / 1000,
        "title": group.title or group.name,
        "unit": group.unit,
        "labels": page.part(group.labels),
        "stale": last.stale,
        "n_events": len(rows.matching),
        "events": list(rows.page),
        "next": rows.next,
        "last": None
        if last.empty
        else {"start": last.start, "end": last.end, "counts": page.part(last.counts)},
        "current": None
        if current is None or current.empty
        else {"start": current.start, "counts": page.part(current.counts)},
        "totals": page.part(totals.counts) if totals else None,
        "open_sessions": figures.open_sessions,
        "sums": page.sums(figures),
        "step_s": step.length_s if step else None,
        "history": page.history(figures),
        "range": page.sum(sums) if sums else None,
        "top": list(rows.top),
        "compared": page.compared(figures, compared) if compared else None,
    }


class _Page:
    """The events of one page, in the maps of an answer."""

    def __init__(self, group: GroupConfig, rows: Rows) -> None:
        self._declared = frozenset(group.events)
        self._matching = rows.matching
        self._counted = rows.counted
        #: The events that have a history.
        self._events = dict.fromkeys((*rows.page, *rows.top, *sorted(rows.counted)))

    def part(self, counts: Mapping[str, _T]) -> Mapping[str, _T]:
        """Returns the entries of these events."""
        return _part(counts, self._counted)

    def sums(self, figures: Figures) -> Sums:
        """Returns the sums over all matching events."""
        current, totals = figures.current, figures.totals
        return {
            "last": None if figures.last.empty else self._sum(figures.last.counts),
            "current": None if current is None or current.empty else self._sum(current.counts),
            "total": self._sum(totals.counts) if totals else None,
            "history": [self._sum(step.counts) for step in figures.steps],
        }

    def history(self, figures: Figures) -> History:
        """Returns the spans, and the counts of these events and of the top ones in each."""
        # All events of a span in one pass, then transposed: there may be a million counts.
        # A declared event that was not counted has 0.
        events = list(self._events)
        missing = [0 if each in self._declared else None for each in events]
        of_spans = [list(map(step.counts.get, events, missing)) for step in figures.steps]
        rows = zip(events, zip(*of_spans, strict=True), strict=False)  # no rows without a span
        return {
            "begin": figures.begin,
            "spans": [_span(step) for step in figures.steps],
            "counts": {each: of_each for each, of_each in rows if of_each.count(None) < len(of_each)},
        }

    def sum(self, found: Sum) -> RangeCounts:
        """Returns a sum with the counts of these events."""
        return {
            "start": found.start,
            "end": found.end,
            "covered_s": found.covered_s,
            "counts": self.part(found.counts),
            "sum": self._sum(found.counts),
        }

    def compared(self, figures: Figures, comparison: Comparison) -> Compared:
        """Returns the counts of an earlier time."""
        return {
            "by_s": comparison.by_s,
            "last": self.sum(comparison.last) if comparison.last else None,
            "range": self.sum(comparison.range) if comparison.range else None,
            "history": expected_counts(figures.steps, comparison, self._sum),
        }

    def _sum(self, counts: Mapping[str, int]) -> int:
        if counts.keys() <= self._matching:
            return sum(counts.values())
        return sum(_part(counts, self._matching).values())


def _part(counts: Mapping[str, _T], events: Set[str]) -> Mapping[str, _T]:
    """Returns the entries of some events, in the same order."""
    if counts.keys() <= events:
        return counts
    return {event_id: count for event_id, count in counts.items() if event_id in events}


def _span(step: Step) -> Span:
    return {
        "start": step.start,
        "end": step.end,
        "position": step.position,
        "n_intervals": step.n_intervals,
        "covered_s": step.covered_s,
    }
