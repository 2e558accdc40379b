"""Longest pause of threads that count, during a sync."""

from __future__ import annotations

import sys
from collections import defaultdict
from statistics import median

from bench_parts.processes import Bench
from bench_parts.report import Section, Table, at_most, middle, number

TITLES = {"native": "native", "pure": "pure Python", "1.1": "event-count-logger 1.1"}


def run(bench: Bench) -> Section:
    changed = bench.effort.sizes[1]
    switch_ms = sys.getswitchinterval() * 1000
    found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    with bench.workers(list(TITLES)) as workers:
        ours = bench.ours(workers)
        for _ in range(bench.effort.repeats):
            for kind, worker in workers.items():
                found[kind].append(worker.ask("pause", changed=changed))
    without, with_sync, _ = (median(times) for times in zip(*found[ours], strict=True))
    target = at_most(
        "longest pause of log(): what a sync adds to it, against Python's switch interval",
        max(0.0, with_sync - without),
        switch_ms,
        "ms",
    )
    return Section(
        "Longest pause of log() during a sync", _text(changed, switch_ms), [_table(found)], [target]
    )


def _text(changed: int, switch_ms: float) -> str:
    return f"""\
Longest time in milliseconds between two counts of a thread that counts without rest. It is measured
without a sync, and while another thread syncs {changed:,} changed counters x 2 intervals, for the same
length of time. Figures are medians of several runs, and the longest of all. Python lets a thread that
wants to run wait for {switch_ms:g} ms (`sys.getswitchinterval()`) before it interrupts the running one."""


def _table(found: dict[str, list[tuple[float, float, float]]]) -> Table:
    columns = ("longest pause, ms", "without sync", "with sync", "with sync, at most", "sync took")
    rows = []
    for kind, title in TITLES.items():
        without, with_sync, took = zip(*found[kind], strict=True) if found[kind] else ((), (), ())
        longest = number(max(with_sync)) if with_sync else ""
        rows.append((title, middle(without), middle(with_sync), longest, middle(took)))
    return Table(columns, rows)
