"""Checks of the sections `notify` and `alerts`: rules against groups, and targets against rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from event_count_logger.config.alert_settings import ALERT, NOTIFY, AlertRule, NotifyConfig, as_section
from event_count_logger.config.checks import show
from event_count_logger.config.choices import choices
from event_count_logger.config.group_settings import GroupConfig
from event_count_logger.config.report import Place, Report
from event_count_logger.config.settings import check_section


def check_notify(given: object, report: Report) -> dict[str, NotifyConfig]:
    """Returns the usable targets of notifications by name."""
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
        values = check_section(NOTIFY, as_section(spec), place, report, strict=True)
        if values is None:
            continue
        target = NotifyConfig(**values)
        if bool(target.urls) == bool(target.command):
            report(place, "needs either 'urls' or 'command'")
            continue
        targets[name] = target
    return targets


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
        rule = _checked(AlertRule(**values), groups, named, targets, place, report)
        if rule and rules.setdefault(rule.name, rule) is not rule:
            report(
                (*place, "name"),
                f"{report.shown((*place, 'name'), rule.name)} is the name of an earlier rule",
            )
    return tuple(rules.values())


def _checked(
    rule: AlertRule,
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
    return rule
