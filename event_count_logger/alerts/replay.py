"""Replay of rules over the history: what would have fired."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import NamedTuple

from event_count_logger.alerts import transitions
from event_count_logger.alerts.evaluation import Evaluator
from event_count_logger.alerts.notification import notification, time_of
from event_count_logger.alerts.transitions import Kind, Progress, Seen
from event_count_logger.config import AlertRule, Config, GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.group_reader import choose_interval
from event_count_logger.reading.reader import Reader, Snapshot
from event_count_logger.reading.times import Range
from event_count_logger.store import Store


class Turn(NamedTuple):
    """A change of an alert during a replay.

    Attributes:
        rule: Its rule.
        interval: The interval of the rule.
        kind: `firing` or `resolved`.
        about: The state, whose `end` is the time of the change.
    """

    rule: AlertRule
    interval: Interval
    kind: Kind
    about: Progress


class Period(NamedTuple):
    """A time during which an alert fired.

    Attributes:
        rule: Its rule.
        interval: The interval of the rule.
        start: End of the interval with which it began to fire, Unix seconds.
        end: End of the interval that resolved it; None if it still fires after the last interval.
    """

    rule: AlertRule
    interval: Interval
    start: float
    end: float | None = None


def replayed(config: Config, store: Store, for_s: float) -> Iterator[str]:
    """Yields a line for each notification that the rules would have made, in the order of time.

    Args:
        config: The rules.
        store: The history.
        for_s: Seconds before now with which the replay begins.

    Raises:
        StoreError: Redis does not answer.
    """
    store.servers.ping()
    wanted = Range(since=store.client.server_time() - for_s)
    begun: list[str] = []
    found: list[tuple[float, str]] = []
    for group in (config.groups[name] for name in dict.fromkeys(rule.group for rule in config.alerts)):
        for interval, rules in rules_for(config, group).items():
            history = Reader(store).between(group, interval, wanted)
            for first in islice(history, 1):
                begin = time_of(first.start or 0)
                begun.append(f"group '{group.name}', interval {interval.name}: from {begin}")
                found += map(_line, turns(group, interval, rules, chain([first], history)))
    yield from begun
    yield from (line for _, line in sorted(found))
    for rule in config.alerts:
        if rule.stale:
            yield f"alert '{rule.name}': not replayed: staleness has no history"


def _line(turn: Turn) -> tuple[float, str]:
    """Returns the time of a change, and a line about it."""
    end = turn.about.end
    made = notification(turn.rule, turn.interval.name, turn.kind, turn.about, end)
    return end, f"{time_of(end)}  {made.text}"


def turns(
    group: GroupConfig, interval: Interval, rules: Iterable[AlertRule], history: Iterable[Snapshot]
) -> Iterator[Turn]:
    """Yield each change of an alert over finished intervals, in the order of time.

    Args:
        group: The group of the intervals.
        interval: The interval.
        rules: Rules for this interval.
        history: Finished intervals, oldest first.
    """
    evaluator = Evaluator(group)
    progress: dict[AlertRule, Progress | None] = dict.fromkeys(rules)
    for snapshot in history:
        for rule in progress:
            end = snapshot.end or 0.0
            seen = Seen(evaluator.evaluate(rule, interval, snapshot), snapshot.start or 0.0, end)
            step = transitions.advance(rule, progress[rule], seen, end)
            progress[rule] = step.progress
            if step.kind and step.about:
                yield Turn(rule, interval, step.kind, step.about)


def periods(found: Iterable[Turn]) -> list[Period]:
    """Returns the times during which alerts fired, in the order of their starts."""
    begun: dict[AlertRule, Period] = {}
    ended: list[Period] = []
    for turn in found:
        if turn.kind == "firing":
            begun[turn.rule] = Period(turn.rule, turn.interval, turn.about.end)
        else:
            ended.append(begun.pop(turn.rule)._replace(end=turn.about.end))
    return sorted([*ended, *begun.values()], key=lambda period: period.start)


def rules_for(config: Config, group: GroupConfig) -> dict[Interval, list[AlertRule]]:
    """Returns the rules of a group that have a history, by their interval."""
    found: dict[Interval, list[AlertRule]] = {}
    for rule in config.alerts:
        if rule.group == group.name and not rule.stale:
            found.setdefault(choose_interval(group, rule.interval), []).append(rule)
    return found
