"""Status of the masters and the rotation of all groups, as far as Redis shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from event_count_logger.config import Config, GroupConfig
from event_count_logger.reading.reader import Reader, is_overdue
from event_count_logger.reading.unrotated import Unrotated, find_unrotated
from event_count_logger.store import MASTER_ALIVE_S, MasterInfo, Store


@dataclass(frozen=True, slots=True)
class IntervalStatus:
    """The state of one interval of a group.

    Attributes:
        group: Name of the group.
        interval: Name of the interval.
        overdue_s: Seconds for which its rotation is late; 0 if it is not. None if it never began.
        hidden: Whether the group is hidden.
        started: Whether a master has rotated it, or waits for its end. Counting alone begins an interval,
            too.
    """

    group: str
    interval: str
    overdue_s: float | None
    hidden: bool = False
    started: bool = True

    @property
    def overdue(self) -> bool:
        """Whether its rotation is so late that no master can be at work."""
        return is_overdue(self.overdue_s)


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """The state of one group.

    Attributes:
        group: Name of the group.
        sources: How many sources of counts are known to Redis.
        has_master: Whether a master that rotates it is alive. One of version 1.1 has no heartbeat.
        abandoned_s: Seconds since its last master was seen, if no other one has rotated it since; else None.
        hidden: Whether the group is hidden.
    """

    group: str
    sources: int
    has_master: bool
    abandoned_s: float | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """The state of all groups of a configuration.

    Attributes:
        masters: Those that are alive, and those that were there lately, each once, the oldest first.
        intervals: In the order of the configuration.
        groups: In the order of the configuration.
        unrotated: The intervals that processes count in and no master ends.
    """

    masters: Sequence[MasterInfo]
    intervals: Sequence[IntervalStatus]
    groups: Sequence[GroupStatus]
    unrotated: Sequence[Unrotated] = ()

    @property
    def overdue(self) -> list[IntervalStatus]:
        """The intervals that should have been ended, by a master that has run before."""
        return [interval for interval in self.intervals if interval.overdue and interval.started]

    @property
    def not_started(self) -> list[IntervalStatus]:
        """The intervals that no master has taken yet."""
        return [interval for interval in self.intervals if not interval.started]

    @property
    def abandoned(self) -> list[GroupStatus]:
        """The groups whose masters have all stopped, or were killed."""
        return [group for group in self.groups if group.abandoned_s is not None]

    @property
    def without_master(self) -> list[GroupStatus]:
        """The groups of which no master is known to be alive."""
        return [group for group in self.groups if not group.has_master]

    @property
    def is_well(self) -> bool:
        """True if all intervals are rotated, as far as Redis shows it."""
        return not (self.overdue or self.not_started or self.abandoned or self.unrotated)


def examine(config: Config, store: Store) -> Status:
    """Ask Redis for the state of everything in a configuration.

    Raises:
        StoreError: Redis does not answer.
    """
    store.servers.ping()  # where there are no groups, nothing else would tell that Redis is away
    masters: dict[str, MasterInfo] = {}
    intervals: list[IntervalStatus] = []
    groups = []
    unrotated: list[Unrotated] = []
    for group in config.groups.values():
        of_group = store.masters.of(group)
        for master in of_group:
            known = masters.get(master.id)
            masters[master.id] = master if known is None or master.alive else known
        intervals += _intervals(group, store)
        has_master = any(master.alive for master in of_group)
        abandoned_s = _abandoned_s(group, of_group, store)
        groups.append(
            GroupStatus(group.name, store.sources.count(group), has_master, abandoned_s, group.hidden)
        )
        unrotated += find_unrotated(group, store)
    return Status(sorted(masters.values(), key=lambda master: master.since), intervals, groups, unrotated)


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


def _abandoned_s(group: GroupConfig, masters: Sequence[MasterInfo], store: Store) -> float | None:
    """See `GroupStatus`. A master of version 1.1, or `--once`, is known by an interval that it has begun."""
    gone_s = min((master.seen_s for master in masters), default=0.0)
    if gone_s < MASTER_ALIVE_S or any(master.alive for master in masters):
        return None
    # The last master may have rotated after its last heartbeat, for as long as it counts as alive.
    since = store.client.server_time(group) - gone_s + MASTER_ALIVE_S
    starts = [store.reads.start(group, interval) for interval in group.intervals]
    return None if any(start is not None and start > since for start in starts) else gone_s


def by_group(status: Status) -> Mapping[str, GroupStatus]:
    """The groups by name."""
    return {group.group: group for group in status.groups}
