"""The graphs for Munin, and the names of the plugins that draw them."""

from __future__ import annotations

from dataclasses import dataclass

from event_count_logger.config import Config, GroupConfig
from event_count_logger.config.choices import choices
from event_count_logger.errors import NotConfigured
from event_count_logger.intervals import Interval
from event_count_logger.reading.group_reader import choose_interval

#: Prefix of plugin names, and the name that stands for all groups.
_PREFIX, _ALL = "ecl_", "all"

#: Munin polls every 5 minutes: https://guide.munin-monitoring.org/en/latest/architecture/index.html
_POLL_MS = 300_000


@dataclass(frozen=True, slots=True)
class Graph:
    """The last finished interval of one group.

    Attributes:
        group: The group whose events are drawn.
        interval: One of its intervals.
    """

    group: GroupConfig
    interval: Interval

    @property
    def name(self) -> str:
        """Group and interval. The name is unique, because no interval contains `_`."""
        return f"{self.group.name}_{self.interval.name}"

    @property
    def is_main(self) -> bool:
        """True if the name of the group alone stands for this graph."""
        return self.interval == _main_interval(self.group)


def of_group(group: GroupConfig, interval: Interval | None = None) -> Graph:
    """Returns the graph of an interval; without one, the main graph of the group."""
    return Graph(group, interval or _main_interval(group))


def is_all(name: str) -> bool:
    """Returns whether a plugin of that name draws all groups, each under a heading."""
    return name.removeprefix(_PREFIX) == _ALL


def find(config: Config, name: str) -> list[Graph]:
    """Returns the graphs that a plugin draws.

    Args:
        config: The configuration; its hidden groups have no graphs.
        name: `ecl_GROUP`, `ecl_GROUP_INTERVAL` or `ecl_all`. The exact name of a group has precedence.

    Raises:
        NotConfigured: The group or interval is unknown, or the group is hidden.
    """
    if is_all(name):
        return all_graphs(config)
    wanted = name.removeprefix(_PREFIX)
    is_group = wanted in config.groups
    group_name, _, interval_name = (wanted, "", "") if is_group else wanted.rpartition("_")
    if group_name not in config.groups:
        names = choices(wanted, (group.name for group in config.shown_groups))
        raise NotConfigured(f"'{name}' names no group (use ecl_GROUP, ecl_GROUP_INTERVAL or ecl_all){names}")
    group = config.shown_group(group_name)
    return [of_group(group, None if is_group else choose_interval(group, interval_name))]


def suggestions(config: Config) -> list[str]:
    """Returns the possible endings of a plugin name after `ecl_`: `all`, and the name of each graph."""
    return [_ALL, *(graph.name for graph in all_graphs(config) if graph.name not in config.groups)]


def all_graphs(config: Config) -> list[Graph]:
    """Returns the graphs of all groups that are not hidden."""
    return [Graph(group, interval) for group in config.shown_groups for interval in _fitting(group)]


def _fitting(group: GroupConfig) -> list[Interval]:
    """Returns the intervals that Munin polls at least once each; if there is none, the main one."""
    fitting = [interval for interval in group.intervals if interval.length_ms >= _POLL_MS]
    return fitting or [_main_interval(group)]


def _main_interval(group: GroupConfig) -> Interval:
    matching = (interval for interval in group.intervals if interval.length_ms == _POLL_MS)
    return next(matching, group.intervals[0])
