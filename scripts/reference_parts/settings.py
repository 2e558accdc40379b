"""The sections of a configuration with their tables of settings."""

from __future__ import annotations

from typing import NamedTuple

from event_count_logger.config.alert_settings import ALERT, NOTIFY
from event_count_logger.config.checks import duration
from event_count_logger.config.export_settings import EXPORT
from event_count_logger.config.format_settings import CSV, MULTILINE
from event_count_logger.config.group_settings import FOR_ALL_GROUPS, GROUP, SESSIONS
from event_count_logger.config.model import GRAFANA, SERVE
from event_count_logger.config.redis_settings import NO_EFFECT, REDIS, SENTINEL
from event_count_logger.config.rule_settings import (
    TAIL_BUCKETS,
    TAIL_NUMBER,
    TAIL_RULE,
    TAIL_SESSION,
    TAIL_TIME,
)
from event_count_logger.config.settings import Setting, Table
from event_count_logger.config.tail_settings import TAIL


class Section(NamedTuple):
    """A part of a configuration, with the text before its settings in the reference."""

    path: str
    table: Table
    intro: str


SECTIONS = (
    Section(
        "redis",
        {name: entry for name, entry in REDIS.items() if name not in NO_EFFECT},
        "The Redis or Valkey server with the counts. Its address is one of `host` (with `port` and `db`), `url`, `embedded`, `sentinel`,\nand `cluster` with `nodes`: see [deployment](deployment.md).",
    ),
    Section(
        "redis.sentinel",
        SENTINEL,
        "The connections to the sentinels. Settings of the connections to Redis itself stand in `redis`.",
    ),
    Section(
        "groups.NAME",
        GROUP,
        "The section `groups` maps names to groups. An unknown key is a warning here, and an error in the other sections.",
    ),
    Section(
        "groups.NAME.sessions",
        SESSIONS,
        "The time of [sessions](sources.md#sessions), and how long they are remembered.",
    ),
    Section(
        "tail[]",
        TAIL,
        "The section `tail` is a list of [log files](sources.md#log-files) that `ecl tail` follows.",
    ),
    Section("tail[].csv", CSV, "The columns of the format `csv`."),
    Section("tail[].multiline", MULTILINE, "Records of several [lines](sources.md#formats)."),
    Section("tail[].rules[]", TAIL_RULE, "An entry of `rules`."),
    Section("tail[].rules[].counts.EVENT", TAIL_NUMBER, "A number in another form than `'{name}'`."),
    Section(
        "tail[].rules[].buckets.EVENT",
        TAIL_BUCKETS,
        "A [histogram](sources.md#histograms). `EVENT` counts all numbers.",
    ),
    Section("tail[].rules[].session", TAIL_SESSION, "The action of a session that a line reports."),
    Section("tail[].rules[].time", TAIL_TIME, "The time in a line."),
    Section(
        "alerts[]",
        ALERT,
        "The section `alerts` is a list of rules that [`ecl alert`](how-to/alerts.md) watches. A rule has exactly one of `above`, `below` and `stale: true`.",
    ),
    Section(
        "notify.NAME",
        NOTIFY,
        "The section `notify` maps names to targets of [notifications](how-to/alerts.md). A target is a URL of apprise, a list of URLs, or a mapping with either `urls` or `command`.",
    ),
    Section(
        "export",
        EXPORT,
        "The database that [`ecl export`](how-to/database.md) writes finished intervals to. Its URL has the form of SQLAlchemy,\n`dialect+driver://user@host/database`.",
    ),
    Section("serve", SERVE, "Access to [`ecl serve`](server.md)."),
    Section(
        "grafana",
        GRAFANA,
        "The event that counts the sessions of [Grafana's dashboards](sources.md#grafana-dashboards).",
    ),
    Section(
        "beside the sections",
        FOR_ALL_GROUPS,
        "These settings stand at the same level as the sections. They hold for all groups without settings of their own.",
    ),
)


def default(entry: Setting) -> str:
    """Returns the default of a setting, as in a configuration, with its unit."""
    if entry.example:
        return "required"
    if entry.default_text:
        return entry.default_text
    if entry.default is None or entry.default == ():
        return "none"
    return f"`{plain_default(entry)}` {entry.unit}".rstrip()


def plain_default(entry: Setting) -> str:
    """Returns the default of a setting, as in a configuration."""
    value = entry.default
    if entry.check.expected == duration.expected and isinstance(value, float):
        length, unit = (value / 3600, "h") if value % 3600 == 0 else (value / 60, "m")
        length, unit = (value, "s") if value < 60 else (length, unit)
        return f"{length:g}{unit}"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
