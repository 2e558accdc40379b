"""Snapshots as comma-separated values, one row per event, after a header (RFC 4180).

Times are Unix seconds, and empty where there is none. An interval that is not there has no rows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from event_count_logger.reading.reader import Snapshot, Totals
from event_count_logger.render.numbers import plain_or_none


def render(snapshots: Sequence[Snapshot], rate: bool = False) -> str:
    """Rows of start, end, event, count and, if asked for, count per second; the running one has no end."""
    return _text([_header(rate), *(row for snapshot in snapshots for row in _rows(snapshot, rate))])


def render_history(snapshots: Sequence[Snapshot], rate: bool = False) -> str:
    """The same, oldest first."""
    return render(snapshots, rate)


def render_next(snapshot: Snapshot, rate: bool = False, first: bool = False) -> str:
    """The same, with a header above the first one only."""
    return _text([*([_header(rate)] if first else []), *_rows(snapshot, rate)])


def render_totals(totals: Totals) -> str:
    """Rows of event and what it has counted since ever."""
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
