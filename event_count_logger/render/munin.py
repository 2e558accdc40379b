"""Snapshots in the format of Munin's plugins.

The format is described in https://guide.munin-monitoring.org/en/latest/reference/plugin.html. The limits of
names come from the source of Munin 2.0.73: `Munin::Master::Node`, `Munin::Master::Utils` and
`Munin::Plugin::clean_fieldname`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from event_count_logger.config import AlertRule, GroupConfig
from event_count_logger.reading.group_reader import choose_interval
from event_count_logger.reading.reader import Snapshot
from event_count_logger.render.munin_graphs import Graph
from event_count_logger.render.numbers import plain

#: A name that Munin accepts for a field, short enough for the name of a file.
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

#: Names that Munin drops, or reads as a setting of the graph.
_RESERVED = re.compile(r"root|multigraph|host_name|update|update_rate|graph_.*")

#: Length of the hash that ends a generated name, and the pattern of such names. An event ID of that pattern
#: gets a generated name, too.
_HASH_DIGITS = 32
_GENERATED = re.compile(rf".*_[0-9a-f]{{{_HASH_DIGITS}}}")
_LONGEST_START = 24

#: The labels of what a group with sessions has beside its events, under IDs that no event can have.
_OF_SESSIONS = {"@open": "open sessions", "@length": "mean length in seconds"}

#: Characters kept at each end of a long label; longer labels would squeeze the numbers of the legend.
_LABEL_SIDE = 16


def heading(graph: Graph) -> str:
    """Returns the line that begins one of several graphs of a plugin."""
    return f"multigraph {field_name(f'ecl_{graph.name}')}\n"


def config(graph: Graph, events: Iterable[str], rules: Iterable[AlertRule] = ()) -> str:
    """Returns the settings of a graph: title, axis, and a line for each event, with its limits.

    Args:
        graph: The graph; the title, unit and labels of its group are used.
        events: Event IDs, in the order of the lines.
        rules: Rules of alerts; limits are made of those about the count of one event in this interval.
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
    matching = [rule for rule in rules if _is_limit(rule, graph)]
    for event_id in events:
        lines += _field(event_id, group.labels.get(event_id, event_id))
        lines += _limits(event_id, [rule for rule in matching if rule.event == (event_id,)])
    for id, label in _OF_SESSIONS.items() if group.sessions else ():
        lines += _gauge(field_name(id), label)
    return _text(lines)


def values(events: Iterable[str], snapshot: Snapshot | None) -> str:
    """Returns a line with the count of each event.

    All counts are `U` (unknown) if the snapshot is stale, empty or None.

    Args:
        events: Event IDs. An event without a count in the snapshot has not happened.
        snapshot: The last finished interval; None if Redis did not answer.
    """
    if snapshot is None or snapshot.stale or snapshot.empty:
        return _text(f"{field_name(event_id)}.value U" for event_id in events)
    return _text(f"{field_name(event_id)}.value {snapshot.counts.get(event_id, 0)}" for event_id in events)


def session_values(group: GroupConfig, snapshot: Snapshot | None, n_open: int | None) -> str:
    """Returns a line with the number of open sessions, and one with the mean length of those in a snapshot.

    Args:
        group: A group with sessions.
        snapshot: The last finished interval; None if Redis did not answer.
        n_open: Number of open sessions; None if Redis did not answer.
    """
    known = snapshot is not None and not snapshot.stale
    length_s = group.mean_length_s(snapshot.counts) if snapshot is not None and known else None
    values = (n_open if known else None, None if length_s is None else f"{length_s:.3f}")
    return _text(
        f"{field_name(id)}.value {'U' if value is None else value}"
        for id, value in zip(_OF_SESSIONS, values, strict=True)
    )


def field_name(event_id: str) -> str:
    """Returns the name of an event's field: its ID if Munin accepts that, otherwise a name with a hash.

    The name depends on the ID alone and is unique, because Munin stores the past of an event under it.
    """
    is_name = _FIELD_NAME.fullmatch(event_id) and not _RESERVED.fullmatch(event_id)
    if is_name and not _GENERATED.fullmatch(event_id):
        return event_id
    start = re.sub(r"^[^A-Za-z_]|[^A-Za-z0-9_]", "_", event_id)[:_LONGEST_START]
    return f"{start}_{sha256(event_id.encode('utf-8', 'surrogateescape')).hexdigest()[:_HASH_DIGITS]}"


def _field(event_id: str, label: str) -> list[str]:
    name, original = field_name(event_id), _line(event_id)
    short = _shortened(_line(label)) or name
    lines = _gauge(name, short)
    return lines if original in ("", short) else [*lines, f"{name}.info {original}"]


def _gauge(name: str, label: str) -> list[str]:
    return [f"{name}.label {label}", f"{name}.type GAUGE", f"{name}.min 0", f"{name}.draw LINE1"]


def _is_limit(rule: AlertRule, graph: Graph) -> bool:
    """Returns whether a rule compares a count of this graph, and not a percentage or a sum."""
    threshold = rule.above or rule.below
    if rule.group != graph.group.name or threshold is None or threshold.is_percent:
        return False
    is_one = len(rule.event) == 1 and "*" not in rule.event[0]
    return is_one and choose_interval(graph.group, rule.interval) == graph.interval


def _limits(event_id: str, rules: Sequence[AlertRule]) -> Iterator[str]:
    """Yields `FIELD.critical MIN:MAX`, with the tightest limits of the rules of each severity."""
    for severity in ("warning", "critical"):
        chosen = [rule for rule in rules if rule.severity == severity]
        lowest = max((rule.below.value for rule in chosen if rule.below), default=None)
        highest = min((rule.above.value for rule in chosen if rule.above), default=None)
        if chosen:
            yield f"{field_name(event_id)}.{severity} {_bound(lowest)}:{_bound(highest)}"


def _bound(value: float | None) -> str:
    return "" if value is None else f"{plain(value)}"


def _line(text: str) -> str:
    """Returns a text as one line, without `#` (a comment to Munin) and `\\` (joins lines)."""
    joined = " ".join(text.split())
    return "".join("_" if char in "#\\" or not char.isprintable() else char for char in joined)


def _shortened(label: str) -> str:
    """Returns the label; of a long one both ends, because IDs often differ at one end only."""
    return label if len(label) <= 2 * _LABEL_SIDE else f"{label[:_LABEL_SIDE]}…{label[-_LABEL_SIDE:]}"


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
