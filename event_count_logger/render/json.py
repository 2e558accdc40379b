"""Snapshots as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from event_count_logger.reading.range_sum import RangeSum
from event_count_logger.reading.reader import Snapshot, Totals
from event_count_logger.render.numbers import plain_or_none

_NAMES = {"last": "last", "cur": "current"}


def render(snapshots: Sequence[Snapshot], rate: bool = False) -> str:
    """Returns an object for one snapshot; for several, an object with `last` and `current`."""
    objects = {_NAMES[snapshot.half]: as_object(snapshot, rate) for snapshot in snapshots}
    return _document(objects if len(objects) > 1 else next(iter(objects.values())))


def render_history(snapshots: Sequence[Snapshot], rate: bool = False) -> str:
    """Returns a list of objects, oldest first."""
    return _document([_finished(snapshot, rate) for snapshot in snapshots])


def render_next(snapshot: Snapshot, rate: bool = False, first: bool = False) -> str:
    """Returns a finished interval as one line, with the number of intervals `missed` before it."""
    return json.dumps({**_finished(snapshot, rate), "missed": snapshot.missed}) + "\n"


def render_sum(found: RangeSum, rate: bool = False) -> str:
    """Returns an object with the sum, the range, and the time covered and missing in it."""
    times = {name: plain_or_none(getattr(found, name)) for name in ("since", "until", "start", "end")}
    rates = {"rates": dict(sorted(found.rates.items()))} if rate else {}
    return _document(
        {
            "group": found.group,
            "interval": found.interval,
            **times,
            "n_intervals": found.n_intervals,
            "covered_s": plain_or_none(found.covered_s),
            "missing": [list(map(plain_or_none, gap)) for gap in found.missing],
            "counts": dict(sorted(found.counts.items())),
            **rates,
        }
    )


def render_totals(totals: Totals) -> str:
    """Returns an object with the all-time totals of the events of a group."""
    counts = dict(sorted(totals.counts.items()))
    return _document({"group": totals.group, "server_time": totals.now, "counts": counts})


def as_object(snapshot: Snapshot, rate: bool = False) -> dict[str, Any]:
    """Returns a snapshot as an object. Times are Unix seconds or null; an empty snapshot has no counts."""
    return {
        **_span(snapshot),
        "server_time": snapshot.now,
        "stale": snapshot.stale,
        **_counts(snapshot, rate),
        **({"position": snapshot.position} if snapshot.half == "last" else {}),
    }


def _finished(snapshot: Snapshot, rate: bool) -> dict[str, Any]:
    return {**_span(snapshot), **_counts(snapshot, rate), "position": snapshot.position}


def _span(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "group": snapshot.group,
        "interval": snapshot.interval,
        "start": plain_or_none(snapshot.start),
        "end": plain_or_none(snapshot.end),
    }


def _counts(snapshot: Snapshot, rate: bool) -> dict[str, Any]:
    counts = {} if snapshot.empty else dict(sorted(snapshot.counts.items()))
    rates = {"rates": dict(sorted(snapshot.rates.items()))} if rate else {}
    return {"counts": counts, **rates}


def _document(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"
