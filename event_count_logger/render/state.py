"""The status in one sentence: a word for the worst fault, every fault, masters, and intervals in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from event_count_logger.logs import counted
from event_count_logger.reading.alerters import AlerterStatus
from event_count_logger.reading.exports import ExportStatus
from event_count_logger.reading.local_reader import UndeliveredFile
from event_count_logger.reading.local_status import MachineStatus, StuckProcess
from event_count_logger.reading.status import GroupStatus, IntervalStatus, Status
from event_count_logger.reading.unrotated import Unrotated
from event_count_logger.render.phrases import duration

#: The word for a fault, and its description.
Fault = tuple[str, str]


def faults(status: Status, machine: MachineStatus | None = None) -> list[Fault]:
    """Returns all faults, the worst first, without the names of hidden groups."""
    of_machine = _of_machine(machine) if machine else ()
    return [*_of_redis(status), *_of_alerters(status), *_of_exports(status), *of_machine]


def summary(status: Status, machine: MachineStatus | None = None) -> str:
    """Returns one sentence that begins with OK, or with the word for the worst fault."""
    found = faults(status, machine)
    parts = [*(description for _, description in found), f"{_masters(status)}, {_in_time(status)}"]
    if machine and machine.foreign:
        parts.append(f"{counted(len(machine.foreign), 'spool file')} for another Redis")
    return f"{found[0][0] if found else 'OK'}: {'; '.join(parts)}"


def _of_redis(status: Status) -> Iterator[Fault]:
    if status.overdue:
        longest_s = max(interval.overdue_s or 0 for interval in status.overdue)
        yield "OVERDUE", f"{_intervals(status.overdue, status)} by up to {duration(longest_s)}"
    if status.not_started:
        yield "NOT STARTED", _not_started(status)
    if status.abandoned:
        yield "NO MASTER", f"{_abandoned(status.abandoned)} (start ecl_master)"
    if status.unrotated:
        yield "UNROTATED", _unrotated(status.unrotated)


def _of_alerters(status: Status) -> Iterator[Fault]:
    if status.not_watched:
        groups = _watched(status.not_watched, status)
        yield "NOT WATCHED", f"no alerter for {groups} (start ecl alert)"
    if status.not_notified:
        reasons = sorted({each.fault for each in status.not_notified})
        yield "NOT NOTIFIED", f"alerts of {_watched(status.not_notified, status)}: {'; '.join(reasons)}"


def _of_exports(status: Status) -> Iterator[Fault]:
    if status.not_exported:
        intervals = _exported(status.not_exported, status)
        yield "NOT EXPORTED", f"no exporter for {intervals} (start ecl export)"
    if status.late_exports:
        yield "BEHIND", _late(status.late_exports, status)


def _of_machine(machine: MachineStatus) -> Iterator[Fault]:
    if machine.stuck:
        yield "UNSENT", _unsent(machine.stuck)
    if machine.unrecovered:
        yield "UNRECOVERED", _unrecovered(machine.unrecovered)
    for fault in machine.faults:
        yield "UNREADABLE", f"spool files of this machine cannot be read: {fault}"


def _not_started(status: Status) -> str:
    verb = "has" if len(status.not_started) == 1 else "have"
    step = (
        "start ecl_master"
        if status.without_master
        else "send SIGHUP to ecl_master to reload the configuration"
    )
    return f"{_intervals(status.not_started, status)} {verb} no master yet ({step})"


def _intervals(faulty: Sequence[IntervalStatus], status: Status) -> str:
    """Returns the number of intervals out of all, and the number of hidden ones."""
    hidden = sum(interval.hidden for interval in faulty)
    parts = [counted(hidden, "hidden interval")] if hidden else []
    if len(faulty) > hidden:
        n_shown = sum(not interval.hidden for interval in status.intervals)
        parts.insert(0, f"{len(faulty) - hidden} of {counted(n_shown, 'interval')}")
    return " and ".join(parts)


def _late(exports: Sequence[ExportStatus], status: Status) -> str:
    longest_s = max(export.waiting_s for export in exports)
    waiting = f" late by up to {duration(longest_s)}" if longest_s else ""
    reasons = sorted({export.fault for export in exports if export.fault})
    return ": ".join([f"export of {_exported(exports, status)}{waiting}", *reasons])


def _exported(faulty: Sequence[ExportStatus], status: Status) -> str:
    """Returns the number of exported intervals out of all."""
    return f"{len(faulty)} of {counted(len(status.exports), 'interval')}"


def _watched(faulty: Sequence[AlerterStatus], status: Status) -> str:
    """Returns the number of groups out of all with notifications."""
    return f"{len(faulty)} of {counted(len(status.alerters), 'group')}"


def _abandoned(groups: Sequence[GroupStatus]) -> str:
    longest = duration(max(group.abandoned_s or 0 for group in groups))
    if len(groups) == 1:
        name = "a hidden group" if groups[0].hidden else f"group '{groups[0].group}'"
        return f"{name} has had no master for {longest}"
    return f"{len(groups):,} groups have had no master for up to {longest}"


def _unrotated(intervals: Sequence[Unrotated]) -> str:
    """Returns the names of the intervals, and the number of those of hidden groups."""
    hidden = sum(each.hidden for each in intervals)
    parts = [f"interval '{each.interval}' of group '{each.part}'" for each in intervals if not each.hidden]
    parts += [counted(hidden, "hidden interval")] if hidden else []
    return f"processes count in intervals that no master ends: {', '.join(parts)} (see ecl check)"


def _unsent(stuck: Sequence[StuckProcess]) -> str:
    counts = counted(sum(process.unsent for process in stuck), "count")
    n_processes = len({process.pid for process in stuck})
    processes = f"process {stuck[0].pid}" if n_processes == 1 else f"{n_processes:,} processes"
    longest = duration(max(process.sent_s for process in stuck))
    return f"{counts} of {processes} of this machine unsent for up to {longest}"


def _unrecovered(files: Sequence[UndeliveredFile]) -> str:
    unsent = sum(file.unsent or 0 for file in files)
    where = f"{counted(len(files), 'spool file')} of this machine"
    return f"{counted(unsent, 'count')} in {where} not recovered (see ecl recover)"


def n_masters(status: Status) -> int:
    """Returns the number of masters with a recent heartbeat."""
    return sum(master.alive for master in status.masters)


def n_in_time(status: Status) -> int:
    """Returns the number of intervals in time, without those of hidden groups."""
    return sum(each.started and not each.overdue and not each.hidden for each in status.intervals)


def _masters(status: Status) -> str:
    alive = n_masters(status)
    without = len(status.without_master)
    if not alive:
        return "no master heartbeat"
    return counted(alive, "master") + (f" (none of {counted(without, 'group')})" if without else "")


def _in_time(status: Status) -> str:
    return f"{counted(n_in_time(status), 'interval')} in time"
