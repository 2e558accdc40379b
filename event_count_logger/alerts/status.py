"""States of all alerts, as readers show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from event_count_logger.alerts import transitions
from event_count_logger.alerts.evaluation import Evaluation, evaluate
from event_count_logger.alerts.fields import acknowledgement_field, progress_field
from event_count_logger.alerts.staleness import reason_of_staleness
from event_count_logger.config import AlertRule, Config, GroupConfig
from event_count_logger.errors import NotYet, Rejected, StoreError
from event_count_logger.intervals import Interval
from event_count_logger.reading.group_reader import choose_interval
from event_count_logger.reading.reader import Reader, Snapshot
from event_count_logger.store import Store

#: `pending` breaches its limit, but not yet for `for` intervals. `unknown` has no finished interval.
AlertState = Literal["ok", "pending", "firing", "unknown"]


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """The state of one alert.

    Attributes:
        rule: The rule.
        interval: Name of its interval; '' for a stale rule of all intervals.
        state: The state after the last finished interval.
        value: Count or percentage in the last finished interval, or seconds that a group is stale; None if
            unknown.
        since: End of the interval with which the alert began to fire, Unix seconds; None if unknown.
        acknowledged_until: Unix seconds until which notifications are silenced; None if they are not. It is
            decades ahead if they are silenced until the alert is resolved.
    """

    rule: AlertRule
    interval: str
    state: AlertState
    value: float | None = None
    since: float | None = None
    acknowledged_until: float | None = None


def rules_of(config: Config, groups: Iterable[GroupConfig]) -> list[AlertRule]:
    """Returns the rules of some groups, in the order of the configuration."""
    names = {group.name for group in groups}
    return [rule for rule in config.alerts if rule.group in names]


def examine(config: Config, store: Store, rules: Sequence[AlertRule] | None = None) -> list[AlertStatus]:
    """Returns the states of alerts, in the order of the configuration.

    States are evaluated from the history: they do not depend on a running `ecl alert`. A group that Redis
    rejects to read has unknown states.

    Args:
        config: The configuration.
        store: Redis with the counts.
        rules: Some of its rules; None for all of them.

    Raises:
        Unavailable: Redis does not answer.
    """
    chosen = config.alerts if rules is None else rules
    histories = _Histories(config, store, chosen)
    return [_examine(rule, config.groups[rule.group], histories, store) for rule in chosen]


def examine_if_up(config: Config, store: Store, groups: Iterable[GroupConfig]) -> list[AlertStatus]:
    """Returns the states of the alerts of some groups; none if Redis does not answer."""
    try:
        return examine(config, store, rules_of(config, groups))
    except StoreError:
        return []


class _Histories:
    """The finished intervals that some rules need, each read once."""

    def __init__(self, config: Config, store: Store, rules: Iterable[AlertRule]) -> None:
        self._reader = Reader(store)
        self._longest = _longest(config, rules)
        self._read: dict[tuple[str, str], list[Snapshot]] = {}

    def of(self, group: GroupConfig, interval: Interval) -> list[Snapshot]:
        """Returns finished intervals, oldest first; none if Redis rejects the request."""
        key = group.name, interval.name
        if key not in self._read:
            try:
                self._read[key] = self._reader.history(group, interval, self._longest[key])
            except (Rejected, NotYet):
                self._read[key] = []
        return self._read[key]


def _longest(config: Config, rules: Iterable[AlertRule]) -> Mapping[tuple[str, str], int]:
    """Returns the number of finished intervals that the rules need, by group and interval."""
    found: dict[tuple[str, str], int] = {}
    for rule in rules:
        if not rule.stale:
            key = rule.group, choose_interval(config.groups[rule.group], rule.interval).name
            found[key] = max(found.get(key, 1), rule.n_in_a_row)
    return found


def _examine(rule: AlertRule, group: GroupConfig, histories: _Histories, store: Store) -> AlertStatus:
    if not rule.stale:
        interval = choose_interval(group, rule.interval)
        return _of_history(rule, group, interval, histories.of(group, interval))
    try:
        return _stale(rule, group, store)
    except (Rejected, NotYet):
        return AlertStatus(rule, rule.interval or "", "unknown")


def _of_history(
    rule: AlertRule, group: GroupConfig, interval: Interval, history: list[Snapshot]
) -> AlertStatus:
    results = [evaluate(rule, group, interval, each) for each in history[-rule.n_in_a_row :]]
    if not results:
        return AlertStatus(rule, interval.name, "unknown")
    return AlertStatus(rule, interval.name, _state(rule, results), results[-1].value)


def _state(rule: AlertRule, results: list[Evaluation]) -> AlertState:
    if not results[-1].is_breach:
        return "ok"
    is_whole = len(results) == rule.n_in_a_row and all(each.is_breach for each in results)
    return "firing" if is_whole else "pending"


def _stale(rule: AlertRule, group: GroupConfig, store: Store) -> AlertStatus:
    intervals = [choose_interval(group, rule.interval)] if rule.interval else group.intervals
    reader = Reader(store)
    late = max((reader.overdue_s(group, each) or 0.0) for each in intervals)
    has_master = any(master.alive for master in store.masters.of(group))
    is_stale = is_overdue(late) or not has_master
    return AlertStatus(rule, rule.interval or "", "firing" if is_stale else "ok", late)
