"""Cost of a sync, and the time for which it keeps the server from other clients."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from bench_parts.processes import Bench
from bench_parts.report import Section, Table, at_least, at_most, blocked, middle, number

TEXT = """\
Milliseconds of `group.sync()` in a group with 2 intervals, from the call until all is confirmed.
"Blocked" is the longest time for which one request kept the server from all other clients, by its own
slow log. It is a median, and the longest of all."""

TITLES = {"native": "native", "pure": "pure Python", "1.1": "event-count-logger 1.1"}

Scenario = tuple[int, int]
Found = dict[tuple[Scenario, str], list[tuple[float, float]]]


def run(bench: Bench) -> Section:
    few, many, very_many = bench.effort.sizes
    scenarios = [(few, few), (many, many), (few, very_many)]
    found: Found = defaultdict(list)
    with bench.workers(list(TITLES)) as workers:
        ours = bench.ours(workers)
        for _ in range(bench.effort.repeats):
            for scenario in scenarios:
                for kind, worker in workers.items():
                    changed, among = scenario
                    worker.ask("sync", changed=0, among=among)  # makes the group when it is asked first
                    with bench.server.blocked_ms() as waits:
                        took = worker.ask("sync", changed=changed, among=among)
                    found[scenario, kind].append((took, waits[0]))

    def took_ms(scenario: Scenario, kind: str) -> float | None:
        return median(took for took, _ in found[scenario, kind]) if found[scenario, kind] else None

    mine, others = took_ms((many, many), ours), took_ms((many, many), "1.1")
    longest_ms = max(wait for scenario in scenarios for _, wait in found[scenario, ours])
    targets = [
        at_least(
            f"sync of {many:,} changed counters, faster than 1.1", mine and others and others / mine, 40
        ),
        at_most("longest time that a commit blocked the server", longest_ms, 5, "ms"),
        at_most(
            f"sync that finds {few:,} changed among {very_many:,}", took_ms((few, very_many), ours), 5, "ms"
        ),
    ]
    return Section("Sync", TEXT, [_table(scenarios, found)], targets)


def _table(scenarios: list[Scenario], found: Found) -> Table:
    columns = ("changed counters", "library", "ms", "blocked ms", "at most", "1.1 takes")
    rows = []
    for scenario in scenarios:
        changed, among = scenario
        of_previous = [took for took, _ in found[scenario, "1.1"]]
        for kind, title in TITLES.items():
            times, waits = zip(*found[scenario, kind], strict=True) if found[scenario, kind] else ((), ())
            ratio = f"{number(median(of_previous) / median(times))} x" if times and of_previous else ""
            name = f"{changed:,}" + (f" among {among:,}" if among != changed else "")
            rows.append((name, title, middle(times), blocked(waits), blocked(waits, max), ratio))
    return Table(columns, rows)
