"""Redis: the client, the scripts and their replies. No other package here imports redis-py."""

from event_count_logger.store import hiredis_guard  # noqa: F401 - before redis is imported
from event_count_logger.store.alerts import Field
from event_count_logger.store.annotations import MOST_ANNOTATIONS, Annotation
from event_count_logger.store.counter_index import index_counters, may_be_unindexed
from event_count_logger.store.durability import confirmation_s
from event_count_logger.store.results import (
    MASTER_ALIVE_S,
    Commit,
    HistoryEntry,
    HistoryPosition,
    MasterInfo,
    Reading,
    RejectedKey,
    Rotation,
    SessionAction,
    declared_first,
)
from event_count_logger.store.services import ServiceInfo
from event_count_logger.store.sources import prune_every_s
from event_count_logger.store.store import Store

__all__ = [
    "MASTER_ALIVE_S",
    "MOST_ANNOTATIONS",
    "Annotation",
    "Commit",
    "Field",
    "HistoryEntry",
    "HistoryPosition",
    "MasterInfo",
    "Reading",
    "RejectedKey",
    "Rotation",
    "ServiceInfo",
    "SessionAction",
    "Store",
    "confirmation_s",
    "declared_first",
    "index_counters",
    "may_be_unindexed",
    "prune_every_s",
]
