"""The section `tail`: which log files are followed, and what their lines count."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from event_count_logger.config.checks import check, show
from event_count_logger.config.model import GroupConfig, TailConfig, TailRule, TailSession, TailTime
from event_count_logger.config.report import Place, Report
from event_count_logger.config.tail_rules import TAIL, TAIL_RULE, TAIL_SESSION, TAIL_TIME, static_event_fault
from event_count_logger.config.templates import Template


def check_tail(
    section: object, groups: Mapping[str, GroupConfig], named: Collection[object], base: Path, report: Report
) -> tuple[TailConfig, ...]:
    """The entries of the section that can be used; everything that is wrong is reported.

    Args:
        section: A list of entries, or None.
        groups: Those that are in order, by name.
        named: The names of all, those included with which something else is wrong.
        base: What the names of files are relative to.
        report: Is told of each problem.
    """
    if section is None:
        return ()
    if not isinstance(section, list):
        report(("tail",), f"{show(section)} is not a list of entries with 'file', 'group' and 'rules'")
        return ()
    entries: dict[tuple[str, str], TailConfig] = {}
    for number, spec in enumerate(section):
        place: Place = ("tail", number)
        values = check(TAIL, spec, place, report, strict=True)
        if values is None:
            continue
        group = groups.get(values["group"])
        if group is None and values["group"] not in named:
            known = ", ".join(map(str, named))
            report((*place, "group"), f"'{values['group']}' is not a group (there are: {known})")
        rules = tuple(_rules(values["rules"], group, (*place, "rules"), report))
        if group is None:
            continue
        file = os.path.abspath(base / os.path.expanduser(values["file"]))
        entry = TailConfig(file, group.name, values.get("source") or os.uname().nodename, rules)
        if entries.setdefault((group.name, entry.source_id), entry) is not entry:
            report((*place, "file"), f"'{values['file']}' is followed for group '{group.name}' twice")
    return tuple(entries.values())


def _rules(specs: list[Any], group: GroupConfig | None, place: Place, report: Report) -> Iterator[TailRule]:
    for number, spec in enumerate(specs):
        values = check(TAIL_RULE, spec, (*place, number), report, strict=True)
        if values is not None:
            yield _Rule(values["match"], group, (*place, number), report).build(values)


class _Rule:
    """Checks one rule against what its pattern captures and what its group counts, if there is one."""

    def __init__(
        self, pattern: re.Pattern[str], group: GroupConfig | None, place: Place, report: Report
    ) -> None:
        self._pattern = pattern
        self._group = group
        self._place = place
        self._report = report

    def build(self, values: Mapping[str, Any]) -> TailRule:
        events, counts = values.get("events", ()), values.get("counts", {})
        for number, event in enumerate(events):
            self._check_event(event, ("events", number))
        for event, number in counts.items():
            self._check_event(event, ("counts", str(event)))
            self._check_captured(number, ("counts", str(event)))
        session = self._session(values["session"]) if "session" in values else None
        time = self._time(values["time"]) if "time" in values else None
        if time and not session:
            self._problem(("time",), "has no effect without 'session'", fatal=False)
        return TailRule(self._pattern, events, tuple(counts.items()), session, time)

    def _session(self, spec: object) -> TailSession | None:
        if self._group and self._group.sessions is None:
            self._problem(("session",), f"group '{self._group.name}' has no sessions (give it 'sessions')")
        values = check(TAIL_SESSION, spec, (*self._place, "session"), self._report, strict=True)
        if values is None:
            return None
        self._check_captured(values["id"], ("session", "id"))
        if "event" in values:
            self._check_event(values["event"], ("session", "event"))
        elif values["action"] != "end":
            self._problem(("session", "event"), "is missing: only an 'end' needs none")
        return TailSession(values["id"], values.get("event"), values["action"])

    def _time(self, spec: object) -> TailTime | None:
        values = check(TAIL_TIME, spec, (*self._place, "time"), self._report, strict=True)
        if values is None:
            return None
        self._check_captured(values["value"], ("time", "value"))
        return TailTime(**values)

    def _check_event(self, event: Template, place: Place) -> None:
        self._check_captured(event, place)
        fault = None if event.names or not self._group else static_event_fault(str(event), self._group)
        if fault:
            self._problem(place, fault)

    def _check_captured(self, template: Template, place: Place) -> None:
        for name in template.names:
            if name not in self._pattern.groupindex:
                captured = ", ".join(self._pattern.groupindex) or "nothing"
                self._problem(
                    place, f"'{{{name}}}' is not captured by the pattern, which captures {captured}"
                )

    def _problem(self, place: Place, message: str, *, fatal: bool = True) -> None:
        self._report((*self._place, *place), message, fatal=fatal)
