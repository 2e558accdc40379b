"""This machine's local counters as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from event_count_logger.reading.local_reader import LocalCount, LocalSnapshot
from event_count_logger.render import table


def render(snapshots: Iterable[LocalSnapshot]) -> str:
    """Returns a block for each process and group."""
    return "\n".join(
        _block(
            f"group {snapshot.group}, pid {snapshot.pid}, {'alive' if snapshot.alive else 'dead'}, "
            f"{'native' if snapshot.native else 'pure Python'}",
            snapshot.counts,
        )
        for snapshot in snapshots
    )


def as_json(snapshots: Iterable[LocalSnapshot]) -> str:
    """Returns a JSON list with an object for each process and group."""
    objects = [
        {
            "group": snapshot.group,
            "pid": snapshot.pid,
            "alive": snapshot.alive,
            "native": snapshot.native,
            "counts": {event_id: count.total for event_id, count in sorted(snapshot.counts.items())},
            "unsent": {event_id: count.unsent for event_id, count in sorted(snapshot.counts.items())},
        }
        for snapshot in snapshots
    ]
    return json.dumps(objects, indent=2) + "\n"


def render_sums(snapshots: Iterable[LocalSnapshot]) -> str:
    """Returns a block with the sums of each group; the snapshots must be sorted by group."""
    blocks = []
    for group, of_group in groupby(snapshots, lambda snapshot: snapshot.group):
        processes = list(of_group)
        sums: dict[str, LocalCount] = {}
        for snapshot in processes:
            for event_id, count in snapshot.counts.items():
                sums[event_id] = sums.get(event_id, LocalCount()) + count
        blocks.append(_block(f"group {group}, {_processes(processes)}", sums))
    return "\n".join(blocks)


def _processes(snapshots: Sequence[LocalSnapshot]) -> str:
    """Returns the numbers of processes alive, dead, counting in C and counting in Python."""
    alive = sum(snapshot.alive for snapshot in snapshots)
    native = sum(snapshot.native for snapshot in snapshots)
    kinds = {"native": native, "pure Python": len(snapshots) - native}
    parts = [f"{alive} alive", f"{len(snapshots) - alive} dead"]
    return ", ".join(parts + [f"{number} {kind}" for kind, number in kinds.items() if number])


def _block(title: str, counts: Mapping[str, LocalCount]) -> str:
    rows = [(event_id, count.total, count.unsent) for event_id, count in sorted(counts.items())]
    return f"{title}\n{table.render(('event', 'total', 'unsent'), rows)}"
