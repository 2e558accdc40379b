"""This machine's counters as text: blocks, and rows that grow downwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from event_count_logger.local_reader import LocalCount, LocalSnapshot

#: Digits that a column of a poll has room for, at least.
_NARROWEST = 6


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
    rows = [("event", "total", "unsent")]
    rows += [(event_id, str(count.total), str(count.unsent)) for event_id, count in sorted(counts.items())]
    event, total, unsent = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [f"  {row[0]:{event}}  {row[1]:>{total}}  {row[2]:>{unsent}}" for row in rows]
    return "\n".join([title, *lines, ""])


def header(events: Sequence[str]) -> str:
    """The names of the columns of a poll."""
    return _row(events, events)


def row(events: Sequence[str], counts: Sequence[int]) -> str:
    """One row of a poll, below its header."""
    return _row(events, list(map(str, counts)))


def _row(events: Sequence[str], values: Sequence[str]) -> str:
    return " ".join(
        value.rjust(max(len(event), _NARROWEST)) for event, value in zip(events, values, strict=True)
    )
