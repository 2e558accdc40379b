"""The state of everything as text, as JSON, and in one sentence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from event_count_logger.local_status import LocalStatus
from event_count_logger.render import table
from event_count_logger.render.words import counted, duration, utc
from event_count_logger.status import IntervalStatus, Status


def render(status: Status | None, machine: Sequence[LocalStatus] | None) -> str:
    """A table for each kind of thing; what is None is not known and left out."""
    tables = []
    if status:
        tables += [_masters(status), _intervals(status), _sources(status)]
    if machine is not None:
        tables.append(_machine(machine))
    return "\n".join(tables)


def summary(status: Status) -> str:
    """Whether all is well, in one sentence that begins with OK or OVERDUE."""
    alive = sum(master.alive for master in status.masters)
    masters = counted(alive, "master") if alive else "no sign of a master"
    if status.overdue:
        return f"OVERDUE: {_overdue(status)}; {masters}"
    shown = _shown(status)
    begun = [interval for interval in shown if interval.overdue_s is not None]
    parts = [masters, f"{counted(len(begun), 'interval')} in time"]
    if len(begun) < len(shown):
        parts.append(f"{len(shown) - len(begun)} not begun yet")
    return f"OK: {', '.join(parts)}"


def _overdue(status: Status) -> str:
    """How many intervals are, hidden ones without their names, and by how much."""
    hidden = sum(interval.hidden for interval in status.overdue)
    parts = [counted(hidden, "hidden interval")] if hidden else []
    if len(status.overdue) > hidden:
        parts.insert(0, f"{len(status.overdue) - hidden} of {counted(len(_shown(status)), 'interval')}")
    longest = max(interval.overdue_s or 0 for interval in status.overdue)
    return f"{' and '.join(parts)} by up to {duration(longest)}"


def as_json(status: Status | None, machine: Sequence[LocalStatus] | None, sentence: str) -> str:
    """All of it as one object; what is not known is null. Times are Unix seconds."""
    document = {
        "state": sentence.partition(":")[0].lower(),
        "summary": sentence,
        "masters": status and [asdict(master) | {"alive": master.alive} for master in status.masters],
        "intervals": status and [_interval_object(interval) for interval in _shown(status)],
        "hidden_overdue": status and sum(interval.hidden for interval in status.overdue),
        "sources": status and _shown_sources(status),
        "machine": None if machine is None else [asdict(group) for group in machine],
    }
    return json.dumps(document, indent=2) + "\n"


def _interval_object(interval: IntervalStatus) -> dict[str, Any]:
    return {
        "group": interval.group,
        "interval": interval.interval,
        "overdue_s": interval.overdue_s,
        "overdue": interval.overdue,
    }


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


def _machine(machine: Sequence[LocalStatus]) -> str:
    header = ("group", "processes", "unsent", "killed", "unrecovered")
    rows = [(each.group, each.alive, each.unsent, each.dead, each.unrecovered) for each in machine]
    return "this machine:\n" + table.render(header, rows)
