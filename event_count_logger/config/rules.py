"""Checks of rules: their placeholders against what is captured, and their events against their group."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from event_count_logger import keys
from event_count_logger.config.checks import Invalid
from event_count_logger.config.group_settings import GroupConfig
from event_count_logger.config.report import Place, Report
from event_count_logger.config.rule_settings import (
    TAIL_BUCKETS,
    TAIL_NUMBER,
    TAIL_RULE,
    TAIL_SESSION,
    TAIL_TIME,
    Maps,
    TailBuckets,
    TailNumber,
    TailRule,
    TailSession,
    TailTime,
    number_template,
)
from event_count_logger.config.settings import check_section, similar
from event_count_logger.config.templates import Template

#: The number of a field.
_NUMBER = re.compile("[1-9][0-9]{0,4}")


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that the templates of a rule may contain.

    Attributes:
        names: Known names.
        is_open: True if lines have further names, which only they know, such as the fields of JSON.
        has_numbers: True if lines have fields that are named by their numbers: 1, 2, ...
        is_secret: True if names come from an environment variable, and are not shown.
    """

    names: tuple[str, ...] = ()
    is_open: bool = False
    has_numbers: bool = False
    is_secret: bool = False

    def with_groups(self, pattern: re.Pattern[str], is_secret: bool) -> Scope:
        """Returns the scope with the groups of a pattern."""
        names = tuple(dict.fromkeys((*self.names, *pattern.groupindex)))
        return replace(self, names=names, is_secret=self.is_secret or is_secret)

    @property
    def shown(self) -> str:
        """The names in words, for messages."""
        names = (*self.names, "1, 2, ...") if self.has_numbers else self.names
        return "names of a variable" if self.is_secret else ", ".join(names) or "nothing"

    def has(self, name: str) -> bool:
        """Returns whether a name has a value in some lines."""
        return self.is_open or name in self.names or (self.has_numbers and bool(_NUMBER.fullmatch(name)))


@dataclass(frozen=True, slots=True)
class RuleChecks:
    """Checks of the rules of one entry.

    Attributes:
        group: Group that counts the lines; None if it has problems itself.
        group_place: Place of the group's name in the configuration.
        maps: Maps that templates may name.
        report: Takes the problems.
    """

    group: GroupConfig | None
    group_place: Place
    maps: Maps
    report: Report

    def rules(self, specs: list[Any], scope: Scope, place: Place) -> Iterator[TailRule]:
        """Returns the usable rules of a list."""
        for number, spec in enumerate(specs):
            values = check_section(TAIL_RULE, spec, (*place, number), self.report, strict=True)
            if values is not None:
                self._check_not_empty(spec, (*place, number))
                yield self._rule(values, spec, scope, (*place, number))

    def _rule(self, values: dict[str, Any], spec: Mapping[str, Any], outer: Scope, place: Place) -> TailRule:
        scope = outer
        if values.get("pattern"):
            scope = scope.with_groups(values["pattern"], self._is_secret(*place, "match"))
        for name, pattern in values.get("where", ()):
            self._check_name(name, scope, (*place, "where", name))
            scope = scope.with_groups(pattern, self._is_secret(*place, "where", name))
        checked = _Rule(self, scope, place)
        values["events"] = tuple(
            dict.fromkeys(
                checked.event(event, ("events", number))
                for number, event in enumerate(values.get("events", ()))
            )
        )
        for name, build in (("counts", checked.number), ("buckets", checked.buckets)):
            values[name] = tuple(
                (checked.event(event, (name, key)), built)
                for key, (event, given) in zip(spec.get(name) or (), values.get(name, ()), strict=True)
                if (built := build(given, (name, key))) is not None
            )
        for event, buckets in values["buckets"]:
            checked.check_events_of_buckets(event, buckets)
        if "session" in values:
            values["session"] = checked.session(values["session"])
        if "time" in values:
            values["time"] = checked.time(values["time"])
        if values.get("time") and not values.get("session"):
            self.report((*place, "time"), "has no effect without 'session'", fatal=False)
        for field, name, inner in (("rules", "rules", scope), ("otherwise", "else", outer)):
            values[field] = tuple(self.rules(values.get(field, []), inner, (*place, name)))
        return TailRule(**values)

    def _check_not_empty(self, spec: Mapping[str, Any], place: Place) -> None:
        """Report settings without a value: a rule without conditions would match every line."""
        for name, value in spec.items():
            if value is None:
                self.report((*place, name), "is empty (quote text that begins with '#')")
        if spec.get("else") and not (spec.get("match") or spec.get("where")):
            self.report((*place, "else"), "has no effect without 'match' or 'where'", fatal=False)

    def _check_name(self, name: str, scope: Scope, place: Place) -> None:
        if not scope.has(name):
            self.report(place, f"is not the name of a captured value (there are: {scope.shown})")

    def _is_secret(self, *place: object) -> bool:
        return self.report.is_from_environment(place)


class _Rule:
    """Checks of the parts of one rule. Their places are relative to the rule."""

    def __init__(self, checks: RuleChecks, scope: Scope, place: Place) -> None:
        self._group = checks.group
        self._group_place = checks.group_place
        self._maps = checks.maps
        self._report = checks.report
        self._scope = scope
        self._place = place

    def event(self, event: Template, place: Place) -> Template:
        """Returns the template of an event, with its maps."""
        event = self._template(event, place)
        if not event.names and self._group:
            self._check_static_event(str(event), self._group, place)
        return event

    def number(self, given: object, place: Place) -> TailNumber | None:
        """Returns what `counts` adds to an event; None if there is a problem."""
        if isinstance(given, Mapping):
            values = check_section(TAIL_NUMBER, given, (*self._place, *place), self._report, strict=True)
            if values is None:
                return None
            values["value"] = self._template(values["value"], (*place, "value"))
            return TailNumber(**values)
        try:
            return TailNumber(self._template(number_template(given), place))
        except Invalid as error:
            self._problem(place, str(error))
            return None

    def buckets(self, given: object, place: Place) -> TailBuckets | None:
        """Returns the histogram of an event; None if there is a problem."""
        values = check_section(TAIL_BUCKETS, given, (*self._place, *place), self._report, strict=True)
        if values is None:
            return None
        values["value"] = self._template(values["value"], (*place, "value"))
        return TailBuckets(**values)

    def check_events_of_buckets(self, event: Template, buckets: TailBuckets) -> None:
        """Check the events of a histogram; to be declared, they must be known."""
        if event.names and self._group and not self._group.auto_declare_events:
            name = self._report.shown(self._group_place, self._group.name)
            self._problem(
                ("buckets", str(event)),
                f"has placeholders, but group {name} has no 'auto_declare_events: true'",
            )
        faults = [keys.event_id_fault(keys.bucket(str(event), bound)) for bound in buckets.bounds]
        if any(faults) and not event.names and not keys.event_id_fault(str(event)):
            fault = next(filter(None, faults))
            self._problem(("buckets", str(event)), f"leaves no room for a bound, with which it {fault}")

    def session(self, spec: object) -> TailSession | None:
        """Returns the action of a session; None if there is a problem."""
        if self._group and self._group.sessions is None:
            name = self._report.shown(self._group_place, self._group.name)
            self._problem(("session",), f"group {name} has no sessions (give it the setting 'sessions')")
        values = check_section(TAIL_SESSION, spec, (*self._place, "session"), self._report, strict=True)
        if values is None:
            return None
        values["id"] = self._template(values["id"], ("session", "id"))
        if "event" in values:
            event = values["event"] = self.event(values["event"], ("session", "event"))
            fault = keys.session_event_fault(str(event))
            if fault and not event.names and not keys.event_id_fault(str(event)):
                shown = self._shown(("session", "event"), str(event))
                self._problem(("session", "event"), f"{shown} is not an event of sessions: it {fault}")
        elif values["action"] != "end":
            self._problem(("session", "event"), "is missing: only the action 'end' needs none")
        return TailSession(**values)

    def time(self, spec: object) -> TailTime | None:
        """Returns the time in a line; None if there is a problem."""
        values = check_section(TAIL_TIME, spec, (*self._place, "time"), self._report, strict=True)
        if values is None:
            return None
        values["value"] = self._template(values["value"], ("time", "value"))
        return TailTime(**values)

    def _check_static_event(self, event_id: str, group: GroupConfig, place: Place) -> None:
        """Check an event ID without placeholders: it must be valid, and known to the group."""
        shown = self._shown(place, event_id)
        fault = keys.event_id_fault(event_id)
        if fault:
            self._problem(place, f"{shown} is not an event ID: it {fault}")
        elif not group.auto_declare_events and event_id not in group.events:
            meant = similar(event_id, group.events)
            hint = f" (did you mean '{meant}'?)" if meant else ""
            name = self._report.shown(self._group_place, group.name)
            self._problem(place, f"{shown} is not an event of group {name}{hint}")

    def _template(self, template: Template, place: Place) -> Template:
        """Returns a template with its maps, after a check of its names."""
        for name in template.names:
            if not self._scope.has(name):
                shown = self._shown(place, f"{{{name}}}")
                which = f", which captures {self._scope.shown}"
                self._problem(place, f"{shown} is not captured by the pattern{which}")
        try:
            return template.with_maps(self._maps)
        except ValueError as error:
            self._problem(place, str(error))
            return template

    def _shown(self, place: Place, value: object) -> str:
        return self._report.shown((*self._place, *place), value)

    def _problem(self, place: Place, message: str) -> None:
        self._report((*self._place, *place), message)
