"""A checked configuration, and its small sections `serve` and `grafana`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from event_count_logger.config.alert_settings import AlertRule, NotifyConfig
from event_count_logger.config.checks import (
    Invalid,
    Mismatch,
    check,
    check_each,
    items,
    template,
    text,
    whole_number,
)
from event_count_logger.config.choices import choices
from event_count_logger.config.export import exported_intervals
from event_count_logger.config.export_settings import ExportConfig
from event_count_logger.config.group_settings import GroupConfig
from event_count_logger.config.redis_settings import RedisConfig
from event_count_logger.config.settings import section, setting, settings_of
from event_count_logger.config.tail_settings import TailConfig
from event_count_logger.config.templates import Template
from event_count_logger.errors import NotConfigured, Problem
from event_count_logger.intervals import Interval

#: An origin as browsers send it (html.spec.whatwg.org, section "Origins"), and the ports that they leave out.
_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://[a-z0-9._~-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?"
)

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@check("an origin", "use scheme://host or scheme://host:port")
def _origin(value: object) -> str:
    origin = text(value).lower()
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        raise Mismatch
    scheme = origin.partition(":")[0]
    return origin.removesuffix(_DEFAULT_PORTS.get(scheme, ""))


@check("a list", kind="a list of origins")
def _origins(value: object) -> tuple[str, ...]:
    origins = check_each(enumerate(items(value)), _origin)
    if "*" in origins and len(origins) > 1:
        raise Invalid("has '*', which allows all origins, and others beside it")
    return origins


@section
class ServeConfig:
    """Access of web pages and other clients to the HTTP server."""

    allowed_origins: tuple[str, ...] = setting(
        _origins,
        default=(),
        since="2.0",
        meaning="Origins whose [pages may count](sources.md#web-pages); `['*']` for all.",
    )
    connections_per_client: int = setting(
        whole_number(0),
        default=200,
        unit="connections",
        since="2.0",
        meaning="Limit of the [connections](server.md#limits) from each address, and of its requests in "
        "progress; addresses of this machine have none. `0`: no limit, for a reverse proxy on another "
        "machine.",
    )


@section
class GrafanaConfig:
    """The event that counts the sessions of Grafana's dashboards."""

    group: Template | None = setting(
        template,
        default=None,
        default_text="the only group with `sessions`",
        since="2.0",
        meaning="Group that counts the [dashboards](sources.md#grafana-dashboards). Placeholders take "
        "values from the panel's request.",
    )
    event: Template = setting(
        template,
        default=Template.parse("{dashboard.name}"),
        since="2.0",
        meaning="Event that counts a dashboard, with the same placeholders.",
    )


SERVE = settings_of(ServeConfig)

GRAFANA = settings_of(GrafanaConfig)


@section
class Config:
    """A usable configuration. Immutable.

    Example:
        settings = config.from_file("ecl.yml")
        print(settings.group("requests").events)  # ('ok', 'failed')

    Attributes:
        groups: Groups by name.
        redis: The address of Redis.
        file: Path of the YAML file; None for dictionaries.
        warnings: Problems that leave the configuration usable.
        serve: Access to the HTTP server.
        grafana: The event that counts the sessions of Grafana's dashboards.
        tail: The log files that are followed.
        export: The database for finished intervals; None without one.
        notify: The targets of notifications by name.
        alerts: The rules of alerts.
    """

    groups: Mapping[str, GroupConfig]
    redis: RedisConfig
    file: str | None = None
    warnings: tuple[Problem, ...] = ()
    serve: ServeConfig = ServeConfig()
    grafana: GrafanaConfig = GrafanaConfig()
    tail: tuple[TailConfig, ...] = ()
    export: ExportConfig | None = None
    notify: Mapping[str, NotifyConfig] = field(default_factory=dict)
    alerts: tuple[AlertRule, ...] = ()

    def group(self, name: str) -> GroupConfig:
        """Returns the group of that name.

        Raises:
            NotConfigured: There is none.
        """
        group = self.groups.get(name)
        if group is None:
            shown = choices(name, (each.name for each in self.shown_groups))
            raise NotConfigured(f"Group '{name}' not found in configuration{shown}")
        return group

    def shown_group(self, name: str) -> GroupConfig:
        """Returns the group of that name.

        Raises:
            NotConfigured: The group is missing or hidden.
        """
        group = self.group(name)
        if group.hidden:
            raise NotConfigured(f"group '{name}' is hidden ('hidden: true' in its configuration)")
        return group

    @property
    def shown_groups(self) -> list[GroupConfig]:
        """The groups that are not hidden."""
        return [group for group in self.groups.values() if not group.hidden]

    @property
    def exported(self) -> list[tuple[GroupConfig, Interval]]:
        """The groups and intervals that `ecl export` writes to the database; empty without the section."""
        return exported_intervals(self.export, self.groups) if self.export else []

    @property
    def spool_dirs(self) -> list[Path]:
        """All directories that may have spool files of its groups."""
        return sorted({each for group in self.groups.values() for each in group.spool_directories})
