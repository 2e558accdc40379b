"""Printing of graphs for Munin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from event_count_logger.cli.base import warn
from event_count_logger.config import AlertRule
from event_count_logger.errors import StoreError, Unavailable
from event_count_logger.reading.reader import Reader, Snapshot
from event_count_logger.reading.rotation_wait import read_once_rotated
from event_count_logger.render import munin as render
from event_count_logger.render import text
from event_count_logger.render.munin_graphs import Graph
from event_count_logger.store import Store, declared_first


class _GraphValues(NamedTuple):
    """A graph, its events, and their counts and number of open sessions; None if Redis did not answer."""

    graph: Graph
    events: list[str]
    snapshot: Snapshot | None = None
    n_open: int | None = None


def print_graphs(
    graphs: Iterable[Graph],
    store: Store,
    *,
    headings: bool,
    settings: bool = False,
    values: bool = True,
    rules: Sequence[AlertRule] = (),
) -> bool:
    """Print graphs in the format of Munin's plugins; warnings go to standard error.

    Args:
        graphs: The graphs.
        store: Redis with the counts.
        headings: True to print the name of each graph, which Munin needs if there are several.
        settings: True to print the settings of each graph.
        values: True to print the counts; unknown ones are `U`.
        rules: Rules of alerts, which add limits to the settings.

    Returns:
        True if Redis has answered for all graphs; otherwise a WARNING was printed.
    """
    all_known = True
    for graph, events, snapshot, n_open in _read(graphs, store):
        if headings:
            print(render.heading(graph), end="")
        if settings:
            print(render.config(graph, events, rules), end="")
        if values:
            print(render.values(events, snapshot), end="")
            if graph.group.sessions:
                print(render.session_values(graph.group, snapshot, n_open), end="")
        all_known = all_known and snapshot is not None
    return all_known


def _read(graphs: Iterable[Graph], store: Store) -> Iterator[_GraphValues]:
    """Read the events and counts of each graph; without Redis, only the declared events are known.

    After one request without an answer no further one is sent, because Munin soon stops waiting for a plugin.
    """
    reader, unavailable = Reader(store), False
    for graph in graphs:
        drawn = _GraphValues(graph, graph.group.addable(graph.group.events))
        try:
            if not unavailable:
                drawn = _read_graph(reader, store, graph)
        except StoreError as error:
            unavailable = isinstance(error, Unavailable)
            warn(str(error))
        yield drawn


def _read_graph(reader: Reader, store: Store, graph: Graph) -> _GraphValues:
    (snapshot,) = read_once_rotated(reader, graph.group, graph.interval, "last")
    for warning in text.warnings([snapshot]):
        warn(warning)
    events = {*snapshot.counts, *reader.known_events(graph.group)}
    n_open = store.reads.open_sessions(graph.group) if graph.group.sessions else None
    drawn = graph.group.addable(declared_first(graph.group.events, events))
    return _GraphValues(graph, drawn, snapshot, n_open)
