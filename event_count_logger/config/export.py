"""Checks of the section `export`: its groups and intervals, and the password."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from event_count_logger.config.choices import choices
from event_count_logger.config.credentials import take_credentials
from event_count_logger.config.export_settings import EXPORT, ExportConfig, absolute_sqlite
from event_count_logger.config.group_settings import GroupConfig
from event_count_logger.config.report import Report
from event_count_logger.config.settings import check_section
from event_count_logger.intervals import Interval

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
    for setting in ("groups", "intervals"):
        if getattr(export, setting) == ():
            report((*_PLACE, setting), "is empty: nothing would be exported")
    _check_groups(export, groups, named, report)
    _check_intervals(export, groups, report)
    return export


def exported_intervals(
    export: ExportConfig, groups: Mapping[str, GroupConfig]
) -> list[tuple[GroupConfig, Interval]]:
    """Returns the groups and intervals to export, in the order of the configuration."""
    wanted = export.intervals
    return [each for each in _candidates(export, groups) if wanted is None or each[1].name in wanted]


def _candidates(
    export: ExportConfig, groups: Mapping[str, GroupConfig]
) -> Iterator[tuple[GroupConfig, Interval]]:
    """Yields all intervals with a history of the groups to export."""
    for name, group in groups.items():
        if name in export.groups if export.groups is not None else not group.hidden:
            yield from ((group, interval) for interval in group.intervals if group.keeps_history(interval))


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
        elif name in groups and not any(map(groups[name].keeps_history, groups[name].intervals)):
            report(place, f"{shown} keeps no history ('history: 0'), so that no interval can be exported")
    if export.groups is None and len(groups) == len(named) and not any(_candidates(export, groups)):
        report(_PLACE, "has no group to export: no group that is not hidden keeps a history")


def _check_intervals(export: ExportConfig, groups: Mapping[str, GroupConfig], report: Report) -> None:
    place = (*_PLACE, "intervals")
    known = dict.fromkeys(interval.name for _, interval in _candidates(export, groups))
    for name in export.intervals or ():
        if known and name not in known:
            shown = report.shown(place, name)
            report(
                place,
                f"{shown} is not an interval with a history of any exported group{choices(name, known)}",
            )
