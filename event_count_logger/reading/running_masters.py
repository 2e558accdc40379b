"""Intervals and shards in the configurations of the running masters of a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from event_count_logger.config import GroupConfig
from event_count_logger.errors import Rejected
from event_count_logger.store import MasterInfo, Store

#: Shards read beyond those of the configuration. Each costs one request per group.
_N_FURTHER = 8

#: The number of a shard, or None for a group that is not split; and its configuration.
Part = tuple[int | None, GroupConfig]


@dataclass(frozen=True, slots=True)
class RunningMasters:
    """Masters with a heartbeat. Masters of version 1.1, and `ecl_master --once`, have none.

    Attributes:
        whole: Masters whose configuration does not split the group.
        split: Masters whose configuration splits the group.
    """

    whole: Sequence[MasterInfo]
    split: Sequence[MasterInfo]

    def __bool__(self) -> bool:
        return bool(self.whole or self.split)

    def ended_in(self, shard: int | None) -> list[str]:
        """Returns the names of the intervals that these masters end in a part of the group, each once."""
        masters = self.whole if shard is None else [each for each in self.split if each.shards > shard]
        return list(dict.fromkeys(name for master in masters for name in master.intervals))

    def difference(self, shard: int | None) -> str:
        """Returns a phrase with the intervals of these masters in a part; without any, with their shards."""
        numbers = sorted({master.shards for master in (*self.whole, *self.split)})
        has = ", ".join(self.ended_in(shard)) or f"'shards: {', '.join(map(str, numbers))}'"
        return f"running masters have {has}"


def running_masters(group: GroupConfig, store: Store) -> RunningMasters:
    """Returns the running masters of a group, including those with another number of shards.

    Raises:
        Unavailable: Redis does not answer.
    """
    return RunningMasters(_running(_whole(group), store), _running(_split(group), store))


def parts(group: GroupConfig) -> Iterator[Part]:
    """Yield the parts of a group: its shards, or the group itself."""
    yield from enumerate(group.shards) if group.n_shards > 1 else ((None, group),)


def other_parts(group: GroupConfig) -> Iterator[Part]:
    """Yield the parts that only exist with another number of shards, up to a limit."""
    if group.n_shards > 1:
        yield None, _whole(group)
    n_own = group.n_shards if group.n_shards > 1 else 0
    yield from ((number, _split(group).shard(number)) for number in range(n_own, n_own + _N_FURTHER))


def _whole(group: GroupConfig) -> GroupConfig:
    return replace(group, n_shards=1)


def _split(group: GroupConfig) -> GroupConfig:
    return group if group.n_shards > 1 else replace(group, n_shards=_N_FURTHER)


def _running(group: GroupConfig, store: Store) -> list[MasterInfo]:
    with suppress(Rejected):  # `ecl check` and the master report the key
        return [master for master in store.masters.of(group) if master.alive and master.intervals]
    return []
