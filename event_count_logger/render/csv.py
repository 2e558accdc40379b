"""Snapshots as comma-separated values (RFC 4180): a header, and one row per event.

Times are Unix seconds, or empty if unknown. An empty snapshot has no rows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from event_count_logger.reading.reader import Snapshot, Totals
from event_count_logger.render.numbers import plain_or_none


def render(snapshots: Sequence[Snapshot], rate: bool = False) -> str:
    """Returns rows of start, end, event, count and optionally rate; the current interval has no end."""
    return _text([_header(rate), *(row for snapshot in snapshots for row in _rows(snapshot, rate))])


def render_history(snapshots: Sequence[Snapshot], rate: bool = False) -> str:
    """Returns the rows of finished intervals, oldest first."""
    return render(snapshots, rate)


def render_next(snapshot: Snapshot, rate: bool = False, first: bool = False) -> str:
    """Returns the rows of one finished interval, with a header if it is the first one."""
    return _text([*([_header(rate)] if first else []), *_rows(snapshot, rate)])


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
