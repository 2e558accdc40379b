"""Samples: the data on the screen of `ecl top`, read from Redis."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from event_count_logger.alerts.overview import Overview
from event_count_logger.alerts.overview_reader import OverviewReader
from event_count_logger.alerts.status import AlertStatus, examine, rules_of
from event_count_logger.config import Config, GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.overview import Against, Change, day_before, per_length, reference
from event_count_logger.reading.reader import Reader, Snapshot
from event_count_logger.store import HistoryEntry, Store

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
class Comparison:
    """The counts that the last interval is compared with.

    Attributes:
        against: `day`: the same time of the day before; `interval`: the interval before.
        before: Count of each event, for the configured length of the interval.
        now: The same of the last interval.
    """

    against: Against
    before: Mapping[str, float]
    now: Mapping[str, float]

    @property
    def weights(self) -> Mapping[str, float]:
        """The sizes of the changes; see `Change.weight`."""
        return {event_id: self.change(event_id).weight for event_id in (*self.before, *self.now)}

    def change(self, event_id: str) -> Change:
        """Returns the change of an event."""
        return Change(self.against, self.now.get(event_id, 0), self.before.get(event_id, 0))


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
        comparison: What the last interval is compared with; None without such a history.
    """

    last: Snapshot
    current: Snapshot
    totals: Mapping[str, int] | None
    trend: Sequence[Mapping[str, float]]
    open_sessions: int | None
    has_master: bool
    read_at: float
    firing: Sequence[AlertStatus] = ()
    comparison: Comparison | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A sample of all groups.

    Attributes:
        overview: The overview.
        read_at: Time of the read, by the monotonic clock.
    """

    overview: Overview
    read_at: float

    @property
    def groups(self) -> Sequence[str]:
        """Names of the groups, those with problems first."""
        return [row.group.name for row in self.overview.rows]

    @property
    def firing(self) -> Sequence[AlertStatus]:
        """The firing alerts of all groups."""
        return [alert for row in self.overview.rows for alert in row.firing]


class Sampler:
    """A reader of samples of one Redis database."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._overview = OverviewReader(config, store)
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
        last, current, totals = self._reader.read_with_totals(group, interval)
        is_same = before is not None and before.last.end == last.end
        history = [] if is_same or not group.keeps_history(interval) else self._history(target)
        return Sample(
            last=last,
            current=current,
            totals=totals.counts if totals else None,
            trend=before.trend if before and is_same else _trend(history),
            open_sessions=self._store.reads.open_sessions(group) if group.sessions else None,
            has_master=self._has_master(group),
            read_at=time.monotonic(),
            firing=self._alerts(),
            comparison=before.comparison if before and is_same else self._comparison(target, history),
        )

    def listing(self) -> Listing:
        """Read all groups.

        Raises:
            StoreError: Redis does not answer.
        """
        return Listing(self._overview.read(), time.monotonic())

    def _alerts(self) -> Sequence[AlertStatus]:
        """Returns the firing alerts of groups that are not hidden, as of the last few seconds."""
        if time.monotonic() >= self._examine_at:
            rules = rules_of(self._config, self._config.shown_groups)
            found = examine(self._config, self._store, rules)
            self._firing = [alert for alert in found if alert.state == "firing"]
            self._examine_at = time.monotonic() + _ALERTS_S
        return self._firing

    def _history(self, target: Target) -> Sequence[HistoryEntry]:
        return self._store.reads.history(*target, TREND_LENGTH)

    def _comparison(self, target: Target, history: Sequence[HistoryEntry]) -> Comparison | None:
        if not history:
            return None
        *earlier, last = history
        start, end = day_before(last.start, last.end)
        if start < history[0].start:
            yesterday = self._store.reads.overlapping(*target, start, min(end, history[0].start))
            earlier = [*yesterday, *earlier]
        found = reference(last.start, last.end, earlier)
        if found is None:
            return None
        length_s = target.interval.length_s
        before: Counter[str] = Counter()
        for one, share in found.parts:
            for event_id, count in one.counts.items():
                before[event_id] += count * share  # type: ignore[assignment]
        return Comparison(
            found.against,
            {event_id: per_length(count, found.span_s, length_s) for event_id, count in before.items()},
            {
                event_id: per_length(count, last.end - last.start, length_s)
                for event_id, count in last.counts.items()
            },
        )

    def _has_master(self, group: GroupConfig) -> bool:
        return any(master.alive for master in self._store.masters.of(group))


def _trend(history: Sequence[HistoryEntry]) -> Sequence[Mapping[str, float]]:
    """Returns the counts per second of finished intervals."""
    return [
        {event_id: count / (one.end - one.start) for event_id, count in one.counts.items()} for one in history
    ]
