"""What the API answers: pure functions from what was read to values that JSON has.

Times are Unix seconds of Redis's clock. The types are also what the OpenAPI description is made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from typing_extensions import TypedDict  # pydantic does not take typing's own before Python 3.12

from event_count_logger.config import Config, GroupConfig
from event_count_logger.errors import NotServing, StoreError, Unconfirmed
from event_count_logger.intervals import Interval
from event_count_logger.logs import counted
from event_count_logger.reading.reader import Snapshot, Totals
from event_count_logger.reading.status import IntervalStatus, Status, by_group
from event_count_logger.store import MasterInfo


class Master(TypedDict):
    """A master that was there within the last hour."""

    host: str
    pid: int
    version: str
    since: float
    seen_s: float
    alive: bool


class IntervalState(TypedDict):
    """One interval of a group; `overdue_s` is null if it never began, and `stale` allows for two seconds.

    `started` is false as long as no master has taken it: counting alone begins an interval, too.
    """

    name: str
    length_s: float
    overdue_s: float | None
    stale: bool
    started: bool


class GroupState(TypedDict):
    """A group and how it is called for people; `master_alive` is about the masters that rotate it."""

    name: str
    title: str
    unit: str
    labels: Mapping[str, str]
    history: int
    totals: bool
    master_alive: bool
    intervals: list[IntervalState]


class Groups(TypedDict):
    """All groups that are shown, and the masters."""

    server_time: float
    version: str
    master_alive: bool
    masters: list[Master]
    groups: list[GroupState]


class Finished(TypedDict):
    """The counts of the last finished interval."""

    start: float | None
    end: float | None
    counts: Mapping[str, int]


class Running(TypedDict):
    """The counts of the running interval."""

    start: float | None
    counts: Mapping[str, int]


class Span(TypedDict):
    """One finished interval in the history."""

    start: float | None
    end: float | None
    position: str


class History(TypedDict):
    """Finished intervals, oldest first; each event has a count, or null for none, per span."""

    spans: list[Span]
    counts: dict[str, list[int | None]]


class Counts(TypedDict):
    """One interval of a group: `last` is null if none has finished yet, `totals` if none are kept."""

    group: str
    interval: str
    length_s: float
    title: str
    unit: str
    labels: Mapping[str, str]
    server_time: float
    overdue_s: float | None
    stale: bool
    last: Finished | None
    current: Running | None
    totals: Mapping[str, int] | None
    history: History


class FinishedInterval(TypedDict):
    """One event of the stream; `missed` intervals before it are gone."""

    group: str
    interval: str
    start: float | None
    end: float | None
    position: str
    missed: int
    counts: Mapping[str, int]


class Readiness(TypedDict):
    """Whether everything that keeps counts up to date is at work."""

    ready: bool
    problems: list[str]


def groups(config: Config, status: Status, server_time: float, version: str) -> Groups:
    """All groups that are not hidden, with the state of their intervals."""
    states = {(state.group, state.interval): state for state in status.intervals}
    of_groups = by_group(status)
    return {
        "server_time": server_time,
        "version": version,
        "master_alive": any(master.alive for master in status.masters),
        "masters": [_master(master) for master in status.masters],
        "groups": [_group(group, of_groups[group.name].has_master, states) for group in config.shown_groups],
    }


def counts(
    group: GroupConfig,
    interval: Interval,
    last: Snapshot,
    current: Snapshot,
    totals: Totals | None,
    history: Sequence[Snapshot],
) -> Counts:
    """One interval of a group; `last` and `current` are as of one moment."""
    return {
        "group": group.name,
        "interval": interval.name,
        "length_s": interval.length_s,
        "title": group.title or group.name,
        "unit": group.unit,
        "labels": group.labels,
        "server_time": last.now,
        "overdue_s": last.overdue_s,
        "stale": last.stale,
        "last": None if last.empty else {"start": last.start, "end": last.end, "counts": last.counts},
        "current": None if current.empty else {"start": current.start, "counts": current.counts},
        "totals": totals.counts if totals else None,
        "history": _history(history),
    }


def finished_interval(snapshot: Snapshot) -> FinishedInterval:
    """A finished interval out of the history."""
    return {
        "group": snapshot.group,
        "interval": snapshot.interval,
        "start": snapshot.start,
        "end": snapshot.end,
        "position": snapshot.position or "",
        "missed": snapshot.missed,
        "counts": snapshot.counts,
    }


def readiness(found: Status | StoreError) -> Readiness:
    """What is in the way: with the status, or why Redis did not tell it.

    Anybody may ask, so it names neither groups nor machines.
    """
    problems = list(_problems(found)) if isinstance(found, Status) else [public_reason(found)]
    return {"ready": not problems, "problems": problems}


def public_reason(failure: StoreError) -> str:
    """Returns the reason of a failed request without addresses and names of keys, which are not public."""
    if isinstance(failure, Unconfirmed):
        return "Redis did not confirm the request as the setting 'durability' demands"
    if failure.retry != "now":
        return "Redis rejected the request"
    return "Redis is unavailable" if isinstance(failure, NotServing) else "Redis does not answer"


def _problems(status: Status) -> Iterable[str]:
    without_master = {group.group for group in status.without_master}
    if not any(master.alive for master in status.masters):
        yield "no master is alive"
    elif without_master:
        yield f"no master of {len(without_master)} of {counted(len(status.groups), 'group')} is alive"
    not_taken = [state for state in status.not_started if state.group not in without_master]
    if not_taken:
        yield f"{_so_many(not_taken, status)} not taken by a master yet"
    overdue = [state for state in status.intervals if state.overdue]
    if overdue:
        longest_s = max(state.overdue_s or 0 for state in overdue)
        yield f"{_so_many(overdue, status)} overdue, by up to {longest_s:.0f} s"


def _so_many(some: Sequence[IntervalStatus], status: Status) -> str:
    return f"{len(some)} of {counted(len(status.intervals), 'interval')} {'is' if len(some) == 1 else 'are'}"


def _master(master: MasterInfo) -> Master:
    return {
        "host": master.host,
        "pid": master.pid,
        "version": master.version,
        "since": master.since,
        "seen_s": master.seen_s,
        "alive": master.alive,
    }


def _group(
    group: GroupConfig, has_master: bool, states: Mapping[tuple[str, str], IntervalStatus]
) -> GroupState:
    return {
        "name": group.name,
        "title": group.title or group.name,
        "unit": group.unit,
        "labels": group.labels,
        "history": group.history,
        "totals": group.totals,
        "master_alive": has_master,
        "intervals": [_interval(interval, states[group.name, interval.name]) for interval in group.intervals],
    }


def _interval(interval: Interval, state: IntervalStatus) -> IntervalState:
    return {
        "name": interval.name,
        "length_s": interval.length_s,
        "overdue_s": state.overdue_s,
        "stale": state.overdue_s is None or state.overdue,
        "started": state.started,
    }


def _history(snapshots: Sequence[Snapshot]) -> History:
    events = dict.fromkeys(event_id for snapshot in snapshots for event_id in snapshot.counts)
    return {
        "spans": [
            {"start": snapshot.start, "end": snapshot.end, "position": snapshot.position or ""}
            for snapshot in snapshots
        ],
        "counts": {
            event_id: [snapshot.counts.get(event_id) for snapshot in snapshots] for event_id in events
        },
    }
