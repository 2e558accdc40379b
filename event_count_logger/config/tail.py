"""Checks of the section `tail`: its entries, and the groups that they count in."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from event_count_logger.config.checks import show
from event_count_logger.config.group_settings import GroupConfig
from event_count_logger.config.report import Place, Report
from event_count_logger.config.rules import RuleChecks, Scope
from event_count_logger.config.settings import check_section
from event_count_logger.config.tail_settings import TAIL, TailConfig


def check_tail(
    given: object, groups: Mapping[str, GroupConfig], named: Collection[object], base: Path, report: Report
) -> tuple[TailConfig, ...]:
    """Returns the usable entries of the section.

    Args:
        given: A list of entries, or None.
        groups: The groups without problems, by name.
        named: The names of all groups, also of those with problems.
        base: Directory of relative paths.
        report: Takes the problems.
    """
    if given is None:
        return ()
    if not isinstance(given, list):
        report(("tail",), f"{show(given)} is not a list of entries with 'file', 'group' and 'rules'")
        return ()
    entries: dict[tuple[str, str], TailConfig] = {}
    for number, spec in enumerate(given):
        place: Place = ("tail", number)
        values = check_section(TAIL, spec, place, report, strict=True)
        if values is None:
            continue
        group = groups.get(values["group"])
        if group is None and values["group"] not in named:
            shown = report.shown((*place, "group"), values["group"])
            report((*place, "group"), f"{shown} is not a group (there are: {', '.join(map(str, named))})")
        checks = RuleChecks(group, (*place, "group"), values.get("maps", {}), report)
        values["rules"] = tuple(checks.rules(values["rules"], Scope(), (*place, "rules")))
        if group is None:
            continue
        shown = report.shown((*place, "file"), values["file"], repr)
        values["file"] = os.path.abspath(base / os.path.expanduser(values["file"]))
        entry = TailConfig(**values)
        if entries.setdefault((group.name, entry.source_id), entry) is not entry:
            in_group = report.shown((*place, "group"), group.name)
            report((*place, "file"), f"{shown} is followed for group {in_group} twice")
    return tuple(entries.values())
