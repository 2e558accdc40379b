"""Printing of all groups for monitoring systems that ask for their values."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from event_count_logger.cli.arguments import interval_argument
from event_count_logger.cli.base import ExitStatus
from event_count_logger.config import Config, GroupConfig
from event_count_logger.reading.reader import Reader
from event_count_logger.store import Store


def print_values(config: Config, group_name: str | None, chosen_format: str, interval: str | None) -> None:
    """Print a group, or all groups that are not hidden, as `munin`, `openmetrics` and so on.

    Raises:
        StoreError: Redis does not answer.
    """
    groups = config.shown_groups if group_name is None else [config.group(group_name)]
    store = Store(config.redis)
    if chosen_format == "munin":
        _print_graphs(config, groups, store, group_name, interval)
    elif chosen_format == "zabbix-discovery":
        from event_count_logger.render.zabbix import render_discovery

        print(render_discovery((group, Reader(store).known_events(group)) for group in groups), end="")
    else:
        from event_count_logger.cli.metrics import print_metrics

        print_metrics(config, groups, store, chosen_format == "openmetrics")


def _print_graphs(
    config: Config, groups: Sequence[GroupConfig], store: Store, group_name: str | None, interval: str | None
) -> None:
    from event_count_logger.cli.graphs import print_graphs
    from event_count_logger.render import munin_graphs

    chosen = interval and interval_argument(groups[0], interval) or None
    graphs = [munin_graphs.of_group(groups[0], chosen)] if group_name else munin_graphs.all_graphs(config)
    if not print_graphs(graphs, store, headings=group_name is None):
        sys.exit(ExitStatus.UNREACHABLE)
