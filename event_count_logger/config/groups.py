"""Checks of the section `groups`: names of groups, and settings of one group against each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from event_count_logger import keys
from event_count_logger.config.checks import quoting_hint, show
from event_count_logger.config.choices import choices
from event_count_logger.config.group_settings import GROUP, SESSIONS, GroupConfig, SessionsConfig
from event_count_logger.config.history_setting import MOST_HISTORY
from event_count_logger.config.report import Place, Report
from event_count_logger.config.settings import check_section, similar
from event_count_logger.intervals import Interval

#: Fewest finished intervals: a shard that is rotated before the others is read from its history.
_SHORTEST_HISTORY_OF_SHARDS = 2


def check_groups(
    given: object, for_all: Mapping[str, Any], base: Path, report: Report
) -> dict[str, GroupConfig]:
    """Returns the usable groups by name; `for_all` has the settings that each group may override."""
    if given is None or given == {}:
        report(("groups",), "is empty: there is nothing to count", fatal=False)
        return {}
    if not isinstance(given, Mapping):
        report(("groups",), f"{show(given)} is not a mapping of group names to groups")
        return {}
    groups = {}
    for name, spec in given.items():
        place = ("groups", name)
        fault = _name_fault(name)
        if fault:
            report(place, fault)
        if isinstance(spec, Mapping) and spec.get("sessions", {}) is None:
            spec = {**spec, "sessions": {}}
        values = check_section(GROUP, spec, place, report, strict=False)
        if values is None or fault:
            continue
        groups[name] = group = _group(name, {**for_all, **values}, place, base, report)
        _check_events(group, place, report)
        _check_sync_limit(group, place, report)
        _check_history(group, place, report)
        _check_shards(group, place, report)
        _check_labels(group, place, report)
    return groups


def check_shards_have_cluster(groups: Mapping[str, GroupConfig], report: Report) -> None:
    """Warn of shards without a cluster."""
    for group in groups.values():
        if group.n_shards > 1:
            report(
                ("groups", group.name, "shards"),
                f"{group.n_shards} shards have no effect without a cluster, whose nodes they are spread over",
                fatal=False,
            )


def _name_fault(name: object) -> str | None:
    """Returns the reason why a key is no name of a group, or None."""
    if not isinstance(name, str):
        return f"{show(name)} is not a string{quoting_hint(name)}"
    if not keys.GROUP_NAME.fullmatch(name):
        return f"'{name}' is not a group name (use letters, digits, '_', '-' and '.')"
    return None


def _group(name: str, values: dict[str, Any], place: Place, base: Path, report: Report) -> GroupConfig:
    if "spool_dir" in values:
        values["spool_dir"] = base / values["spool_dir"]
    if "sessions" in values:
        values["sessions"] = _sessions(values["sessions"], (*place, "sessions"), report)
        values["events"] = _with_times(values.get("events", ()), (*place, "events"), report)
    return GroupConfig(name, **values)


def _sessions(given: object, place: Place, report: Report) -> SessionsConfig:
    sessions = SessionsConfig(**check_section(SESSIONS, given, place, report, strict=True) or {})
    if sessions.expire_after < sessions.timeout_s:
        report(
            (*place, "expire_after"),
            f"{sessions.expire_after:g} s is less than the timeout of {sessions.timeout_s:g} s: a new "
            "session begins before a gap can count in full",
            fatal=False,
        )
    return sessions


def _with_times(events: tuple[str, ...], place: Place, report: Report) -> tuple[str, ...]:
    """Returns declared events of sessions with the events that count their time."""
    counted = [event_id for event_id in events if not keys.is_session_time(event_id)]
    for event_id in counted:
        fault = keys.session_event_fault(event_id)
        if fault:
            report(place, f"{report.shown(place, event_id)} is not an event of sessions: it {fault}")
    return tuple(dict.fromkeys((*events, *map(keys.session_time, counted))))


def _check_events(group: GroupConfig, place: Place, report: Report) -> None:
    if group.max_events < len(group.events):
        shown = report.shown((*place, "max_events"), group.max_events)
        report((*place, "max_events"), f"{shown} is too few for {len(group.events)} declared events")


def _check_sync_limit(group: GroupConfig, place: Place, report: Report) -> None:
    if group.at_once and group.sync_limit is not None:
        report(
            (*place, "sync_limit"),
            "is given beside 'sync_interval: 0', with which every count is sent at once; remove one of them",
        )


def _check_shards(group: GroupConfig, place: Place, report: Report) -> None:
    if group.n_shards == 1:
        return
    if group.sessions:
        report((*place, "shards"), "is given beside 'sessions', which need all counts in one place")
    for interval in group.intervals:
        if group.n_history(interval) < _SHORTEST_HISTORY_OF_SHARDS:
            length = group.history.length_of(interval)
            report(
                _place_of_history(group, interval, place),
                f"{length} is too few for interval '{interval.name}': with 'shards', counts are added up "
                f"from the history, which must have {_SHORTEST_HISTORY_OF_SHARDS} finished intervals or more",
            )


def _check_history(group: GroupConfig, place: Place, report: Report) -> None:
    names = [interval.name for interval in group.intervals]
    for name, _ in group.history.own:
        if name not in names:
            report((*place, "history", name), f"is not an interval of the group{choices(name, names)}")
    for interval in group.intervals:
        n = group.n_history(interval)
        if n > MOST_HISTORY:
            length = group.history.length_of(interval)
            report(
                _place_of_history(group, interval, place),
                f"{length} has {n:,} intervals of '{interval.name}', more than {MOST_HISTORY:,}",
            )


def _place_of_history(group: GroupConfig, interval: Interval, place: Place) -> Place:
    is_own = any(name == interval.name for name, _ in group.history.own)
    return (*place, "history", interval.name) if is_own else (*place, "history")


def _check_labels(group: GroupConfig, place: Place, report: Report) -> None:
    if group.auto_declare_events:
        return
    for event_id in group.labels:
        if event_id not in group.events:
            meant = similar(event_id, group.events)
            hint = f" (did you mean '{meant}'?)" if meant else ""
            report((*place, "labels", event_id), f"is not a declared event{hint}", fatal=False)
