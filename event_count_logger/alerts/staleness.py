"""Staleness of a group: an interval that is overdue, or no master."""

from __future__ import annotations

from event_count_logger.config import AlertRule, GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.group_reader import choose_interval
from event_count_logger.reading.reader import Reader
from event_count_logger.reading.status import abandoned_s
from event_count_logger.store import MASTER_ALIVE_S, Store

#: Seconds that an interval is overdue, or that a group has no master, before its stale rules fire. A restart
#: of the master takes less.
STALE_AFTER_S = MASTER_ALIVE_S


def reason_of_staleness(rule: AlertRule, group: GroupConfig, store: Store) -> tuple[str, float]:
    """Returns why a group is stale, or '', and for how many seconds it is.

    A master of version 1.1 has no heartbeat: it is there as long as intervals end in time.

    Raises:
        StoreError: Redis does not answer.
    """
    reader = Reader(store)
    intervals = [choose_interval(group, rule.interval)] if rule.interval else group.intervals
    late = {interval: reader.overdue_s(group, interval) for interval in intervals}
    worst = max(intervals, key=lambda interval: late[interval] or 0.0)
    overdue_s = late[worst] or 0.0
    if overdue_s > STALE_AFTER_S:
        return f"interval {worst.name} is overdue", overdue_s
    masters = store.masters.of(group)
    gone_s = abandoned_s(group, masters, store)
    if gone_s is not None:
        return "it has no master", gone_s
    if any(master.alive for master in masters):
        return "", 0.0
    return _never_started(group, intervals, store), 0.0


def _never_started(group: GroupConfig, intervals: list[Interval] | tuple[Interval, ...], store: Store) -> str:
    for interval in intervals:
        if not store.rotation.has_rotated(group, interval):
            return f"no master has started interval {interval.name}"
    return ""
