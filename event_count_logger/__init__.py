"""Counts events of distributed programs per interval, exactly."""

from event_count_logger.errors import (
    ConfigError,
    EmbeddedServerError,
    EventCountLoggerError,
    Rejected,
    StoreError,
    Unavailable,
)
from event_count_logger.group import DUMMY_EVENT_GROUP, DummyEventGroup, EventGroup
from event_count_logger.logger import EventCountLogger
from event_count_logger.master import EventCountLoggerMaster

__all__ = [
    "DUMMY_EVENT_GROUP",
    "ConfigError",
    "DummyEventGroup",
    "EmbeddedServerError",
    "EventCountLogger",
    "EventCountLoggerError",
    "EventCountLoggerMaster",
    "EventGroup",
    "Rejected",
    "StoreError",
    "Unavailable",
]
