"""Prints what Munin draws."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from event_count_logger.cli.base import warn
from event_count_logger.errors import StoreError, Unavailable
from event_count_logger.reading.reader import Reader, Snapshot
from event_count_logger.reading.rotation_wait import read_once_rotated
from event_count_logger.render import munin as render
from event_count_logger.render import text
from event_count_logger.render.munin_graphs import Graph
from event_count_logger.store import Store

#: A graph, its events, and their counts: None if Redis did not answer.
_Drawn = tuple[Graph, list[str], Snapshot | None]


def print_graphs(
    graphs: Iterable[Graph], store: Store, *, headings: bool, looks: bool = False, values: bool = True
) -> bool:
    """Print graphs as a plugin of Munin does; what is odd about their counts goes to standard error.

    Args:
        graphs: What to draw.
        store: Where the counts are.
        headings: Whether to print which graph it is, which Munin needs to know of several.
        looks: Whether to print what the graph looks like.
        values: Whether to print the counts; `U` for those that are not known.

    Returns:
        Whether Redis has answered for all of them; a WARNING says why not.
    """
    is_all_known = True
    for graph, events, snapshot in _read(graphs, store):
        if headings:
            print(render.heading(graph), end="")
        if looks:
            print(render.config(graph, events), end="")
        if values:
            print(render.values(events, snapshot), end="")
        is_all_known = is_all_known and snapshot is not None
    return is_all_known


def _read(graphs: Iterable[Graph], store: Store) -> Iterator[_Drawn]:
    """Read what each graph draws; without Redis, that is the declared events.

    Redis is not asked again after it did not answer: Munin does not wait long for all the graphs of a plugin.
    """
    reader, away = Reader(store), False
    for graph in graphs:
        drawn: _Drawn = (graph, list(graph.group.events), None)
        try:
            if not away:
                drawn = _read_graph(reader, graph)
        except StoreError as error:
            away = isinstance(error, Unavailable)
            warn(str(error))
        yield drawn


def _read_graph(reader: Reader, graph: Graph) -> _Drawn:
    (snapshot,) = read_once_rotated(reader, graph.group, graph.interval, "last")
    for warning in text.warnings([snapshot]):
        warn(warning)
    known = reader.known_events(graph.group)
    return graph, [*known, *sorted(set(snapshot.counts).difference(known))], snapshot
