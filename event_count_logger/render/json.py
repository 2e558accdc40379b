"""Snapshots as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from event_count_logger.reader import Snapshot

_NAMES = {"last": "last", "cur": "current"}


def render(snapshots: Sequence[Snapshot]) -> str:
    """One object for one snapshot; for several an object with `last` and `current`."""
    objects = {_NAMES[snapshot.half]: as_object(snapshot) for snapshot in snapshots}
    document = objects if len(objects) > 1 else next(iter(objects.values()))
    return json.dumps(document, indent=2) + "\n"


def as_object(snapshot: Snapshot) -> dict[str, Any]:
    """Times are Unix seconds, or null where there is none; an interval that is not there has no counts."""
    return {
        "group": snapshot.group,
        "interval": snapshot.interval,
        "start": _number(snapshot.start),
        "end": _number(snapshot.end),
        "server_time": snapshot.now,
        "stale": snapshot.stale,
        "counts": {} if snapshot.empty else dict(sorted(snapshot.counts.items())),
    }


def _number(time_s: float | None) -> float | int | None:
    return int(time_s) if time_s is not None and time_s.is_integer() else time_s
