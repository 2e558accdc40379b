"""States of all alerts, as readers show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from event_count_logger.alerts import transitions
from event_count_logger.alerts.evaluation import Evaluation, evaluate
from event_count_logger.alerts.fields import acknowledgement_field, progress_field
from event_count_logger.alerts.staleness import reason_of_staleness
from event_count_logger.config import AlertRule, Config, GroupConfig
from event_count_logger.config.checks import LONGEST_S
from event_count_logger.errors import NotYet, Rejected
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


def examine(config: Config, store: Store) -> list[AlertStatus]:
    """Returns the states of all alerts, in the order of the configuration.

    States are evaluated from the history: they do not depend on a running `ecl alert`.

    Raises:
        StoreError: Redis does not answer.
    """
    reader = Reader(store)
    histories: dict[tuple[str, str], list[Snapshot]] = {}
    longest = _longest(config)
    found = []
    for rule in config.alerts:
        group = config.groups[rule.group]
        if rule.stale:
            found.append(_stale(rule, group, store))
            continue
        interval = choose_interval(group, rule.interval)
        key = group.name, interval.name
        if key not in histories:
            histories[key] = reader.history(group, interval, longest[key])
        found.append(_of_history(rule, group, interval, histories[key]))
    return _with_stored(found, config, store)


def _with_stored(found: Iterable[AlertStatus], config: Config, store: Store) -> list[AlertStatus]:
    """Returns states with the times that `ecl alert` has stored for firing ones."""
    fields: dict[str, Mapping[str, str]] = {}
    result = []
    for status in found:
        name = status.rule.group
        if status.state == "firing" and name not in fields:
            fields[name] = {}
            with suppress(Rejected, NotYet):
                fields[name] = store.alerts.fields(config.groups[name], "states")
        result.append(_with_times(status, fields.get(name, {}), store.client.now()))
    return result


def _with_times(status: AlertStatus, fields: Mapping[str, str], now: float) -> AlertStatus:
    progress = transitions.parse(fields.get(progress_field(status.rule), ""), status.rule)
    if status.state != "firing" or progress is None or progress.since is None:
        return status
    silence = transitions.parse_acknowledgement(fields.get(acknowledgement_field(status.rule), ""))
    is_silenced = silence is not None and silence.covers(progress, now)
    until = (silence.until or now + LONGEST_S) if silence and is_silenced else None
    return replace(status, since=progress.since, acknowledged_until=until)


def _longest(config: Config) -> Mapping[tuple[str, str], int]:
    """Returns the number of finished intervals that the rules need, by group and interval."""
    found: dict[tuple[str, str], int] = {}
    for rule in config.alerts:
        if not rule.stale:
            key = rule.group, choose_interval(config.groups[rule.group], rule.interval).name
            found[key] = max(found.get(key, 1), rule.n_in_a_row)
    return found


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
    reason, for_s = reason_of_staleness(rule, group, store)
    return AlertStatus(rule, rule.interval or "", "firing" if reason else "ok", for_s)
