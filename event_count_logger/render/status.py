"""The status of masters, rotation and this machine as text and as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from event_count_logger.logs import counted
from event_count_logger.reading.exports import ExportStatus
from event_count_logger.reading.local_reader import UndeliveredFile
from event_count_logger.reading.local_status import MachineStatus, StuckProcess
from event_count_logger.reading.status import GroupStatus, IntervalStatus, Status, by_group
from event_count_logger.reading.unrotated import Unrotated
from event_count_logger.render import table
from event_count_logger.render.phrases import duration, size, utc
from event_count_logger.store import MasterInfo, ServiceInfo

#: Rows of the table of undelivered files, at most; JSON has all files.
_MOST_FILES = 20


def render(
    status: Status | None,
    machine: MachineStatus | None,
    hidden: Collection[str] = (),
    now: float | None = None,
) -> str:
    """Returns the tables of all parts that are known.

    Args:
        status: Status of the masters and of the rotation; None if unknown.
        machine: Status of this machine; None if unknown.
        hidden: Names of groups that are not shown.
        now: Unix seconds; this machine's clock if None.
    """
    tables = []
    if status:
        tables += [_masters(status), _intervals(status)]
        tables += [_services(status)] if status.services else []
        tables += [_exports(status)] if _shown_exports(status) else []
        tables.append(_sources(status))
    if machine is not None:
        tables.append(_groups(machine))
        stuck = [process for process in machine.stuck if process.group not in hidden]
        tables += [_stuck(stuck)] if stuck else []
        shown = _shown_files(machine, hidden)
        if shown:
            tables.append(_undelivered(shown, time.time() if now is None else now))
    return "\n".join(tables)


def as_json(
    status: Status | None, machine: MachineStatus | None, sentence: str, hidden: Collection[str] = ()
) -> str:
    """Returns one object; unknown parts are null, and times are Unix seconds."""
    document = {
        "state": sentence.partition(":")[0].lower().replace(" ", "_"),
        "summary": sentence,
        "masters": status and [_master_object(master) for master in status.masters],
        "intervals": status and [_interval_object(interval) for interval in _shown(status)],
        "hidden_overdue": status and sum(interval.hidden for interval in status.overdue),
        "unrotated": status and [_unrotated_object(each) for each in status.unrotated if not each.hidden],
        "hidden_unrotated": status and sum(each.hidden for each in status.unrotated),
        "services": status and [_service_object(service) for service in status.services],
        "alerters": status and [asdict(each) for each in status.alerters if not each.hidden],
        "exports": status and [_export_object(export) for export in _shown_exports(status)],
        "groups": status and [_group_object(group) for group in status.groups if not group.hidden],
        "machine": machine and [asdict(group) for group in machine.groups],
        "stuck": machine and [asdict(process) for process in machine.stuck if process.group not in hidden],
        "unreadable": machine and list(machine.faults),
        "undelivered": machine and [_file_object(file) for file in _shown_files(machine, hidden)],
    }
    return json.dumps(document, indent=2) + "\n"


def _master_object(master: MasterInfo) -> dict[str, Any]:
    # A master may have different intervals and shards in each group.
    left_out = ("intervals", "shards")
    fields = {name: value for name, value in asdict(master).items() if name not in left_out}
    return fields | {"alive": master.alive}


def _service_object(service: ServiceInfo) -> dict[str, Any]:
    # A service may have different positions in each group.
    fields = {name: value for name, value in asdict(service).items() if name != "positions"}
    return fields | {"alive": service.alive}


def _export_object(export: ExportStatus) -> dict[str, Any]:
    return {
        "group": export.group,
        "interval": export.interval,
        "exporters": export.n_exporters,
        "exported_until": export.exported_until,
        "behind": export.behind,
        "waiting_s": export.waiting_s,
        "late": export.is_late,
    }


def _interval_object(interval: IntervalStatus) -> dict[str, Any]:
    return {
        "group": interval.group,
        "interval": interval.interval,
        "overdue_s": interval.overdue_s,
        "overdue": interval.overdue,
        "started": interval.started,
    }


def _group_object(group: GroupStatus) -> dict[str, Any]:
    return {
        "group": group.group,
        "sources": group.sources,
        "has_master": group.has_master,
        "abandoned_s": group.abandoned_s,
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


def _masters(status: Status) -> str:
    if not status.masters:
        return "masters: none with a heartbeat\n"
    rows = [
        (
            master.host,
            master.pid,
            master.version,
            utc(int(master.since)),
            f"{_life(master)}, seen {duration(master.seen_s)} ago",
        )
        for master in status.masters
    ]
    return "masters:\n" + table.render(("host", "pid", "version", "since", "state"), rows)


def _life(process: MasterInfo | ServiceInfo) -> str:
    return "alive" if process.alive else "stopped" if process.stopped else "gone"


def _services(status: Status) -> str:
    rows = [
        (
            service.kind,
            service.host,
            service.pid,
            service.version,
            utc(int(service.since)),
            ": ".join(
                [f"{_life(service)}, seen {duration(service.seen_s)} ago", *filter(None, [service.fault])]
            ),
        )
        for service in status.services
    ]
    return "services:\n" + table.render(("kind", "host", "pid", "version", "since", "state"), rows)


def _shown_exports(status: Status) -> list[ExportStatus]:
    return [export for export in status.exports if not export.hidden]


def _exports(status: Status) -> str:
    rows = [(each.group, each.interval, _export_state(each)) for each in _shown_exports(status)]
    return "export:\n" + table.render(("group", "interval", "state"), rows)


def _export_state(export: ExportStatus) -> str:
    until = f"up to {utc(export.exported_until)}" if export.exported_until else "nothing yet"
    behind = "unknown" if export.behind is None else f"{export.behind:,}"
    late = f", {behind} behind, waiting for {duration(export.waiting_s)}" if export.waiting_s else ""
    return f"{until}{late}"


def _intervals(status: Status) -> str:
    groups = by_group(status)
    rows = [(each.group, each.interval, _state(each, groups[each.group])) for each in _shown(status)]
    return "rotation:\n" + table.render(("group", "interval", "state"), rows)


def _state(interval: IntervalStatus, group: GroupStatus) -> str:
    if not interval.started:
        return "not started by any master"
    if interval.overdue_s and interval.overdue:
        return f"overdue by {duration(interval.overdue_s)}"
    if group.abandoned_s is not None:
        return f"in time, but no master for {duration(group.abandoned_s)}"
    return "in time"


def _sources(status: Status) -> str:
    rows = [(group.group, group.sources) for group in status.groups if not group.hidden]
    return "sources known to Redis:\n" + table.render(("group", "sources"), rows)


def _groups(machine: MachineStatus) -> str:
    header = ("group", "processes", "unsent", "killed", "unrecovered")
    rows = [(each.group, each.alive, each.unsent, each.dead, each.unrecovered) for each in machine.groups]
    without_spool = ", ".join(machine.without_spool)
    end = (
        f"  unknown for groups without spool files (spool: false): {without_spool}\n" if without_spool else ""
    )
    return f"this machine, processes of this user:\n{table.render(header, rows)}{end}"


def _stuck(processes: Sequence[StuckProcess]) -> str:
    header = ("group", "pid", "unsent", "for up to")
    rows = [(each.group, each.pid, each.unsent, duration(each.sent_s)) for each in processes]
    return "processes that have not sent their counts in time:\n" + table.render(header, rows)


def _undelivered(files: Sequence[UndeliveredFile], now: float) -> str:
    """Returns the table of the oldest files, and the number of all others."""
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
