"""Status of the masters, the rotation of all groups and the services, as Redis shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from event_count_logger.config import Config, GroupConfig
from event_count_logger.reading.alerters import AlerterStatus, examine_alerters
from event_count_logger.reading.exports import ExportStatus, examine_exports
from event_count_logger.reading.reader import Reader, is_overdue
from event_count_logger.reading.unrotated import Unrotated, find_unrotated
from event_count_logger.store import MASTER_ALIVE_S, MasterInfo, ServiceInfo, Store


@dataclass(frozen=True, slots=True)
class IntervalStatus:
    """Status of one interval of a group.

    Attributes:
        group: Name of the group.
        interval: Name of the interval.
        overdue_s: Seconds by which its rotation is late; 0 if it is in time. None if it never began.
        hidden: True if the group is hidden.
        started: True if a master has rotated it, or waits for its end. Counting alone begins an interval,
            too, but does not start it in this sense.
    """

    group: str
    interval: str
    overdue_s: float | None
    hidden: bool = False
    started: bool = True

    @property
    def overdue(self) -> bool:
        """True if its rotation is overdue by more than the tolerance."""
        return is_overdue(self.overdue_s)


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """Status of one group.

    Attributes:
        group: Name of the group.
        sources: Number of its sources in Redis.
        has_master: True if a master with a heartbeat rotates it. Masters of version 1.1 have no heartbeat.
        abandoned_s: Seconds since the heartbeat of its last master, if no other one has rotated it since;
            else None.
        hidden: True if the group is hidden.
    """

    group: str
    sources: int
    has_master: bool
    abandoned_s: float | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """Status of all groups of a configuration.

    Attributes:
        masters: The masters that are alive or have ended lately, each once, the oldest first.
        intervals: All intervals, in the order of the configuration.
        groups: All groups, in the order of the configuration.
        unrotated: Intervals that processes count in, and no master ends.
        services: The services that are alive or have ended lately, each once, the oldest first.
        exports: All exported intervals, in the order of the configuration.
        alerters: All groups with a rule that has targets.
    """

    masters: Sequence[MasterInfo]
    intervals: Sequence[IntervalStatus]
    groups: Sequence[GroupStatus]
    unrotated: Sequence[Unrotated] = ()
    services: Sequence[ServiceInfo] = ()
    exports: Sequence[ExportStatus] = ()
    alerters: Sequence[AlerterStatus] = ()

    @property
    def overdue(self) -> list[IntervalStatus]:
        """The intervals that a master has started, and should have ended."""
        return [interval for interval in self.intervals if interval.overdue and interval.started]

    @property
    def not_started(self) -> list[IntervalStatus]:
        """The intervals that no master has started yet."""
        return [interval for interval in self.intervals if not interval.started]

    @property
    def abandoned(self) -> list[GroupStatus]:
        """The groups whose masters have all stopped or were killed."""
        return [group for group in self.groups if group.abandoned_s is not None]

    @property
    def without_master(self) -> list[GroupStatus]:
        """The groups without a master that has a heartbeat."""
        return [group for group in self.groups if not group.has_master]

    @property
    def not_exported(self) -> list[ExportStatus]:
        """The intervals to export that no exporter takes care of."""
        return [export for export in self.exports if not export.is_cared_for]

    @property
    def late_exports(self) -> list[ExportStatus]:
        """The intervals whose export is late although an exporter takes care of them."""
        return [export for export in self.exports if export.is_cared_for and export.is_late]

    @property
    def not_watched(self) -> list[AlerterStatus]:
        """The groups whose alerts no alerter evaluates."""
        return [each for each in self.alerters if not each.n_alerters]

    @property
    def not_notified(self) -> list[AlerterStatus]:
        """The groups whose notifications do not arrive."""
        return [each for each in self.alerters if each.fault]

    @property
    def is_ok(self) -> bool:
        """True if all intervals are rotated, exported and watched, as Redis shows it."""
        rotation = self.overdue or self.not_started or self.abandoned or self.unrotated
        exports = self.not_exported or self.late_exports
        return not (rotation or exports or self.not_watched or self.not_notified)


def examine(config: Config, store: Store) -> Status:
    """Returns the status of all groups in a configuration, as Redis shows it.

    Raises:
        StoreError: Redis does not answer.
    """
    store.servers.ping()  # without groups, no other request notices that Redis is unavailable
    masters: list[MasterInfo] = []
    intervals: list[IntervalStatus] = []
    groups = []
    unrotated: list[Unrotated] = []
    for group in config.groups.values():
        group_masters = store.masters.of(group)
        masters += group_masters
        intervals += _intervals(group, store)
        has_master = any(master.alive for master in group_masters)
        gone_s = abandoned_s(group, group_masters, store)
        groups.append(GroupStatus(group.name, store.sources.count(group), has_master, gone_s, group.hidden))
        unrotated += find_unrotated(group, store)
    return Status(distinct(masters), intervals, groups, unrotated)


def distinct(masters: Iterable[MasterInfo]) -> list[MasterInfo]:
    """Returns the masters of several groups, each once, oldest first; alive if it is in any group."""
    found: dict[str, MasterInfo] = {}
    for master in masters:
        known = found.get(master.id)
        found[master.id] = master if known is None or master.alive else known
    return sorted(found.values(), key=lambda master: master.since)


def with_services(status: Status, config: Config, store: Store) -> Status:
    """Returns a status with the parts about services.

    Raises:
        StoreError: Redis does not answer.
    """
    exporters, exports = examine_exports(config, store)
    alerters, alerting = examine_alerters(config, store)
    services = sorted([*exporters, *alerters], key=lambda service: service.since)
    return replace(status, services=services, exports=exports, alerters=alerting)


def _intervals(group: GroupConfig, store: Store) -> list[IntervalStatus]:
    reader = Reader(store)
    return [
        IntervalStatus(
            group.name,
            interval.name,
            reader.overdue_s(group, interval),
            group.hidden,
            store.rotation.has_rotated(group, interval),
        )
        for interval in group.intervals
    ]


def abandoned_s(group: GroupConfig, masters: Sequence[MasterInfo], store: Store) -> float | None:
    """Returns `GroupStatus.abandoned_s`. A newer interval shows that a master without heartbeat runs."""
    gone_s = min((master.seen_s for master in masters), default=0.0)
    if gone_s < MASTER_ALIVE_S or any(master.alive for master in masters):
        return None
    # The last master may have rotated after its last heartbeat, for as long as it counts as alive.
    since = store.client.server_time(group) - gone_s + MASTER_ALIVE_S
    starts = [store.reads.start(group, interval) for interval in group.intervals]
    return None if any(start is not None and start > since for start in starts) else gone_s


def by_group(status: Status) -> Mapping[str, GroupStatus]:
    """Returns the groups by name."""
    return {group.group: group for group in status.groups}
