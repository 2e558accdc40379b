"""Groups for tests: settings made without a configuration, and the groups of a logger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from event_count_logger import EventCountLogger
from event_count_logger.config import GroupConfig, Layout
from event_count_logger.groups.redis_group import RedisEventGroup
from event_count_logger.intervals import Interval

#: Layout of these groups; the fixture `layout` sets it.
layout: Layout = "keys"


def group_of(name: str, intervals: Iterable[Interval] = (), **settings: Any) -> GroupConfig:
    return GroupConfig(name, tuple(intervals), **{"layout": layout, **settings})


def event_group(logger: EventCountLogger, name: str) -> RedisEventGroup:
    """Returns a configured group of a logger."""
    group = logger[name]
    assert isinstance(group, RedisEventGroup)
    return group
