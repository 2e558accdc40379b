"""Samples: the data on the screen of `ecl top`, read from Redis."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from event_count_logger.alerts.status import AlertStatus, examine, rules_of
from event_count_logger.config import Config, GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.reader import Reader, Snapshot
from event_count_logger.store import Store

#: Number of finished intervals in a trend.
TREND_LENGTH = 16

#: Seconds between two reads of the alerts, which need the histories of several groups.
_ALERTS_S = 2.0


class Target(NamedTuple):
    """An interval of a group."""

    group: GroupConfig
    interval: Interval


def targets(config: Config) -> list[Target]:
    """Returns all targets, in the order of the configuration."""
    return [Target(group, interval) for group in config.shown_groups for interval in group.intervals]


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of one group and interval.

    Attributes:
        last: The last finished interval.
        current: The current interval, as of the same time.
        totals: All-time totals; None if the group keeps none.
        trend: Counts per second of the last finished intervals, oldest first.
        open_sessions: Number of open sessions; None if the group has no sessions.
        has_master: True if a master of the group has a heartbeat.
        read_at: Time of the read, by the monotonic clock.
        firing: The firing alerts of all groups.
    """

    last: Snapshot
    current: Snapshot
    totals: Mapping[str, int] | None
    trend: Sequence[Mapping[str, float]]
    open_sessions: int | None
    has_master: bool
    read_at: float
    firing: Sequence[AlertStatus] = ()


@dataclass(frozen=True, slots=True)
class Overview:
    """A sample of all groups and intervals.

    Attributes:
        pairs: The last finished and the current interval of each target, in the order of the targets.
        n_without_master: Number of groups without a master that has a heartbeat.
        read_at: Time of the read, by the monotonic clock.
        firing: The firing alerts of all groups.
    """

    pairs: Sequence[tuple[Snapshot, Snapshot]]
    n_without_master: int
    read_at: float
    firing: Sequence[AlertStatus] = ()


class Sampler:
    """A reader of samples of one Redis database."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._targets = targets(config)
        self._firing: Sequence[AlertStatus] = ()
        self._examine_at = -math.inf
        self._store = store
        self._reader = Reader(store)

    def sample(self, target: Target, before: Sample | None) -> Sample:
        """Read one target. The trend is read only if an interval has finished since the sample before.

        Raises:
            StoreError: Redis does not answer.
        """
        group, interval = target
        last, current = self._reader.read(group, interval, "last", "cur")
        return Sample(
            last=last,
            current=current,
            totals=self._reader.totals(group).counts if group.totals else None,
            trend=before.trend if before and before.last.end == last.end else self._trend(target),
            open_sessions=self._store.reads.open_sessions(group) if group.sessions else None,
            has_master=self._has_master(group),
            read_at=time.monotonic(),
            firing=self._alerts(),
        )

    def overview(self) -> Overview:
        """Read all targets.

        Raises:
            StoreError: Redis does not answer.
        """
        pairs = [self._pair(target) for target in self._targets]
        groups = {target.group for target in self._targets}
        n_without_master = sum(not self._has_master(group) for group in groups)
        return Overview(pairs, n_without_master, time.monotonic(), self._alerts())

    def _alerts(self) -> Sequence[AlertStatus]:
        """Returns the firing alerts of groups that are not hidden, as of the last few seconds."""
        if time.monotonic() >= self._examine_at:
            rules = rules_of(self._config, self._config.shown_groups)
            found = examine(self._config, self._store, rules)
            self._firing = [alert for alert in found if alert.state == "firing"]
            self._examine_at = time.monotonic() + _ALERTS_S
        return self._firing

    def _pair(self, target: Target) -> tuple[Snapshot, Snapshot]:
        last, current = self._reader.read(*target, "last", "cur")
        return last, current

    def _trend(self, target: Target) -> Sequence[Mapping[str, float]]:
        if not target.group.keeps_history(target.interval):
            return []
        return [snapshot.rates for snapshot in self._reader.history(*target, TREND_LENGTH)]

    def _has_master(self, group: GroupConfig) -> bool:
        return any(master.alive for master in self._store.masters.of(group))
