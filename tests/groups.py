"""Groups for tests, without a configuration around them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from event_count_logger.config import GroupConfig, Layout
from event_count_logger.intervals import Interval

#: What tests that take the fixture `layout` set.
layout: Layout = "keys"


def group_of(name: str, intervals: Iterable[Interval] = (), **settings: Any) -> GroupConfig:
    return GroupConfig(name, tuple(intervals), **{"layout": layout, **settings})
