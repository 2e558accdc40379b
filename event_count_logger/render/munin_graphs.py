"""Which graphs Munin is given, and by which names it asks for them."""

from __future__ import annotations

from dataclasses import dataclass

from event_count_logger.config import Config, GroupConfig
from event_count_logger.errors import NotConfigured
from event_count_logger.intervals import Interval
from event_count_logger.reading.group_reader import choose_interval

#: What the name of the plugin begins with; all groups in one plugin are called by the second.
_PREFIX, _ALL = "ecl_", "all"

#: Munin asks every 5 minutes: https://guide.munin-monitoring.org/en/latest/architecture/index.html
_MUNIN_ASKS_EVERY_MS = 300_000


@dataclass(frozen=True, slots=True)
class Graph:
    """The last finished interval of one group.

    Attributes:
        group: Whose events are drawn.
        interval: One of the group's.
    """

    group: GroupConfig
    interval: Interval

    @property
    def name(self) -> str:
        """Group and interval; no two graphs have the same, because no interval has a `_`."""
        return f"{self.group.name}_{self.interval.name}"

    @property
    def is_main(self) -> bool:
        """Whether it is the one that the name of the group alone stands for."""
        return self.interval == _main_interval(self.group)


def of_group(group: GroupConfig, interval: Interval | None = None) -> Graph:
    """The graph of an interval, or the one that the name of the group alone stands for."""
    return Graph(group, interval or _main_interval(group))


def is_all(name: str) -> bool:
    """Whether the name of a plugin says that it draws all groups, each under a heading."""
    return name.removeprefix(_PREFIX) == _ALL


def find(config: Config, name: str) -> list[Graph]:
    """The graphs that a plugin draws.

    Args:
        config: Its hidden groups have no graphs.
        name: `ecl_GROUP`, `ecl_GROUP_INTERVAL` or `ecl_all`; the exact name of a group comes first.

    Raises:
        NotConfigured: There is no such group or interval, or the group is hidden.
    """
    if is_all(name):
        return all_graphs(config)
    wanted = name.removeprefix(_PREFIX)
    is_group = wanted in config.groups
    group_name, _, interval_name = (wanted, "", "") if is_group else wanted.rpartition("_")
    if group_name not in config.groups:
        raise NotConfigured(f"'{name}' names no group (use ecl_GROUP, ecl_GROUP_INTERVAL or ecl_all)")
    group = config.shown_group(group_name)
    return [of_group(group, None if is_group else choose_interval(group, interval_name))]


def suggestions(config: Config) -> list[str]:
    """What may follow `ecl_` in the name of a plugin: `all`, and each graph of it on its own."""
    return [_ALL, *(graph.name for graph in all_graphs(config) if graph.name not in config.groups)]


def all_graphs(config: Config) -> list[Graph]:
    """The graphs of all groups that are not hidden."""
    return [Graph(group, interval) for group in config.shown_groups for interval in _fitting(group)]


def _fitting(group: GroupConfig) -> list[Interval]:
    """The intervals that Munin does not ask too rarely for; at least one."""
    seen = [interval for interval in group.intervals if interval.length_ms >= _MUNIN_ASKS_EVERY_MS]
    return seen or [_main_interval(group)]


def _main_interval(group: GroupConfig) -> Interval:
    as_asked = (interval for interval in group.intervals if interval.length_ms == _MUNIN_ASKS_EVERY_MS)
    return next(as_asked, group.intervals[0])
