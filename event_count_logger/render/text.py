"""Snapshots as lines for people and scripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from event_count_logger.reader import Snapshot

_TITLES = {"last": "Last:", "cur": "Current:"}


def render(snapshots: Sequence[Snapshot]) -> str:
    """`event:count` lines sorted by event, with a title above each of several snapshots."""
    lines = []
    for snapshot in snapshots:
        if len(snapshots) > 1:
            lines.append(_TITLES[snapshot.half])
        lines += [f"{event_id}:{count}" for event_id, count in sorted(snapshot.counts.items())]
    return "".join(f"{line}\n" for line in lines)


def warnings(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    """What the reader of these counts has to know."""
    first = snapshots[0]
    where = f"interval '{first.interval}' of group '{first.group}'"
    if first.overdue_s is None:
        yield f"{where}: nothing was counted yet, and no master has run"
    elif first.overdue_s:
        yield f"{where}: stale, it should have ended {first.overdue_s:.1f} s ago; is ecl_master running?"
    elif any(snapshot.half == "last" and snapshot.empty for snapshot in snapshots):
        yield f"{where}: none has finished yet"
