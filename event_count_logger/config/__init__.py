"""From a YAML file, or the dictionaries that it would give, to checked, immutable values.

All problems are found at once, and each names its place.
"""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from event_count_logger import keys
from event_count_logger.config import yaml_file
from event_count_logger.config.checks import check, show, slip_of
from event_count_logger.config.environment import Expansion
from event_count_logger.config.model import (
    Address,
    Config,
    GrafanaConfig,
    GroupConfig,
    RedisConfig,
    SentinelConfig,
    ServeConfig,
    SessionsConfig,
    TailConfig,
)
from event_count_logger.config.redaction import concealed
from event_count_logger.config.redis import check_redis
from event_count_logger.config.report import Place, Report, written
from event_count_logger.config.rules import GRAFANA, GROUP, KEEPING, SERVE, SESSIONS, group_name_fault
from event_count_logger.config.tail import check_tail
from event_count_logger.config.templates import Template
from event_count_logger.config.yaml_file import LineOf
from event_count_logger.errors import ConfigError, Problem

#: Finished intervals: a shard that is rotated before others is looked up there.
_SHORTEST_HISTORY_OF_SHARDS = 2

#: Sections, and settings beside them.
_OURS = ("groups", "redis", "serve", "grafana", "tail", *map(str, KEEPING.schema))

__all__ = [
    "Address",
    "Config",
    "GrafanaConfig",
    "GroupConfig",
    "RedisConfig",
    "SentinelConfig",
    "ServeConfig",
    "SessionsConfig",
    "TailConfig",
    "from_dicts",
    "from_file",
]


def from_file(path: str | os.PathLike[str]) -> Config:
    """Read the sections of a YAML file that are ours; all others are left alone.

    Raises:
        ConfigError: With every problem of the file.
    """
    file = os.fspath(path)
    content, line_of = yaml_file.read(file, _OURS)
    return _build(content, line_of, file=file, base=Path(file).resolve().parent)


def from_dicts(
    groups: Mapping[str, Any] | None, redis: Mapping[str, Any] | None = None, **keeping: Any
) -> Config:
    """Check the dictionaries that the sections of a file would give, and the settings beside them.

    Raises:
        ConfigError: With every problem of all.
    """
    return _build(
        {"groups": groups, "redis": redis, **keeping}, lambda place: None, file=None, base=Path.cwd()
    )


def _build(content: Mapping[Any, Any], line_of: LineOf, *, file: str | None, base: Path) -> Config:
    problems: list[Problem] = []

    def note(place: Place, message: str, *, fatal: bool = True) -> None:
        problems.append(Problem(written(place), message, file, line_of(place), fatal))

    expansion = Expansion(note)
    content = {
        key: expansion.expand(value, (key,)) if key in _OURS else value for key, value in content.items()
    }

    def report(place: Place, message: str, *, fatal: bool = True) -> None:
        if not expansion.has_failed(place):
            note(place, concealed(message, place, content, expansion.values), fatal=fatal)

    for key in content:
        section = slip_of(key, _OURS)
        if section and section not in content:
            # Files in use may have sections of their own that are called like what is newer.
            is_section = isinstance(content[key], Mapping | list)
            fatal = not is_section if section in KEEPING.schema else section in ("groups", "redis")
            report((key,), f"is not known (did you mean '{section}'?)", fatal=fatal)
    keeping = check(
        KEEPING, {key: content[key] for key in KEEPING.schema if key in content}, (), report, strict=True
    )
    groups = _check_groups(content.get("groups"), keeping or {}, base, report)
    redis = check_redis(_section(content, "redis"), report, base)
    if redis.cluster:
        groups = {
            name: replace(group, key_prefix=keys.prefix(name, in_cluster=True))
            for name, group in groups.items()
        }
    else:
        _check_unsplit(groups, report)
    serve = check(SERVE, _section(content, "serve"), ("serve",), report, strict=True) or {}
    grafana = check(GRAFANA, _section(content, "grafana"), ("grafana",), report, strict=True) or {}
    given = content.get("groups")
    named = given if isinstance(given, Mapping) else {}
    tail = check_tail(content.get("tail"), groups, named, base, report)
    _check_grafana(grafana.get("group"), groups, named, report)
    problems.sort(key=lambda problem: problem.line or 0)
    if any(problem.fatal for problem in problems):
        raise ConfigError(problems)
    return Config(groups, redis, file, tuple(problems), ServeConfig(**serve), GrafanaConfig(**grafana), tail)


def _section(content: Mapping[Any, Any], name: str) -> object:
    section = content.get(name)
    return {} if section is None else section


def _check_grafana(
    group: Template | None, groups: Mapping[str, GroupConfig], named: Container[object], report: Report
) -> None:
    """A group that is named there, and not made from what comes, must be able to count sessions."""
    if group is None or group.names:
        return
    name = str(group)
    if name not in named:
        report(("grafana", "group"), f"there is no group '{name}'")
    elif name in groups and groups[name].sessions is None:
        report(("grafana", "group"), f"group '{name}' has no setting 'sessions'")


def _check_groups(
    section: object, keeping: Mapping[str, Any], base: Path, report: Report
) -> dict[str, GroupConfig]:
    if section is None or section == {}:
        report(("groups",), "is empty: there is nothing to count", fatal=False)
        return {}
    if not isinstance(section, Mapping):
        report(("groups",), f"{show(section)} is not a mapping of group names to groups")
        return {}
    groups = {}
    for name, spec in section.items():
        place = ("groups", name)
        fault = group_name_fault(name)
        if fault:
            report(place, fault)
        values = check(GROUP, spec, place, report, strict=False)
        if values is None or fault:
            continue
        values = {**keeping, **values}
        if "spool_dir" in values:
            values["spool_dir"] = base / os.path.expanduser(values["spool_dir"])
        if "shards" in values:
            values["n_shards"] = values.pop("shards")
        if "sessions" in values:
            values |= _check_sessions(values, (*place, "sessions"), report)
        groups[name] = group = GroupConfig(name=name, **values)
        if group.max_events < len(group.events):
            report(
                (*place, "max_events"),
                f"{group.max_events} is too few for {len(group.events)} declared events",
            )
        _check_sync_limit(group, place, report)
        _check_shards(group, place, report)
        _check_labels(group, place, report)
    return groups


def _check_sync_limit(group: GroupConfig, place: Place, report: Report) -> None:
    """A limit has no effect in a group whose counts are sent at once."""
    if group.at_once and group.sync_limit is not None:
        report(
            (*place, "sync_limit"),
            "is given beside 'sync_interval: 0', with which every count is sent at once; remove one of them",
        )


def _check_shards(group: GroupConfig, place: Place, report: Report) -> None:
    """A group that is split must have what its shards are added up from, and nothing that is in one place."""
    if group.n_shards == 1:
        return
    if group.sessions:
        report((*place, "shards"), "is given beside 'sessions', of which all must be known in one place")
    if group.history < _SHORTEST_HISTORY_OF_SHARDS:
        report(
            (*place, "history"),
            f"{group.history} is too few: with 'shards', {_SHORTEST_HISTORY_OF_SHARDS} finished intervals or "
            "more must be kept, since it is out of the history that shards are added up",
        )


def _check_sessions(values: Mapping[str, Any], place: Place, report: Report) -> dict[str, Any]:
    """The settings of a group that sessions have a part in."""
    sessions = SessionsConfig(**check(SESSIONS, values["sessions"], place, report, strict=True) or {})
    if sessions.expire_after < sessions.timeout:
        report(
            (*place, "expire_after"),
            f"{sessions.expire_after:g} s is less than the timeout of {sessions.timeout:g} s: a session is "
            "forgotten before a gap can count as long as that",
            fatal=False,
        )
    events = values.get("events", ())
    counted = [event_id for event_id in events if not keys.is_session_time(event_id)]
    for event_id in counted:
        fault = keys.session_event_fault(event_id)
        if fault:
            report((*place[:-1], "events"), f"{show(event_id)} is not an event of sessions: it {fault}")
    times = map(keys.session_time, counted)
    return {"sessions": sessions, "events": tuple(dict.fromkeys((*events, *times)))}


def _check_unsplit(groups: Mapping[str, GroupConfig], report: Report) -> None:
    for group in groups.values():
        if group.n_shards > 1:
            report(
                ("groups", group.name, "shards"),
                f"{group.n_shards} are of no use without a cluster, over whose nodes they are spread",
                fatal=False,
            )


def _check_labels(group: GroupConfig, place: Place, report: Report) -> None:
    if group.auto_declare_events:
        return
    for event_id in group.labels:
        if event_id not in group.events:
            meant = slip_of(event_id, group.events)
            hint = f" (did you mean '{meant}'?)" if meant else ""
            report((*place, "labels", event_id), f"is not a declared event{hint}", fatal=False)
