"""Status of this machine's counting processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from event_count_logger.config import Config
from event_count_logger.counting import spool_file
from event_count_logger.reading.local_reader import LocalReader, LocalSnapshot, UndeliveredFile

#: Seconds by which sending may be late, for a slow answer, a retry or a busy machine.
_LATE_S = 5.0

#: Seconds that `recheck` waits at most. A master looks for the files of killed processes every 3 s. A process
#: that is not stuck sends its late counts in less than 5 s, too.
_RECHECK_S = 5.0

#: Seconds between the looks of `recheck`.
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class LocalStatus:
    """The processes of this machine that count, or have counted, for one group.

    Attributes:
        group: Name of the group.
        alive: Number of processes that run.
        unsent: Number of their counts that Redis has not confirmed.
        dead: Number of processes that were killed and have left a spool file.
        unrecovered: Number of their counts that Redis has not confirmed; `ecl recover` sends them.
    """

    group: str
    alive: int
    unsent: int
    dead: int
    unrecovered: int


@dataclass(frozen=True, slots=True)
class StuckProcess:
    """A running process that has not sent its counts for longer than its group allows.

    Attributes:
        group: Name of the group.
        pid: Process ID.
        unsent: Number of counts that Redis has not confirmed.
        sent_s: Seconds since the process had last sent everything, or since it began to count.
    """

    group: str
    pid: int
    unsent: int
    sent_s: float


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """Status of this machine's processes, and of the files of those that have ended.

    Attributes:
        groups: One status for each group that is not hidden and keeps spool files, in the order of the
            configuration.
        undelivered: Spool files with counts that are not in Redis, the oldest first.
        late: Processes whose counts are unsent for too long, as they were first seen.
        faults: A sentence for each spool directory that cannot be used, and whose files are unknown.
        without_spool: Names of the groups that are not hidden and keep no spool files: their processes are
            unknown.
    """

    groups: Sequence[LocalStatus] = ()
    undelivered: Sequence[UndeliveredFile] = ()
    late: Sequence[LocalSnapshot] = ()
    faults: Sequence[str] = ()
    without_spool: Sequence[str] = ()

    @property
    def unrecovered(self) -> list[UndeliveredFile]:
        """The files that this configuration should deliver, or that cannot be read."""
        return [file for file in self.undelivered if file.is_ours]

    @property
    def foreign(self) -> list[UndeliveredFile]:
        """The files for another Redis: only a configuration of that Redis can deliver them."""
        return [file for file in self.undelivered if not file.is_ours]

    @property
    def stuck(self) -> list[StuckProcess]:
        """The processes whose counts are unsent for too long, in the order of their groups."""
        return [StuckProcess(each.group, each.pid, each.unsent, each.sent_s) for each in self.late]

    @property
    def is_ok(self) -> bool:
        """True if all counts of this machine are sent in time, as its spool files show."""
        return not (self.late or self.unrecovered or self.faults)


def examine_machine(config: Config) -> MachineStatus:
    """Returns the status of this machine from one look at every spool file.

    Late counts and files of ended processes may be sent a little later: see `recheck`.
    """
    paths, faults = _paths(config)
    snapshots, undelivered = LocalReader(config).examine_files(paths)
    groups = [
        _status(group.name, [snapshot for snapshot in snapshots if snapshot.group == group.name])
        for group in config.shown_groups
        if group.spool
    ]
    late = [snapshot for snapshot in snapshots if _is_late(config, snapshot)]
    without_spool = [group.name for group in config.shown_groups if not group.spool]
    undelivered.sort(key=lambda file: file.since)
    return MachineStatus(groups, undelivered, late, faults, without_spool)


def recheck(
    config: Config, found: MachineStatus, sleep: Callable[[float], object] = time.sleep
) -> MachineStatus:
    """Returns the status after late counts were sent, or after 5 s.

    Processes that became late after the first look are left out, and so are files of processes that ended
    after it.
    """
    waiting = {file.path for file in found.unrecovered} | {snapshot.path for snapshot in found.late}
    reader = LocalReader(config)
    late = found.late
    for _ in range(round(_RECHECK_S / _LOOK_S)):
        late = _still_late(late, reader)
        if not late and not any(file.path.exists() for file in found.unrecovered):
            break
        sleep(_LOOK_S)
    later = examine_machine(config)
    return replace(
        later,
        undelivered=[file for file in later.undelivered if not file.is_ours or file.path in waiting],
        late=_still_late(late, reader),
    )


def _paths(config: Config) -> tuple[list[Path], list[str]]:
    paths: list[Path] = []
    faults: list[str] = []
    for directory in config.spool_dirs:
        try:
            paths += spool_file.find(directory)
        except OSError as error:
            faults.append(str(error))
    return paths, faults


def _is_late(config: Config, snapshot: LocalSnapshot) -> bool:
    group = config.groups.get(snapshot.group)
    if not snapshot.alive or not snapshot.unsent or group is None:
        return False
    return snapshot.sent_s > group.longest_unsent_s + _LATE_S


def _still_late(late: Iterable[LocalSnapshot], reader: LocalReader) -> list[LocalSnapshot]:
    """Returns the processes that still run and have not sent the counts that they had when first seen."""
    late = list(late)
    snapshots, _ = reader.examine_files(snapshot.path for snapshot in late)
    now = {snapshot.path: snapshot for snapshot in snapshots if snapshot.alive}
    return [each for each in late if each.path in now and not now[each.path].has_sent(each)]


def _status(group: str, snapshots: Sequence[LocalSnapshot]) -> LocalStatus:
    alive = [snapshot for snapshot in snapshots if snapshot.alive]
    dead = [snapshot for snapshot in snapshots if not snapshot.alive]
    return LocalStatus(group, len(alive), _unsent(alive), len(dead), _unsent(dead))


def _unsent(snapshots: Iterable[LocalSnapshot]) -> int:
    return sum(snapshot.unsent for snapshot in snapshots)
