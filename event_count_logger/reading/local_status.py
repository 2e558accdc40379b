"""Status of this machine's counting processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from event_count_logger.config import Config
from event_count_logger.counting import spool_file
from event_count_logger.reading.local_reader import LocalReader, LocalSnapshot, UndeliveredFile

#: Seconds that sending may be late: a slow answer, a retry, a busy machine.
_LATE_S = 5.0

#: Seconds in which a master recovers what a killed process has left: it looks every three. A process that is
#: not stuck sends within them, too, what should have been sent before.
_SETTLING_S = 5.0

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
class StuckProcess:
    """A process that runs, and has not sent its counts for longer than its group allows.

    Attributes:
        group: Name of the group.
        pid: The process.
        unsent: Counts that Redis has not confirmed.
        sent_s: Seconds since the process has last sent everything, or since it began to count.
    """

    group: str
    pid: int
    unsent: int
    sent_s: float


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """All processes of this machine, and the files of those that have ended.

    Attributes:
        groups: One status for each group that is not hidden and keeps spool files, in the order of the
            configuration.
        undelivered: Spool files with counts that are not in Redis, the oldest first.
        late: Processes whose counts are unsent for too long, as they were seen first.
        faults: Why spool directories cannot be used, a sentence each. Nothing is known of what is in them.
        unseen: Names of the groups that are not hidden and keep no spool files, so that nothing is known of
            their processes.
    """

    groups: Sequence[LocalStatus] = ()
    undelivered: Sequence[UndeliveredFile] = ()
    late: Sequence[LocalSnapshot] = ()
    faults: Sequence[str] = ()
    unseen: Sequence[str] = ()

    @property
    def unrecovered(self) -> list[UndeliveredFile]:
        """Those that this configuration should deliver, or that cannot be read."""
        return [file for file in self.undelivered if file.is_ours]

    @property
    def foreign(self) -> list[UndeliveredFile]:
        """Those for another Redis: only who has that one configured can deliver them."""
        return [file for file in self.undelivered if not file.is_ours]

    @property
    def stuck(self) -> list[StuckProcess]:
        """The processes whose counts are unsent for too long, in the order of their groups."""
        return [StuckProcess(each.group, each.pid, each.unsent, each.sent_s) for each in self.late]

    @property
    def is_well(self) -> bool:
        """True if all counts of this machine are sent in time, as far as its spool files show."""
        return not (self.late or self.unrecovered or self.faults)


def examine_machine(config: Config) -> MachineStatus:
    """Looks at every spool file once. What is late or left behind may be about to be sent: see `settled`."""
    paths, faults = _paths(config)
    snapshots, undelivered = LocalReader(config).examine_files(paths)
    groups = [
        _status(group.name, [snapshot for snapshot in snapshots if snapshot.group == group.name])
        for group in config.shown_groups
        if group.spool
    ]
    late = [snapshot for snapshot in snapshots if _is_late(config, snapshot)]
    unseen = [group.name for group in config.shown_groups if not group.spool]
    undelivered.sort(key=lambda file: file.since)
    return MachineStatus(groups, undelivered, late, faults, unseen)


def settled(
    config: Config, found: MachineStatus, sleep: Callable[[float], object] = time.sleep
) -> MachineStatus:
    """Looks again when what was found has been sent, or there was time to: at most 5 s later.

    Processes that are late only since then are left out, and so are files of processes that have ended since.
    """
    waiting = {file.path for file in found.unrecovered} | {snapshot.path for snapshot in found.late}
    reader = LocalReader(config)
    late = found.late
    for _ in range(round(_SETTLING_S / _LOOK_S)):
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
    """The processes that still run and have not sent what they had logged when they were seen first."""
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
