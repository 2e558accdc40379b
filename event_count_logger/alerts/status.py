"""States of all alerts, as readers show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, takewhile
from typing import Literal

from event_count_logger.alerts.evaluation import Evaluation, Evaluator
from event_count_logger.alerts.fields import acknowledgement_field, progress_field
from event_count_logger.alerts.staleness import STALE_AFTER_S, reason_of_staleness
from event_count_logger.alerts.transitions import parse, parse_acknowledgement
from event_count_logger.config import AlertRule, Config, GroupConfig
from event_count_logger.errors import NotYet, Rejected, StoreError
from event_count_logger.intervals import Interval
from event_count_logger.reading.group_reader import choose_interval
from event_count_logger.reading.reader import Reader, Snapshot
from event_count_logger.store import Store

#: `pending` breaches its limit, but not yet for `for` intervals. `unknown` has no finished interval, or does
#: not fire while the next interval is overdue.
AlertState = Literal["ok", "pending", "firing", "unknown"]


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """The state of one alert.

    Attributes:
        rule: The rule.
        interval: Name of its interval; '' for a stale rule of all intervals.
        state: The state after the last finished interval.
        value: Count or percentage in the last finished interval, or seconds for which a group is stale;
            None if unknown.
        reason: Why a stale rule fires, in words; '' otherwise.
        since: End of the interval with which the alert began to fire, Unix seconds; None if `ecl alert` has
            not noted it.
        is_acknowledged: True if its notifications are silenced.
        acknowledged_until: End of the silence, Unix seconds; None if it lasts until the alert is resolved.
    """

    rule: AlertRule
    interval: str
    state: AlertState
    value: float | None = None
    reason: str = ""
    since: float | None = None
    is_acknowledged: bool = False
    acknowledged_until: float | None = None


def rules_of(config: Config, groups: Iterable[GroupConfig]) -> list[AlertRule]:
    """Returns the rules of some groups, in the order of the configuration."""
    names = {group.name for group in groups}
    return [rule for rule in config.alerts if rule.group in names]


def examine(config: Config, store: Store, rules: Sequence[AlertRule] | None = None) -> list[AlertStatus]:
    """Returns the states of alerts, in the order of the configuration.

    States are evaluated from the history: they do not depend on a running `ecl alert`, which only notes
    since when they fire. A group that Redis rejects to read has unknown states.

    Args:
        config: The configuration.
        store: Redis with the counts.
        rules: Some of its rules; None for all of them.

    Raises:
        Unavailable: Redis does not answer.
    """
    chosen = config.alerts if rules is None else rules
    found: dict[AlertRule, AlertStatus] = {}
    for name in dict.fromkeys(rule.group for rule in chosen):
        group = _Group(config.groups[name], store, [rule for rule in chosen if rule.group == name])
        found |= {rule: group.examine(rule) for rule in group.rules}
    return [found[rule] for rule in chosen]


def examine_if_up(config: Config, store: Store, groups: Iterable[GroupConfig]) -> list[AlertStatus]:
    """Returns the states of the alerts of some groups; none if Redis does not answer."""
    try:
        return examine(config, store, rules_of(config, groups))
    except StoreError:
        return []


class _Group:
    """The rules of one group. Its finished intervals and notes are read when they are needed, and once.

    Attributes:
        rules: The rules.
    """

    def __init__(self, group: GroupConfig, store: Store, rules: Sequence[AlertRule]) -> None:
        self.rules = rules
        self._group = group
        self._store = store
        self._evaluator = Evaluator(group)
        self._histories: dict[Interval, Sequence[Snapshot]] = {}
        self._notes: Mapping[str, str] | None = None
        self._now: float | None = None

    def examine(self, rule: AlertRule) -> AlertStatus:
        """Returns the state of a rule."""
        try:
            found = self._of_staleness(rule) if rule.stale else self._of_history(rule)
            return self._with_notes(found) if found.state == "firing" else found
        except (Rejected, NotYet):
            return AlertStatus(rule, self._interval(rule), "unknown")

    def _interval(self, rule: AlertRule) -> str:
        return rule.interval or ("" if rule.stale else choose_interval(self._group, None).name)

    def _of_history(self, rule: AlertRule) -> AlertStatus:
        interval = choose_interval(self._group, rule.interval)
        history = self._history(interval)
        if not history:
            return AlertStatus(rule, interval.name, "unknown")
        newest_first = reversed(history[-rule.n_in_a_row :])
        results = (self._evaluator.evaluate(rule, interval, each) for each in newest_first)
        last = next(results)
        n_breaches = sum(1 for _ in takewhile(_is_breach, chain([last], results)))
        state = _state(rule, n_breaches)
        if state != "firing" and self._is_overdue(interval, history[-1]):
            state = "unknown"
        return AlertStatus(rule, interval.name, state, last.value)

    def _is_overdue(self, interval: Interval, newest: Snapshot) -> bool:
        """Returns whether another interval should have finished since the newest one."""
        if self._now is None:
            self._now = self._store.client.server_time(self._group)
        return self._now > (newest.end or 0.0) + interval.length_s + STALE_AFTER_S

    def _history(self, interval: Interval) -> Sequence[Snapshot]:
        """Returns as many finished intervals as the rules need, oldest first."""
        if interval not in self._histories:
            lengths = [
                rule.n_in_a_row
                for rule in self.rules
                if not rule.stale and choose_interval(self._group, rule.interval) == interval
            ]
            self._histories[interval] = Reader(self._store).history(self._group, interval, max(lengths))
        return self._histories[interval]

    def _of_staleness(self, rule: AlertRule) -> AlertStatus:
        reason, for_s = reason_of_staleness(rule, self._group, self._store)
        return AlertStatus(rule, self._interval(rule), "firing" if reason else "ok", for_s, reason)

    def _with_notes(self, found: AlertStatus) -> AlertStatus:
        """Returns the state of a firing alert with the notes of `ecl alert` about it."""
        notes = self._read_notes()
        progress = parse(notes.get(progress_field(found.rule), ""), found.rule)
        silence = parse_acknowledgement(notes.get(acknowledgement_field(found.rule), ""))
        if progress is None or progress.since is None:
            return found
        if silence is None or not silence.covers(progress, self._store.client.server_time(self._group)):
            return replace(found, since=progress.since)
        return replace(found, since=progress.since, is_acknowledged=True, acknowledged_until=silence.until)

    def _read_notes(self) -> Mapping[str, str]:
        if self._notes is None:
            self._notes = {}
            with suppress(Rejected, NotYet):
                self._notes = self._store.alerts.fields(self._group, "states")
        return self._notes


def _is_breach(result: Evaluation) -> bool:
    return result.is_breach


def _state(rule: AlertRule, n_breaches: int) -> AlertState:
    if n_breaches == 0:
        return "ok"
    return "firing" if n_breaches == rule.n_in_a_row else "pending"
