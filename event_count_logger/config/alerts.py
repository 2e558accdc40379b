"""Checks of the sections `notify` and `alerts`: rules against groups, and targets against rules."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from event_count_logger.config.alert_checks import faults
from event_count_logger.config.alert_settings import (
    ALERT,
    NOTIFY,
    AlertRule,
    NotifyConfig,
    Threshold,
)
from event_count_logger.config.checks import Invalid, show
from event_count_logger.config.choices import choices
from event_count_logger.config.group_settings import GroupConfig
from event_count_logger.config.report import Place, Report
from event_count_logger.config.settings import check_section


def check_notify(given: object, base: Path, report: Report) -> dict[str, NotifyConfig]:
    """Returns the usable targets of notifications by name.

    Args:
        given: A mapping of names to targets, or None.
        base: Directory of relative paths.
        report: Takes the problems.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        report(("notify",), "is not a mapping of names to targets")
        return {}
    targets: dict[str, NotifyConfig] = {}
    for name, spec in given.items():
        place: Place = ("notify", name)
        if not isinstance(name, str):
            report(place, f"{show(name)} is not a string")
            continue
        n_before = len(report.problems)
        target = _target(spec, place, report)
        if target is None or len(report.problems) > n_before:
            continue
        if bool(target.urls) == bool(target.command):
            report(place, "needs either 'urls' or 'command'")
            continue
        targets[name] = _with_program(target, base)
    return targets


def _target(spec: object, place: Place, report: Report) -> NotifyConfig | None:
    """Returns a target; None after a report of its problems. A string or list has URLs only."""
    if isinstance(spec, Mapping):
        values = check_section(NOTIFY, spec, place, report, strict=True)
        return None if values is None else NotifyConfig(**values)
    try:
        return NotifyConfig(urls=NOTIFY["urls"].check(spec))
    except Invalid as error:
        for fault in error.faults:
            at = (*place, *fault.steps) if isinstance(spec, list | tuple) else place
            report(at, fault.message)
        return None


def check_alerts(
    given: object,
    groups: Mapping[str, GroupConfig],
    named: Collection[object],
    targets: Mapping[str, NotifyConfig],
    report: Report,
) -> tuple[AlertRule, ...]:
    """Returns the usable rules.

    Args:
        given: A list of rules, or None.
        groups: The groups without problems, by name.
        named: The names of all groups, also of those with problems.
        targets: The targets of notifications, by name.
        report: Takes the problems.
    """
    if given is None:
        return ()
    if not isinstance(given, list):
        report(("alerts",), f"{show(given)} is not a list of rules with 'name', 'group', 'event' and a limit")
        return ()
    rules: dict[str, AlertRule] = {}
    for number, spec in enumerate(given):
        place: Place = ("alerts", number)
        values = check_section(ALERT, spec, place, report, strict=True)
        if values is None:
            continue
        rule = _checked(AlertRule(**values), spec, groups, named, targets, place, report)
        if rule and rules.setdefault(rule.name, rule) is not rule:
            report(
                (*place, "name"),
                f"{report.shown((*place, 'name'), rule.name)} is the name of an earlier rule",
            )
    return tuple(rules.values())


def _checked(
    rule: AlertRule,
    spec: Mapping[object, object],
    groups: Mapping[str, GroupConfig],
    named: Collection[object],
    targets: Mapping[str, NotifyConfig],
    place: Place,
    report: Report,
) -> AlertRule | None:
    """Returns a rule, or None after a report of its problems."""
    group = groups.get(rule.group)
    if group is None:
        if rule.group not in named:
            shown = report.shown((*place, "group"), rule.group)
            report((*place, "group"), f"{shown} is not a group{choices(rule.group, map(str, named))}")
        return None
    n_before = len(report.problems)
    in_group = report.shown((*place, "group"), group.name)
    known = list(dict.fromkeys([*_names(report.content.get("notify")), *targets]))  # those with problems, too
    for fault in faults(rule, spec, group, in_group, known):
        at = _settled((*place, *fault.setting), spec)
        shown = "" if fault.value is None else f"{report.shown(at, fault.value, _show)} "
        report(at, f"{shown}{fault.message}")
    return rule if len(report.problems) == n_before else None


def _names(section: object) -> Iterator[str]:
    if isinstance(section, Mapping):
        yield from (name for name in section if isinstance(name, str))


def _show(value: object) -> str:
    return str(value) if isinstance(value, Threshold) else show(value)


def _settled(place: Place, spec: Mapping[object, object]) -> Place:
    """Returns the place of a value: one that stands alone is at the place of its list."""
    *list_place, position = place
    is_alone = isinstance(position, int) and isinstance(spec.get(list_place[-1]), str)
    return tuple(list_place) if is_alone else place


def _with_program(target: NotifyConfig, base: Path) -> NotifyConfig:
    """Returns a target whose program is not searched relative to the current directory."""
    program, *arguments = target.command or ("",)
    if "/" not in program:
        return target  # searched in PATH
    return replace(target, command=(str(base / program), *arguments))
