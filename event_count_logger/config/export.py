"""Checks of the section `export`: its groups and intervals, and the password."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from event_count_logger.config.choices import choices
from event_count_logger.config.credentials import take_credentials
from event_count_logger.config.export_settings import EXPORT, ExportConfig, absolute_sqlite
from event_count_logger.config.group_settings import GroupConfig
from event_count_logger.config.report import Report
from event_count_logger.config.settings import check_section

_PLACE = ("export",)


def check_export(
    given: object, groups: Mapping[str, GroupConfig], named: Collection[object], base: Path, report: Report
) -> ExportConfig | None:
    """Returns the settings of the export; None without the section, or after a report of its problems.

    Args:
        given: The section, or None.
        groups: The groups without problems, by name.
        named: The names of all groups, also of those with problems.
        base: Directory of relative paths.
        report: Takes the problems.
    """
    if given is None:
        return None
    values = check_section(EXPORT, given, _PLACE, report, strict=True)
    if values is None:
        return None
    credentials = take_credentials(values, _PLACE, report, base, ("password",))
    if credentials and _has_password(values["url"]):
        report((*_PLACE, "password"), "is given beside a password in 'url': only one of them can be used")
    values["url"] = absolute_sqlite(values["url"], str(base))
    export = ExportConfig(**values, password=credentials.get("password"))
    _check_groups(export, groups, named, report)
    _check_intervals(export, groups, report)
    return export


def exported_groups(export: ExportConfig, groups: Mapping[str, GroupConfig]) -> list[GroupConfig]:
    """Returns the groups to export, in the order of the configuration."""
    if export.groups is None:
        return [group for group in groups.values() if group.history and not group.hidden]
    return [group for name, group in groups.items() if name in export.groups]


def _has_password(url: str) -> bool:
    try:
        return urlsplit(url).password is not None
    except ValueError:
        return False


def _check_groups(
    export: ExportConfig, groups: Mapping[str, GroupConfig], named: Collection[object], report: Report
) -> None:
    place = (*_PLACE, "groups")
    for name in export.groups or ():
        shown = report.shown(place, name)
        if name not in named:
            report(place, f"{shown} is not a group{choices(name, map(str, named))}")
        elif name in groups and not groups[name].history:
            report(place, f"{shown} keeps no history ('history: 0'), so that no interval can be exported")
    if export.groups is None and len(groups) == len(named) and not exported_groups(export, groups):
        report(_PLACE, "has no group to export: no group that is not hidden keeps a history")


def _check_intervals(export: ExportConfig, groups: Mapping[str, GroupConfig], report: Report) -> None:
    place = (*_PLACE, "intervals")
    known = _interval_names(exported_groups(export, groups))
    for name in export.intervals or ():
        if known and name not in known:
            shown = report.shown(place, name)
            report(place, f"{shown} is not an interval of any exported group{choices(name, known)}")


def _interval_names(groups: Iterable[GroupConfig]) -> list[str]:
    return list(dict.fromkeys(interval.name for group in groups for interval in group.intervals))
