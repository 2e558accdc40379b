"""Configurations: a YAML file or dictionaries become checked, immutable values.

All problems are reported at once, each with its place in the configuration.
"""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from event_count_logger import keys
from event_count_logger.config import yaml_file
from event_count_logger.config.alert_settings import AlertRule, NotifyConfig, Threshold
from event_count_logger.config.alerts import check_alerts, check_notify
from event_count_logger.config.choices import choices
from event_count_logger.config.environment import Expansion
from event_count_logger.config.export import check_export
from event_count_logger.config.export_settings import ExportConfig
from event_count_logger.config.group_settings import (
    FOR_ALL_GROUPS,
    Durability,
    GroupConfig,
    Layout,
    SessionsConfig,
)
from event_count_logger.config.groups import check_groups, check_shards_have_cluster
from event_count_logger.config.history_setting import MOST_HISTORY, History
from event_count_logger.config.model import GRAFANA, SERVE, Config, GrafanaConfig, ServeConfig
from event_count_logger.config.redis import check_redis
from event_count_logger.config.redis_settings import Address, RedisConfig, SentinelConfig
from event_count_logger.config.report import LineOf, Report
from event_count_logger.config.rule_settings import (
    EPOCH,
    EPOCH_MS,
    ISO,
    TailBuckets,
    TailNumber,
    TailRule,
    TailSession,
    TailTime,
)
from event_count_logger.config.settings import check_section, similar
from event_count_logger.config.tail import check_tail, with_bucket_events
from event_count_logger.config.tail_settings import TailConfig
from event_count_logger.config.templates import Template
from event_count_logger.errors import ConfigError, Problem

#: Known keys of the top level: the sections of this package, and the settings for all groups.
_KEYS = ("groups", "redis", "serve", "grafana", "tail", "export", "notify", "alerts", *FOR_ALL_GROUPS)

__all__ = [
    "EPOCH",
    "EPOCH_MS",
    "ISO",
    "MOST_HISTORY",
    "Address",
    "AlertRule",
    "Config",
    "Durability",
    "ExportConfig",
    "GrafanaConfig",
    "GroupConfig",
    "History",
    "Layout",
    "NotifyConfig",
    "RedisConfig",
    "SentinelConfig",
    "ServeConfig",
    "SessionsConfig",
    "TailBuckets",
    "TailConfig",
    "TailNumber",
    "TailRule",
    "TailSession",
    "TailTime",
    "Template",
    "Threshold",
    "from_dicts",
    "from_file",
]


def from_file(path: str | os.PathLike[str]) -> Config:
    """Read the sections of this package in a YAML file, and ignore all others.

    Args:
        path: Path of the file. Relative paths in it are relative to its directory.

    Raises:
        ConfigError: With every problem of the file.
    """
    file = os.fspath(path)
    content, line_of = yaml_file.read(file, _KEYS)
    try:
        return _build(content, line_of, file=file, base=Path(file).resolve().parent)
    except RecursionError as error:
        raise ConfigError([Problem("", "is nested too deeply", file)]) from error


def from_dicts(
    groups: Mapping[str, Any] | None, redis: Mapping[str, Any] | None = None, **others: Any
) -> Config:
    """Check sections given as dictionaries.

    Args:
        groups: The section `groups`: settings of each group, by its name.
        redis: The section `redis`; localhost:6379 if None.
        **others: Further sections, and settings for all groups.

    Raises:
        ConfigError: With every problem of the dictionaries.
    """
    return _build(
        {"groups": groups, "redis": redis, **others}, lambda place: None, file=None, base=Path.cwd()
    )


def _build(content: Mapping[Any, Any], line_of: LineOf, *, file: str | None, base: Path) -> Config:
    report = Report(file, line_of)
    expansion = Expansion(report.unusable)
    content = report.content = {
        key: expansion.expand(value, (key,)) if key in _KEYS else value for key, value in content.items()
    }
    _check_unknown_keys(content, report)
    sections = {key: {} if content.get(key) is None else content[key] for key in _KEYS}
    beside = {key: content[key] for key in FOR_ALL_GROUPS if key in content}
    for_all = check_section(FOR_ALL_GROUPS, beside, (), report, strict=True)
    groups = check_groups(content.get("groups"), for_all or {}, base, report)
    redis = check_redis(sections["redis"], report, base)
    if redis.cluster:
        groups = {
            name: replace(group, key_prefix=keys.prefix(name, in_cluster=True))
            for name, group in groups.items()
        }
    else:
        check_shards_have_cluster(groups, report)
    serve = check_section(SERVE, sections["serve"], ("serve",), report, strict=True) or {}
    grafana = check_section(GRAFANA, sections["grafana"], ("grafana",), report, strict=True) or {}
    named = sections["groups"] if isinstance(sections["groups"], Mapping) else {}
    tail = check_tail(content.get("tail"), groups, named, base, report)
    _check_grafana(grafana.get("group"), groups, named, report)
    export = check_export(content.get("export"), groups, named, base, report)
    notify = check_notify(content.get("notify"), base, report)
    alerts = check_alerts(content.get("alerts"), groups, named, notify, report)
    problems = sorted(report.problems, key=lambda problem: problem.line or 0)
    if any(problem.fatal for problem in problems):
        raise ConfigError(problems)
    groups = with_bucket_events(groups, tail)
    return Config(
        groups,
        redis,
        file,
        tuple(problems),
        ServeConfig(**serve),
        GrafanaConfig(**grafana),
        tail,
        export,
        notify,
        alerts,
    )


def _check_unknown_keys(content: Mapping[Any, Any], report: Report) -> None:
    """Report unknown keys of the top level that resemble known ones.

    A section that resembles one other than `groups` and `redis` may belong to another program: this is a
    warning.
    """
    for key, value in content.items():
        meant = None if key in _KEYS else similar(key, _KEYS)
        if meant and meant not in content:
            is_section = isinstance(value, Mapping | list)
            fatal = not is_section if meant in FOR_ALL_GROUPS else meant in ("groups", "redis")
            report((key,), f"is not known (did you mean '{meant}'?)", fatal=fatal)


def _check_grafana(
    group: Template | None, groups: Mapping[str, GroupConfig], named: Container[object], report: Report
) -> None:
    """Check that a group without placeholders exists and has sessions."""
    if group is None or group.names:
        return
    name, place = str(group), ("grafana", "group")
    shown = report.shown(place, name)
    if name not in named:
        report(place, f"there is no group {shown}{choices(name, groups)}")
    elif name in groups and groups[name].sessions is None:
        report(place, f"group {shown} has no setting 'sessions'")
