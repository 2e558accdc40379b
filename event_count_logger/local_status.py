"""How the processes of this machine stand that count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from event_count_logger.config import Config
from event_count_logger.local_reader import LocalReader, LocalSnapshot


@dataclass(frozen=True, slots=True)
class LocalStatus:
    """The processes of this machine that count, or have counted, for one group.

    Attributes:
        group: Name of the group.
        alive: How many processes run.
        unsent: What they have counted that Redis has not confirmed yet.
        dead: How many processes were killed and have left a spool file.
        unrecovered: What they had counted that Redis has not confirmed: `ecl recover` sends it.
    """

    group: str
    alive: int
    unsent: int
    dead: int
    unrecovered: int


def examine_machine(config: Config) -> list[LocalStatus]:
    """One status for each group that is not hidden, in the order of the configuration.

    Raises:
        OSError: A spool directory cannot be used.
    """
    snapshots = LocalReader(config).read()
    return [
        _status(group.name, [snapshot for snapshot in snapshots if snapshot.group == group.name])
        for group in config.shown_groups
    ]


def _status(group: str, snapshots: Sequence[LocalSnapshot]) -> LocalStatus:
    alive = [snapshot for snapshot in snapshots if snapshot.alive]
    dead = [snapshot for snapshot in snapshots if not snapshot.alive]
    return LocalStatus(group, len(alive), _unsent(alive), len(dead), _unsent(dead))


def _unsent(snapshots: Sequence[LocalSnapshot]) -> int:
    return sum(count.unsent for snapshot in snapshots for count in snapshot.counts.values())
