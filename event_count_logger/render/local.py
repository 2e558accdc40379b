"""This machine's counters as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby

from event_count_logger.local_reader import LocalCount, LocalSnapshot
from event_count_logger.render import table


def render(snapshots: Iterable[LocalSnapshot]) -> str:
    """One block for each process and group."""
    return "\n".join(
        _block(
            f"group {snapshot.group}, pid {snapshot.pid}, {'alive' if snapshot.alive else 'dead'}",
            snapshot.counts,
        )
        for snapshot in snapshots
    )


def render_sums(snapshots: Iterable[LocalSnapshot]) -> str:
    """One block for each group, over all its processes; the snapshots are sorted by group."""
    blocks = []
    for group, of_group in groupby(snapshots, lambda snapshot: snapshot.group):
        some = list(of_group)
        sums: dict[str, LocalCount] = {}
        for snapshot in some:
            for event_id, count in snapshot.counts.items():
                sums[event_id] = sums.get(event_id, LocalCount()) + count
        alive = sum(snapshot.alive for snapshot in some)
        blocks.append(_block(f"group {group}, {alive} alive, {len(some) - alive} dead", sums))
    return "\n".join(blocks)


def _block(title: str, counts: Mapping[str, LocalCount]) -> str:
    rows = [(event_id, count.total, count.unsent) for event_id, count in sorted(counts.items())]
    return f"{title}\n{table.render(('event', 'total', 'unsent'), rows)}"
