"""Counts events of distributed programs per interval, exactly."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from event_count_logger import installation
from event_count_logger.errors import (
    ConfigError,
    EmbeddedServerError,
    EventCountLoggerError,
    NotConfigured,
    NotDurable,
    Problem,
    Rejected,
    SourceMoved,
    StoreError,
    Unavailable,
)

if TYPE_CHECKING:
    from event_count_logger.dummy_group import DUMMY_EVENT_GROUP, DummyEventGroup
    from event_count_logger.group import Counter, EventGroup
    from event_count_logger.logger import EventCountLogger
    from event_count_logger.outcome import Outcome
    from event_count_logger.reading.follow import Follower
    from event_count_logger.reading.group_reader import AsyncGroupReader, GroupReader
    from event_count_logger.reading.range_sum import RangeSum
    from event_count_logger.reading.reader import Snapshot, Totals
    from event_count_logger.service.master import EventCountLoggerMaster
    from event_count_logger.sources.sessions import Session

__all__ = [
    "DUMMY_EVENT_GROUP",
    "AsyncGroupReader",
    "ConfigError",
    "Counter",
    "DummyEventGroup",
    "EmbeddedServerError",
    "EventCountLogger",
    "EventCountLoggerError",
    "EventCountLoggerMaster",
    "EventGroup",
    "Follower",
    "GroupReader",
    "NotConfigured",
    "NotDurable",
    "Outcome",
    "Problem",
    "RangeSum",
    "Rejected",
    "Session",
    "Snapshot",
    "SourceMoved",
    "StoreError",
    "Totals",
    "Unavailable",
]

installation.require_platform()

#: Modules of names that are imported on first use: a command that only reads starts faster.
_LATER = {
    "AsyncGroupReader": "reading.group_reader",
    "Counter": "group",
    "DUMMY_EVENT_GROUP": "dummy_group",
    "DummyEventGroup": "dummy_group",
    "EventCountLogger": "logger",
    "EventCountLoggerMaster": "service.master",
    "EventGroup": "group",
    "Follower": "reading.follow",
    "GroupReader": "reading.group_reader",
    "Outcome": "outcome",
    "RangeSum": "reading.range_sum",
    "Session": "sources.sessions",
    "Snapshot": "reading.reader",
    "Totals": "reading.reader",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = f"{__name__}.{_LATER[name]}"
    try:
        return getattr(import_module(module), name)
    except AttributeError as error:
        # Python would replace an AttributeError by "cannot import name", without the cause.
        raise ImportError(f"{module} cannot be imported: {error}", name=module) from error
