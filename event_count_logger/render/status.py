"""The state of everything as text, as JSON, and in one sentence."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from event_count_logger.local_reader import UndeliveredFile
from event_count_logger.local_status import LocalStatus, MachineStatus
from event_count_logger.logs import counted
from event_count_logger.render import table
from event_count_logger.render.words import duration, size, utc
from event_count_logger.status import IntervalStatus, Status
from event_count_logger.unrotated import Unrotated

#: Files in the table of those that wait, at most; JSON has all.
_MOST_FILES = 20


def render(
    status: Status | None,
    machine: MachineStatus | None,
    hidden: Collection[str] = (),
    now: float | None = None,
) -> str:
    """A table for each kind of thing; what is None is not known and left out.

    Args:
        status: What Redis knows.
        machine: What this machine knows.
        hidden: Names of groups that are not shown.
        now: Unix seconds; this machine's clock if None.
    """
    tables = []
    if status:
        tables += [_masters(status), _intervals(status), _sources(status)]
    if machine is not None:
        tables.append(_groups(machine.groups))
        shown = _shown_files(machine, hidden)
        if shown:
            tables.append(_undelivered(shown, time.time() if now is None else now))
    return "\n".join(tables)


def summary(status: Status, machine: MachineStatus | None = None) -> str:
    """Returns one sentence that begins with OK, OVERDUE, UNROTATED or UNRECOVERED."""
    parts = [_state_of(status, machine)]
    if machine and machine.foreign:
        parts.append(f"{counted(len(machine.foreign), 'spool file')} for another Redis")
    return "; ".join(parts)


def _state_of(status: Status, machine: MachineStatus | None) -> str:
    alive = sum(master.alive for master in status.masters)
    masters = counted(alive, "master") if alive else "no sign of a master"
    unrecovered = f"; {_unrecovered(machine.unrecovered)}" if machine and machine.unrecovered else ""
    unrotated = f"; {_unrotated(status.unrotated)}" if status.unrotated else ""
    if status.overdue:
        return f"OVERDUE: {_overdue(status)}; {masters}{unrotated}{unrecovered}"
    if unrotated:
        return f"UNROTATED: {masters}, {_in_time(status)}{unrotated}{unrecovered}"
    if unrecovered:
        return f"UNRECOVERED: {masters}, {_in_time(status)}{unrecovered}"
    return f"OK: {masters}, {_in_time(status)}"


def _in_time(status: Status) -> str:
    shown = _shown(status)
    begun = [interval for interval in shown if interval.overdue_s is not None]
    parts = [f"{counted(len(begun), 'interval')} in time"]
    if len(begun) < len(shown):
        parts.append(f"{len(shown) - len(begun)} not begun yet")
    return ", ".join(parts)


def _unrotated(intervals: Sequence[Unrotated]) -> str:
    """The names of the intervals, without those of hidden groups."""
    hidden = sum(each.hidden for each in intervals)
    parts = [f"interval '{each.interval}' of group '{each.part}'" for each in intervals if not each.hidden]
    parts += [counted(hidden, "hidden interval")] if hidden else []
    return f"counted in, and ended by no master: {', '.join(parts)} (see ecl check)"


def _unrecovered(files: Sequence[UndeliveredFile]) -> str:
    unsent = sum(file.unsent or 0 for file in files)
    where = f"{counted(len(files), 'spool file')} of this machine"
    return f"{counted(unsent, 'count')} in {where} not recovered (see ecl recover)"


def _overdue(status: Status) -> str:
    """How many intervals are, hidden ones without their names, and by how much."""
    hidden = sum(interval.hidden for interval in status.overdue)
    parts = [counted(hidden, "hidden interval")] if hidden else []
    if len(status.overdue) > hidden:
        parts.insert(0, f"{len(status.overdue) - hidden} of {counted(len(_shown(status)), 'interval')}")
    longest = max(interval.overdue_s or 0 for interval in status.overdue)
    return f"{' and '.join(parts)} by up to {duration(longest)}"


def as_json(
    status: Status | None, machine: MachineStatus | None, sentence: str, hidden: Collection[str] = ()
) -> str:
    """All of it as one object; what is not known is null. Times are Unix seconds."""
    document = {
        "state": sentence.partition(":")[0].lower(),
        "summary": sentence,
        "masters": status and [asdict(master) | {"alive": master.alive} for master in status.masters],
        "intervals": status and [_interval_object(interval) for interval in _shown(status)],
        "hidden_overdue": status and sum(interval.hidden for interval in status.overdue),
        "unrotated": status and [_unrotated_object(each) for each in status.unrotated if not each.hidden],
        "hidden_unrotated": status and sum(each.hidden for each in status.unrotated),
        "sources": status and _shown_sources(status),
        "machine": machine and [asdict(group) for group in machine.groups],
        "undelivered": machine and [_file_object(file) for file in _shown_files(machine, hidden)],
    }
    return json.dumps(document, indent=2) + "\n"


def _interval_object(interval: IntervalStatus) -> dict[str, Any]:
    return {
        "group": interval.group,
        "interval": interval.interval,
        "overdue_s": interval.overdue_s,
        "overdue": interval.overdue,
    }


def _unrotated_object(each: Unrotated) -> dict[str, Any]:
    return {
        "group": each.group,
        "part": each.part,
        "interval": each.interval,
        "counted_s": each.counted_s,
        "reason": each.reason,
    }


def _file_object(file: UndeliveredFile) -> dict[str, Any]:
    return {
        "file": str(file.path),
        "group": file.group or None,
        "redis": file.redis or None,
        "ours": file.is_ours,
        "since": file.since,
        "size": file.size,
        "unsent": file.unsent,
        "fault": file.fault or None,
    }


def _shown_files(machine: MachineStatus, hidden: Collection[str]) -> list[UndeliveredFile]:
    return [file for file in machine.undelivered if file.group not in hidden]


def _shown(status: Status) -> list[IntervalStatus]:
    return [interval for interval in status.intervals if not interval.hidden]


def _shown_sources(status: Status) -> dict[str, int]:
    return {interval.group: status.sources[interval.group] for interval in _shown(status)}


def _masters(status: Status) -> str:
    if not status.masters:
        return "masters: no sign of one\n"
    rows = [
        (
            master.host,
            master.pid,
            master.version,
            utc(int(master.since)),
            f"{'alive' if master.alive else 'gone'}, seen {duration(master.seen_s)} ago",
        )
        for master in status.masters
    ]
    return "masters:\n" + table.render(("host", "pid", "version", "since", "state"), rows)


def _intervals(status: Status) -> str:
    rows = [(interval.group, interval.interval, _state(interval)) for interval in _shown(status)]
    return "rotation:\n" + table.render(("group", "interval", "state"), rows)


def _state(interval: IntervalStatus) -> str:
    if interval.overdue_s is None:
        return "not begun yet"
    return f"overdue by {duration(interval.overdue_s)}" if interval.overdue else "in time"


def _sources(status: Status) -> str:
    return "sources known to Redis:\n" + table.render(("group", "sources"), [*_shown_sources(status).items()])


def _groups(groups: Sequence[LocalStatus]) -> str:
    header = ("group", "processes", "unsent", "killed", "unrecovered")
    rows = [(each.group, each.alive, each.unsent, each.dead, each.unrecovered) for each in groups]
    return "this machine:\n" + table.render(header, rows)


def _undelivered(files: Sequence[UndeliveredFile], now: float) -> str:
    """The oldest, and how many more there are."""
    header = ("file", "age", "size", "counts for")
    rows = [
        (file.path, duration(max(now - file.since, 0)), size(file.size), _purpose(file))
        for file in files[:_MOST_FILES]
    ]
    more = files[_MOST_FILES:]
    total = size(sum(file.size for file in more))
    end = f"  ... and {len(more):,} more, {total}\n" if more else ""
    return f"undelivered spool files:\n{table.render(header, rows)}{end}"


def _purpose(file: UndeliveredFile) -> str:
    if file.fault:
        return f"unknown: {file.fault}"
    if not file.is_ours:
        return f"another Redis: {file.redis}"
    return f"this Redis: {counted(file.unsent or 0, 'count')}"
