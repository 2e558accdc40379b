"""Intervals that processes count in and no master ends: their configurations differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from event_count_logger import keys
from event_count_logger.config import Config, GroupConfig
from event_count_logger.errors import Rejected, StoreError
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log
from event_count_logger.reader import Reader
from event_count_logger.store import Store

#: Seconds that a rotation may be late.
_TOLERANCE_S = 2.0


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

    def __str__(self) -> str:
        return (
            f"group '{self.part}', interval '{self.interval}': processes count in it, and no master ends it: "
            f"{self.reason}"
        )


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
                    for each in find_unrotated(group, self._store)
                }
            except (
                StoreError
            ):  # logged by the store or, where a key is in the way, by the process that counts
                found |= {key: each for key, each in self._known.items() if key[0] == group.name}
        for key in found.keys() - self._known.keys():
            each = found[key]
            self._log.warning(
                "Group '%s', interval '%s': processes count in it, and no master ends it: %s",
                each.part,
                each.interval,
                each.reason,
            )
        for key in self._known.keys() - found.keys():
            each = self._known[key]
            self._log.info(
                "Group '%s', interval '%s': it is rotated, or no longer counted in", each.part, each.interval
            )
        self._known = found


def find_unrotated(group: GroupConfig, store: Store) -> Iterator[Unrotated]:
    """Every interval of a group that is counted in, is not in this configuration, and is not rotated.

    An interval that this configuration lacks may be in that of a master: it is not named while it is ended in
    time. The same holds for shards.

    Raises:
        Unavailable: No answer.
        Rejected: There is something else under a key.
    """
    names = ", ".join(interval.name for interval in group.intervals)
    for shard in group.shards:
        reason = f"this configuration has {names}"
        yield from _unrotated(group, shard, store, {interval.name for interval in group.intervals}, reason)
    for part in _other_parts(group):
        with suppress(Rejected):  # a user may have no permission for keys of other shards
            reason = f"this configuration has 'shards: {group.n_shards}'"
            yield from _unrotated(group, part, store, set(), reason)


def _unrotated(
    group: GroupConfig, part: GroupConfig, store: Store, known: set[str], reason: str
) -> Iterator[Unrotated]:
    for name, counted_s in store.counted_in(part).items():
        with suppress(ValueError):  # not the name of an interval
            if name not in known and not _is_rotated(part, Interval.parse(name), counted_s, store):
                yield Unrotated(group.name, part.label, name, counted_s, reason, group.hidden)


def _is_rotated(part: GroupConfig, interval: Interval, counted_s: float, store: Store) -> bool:
    """Returns False for an interval that never ended, or was counted in after it should have ended.

    An interval that was taken out of all configurations is overdue for ever, and not counted in any more.
    """
    overdue_s = Reader(store).overdue_s(part, interval) or 0.0
    return counted_s >= overdue_s - _TOLERANCE_S and store.n_finished(part, interval) > 0


def _other_parts(group: GroupConfig) -> Iterator[GroupConfig]:
    """Parts in which a process counts that has another number of shards in its configuration."""
    if group.n_shards > 1:
        yield replace(group, n_shards=1)
    if group.n_shards > 1 or group.key_prefix:  # shards are of no use without a cluster
        first_after = group.n_shards if group.n_shards > 1 else 0
        yield replace(group, key_prefix=keys.prefix(group.name, shard=first_after), n_shards=1)
