"""Replay of rules over the history: what would have fired."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

from event_count_logger.alerts import transitions
from event_count_logger.alerts.evaluation import Evaluator
from event_count_logger.alerts.notification import notification, time_of
from event_count_logger.alerts.transitions import Progress, Seen
from event_count_logger.config import AlertRule, Config
from event_count_logger.intervals import Interval
from event_count_logger.reading.group_reader import choose_interval
from event_count_logger.reading.reader import Reader, Snapshot
from event_count_logger.reading.times import Range
from event_count_logger.store import Store


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
    for group, interval in _followed(config):
        history = Reader(store).between(config.groups[group], interval, wanted)
        for first in islice(history, 1):
            begun.append(f"group '{group}', interval {interval.name}: from {time_of(first.start or 0)}")
            found += _events(config, group, interval, chain([first], history))
    yield from begun
    yield from (line for _, line in sorted(found))
    for rule in config.alerts:
        if rule.stale:
            yield f"alert '{rule.name}': not replayed: staleness has no history"


def _followed(config: Config) -> list[tuple[str, Interval]]:
    rules = [rule for rule in config.alerts if not rule.stale]
    return list(dict.fromkeys((rule.group, _interval(config, rule)) for rule in rules))


def _interval(config: Config, rule: AlertRule) -> Interval:
    return choose_interval(config.groups[rule.group], rule.interval)


def _events(
    config: Config, group: str, interval: Interval, history: Iterable[Snapshot]
) -> Iterator[tuple[float, str]]:
    evaluator = Evaluator(config.groups[group])
    rules = [
        rule
        for rule in config.alerts
        if not rule.stale and rule.group == group and _interval(config, rule) == interval
    ]
    progress: dict[AlertRule, Progress | None] = dict.fromkeys(rules)
    for snapshot in history:
        for rule in rules:
            end = snapshot.end or 0.0
            seen = Seen(evaluator.evaluate(rule, interval, snapshot), snapshot.start or 0.0, end)
            step = transitions.advance(rule, progress[rule], seen, end)
            progress[rule] = step.progress
            if step.kind and step.about:
                made = notification(rule, interval.name, step.kind, step.about, end)
                yield end, f"{time_of(end)}  {made.text}"
