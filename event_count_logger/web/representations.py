"""JSON representations of the API: pure functions that convert read values to typed dictionaries.

Times are Unix seconds by the clock of Redis. The OpenAPI description is generated from the types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from typing_extensions import TypedDict  # pydantic does not take typing's own before Python 3.12

from event_count_logger.config import Config, GroupConfig
from event_count_logger.errors import NotServing, StoreError, Unconfirmed
from event_count_logger.intervals import Interval
from event_count_logger.logs import counted
from event_count_logger.reading.group_states import GroupStates
from event_count_logger.reading.reader import Snapshot
from event_count_logger.reading.status import IntervalStatus, Status
from event_count_logger.store import MasterInfo

#: Fields of `Groups` that change with each answer; see `documents.document`.
UNSTABLE = ("server_time", "masters.seen_s", "groups.intervals.overdue_s")


class Master(TypedDict):
    """A master with a heartbeat within the last hour."""

    host: str
    pid: int
    version: str
    since: float
    seen_s: float
    alive: bool


class IntervalState(TypedDict):
    """State of one interval of a group.

    `overdue_s` is null if the interval never started. `stale` tolerates two seconds. `started` is false until
    a master starts the interval, even if events were counted in it. `history` is the number of finished
    intervals that are kept.
    """

    name: str
    length_s: float
    history: int
    overdue_s: float | None
    stale: bool
    started: bool


class GroupState(TypedDict):
    """A group with its names for people; `master_alive` is about the masters that rotate this group.

    `unavailable` is true if Redis rejects the reads of the group; the state of its intervals is then unknown.
    """

    name: str
    title: str
    unit: str
    labels: Mapping[str, str]
    totals: bool
    unavailable: bool
    master_alive: bool
    intervals: list[IntervalState]


class Groups(TypedDict):
    """All groups that are not hidden, and the masters."""

    server_time: float
    version: str
    master_alive: bool
    masters: list[Master]
    groups: list[GroupState]


class FinishedInterval(TypedDict):
    """One event of the stream; `missed` is the number of intervals lost before it."""

    group: str
    interval: str
    start: float | None
    end: float | None
    position: str
    missed: int
    counts: Mapping[str, int]


class Readiness(TypedDict):
    """Readiness of Redis and the masters, with the problems found."""

    ready: bool
    problems: list[str]


def groups(config: Config, found: GroupStates, server_time: float, version: str) -> Groups:
    """Returns all groups that are not hidden, with the state of their intervals."""
    return {
        "server_time": server_time,
        "version": version,
        "master_alive": any(master.alive for master in found.masters),
        "masters": [_master(master) for master in found.masters],
        "groups": [_group(group, found) for group in config.shown_groups],
    }


def finished_interval(snapshot: Snapshot) -> FinishedInterval:
    """Returns a finished interval of the history."""
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
    """Returns the problems in a status, or the reason why there is no status.

    Readiness is public, so it names neither groups nor machines.
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
        yield f"{_so_many(not_taken, status)} not yet rotated by a master"
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


def _group(group: GroupConfig, found: GroupStates) -> GroupState:
    states = found.intervals.get(group.name)
    unknown = [IntervalStatus(group.name, each.name, None, started=False) for each in group.intervals]
    return {
        "name": group.name,
        "title": group.title or group.name,
        "unit": group.unit,
        "labels": group.labels,
        "totals": group.totals,
        "unavailable": states is None,
        "master_alive": group.name in found.rotated,
        "intervals": [
            _interval(group, interval, state)
            for interval, state in zip(group.intervals, states or unknown, strict=True)
        ],
    }


def _interval(group: GroupConfig, interval: Interval, state: IntervalStatus) -> IntervalState:
    return {
        "name": interval.name,
        "length_s": interval.length_s,
        "history": group.n_history(interval),
        "overdue_s": state.overdue_s,
        "stale": state.overdue_s is None or state.overdue,
        "started": state.started,
    }
