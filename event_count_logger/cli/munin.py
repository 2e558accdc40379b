"""ecl munin: what the plugin of Munin runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import click

from event_count_logger import munin_graphs
from event_count_logger.cli.common import Failure, OneLineErrors, Status, with_version
from event_count_logger.config import Config, from_file
from event_count_logger.errors import EventCountLoggerError, StoreError, Unavailable
from event_count_logger.munin_graphs import Graph
from event_count_logger.reader import Reader, Snapshot
from event_count_logger.render import munin as render
from event_count_logger.render import text
from event_count_logger.settled import read_settled
from event_count_logger.store import Store

#: Both may be set in Munin's plugin-conf.d; the second is that of all commands.
_VARIABLES = ["ecl_config", "ECL_CONFIG"]

#: A graph, its events, and their counts: None if Redis did not answer.
_Drawn = tuple[Graph, list[str], Snapshot | None]


@click.command(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name")
@click.argument(
    "action",
    type=click.Choice(["autoconf", "config", "fetch", "suggest"]),
    metavar="[ACTION]",
    default="fetch",
)
@click.option("--config", "config_file", metavar="CONFIG", envvar=_VARIABLES, help="The configuration.")
@with_version
def munin(name: str, action: str, config_file: str | None) -> None:
    """Do for the graph NAME what Munin asks of a plugin.

    NAME is ecl_GROUP, ecl_GROUP_INTERVAL or ecl_all. ACTION is one of:

    \b
      fetch     the counts of the last finished interval (the default)
      config    what the graph looks like; with MUNIN_CAP_DIRTYCONFIG=1 in the
                environment, and the counts
      autoconf  `yes`, or `no` and why
      suggest   what may follow `ecl_` in a NAME

    \b
    Example:
      $ ecl munin --config ecl.yml ecl_requests
      req1.value 54
      error.value 3

    When counts are not known, for example because Redis does not answer, they are `U`, and standard error
    says why; the exit status is 0, because otherwise Munin would throw away what was printed.

    \b
    Exit status: 0; 1 unknown or hidden group, unknown interval; 2 wrong usage or configuration.
    ecl_config or ECL_CONFIG in the environment stands for --config.
    """
    if action == "autoconf":
        print(_autoconf(config_file))
    elif action == "suggest":
        print(*munin_graphs.suggestions(_config(config_file)), sep="\n")
    else:
        _print_graphs(_config(config_file), name, action)


def _config(file: str | None) -> Config:
    if not file:
        message = "no configuration is named: set env.ecl_config in /etc/munin/plugin-conf.d"
        raise Failure(message, Status.USAGE)
    return from_file(file)


def _autoconf(config_file: str | None) -> str:
    try:
        config = _config(config_file)
        Store(config.redis).ping()
    except (Failure, EventCountLoggerError) as error:
        return f"no ({' '.join(str(error).split())})"
    return "yes" if config.shown_groups else f"no ({config_file} has no group that is not hidden)"


def _print_graphs(config: Config, name: str, action: str) -> None:
    with_values = action == "fetch" or os.environ.get("MUNIN_CAP_DIRTYCONFIG") == "1"
    for graph, events, snapshot in _read(config, munin_graphs.find(config, name)):
        if munin_graphs.is_all(name):
            print(render.heading(graph), end="")
        if action == "config":
            print(render.config(graph, events), end="")
        if with_values:
            print(render.values(events, snapshot), end="")


def _read(config: Config, graphs: list[Graph]) -> Iterator[_Drawn]:
    """Read what each graph draws; without Redis, that is the declared events.

    Redis is not asked again after it did not answer: Munin does not wait long for all the graphs of a plugin.
    """
    reader, away = Reader(Store(config.redis)), False
    for graph in graphs:
        drawn: _Drawn = (graph, list(graph.group.events), None)
        try:
            if not away:
                drawn = _read_graph(reader, graph)
        except StoreError as error:
            away = isinstance(error, Unavailable)
            print(f"WARNING: {error}", file=sys.stderr)
        yield drawn


def _read_graph(reader: Reader, graph: Graph) -> _Drawn:
    (snapshot,) = read_settled(reader, graph.group, graph.interval, "last")
    for warning in text.warnings([snapshot]):
        print(f"WARNING: {warning}", file=sys.stderr)
    known = reader.known_events(graph.group)
    return graph, [*known, *sorted(set(snapshot.counts).difference(known))], snapshot
