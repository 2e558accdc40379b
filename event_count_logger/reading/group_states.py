"""The state of all groups for clients that ask often, read with few requests."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from event_count_logger.config import Config, GroupConfig
from event_count_logger.errors import Rejected
from event_count_logger.reading.reader import overdue_by
from event_count_logger.reading.status import IntervalStatus, distinct
from event_count_logger.store import MasterInfo, Store
from event_count_logger.store.vitals import Vitals


class GroupStates(NamedTuple):
    """The state of all groups in a configuration.

    Attributes:
        masters: Masters with a heartbeat within the last hour, oldest first.
        intervals: State of each interval of a group, by name of the group; a group is absent if Redis rejects
            the reads.
        rotated: Names of the groups that have a master with a heartbeat.
    """

    masters: Sequence[MasterInfo]
    intervals: Mapping[str, Sequence[IntervalStatus]]
    rotated: Collection[str]


def group_states(config: Config, store: Store) -> GroupStates:
    """Returns the state of all groups.

    Raises:
        Unavailable: Redis does not answer.
    """
    store.servers.ping()  # without groups, no other request notices that Redis is unavailable
    read: dict[str, Vitals] = {}
    intervals: dict[str, Sequence[IntervalStatus]] = {}
    for group, vitals in zip(config.groups.values(), _vitals(config, store), strict=True):
        if isinstance(vitals, Rejected):
            continue
        with suppress(Rejected):
            intervals[group.name] = list(_intervals(group, vitals, store))
            read[group.name] = vitals
    return GroupStates(
        distinct(master for vitals in read.values() for master in vitals.masters),
        intervals,
        {name for name, vitals in read.items() if any(master.alive for master in vitals.masters)},
    )


def _vitals(config: Config, store: Store) -> Iterable[Vitals | Rejected]:
    """Returns the states of all groups; in a cluster, each is read from its own node."""
    groups = list(config.groups.values())
    if not config.redis.cluster:
        return store.vitals.of_all(groups)
    return (_vitals_or_error(group, store) for group in groups)


def _vitals_or_error(group: GroupConfig, store: Store) -> Vitals | Rejected:
    try:
        return store.vitals.of(group)
    except Rejected as error:
        return error


def _intervals(group: GroupConfig, vitals: Vitals, store: Store) -> Iterator[IntervalStatus]:
    for interval, start, is_taken in zip(group.intervals, vitals.starts, vitals.taken, strict=True):
        overdue_s = overdue_by(interval, start, vitals.now)
        is_started = is_taken or store.rotation.has_rotated(group, interval)  # by a master of version 1.1
        yield IntervalStatus(group.name, interval.name, overdue_s, group.hidden, is_started)
