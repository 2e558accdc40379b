"""Time to evaluate the rules of alerts on a finished interval."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

from bench_parts.processes import Bench
from bench_parts.report import Section, Table, at_most, number
from event_count_logger.alerts.evaluation import Evaluator
from event_count_logger.config import AlertRule, GroupConfig, Threshold
from event_count_logger.intervals import Interval
from event_count_logger.reading.reader import Snapshot

N_RULES, N_EVENTS = 200, 10_000

LONGEST_MS = 100.0

INTERVAL = Interval.parse("5m")

TEXT = f"""\
Milliseconds to evaluate {N_RULES} rules on one finished interval of {N_EVENTS:,} events. A quarter of the
rules has an event, a quarter a pattern such as `host_17_*`, a quarter one such as `*_error_17`, and a
quarter the share of such a pattern in `*`. No two rules have the same pattern. In the last column, each
pattern is a regular expression that is tried on each event."""


def run(bench: Bench) -> Section:
    group = GroupConfig("g", (INTERVAL,), auto_declare_events=True)
    rules = [_rule(number) for number in range(N_RULES)]
    found = [_measured(group, rules, number) for number in range(bench.effort.repeats)]
    of_new, of_same, plain = (median(times) for times in zip(*found, strict=True))
    rows = [(number(of_same), number(of_new), number(plain))]
    table = Table(("the same events as before", "all events are new", "regular expressions"), rows)
    target = at_most(f"{N_RULES} rules on {N_EVENTS:,} new events", of_new, LONGEST_MS, "ms")
    return Section("Alerts", TEXT, [table], [target])


def _measured(group: GroupConfig, rules: list[AlertRule], round: int) -> tuple[float, float, float]:
    """Returns the milliseconds for new events, for the same events again, and for plain expressions."""
    evaluator, first = Evaluator(group), _snapshot(round)
    again = replace(first, counts=dict(first.counts))
    return (
        _ms(lambda: _evaluate(evaluator, rules, first)),
        _ms(lambda: _evaluate(evaluator, rules, again)),
        _ms(lambda: _plainly(rules, first)),
    )


def _rule(number: int) -> AlertRule:
    patterns = (f"host_{number}_error_{number}", f"host_{number}_*", f"*_error_{number}", f"host_*_{number}")
    kind = number % len(patterns)
    of = ("*",) if kind == 3 else ()
    return AlertRule(f"{number}", "g", (patterns[kind],), above=Threshold(5, is_percent=bool(of)), of=of)


def _snapshot(round: int) -> Snapshot:
    hosts = range(round * N_EVENTS, (round + 1) * N_EVENTS)
    counts = {f"host_{host}_error_{host % 300}": host % 7 for host in hosts}
    return Snapshot("g", "5m", "last", 0.0, 300.0, counts, 300.0, 0)


def _evaluate(evaluator: Evaluator, rules: list[AlertRule], snapshot: Snapshot) -> None:
    for rule in rules:
        evaluator.evaluate(rule, INTERVAL, snapshot)


def _plainly(rules: list[AlertRule], snapshot: Snapshot) -> None:
    for rule in rules:
        for pattern in (*rule.event, *rule.of):
            matches = re.compile(pattern.replace("*", ".*")).fullmatch
            sum(count for event_id, count in snapshot.counts.items() if matches(event_id))


def _ms(action: Callable[[], object]) -> float:
    begin = time.perf_counter_ns()
    action()
    return (time.perf_counter_ns() - begin) / 1e6
