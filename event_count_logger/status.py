"""Whether everything that keeps counts up to date is at work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from event_count_logger.config import Config
from event_count_logger.reader import Reader
from event_count_logger.store import MasterInfo, Store
from event_count_logger.unrotated import Unrotated, find_unrotated

#: Seconds that a rotation may be late before it is said to be overdue.
OVERDUE_TOLERANCE_S = 2.0


@dataclass(frozen=True, slots=True)
class IntervalStatus:
    """The state of one interval of a group.

    Attributes:
        group: Name of the group.
        interval: Name of the interval.
        overdue_s: Seconds for which its rotation is late; 0 if it is not. None if it never began.
        hidden: Whether the group is hidden.
    """

    group: str
    interval: str
    overdue_s: float | None
    hidden: bool = False

    @property
    def overdue(self) -> bool:
        """Whether its rotation is so late that no master can be at work."""
        return self.overdue_s is not None and self.overdue_s > OVERDUE_TOLERANCE_S


@dataclass(frozen=True, slots=True)
class Status:
    """The state of all groups of a configuration.

    Attributes:
        masters: Those that were there within the last hour, each once, the oldest first.
        intervals: In the order of the configuration.
        sources: For each group, how many sources of counts are known to Redis.
        unrotated: The intervals that processes count in and no master ends.
    """

    masters: Sequence[MasterInfo]
    intervals: Sequence[IntervalStatus]
    sources: dict[str, int]
    unrotated: Sequence[Unrotated] = ()

    @property
    def overdue(self) -> list[IntervalStatus]:
        """The intervals that should have been ended."""
        return [interval for interval in self.intervals if interval.overdue]

    @property
    def has_master(self) -> bool:
        """Whether a master is at work."""
        return any(master.alive for master in self.masters)


def examine(config: Config, store: Store) -> Status:
    """Ask Redis for the state of everything in a configuration.

    Raises:
        StoreError: Redis does not answer.
    """
    store.ping()  # where there are no groups, nothing else would tell that Redis is away
    reader = Reader(store)
    masters: dict[str, MasterInfo] = {}
    intervals = []
    sources = {}
    unrotated: list[Unrotated] = []
    for group in config.groups.values():
        masters |= {master.id: master for master in store.masters(group)}
        sources[group.name] = store.n_sources(group)
        for interval in group.intervals:
            overdue_s = reader.overdue_s(group, interval)
            intervals.append(IntervalStatus(group.name, interval.name, overdue_s, group.hidden))
        unrotated += find_unrotated(group, store)
    return Status(sorted(masters.values(), key=lambda master: master.since), intervals, sources, unrotated)
