"""Snapshots as comma-separated values (RFC 4180): a header, and one row per event.

Times are Unix seconds, or empty if unknown. An empty snapshot has no rows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Container, Iterable, Iterator, Sequence

from event_count_logger.reading.range_sum import RangeSum
from event_count_logger.reading.reader import Snapshot, Totals
from event_count_logger.reading.steps import Step
from event_count_logger.render.numbers import plain_or_none

#: The first columns of a sum.
_OF_SUM = ("since", "until", "start", "end", "covered_s", "missing_s", "n_intervals")


def render(snapshots: Sequence[Snapshot], rate: bool = False) -> str:
    """Returns rows of start, end, event, count and optionally rate; the current interval has no end."""
    return _text([_header(rate), *(row for snapshot in snapshots for row in _rows(snapshot, rate))])


def render_history(snapshots: Sequence[Snapshot], rate: bool = False) -> str:
    """Returns the rows of finished intervals, oldest first."""
    return render(snapshots, rate)


def render_steps(steps: Iterable[Step], events: Sequence[str], declared: Container[str]) -> str:
    """Returns the rows of finished intervals or steps, oldest first; declared events have a row in each."""
    rows = (
        (plain_or_none(step.start), plain_or_none(step.end), event_id, step.counts.get(event_id, 0))
        for step in steps
        for event_id in events
        if event_id in step.counts or event_id in declared
    )
    return _text([_header(rate=False), *rows])


def render_next(snapshot: Snapshot, rate: bool = False, first: bool = False) -> str:
    """Returns the rows of one finished interval, with a header if it is the first one."""
    return _text([*([_header(rate)] if first else []), *_rows(snapshot, rate)])


def render_sum(found: RangeSum, rate: bool = False) -> str:
    """Returns a row for each event, all with the range, and the time covered and missing in it."""
    span = (found.since, found.until, found.start, found.end, found.covered_s, found.missing_s)
    columns = (*map(plain_or_none, span), found.n_intervals)
    rates = found.rates
    rows = (
        (*columns, event_id, count, *([rates.get(event_id)] if rate else []))
        for event_id, count in sorted(found.counts.items())
    )
    return _text([(*_OF_SUM, *_header(rate)[2:]), *rows])


def render_totals(totals: Totals) -> str:
    """Returns rows of event and all-time total."""
    return _text([("event", "total"), *sorted(totals.counts.items())])


def _header(rate: bool) -> Sequence[str]:
    return ("start", "end", "event", "count", *(["rate"] if rate else []))


def _rows(snapshot: Snapshot, rate: bool) -> Iterator[Sequence[object]]:
    if snapshot.empty:
        return
    span = (plain_or_none(snapshot.start), plain_or_none(snapshot.end))
    rates = snapshot.rates
    for event_id, count in sorted(snapshot.counts.items()):
        yield (*span, event_id, count, *([rates.get(event_id)] if rate else []))


def _text(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
