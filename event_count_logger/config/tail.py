"""Checks of the section `tail`: rules against their patterns, and against the groups that they count in."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from event_count_logger import keys
from event_count_logger.config.checks import show
from event_count_logger.config.group_settings import GroupConfig
from event_count_logger.config.report import Place, Report
from event_count_logger.config.settings import check_section, similar
from event_count_logger.config.tail_settings import (
    TAIL,
    TAIL_RULE,
    TAIL_SESSION,
    TAIL_TIME,
    TailConfig,
    TailRule,
    TailSession,
    TailTime,
)
from event_count_logger.config.templates import Template


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
        values["rules"] = tuple(_rules(values["rules"], group, (*place, "rules"), report))
        if group is None:
            continue
        shown = report.shown((*place, "file"), values["file"], repr)
        values["file"] = os.path.abspath(base / os.path.expanduser(values["file"]))
        entry = TailConfig(**values)
        if entries.setdefault((group.name, entry.source_id), entry) is not entry:
            in_group = report.shown((*place, "group"), group.name)
            report((*place, "file"), f"{shown} is followed for group {in_group} twice")
    return tuple(entries.values())


def _rules(specs: list[Any], group: GroupConfig | None, place: Place, report: Report) -> Iterator[TailRule]:
    for number, spec in enumerate(specs):
        values = check_section(TAIL_RULE, spec, (*place, number), report, strict=True)
        if values is not None:
            keys_of_counts = spec.get("counts") or ()
            yield _Rule(values["pattern"], group, (*place, number), report).build(values, keys_of_counts)


class _Rule:
    """Checks one rule against the groups of its pattern, and the events of its group if it is known."""

    def __init__(
        self, pattern: re.Pattern[str], group: GroupConfig | None, place: Place, report: Report
    ) -> None:
        self._pattern = pattern
        self._group = group
        self._place = place
        self._report = report

    def build(self, values: dict[str, Any], keys_of_counts: Iterable[object]) -> TailRule:
        events = values.get("events", ())
        values["events"] = tuple(dict.fromkeys(events))
        for number, event in enumerate(events):
            self._check_event(event, ("events", number))
        for key, (event, added) in zip(keys_of_counts, values.get("counts", ()), strict=True):
            self._check_event(event, ("counts", key))
            self._check_captured(added, ("counts", key))
        if "session" in values:
            values["session"] = self._session(values["session"])
        if "time" in values:
            values["time"] = self._time(values["time"])
        if values.get("time") and not values.get("session"):
            self._problem(("time",), "has no effect without 'session'", fatal=False)
        return TailRule(**values)

    def _session(self, spec: object) -> TailSession | None:
        if self._group and self._group.sessions is None:
            name = self._report.shown((*self._place[:2], "group"), self._group.name)
            self._problem(("session",), f"group {name} has no sessions (give it the setting 'sessions')")
        values = check_section(TAIL_SESSION, spec, (*self._place, "session"), self._report, strict=True)
        if values is None:
            return None
        self._check_captured(values["id"], ("session", "id"))
        if "event" in values:
            self._check_event(values["event"], ("session", "event"))
        elif values["action"] != "end":
            self._problem(("session", "event"), "is missing: only the action 'end' needs none")
        return TailSession(**values)

    def _time(self, spec: object) -> TailTime | None:
        values = check_section(TAIL_TIME, spec, (*self._place, "time"), self._report, strict=True)
        if values is None:
            return None
        self._check_captured(values["value"], ("time", "value"))
        return TailTime(**values)

    def _check_event(self, event: Template, place: Place) -> None:
        self._check_captured(event, place)
        if not event.names and self._group:
            self._check_static_event(str(event), self._group, place)

    def _check_static_event(self, event_id: str, group: GroupConfig, place: Place) -> None:
        """Check an event ID without placeholders: it must be valid, and known to the group."""
        shown = self._shown(place, event_id)
        fault = keys.event_id_fault(event_id)
        if fault:
            self._problem(place, f"{shown} is not an event ID: it {fault}")
        elif not group.auto_declare_events and event_id not in group.events:
            meant = similar(event_id, group.events)
            hint = f" (did you mean '{meant}'?)" if meant else ""
            name = self._report.shown((*self._place[:2], "group"), group.name)
            self._problem(place, f"{shown} is not an event of group {name}{hint}")

    def _check_captured(self, template: Template, place: Place) -> None:
        for name in template.names:
            if name not in self._pattern.groupindex:
                shown = self._shown(place, f"{{{name}}}")
                captured = ", ".join(self._pattern.groupindex) or "nothing"
                is_secret = self._report.is_from_environment((*self._place, "match"))
                which = "" if is_secret else f", which captures {captured}"
                self._problem(place, f"{shown} is not captured by the pattern{which}")

    def _shown(self, place: Place, value: object) -> str:
        return self._report.shown((*self._place, *place), value)

    def _problem(self, place: Place, message: str, *, fatal: bool = True) -> None:
        self._report((*self._place, *place), message, fatal=fatal)
