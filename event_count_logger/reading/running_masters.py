"""Intervals and shards that the running masters of a group have in their configurations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from event_count_logger.config import GroupConfig
from event_count_logger.errors import Rejected
from event_count_logger.store import MasterInfo, Store

#: Shards looked at beyond those of the configuration. Each costs a request per group.
_N_FURTHER = 8

#: The number of a shard, or None for a group that is not split; and where its keys are.
Part = tuple[int | None, GroupConfig]


@dataclass(frozen=True, slots=True)
class RunningMasters:
    """Masters with a heartbeat; those of version 1.1, and `--once`, have none.

    Attributes:
        whole: Those whose configuration does not split the group.
        split: Those whose configuration splits it.
    """

    whole: Sequence[MasterInfo]
    split: Sequence[MasterInfo]

    def __bool__(self) -> bool:
        return bool(self.whole or self.split)

    def ended_in(self, shard: int | None) -> list[str]:
        """Returns the names of the intervals that they end in a part of the group, each once."""
        masters = self.whole if shard is None else [each for each in self.split if each.shards > shard]
        return list(dict.fromkeys(name for master in masters for name in master.intervals))

    def difference(self, shard: int | None) -> str:
        """Returns what they have in place of an interval, or of a part, that none of them has."""
        numbers = sorted({master.shards for master in (*self.whole, *self.split)})
        has = ", ".join(self.ended_in(shard)) or f"'shards: {', '.join(map(str, numbers))}'"
        return f"running masters have {has}"


def running_masters(group: GroupConfig, store: Store) -> RunningMasters:
    """Ask for the masters of a group, also for those with another number of shards.

    Raises:
        Unavailable: No answer.
    """
    return RunningMasters(_running(_whole(group), store), _running(_split(group), store))


def parts(group: GroupConfig) -> Iterator[Part]:
    """The parts that a configuration has."""
    yield from enumerate(group.shards) if group.n_shards > 1 else ((None, group),)


def other_parts(group: GroupConfig) -> Iterator[Part]:
    """Parts that processes with another number of shards count in: those beyond a limit are left out."""
    if group.n_shards > 1:
        yield None, _whole(group)
    n_own = group.n_shards if group.n_shards > 1 else 0
    yield from ((number, _split(group).shard(number)) for number in range(n_own, n_own + _N_FURTHER))


def _whole(group: GroupConfig) -> GroupConfig:
    return replace(group, n_shards=1)


def _split(group: GroupConfig) -> GroupConfig:
    return group if group.n_shards > 1 else replace(group, n_shards=_N_FURTHER)


def _running(group: GroupConfig, store: Store) -> list[MasterInfo]:
    with suppress(Rejected):  # the key is named by `ecl check`, and by the master itself
        return [master for master in store.masters.of(group) if master.alive and master.intervals]
    return []
