"""Status of this machine's counting processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from event_count_logger.config import Config
from event_count_logger.local_reader import LocalReader, LocalSnapshot, UndeliveredFile

#: Seconds in which a master recovers what a killed process has left: it looks every three.
_RECOVERY_S = 5.0

#: Seconds between looks meanwhile.
_LOOK_S = 0.1


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


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """All processes of this machine, and the files of those that have ended.

    Attributes:
        groups: One status for each group that is not hidden, in the order of the configuration.
        undelivered: Spool files with counts that are not in Redis, the oldest first.
    """

    groups: Sequence[LocalStatus]
    undelivered: Sequence[UndeliveredFile]

    @property
    def unrecovered(self) -> list[UndeliveredFile]:
        """Those that this configuration should deliver, or that cannot be read."""
        return [file for file in self.undelivered if file.is_ours]

    @property
    def foreign(self) -> list[UndeliveredFile]:
        """Those for another Redis: only who has that one configured can deliver them."""
        return [file for file in self.undelivered if not file.is_ours]


def examine_machine(config: Config) -> MachineStatus:
    """Looks at every spool file.

    Raises:
        OSError: A spool directory cannot be used.
    """
    snapshots, undelivered = LocalReader(config).examine()
    groups = [
        _status(group.name, [snapshot for snapshot in snapshots if snapshot.group == group.name])
        for group in config.shown_groups
    ]
    return MachineStatus(groups, sorted(undelivered, key=lambda file: file.since))


def after_recovery(
    config: Config, found: MachineStatus, sleep: Callable[[float], object] = time.sleep
) -> MachineStatus:
    """Looks again when a master has had time to recover what was found. Files of processes that have ended
    meanwhile are left out.

    Raises:
        OSError: A spool directory cannot be used.
    """
    paths = {file.path for file in found.unrecovered}
    for _ in range(round(_RECOVERY_S / _LOOK_S)):
        if not any(path.exists() for path in paths):
            break
        sleep(_LOOK_S)
    later = examine_machine(config)
    return replace(
        later, undelivered=[file for file in later.undelivered if not file.is_ours or file.path in paths]
    )


def _status(group: str, snapshots: Sequence[LocalSnapshot]) -> LocalStatus:
    alive = [snapshot for snapshot in snapshots if snapshot.alive]
    dead = [snapshot for snapshot in snapshots if not snapshot.alive]
    return LocalStatus(group, len(alive), _unsent(alive), len(dead), _unsent(dead))


def _unsent(snapshots: Sequence[LocalSnapshot]) -> int:
    return sum(count.unsent for snapshot in snapshots for count in snapshot.counts.values())
