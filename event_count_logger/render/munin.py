"""Snapshots as Munin's plugins give them.

The format is described in https://guide.munin-monitoring.org/en/latest/reference/plugin.html. What Munin does
not accept is taken from its own source, version 2.0.73: `Munin::Master::Node`, `Munin::Master::Utils` and
`Munin::Plugin::clean_fieldname`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

from event_count_logger.reading.reader import Snapshot
from event_count_logger.render.munin_graphs import Graph

#: What Munin takes as the name of a field, as long as is wanted in the name of a file.
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

#: A field of such a name is lost, or takes the place of a setting of its graph.
_RESERVED = re.compile(r"root|multigraph|host_name|update|update_rate|graph_.*")

#: How the names end that are made here: no event that keeps its ID as a name may look like it.
_HASH_DIGITS = 32
_MADE = re.compile(rf".*_[0-9a-f]{{{_HASH_DIGITS}}}")
_LONGEST_START = 24

#: Characters of a label on each side of what is left out; longer ones take the room of the numbers.
_LABEL_SIDE = 16


def heading(graph: Graph) -> str:
    """What begins one of several graphs of the same plugin: its name, as if it had a plugin of its own."""
    return f"multigraph {field_name(f'ecl_{graph.name}')}\n"


def config(graph: Graph, events: Iterable[str]) -> str:
    """What the graph looks like: its title, its axis, and a line for each event.

    Args:
        graph: Its group's title, unit and labels are used.
        events: IDs, in the order of the lines.
    """
    group, interval = graph.group, graph.interval.name
    title = _line(group.title or group.name)
    lines = [
        f"graph_title {title if graph.is_main else f'{title} ({interval})'}",
        f"graph_vlabel {_line(group.unit)} per {interval}",
        "graph_category events",
        "graph_args --base 1000 --lower-limit 0",
        "graph_scale no",
    ]
    for event_id in events:
        lines += _field(event_id, group.labels.get(event_id, event_id))
    return _text(lines)


def values(events: Iterable[str], snapshot: Snapshot | None) -> str:
    """A line with the count of each event.

    All are `U`, which is unknown, if nothing is known of the latest complete interval: because the snapshot
    is stale, because no interval has finished yet, or because there is no snapshot.

    Args:
        events: IDs; those that the snapshot does not count did not happen.
        snapshot: None if Redis did not answer.
    """
    if snapshot is None or snapshot.stale or snapshot.empty:
        return _text(f"{field_name(event_id)}.value U" for event_id in events)
    return _text(f"{field_name(event_id)}.value {snapshot.counts.get(event_id, 0)}" for event_id in events)


def field_name(event_id: str) -> str:
    """What Munin calls an event: its ID, where that is a name.

    Any other ID is made one by a hash of it. So the name, on which the event's past hangs, never depends on
    what other events there are, and no two events have the same.
    """
    keeps = _FIELD_NAME.fullmatch(event_id) and not _RESERVED.fullmatch(event_id)
    if keeps and not _MADE.fullmatch(event_id):
        return event_id
    start = re.sub(r"^[^A-Za-z_]|[^A-Za-z0-9_]", "_", event_id)[:_LONGEST_START]
    return f"{start}_{sha256(event_id.encode('utf-8', 'surrogateescape')).hexdigest()[:_HASH_DIGITS]}"


def _field(event_id: str, label: str) -> list[str]:
    name, original = field_name(event_id), _line(event_id)
    short = _shortened(_line(label)) or name
    lines = [f"{name}.label {short}", f"{name}.type GAUGE", f"{name}.min 0", f"{name}.draw LINE1"]
    return lines if original in ("", short) else [*lines, f"{name}.info {original}"]


def _line(text: str) -> str:
    """One line without `#` and `\\`, with which Munin begins a comment, and joins lines."""
    joined = " ".join(text.split())
    return "".join("_" if char in "#\\" or not char.isprintable() else char for char in joined)


def _shortened(label: str) -> str:
    """The label; of a long one both ends, because IDs often differ in one of them only."""
    return label if len(label) <= 2 * _LABEL_SIDE else f"{label[:_LABEL_SIDE]}…{label[-_LABEL_SIDE:]}"


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
