"""Checks of the section `export`: its groups and intervals, and the password."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from event_count_logger.config.export_settings import EXPORT, ExportConfig
from event_count_logger.config.group_settings import GroupConfig
from event_count_logger.config.report import Report
from event_count_logger.config.settings import check_section


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
    values = check_section(EXPORT, given, ("export",), report, strict=True)
    return None if values is None else ExportConfig(**values)
