"""Intervals that processes count in, and no master ends, because their configurations differ."""

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
    """An interval that processes of version 2 count in, and no master ends.

    Attributes:
        group: Name of the group.
        part: Label of the group, or of its shard, that the processes count in.
        interval: Name of the interval in the configuration of those processes.
        counted_s: Seconds since the last count, give or take a minute.
        reason: The difference between the configurations.
        hidden: True if the group is hidden.
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
    """A watch that logs each unrotated interval once when it is found, and once when it is gone."""

    def __init__(self, store: Store, log: Log) -> None:
        self._store = store
        self._log = log
        self._known: dict[tuple[str, str, str], Unrotated] = {}

    def look(self, config: Config) -> None:
        """Check all groups; a group whose check fails keeps its last result."""
        found: dict[tuple[str, str, str], Unrotated] = {}
        for group in config.groups.values():
            try:
                found |= {
                    (each.group, each.part, each.interval): each
                    for each in find_unrotated(group, self._store, is_master=True)
                }
            except StoreError:  # the store logs it, or the counting process if a key has a wrong type
                found |= {key: each for key, each in self._known.items() if key[0] == group.name}
        for key in found.keys() - self._known.keys():
            each = found[key]
            self._log.warning("Group '%s', %s", each.part, each.sentence)
        for key in self._known.keys() - found.keys():
            each = self._known[key]
            self._log.info(
                "Group '%s', interval '%s': rotated, or no longer counted in", each.part, each.interval
            )
        self._known = found


def find_unrotated(group: GroupConfig, store: Store, is_master: bool = False) -> Iterator[Unrotated]:
    """Yield each interval of a group that is counted in and not rotated.

    Shards that only other configurations have are included, up to a limit.

    Running masters list the intervals that they end in their heartbeats. Without a running master, the
    intervals of this configuration count as rotated. So does each other interval that a master has started,
    until it is counted in after its end: a master without heartbeat (version 1.1, `--once`) may rotate it, or
    all configurations have dropped it.

    Args:
        group: The group in this configuration.
        store: Where its counts are.
        is_master: True if the caller ends the intervals of the group.

    Raises:
        Unavailable: Redis does not answer.
        Rejected: A key has an unexpected type.
    """
    masters = running_masters(group, store)
    configured = [interval.name for interval in group.intervals]
    is_reference = is_master or not masters
    for shard, part in parts(group):
        ended = masters.ended_in(shard) + (configured if is_reference else [])
        reason = (
            f"this configuration has {', '.join(configured)}" if is_reference else masters.difference(shard)
        )
        yield from _unrotated(group, part, store, ended, reason)
    with suppress(Rejected):  # the user may have no permission for the keys of other shards
        for shard, part in other_parts(group):
            has_shards = f"this configuration has 'shards: {group.n_shards}'"
            reason = has_shards if is_reference else masters.difference(shard)
            yield from _unrotated(group, part, store, masters.ended_in(shard), reason)


def _unrotated(
    group: GroupConfig, part: GroupConfig, store: Store, ended: Collection[str], reason: str
) -> Iterator[Unrotated]:
    for name, counted_s in store.shard_reads.counted_in(part).items():
        with suppress(ValueError):  # not an interval
            if name not in ended and not _is_rotated(part, Interval.parse(name), counted_s, store):
                yield Unrotated(group.name, part.label, name, counted_s, reason, group.hidden)


def _is_rotated(part: GroupConfig, interval: Interval, counted_s: float, store: Store) -> bool:
    """Returns False if no master has started the interval, or if it was counted in after its due end.

    An interval that was removed from all configurations stays overdue, and is no longer counted in.
    """
    overdue_s = Reader(store).overdue_s(part, interval) or 0.0
    return counted_s >= overdue_s - OVERDUE_TOLERANCE_S and store.rotation.has_rotated(part, interval)
