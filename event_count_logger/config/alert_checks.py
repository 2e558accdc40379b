"""Checks of one rule of `alerts` against its group and the targets of notifications."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from event_count_logger import keys
from event_count_logger.config.alert_settings import AlertRule, Threshold
from event_count_logger.config.choices import choices
from event_count_logger.config.event_pattern import compiled
from event_count_logger.config.group_settings import GroupConfig
from event_count_logger.intervals import Interval


class RuleFault(NamedTuple):
    """A problem of a rule.

    Attributes:
        setting: The setting, and perhaps a position in it.
        value: The value that the message begins with; None if it begins with no value.
        message: The problem.
    """

    setting: tuple[object, ...]
    value: object
    message: str


#: Settings that have no effect with `stale`.
_OF_LIMITS = ("event", "above", "below", "of", "for")


def faults(
    rule: AlertRule,
    given: Mapping[object, object],
    group: GroupConfig,
    shown: str,
    targets: Collection[str],
) -> Iterator[RuleFault]:
    """Yields the problems of a rule.

    Args:
        rule: The rule.
        given: Its settings in the configuration.
        group: Its group.
        shown: Name of the group in messages.
        targets: Names of the targets of notifications.
    """
    yield from _limits(rule, given)
    yield from _interval(rule, group, shown)
    if not rule.stale:
        yield from _events("event", rule.event, group, shown)
        yield from _events("of", rule.of, group, shown)
    for number, name in enumerate(rule.notify):
        if name not in targets:
            yield _unknown_target(number, name, targets)
    if rule.repeat is not None and not rule.notify:
        yield RuleFault(("repeat",), None, "has no effect without 'notify'")


def _unknown_target(number: int, name: str, targets: Collection[str]) -> RuleFault:
    if "://" in name:  # a URL may contain a password
        known = choices("", targets)
        return RuleFault(("notify", number), None, f"is a URL, not the name of a target in 'notify'{known}")
    return RuleFault(("notify", number), name, f"is not a target in 'notify'{choices(name, targets)}")


def _limits(rule: AlertRule, given: Mapping[object, object]) -> Iterator[RuleFault]:
    kinds = [name for name in ("above", "below", "stale") if getattr(rule, name)]
    if len(kinds) != 1:
        found = " and ".join(f"'{name}'" for name in kinds) or "none"
        yield RuleFault((), None, f"needs one of 'above', 'below' and 'stale: true', and has {found}")
        return
    if rule.stale:
        for name in _OF_LIMITS:
            if given.get(name) is not None:
                yield RuleFault((name,), None, "has no effect with 'stale: true'")
        return
    if not rule.event:
        yield RuleFault(("event",), None, "is missing (for example event: error)")
    yield from _threshold(rule, kinds[0], rule.above or rule.below or Threshold(0))


def _threshold(rule: AlertRule, name: str, threshold: Threshold) -> Iterator[RuleFault]:
    if threshold.is_percent and not rule.of:
        yield RuleFault(
            ("of",), None, f"is missing: a percentage in '{name}' needs the events that are 100 %"
        )
    if rule.of and not threshold.is_percent:
        yield RuleFault(("of",), None, f"has no effect without a percentage, such as '{name}: 5%'")
    if name == "below" and threshold.value == 0:
        yield RuleFault((name,), threshold, "is never reached: counts are never negative")
    is_part = "*" in rule.of or set(rule.event) <= set(rule.of)
    if name == "above" and threshold.is_percent and threshold.value >= 100 and rule.of and is_part:
        yield RuleFault((name,), threshold, "is never exceeded: 'event' is a part of 'of'")


def _interval(rule: AlertRule, group: GroupConfig, shown: str) -> Iterator[RuleFault]:
    names = [interval.name for interval in group.intervals]
    if rule.interval is not None and group.interval(rule.interval) is None:
        message = f"is not an interval of group {shown}{choices(rule.interval, names)}"
        yield RuleFault(("interval",), rule.interval, message)
    elif rule.interval is None and len(names) > 1 and not rule.stale:
        message = f"is missing: group {shown} has several intervals{choices('', names)}"
        yield RuleFault(("interval",), None, message)
    elif not rule.stale:
        chosen = group.interval(rule.interval or names[0]) or group.intervals[0]
        yield from _history(rule, shown, chosen, group.n_history(chosen))


def _history(rule: AlertRule, shown: str, interval: Interval, n_kept: int) -> Iterator[RuleFault]:
    if n_kept == 0:
        message = f"group {shown} keeps no history of interval '{interval.name}', which rules need"
        yield RuleFault(("group",), None, message)
    elif rule.n_in_a_row > n_kept:
        message = f"is more than the {n_kept} intervals in the history of group {shown}"
        yield RuleFault(("for",), rule.n_in_a_row, message)


def _events(setting: str, patterns: tuple[str, ...], group: GroupConfig, shown: str) -> Iterator[RuleFault]:
    if group.auto_declare_events:
        return
    for number, pattern in enumerate(patterns):
        if not _can_match(pattern, group):
            what = "matches no declared event" if "*" in pattern else "is not a declared event"
            message = f"{what} of group {shown}{choices(pattern, group.events)}"
            yield RuleFault((setting, number), pattern, message)


def _can_match(pattern: str, group: GroupConfig) -> bool:
    if keys.is_reserved(pattern):
        return True  # counted by the package itself, in any group
    if "*" in pattern:
        return any(map(compiled([pattern]).fullmatch, group.addable(group.events)))
    bucket = keys.parse_bucket(pattern)  # declared by a rule of `tail`
    declared = bucket[0] if bucket else pattern
    is_session_time = group.sessions is not None and keys.event_of_sessions(declared) in group.events
    return pattern in group.events or declared in group.events or is_session_time
