"""Intervals that processes count in and no master ends: their configurations differ."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

from event_count_logger.config import Config, GroupConfig
from event_count_logger.errors import Rejected, StoreError
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log
from event_count_logger.reading.reader import OVERDUE_TOLERANCE_S, Reader
from event_count_logger.reading.running_masters import other_parts, parts, running_masters
from event_count_logger.store import Store


@dataclass(frozen=True, slots=True)
class Unrotated:
    """An interval that processes of this version count in and that no master ends.

    Attributes:
        group: Name of the group.
        part: The group, or the shard of it, whose keys are counted in.
        interval: Name of the interval, as those processes call it.
        counted_s: Seconds since it was last known to be counted in, give or take a minute.
        reason: What differs, in words that follow the name of the interval.
        hidden: Whether the group is hidden.
    """

    group: str
    part: str
    interval: str
    counted_s: float
    reason: str
    hidden: bool = False

    @property
    def sentence(self) -> str:
        """The problem, without the group."""
        return f"interval '{self.interval}': processes count in it, and no master ends it: {self.reason}"

    def __str__(self) -> str:
        return f"group '{self.part}', {self.sentence}"


class UnrotatedWatch:
    """Warns of each such interval once, and logs when it is settled."""

    def __init__(self, store: Store, log: Log) -> None:
        self._store = store
        self._log = log
        self._known: dict[tuple[str, str, str], Unrotated] = {}

    def look(self, config: Config) -> None:
        """Look at all groups; one of which Redis does not answer is looked at the next time."""
        found: dict[tuple[str, str, str], Unrotated] = {}
        for group in config.groups.values():
            try:
                found |= {
                    (each.group, each.part, each.interval): each
                    for each in find_unrotated(group, self._store, is_master=True)
                }
            except (
                StoreError
            ):  # logged by the store or, where a key is in the way, by the process that counts
                found |= {key: each for key, each in self._known.items() if key[0] == group.name}
        for key in found.keys() - self._known.keys():
            each = found[key]
            self._log.warning("Group '%s', %s", each.part, each.sentence)
        for key in self._known.keys() - found.keys():
            each = self._known[key]
            self._log.info(
                "Group '%s', interval '%s': it is rotated, or no longer counted in", each.part, each.interval
            )
        self._known = found


def find_unrotated(group: GroupConfig, store: Store, is_master: bool = False) -> Iterator[Unrotated]:
    """Every interval of a group that is counted in and not rotated, also in shards of another number of them.

    Running masters list the intervals that they end. Where none runs, those of this configuration are taken
    for rotated. So are others that a master has taken, until they are counted in after their end: a master
    of version 1.1, or `--once`, may rotate them, or all configurations have dropped them.

    Args:
        group: As the configuration has it.
        store: Is asked.
        is_master: Whether the caller ends the intervals of the group.

    Raises:
        Unavailable: No answer.
        Rejected: There is something else under a key.
    """
    masters = running_masters(group, store)
    own = [interval.name for interval in group.intervals]
    is_reference = is_master or not masters
    for shard, part in parts(group):
        ended = masters.ended_in(shard) + (own if is_reference else [])
        reason = f"this configuration has {', '.join(own)}" if is_reference else masters.difference(shard)
        yield from _unrotated(group, part, store, ended, reason)
    with suppress(Rejected):  # a user may have no permission for keys of other shards
        for shard, part in other_parts(group):
            has_shards = f"this configuration has 'shards: {group.n_shards}'"
            reason = has_shards if is_reference else masters.difference(shard)
            yield from _unrotated(group, part, store, masters.ended_in(shard), reason)


def _unrotated(
    group: GroupConfig, part: GroupConfig, store: Store, ended: Collection[str], reason: str
) -> Iterator[Unrotated]:
    for name, counted_s in store.shard_reads.counted_in(part).items():
        with suppress(ValueError):  # not the name of an interval
            if name not in ended and not _is_rotated(part, Interval.parse(name), counted_s, store):
                yield Unrotated(group.name, part.label, name, counted_s, reason, group.hidden)


def _is_rotated(part: GroupConfig, interval: Interval, counted_s: float, store: Store) -> bool:
    """Returns False for an interval that no master has taken, or was counted in after it should have ended.

    An interval that was taken out of all configurations is overdue for ever, and not counted in any more.
    """
    overdue_s = Reader(store).overdue_s(part, interval) or 0.0
    return counted_s >= overdue_s - OVERDUE_TOLERANCE_S and store.rotation.has_rotated(part, interval)
