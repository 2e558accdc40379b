"""What counters cost a process in memory, and what they do while nothing is counted."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from bench_parts.processes import Bench
from bench_parts.report import Section, Table, at_most, middle

TITLES = {
    "native": "native",
    "pure": "pure Python",
    "1.1": "event-count-logger 1.1, 2 intervals",
    "prometheus": "prometheus_client",
    "prometheus multi-process": "prometheus_client, multi-process",
}
IDLE = ("native", "pure", "1.1")

#: Milliseconds of CPU time that cannot be told from none: waking from the sleep that it is measured with.
NOTHING_MS = 1.0

EVENTS = 1_000

TEXT = """\
Memory: kilobytes that a process grows by (anonymous memory, medians of new processes) from before making
a cached group until its first of {events:,} declared events was counted and its background thread has
connected; then until all were counted; and what its files take up, in memory or on a disk. Idle: CPU time
that a process with such a group uses in {idle:g} seconds without counting, with `sync_interval: 60`, and
how often one of its threads wakes up; one run, all libraries at the same time."""


def run(bench: Bench) -> Section:
    memory, idle = _memory(bench), _idle(bench)
    ours = "native" if memory["native"] else "pure"
    kb = median(sum(found) for found in memory[ours])
    cpu_ms = median(cpu_ms for cpu_ms, _ in idle[ours])
    targets = [
        at_most(f"memory of {EVENTS:,} events, with all that comes with them", kb, 200, "KB"),
        at_most(f"CPU time of {bench.effort.idle_s:g} idle seconds", cpu_ms, NOTHING_MS, "ms"),
    ]
    tables = [_memory_table(memory), _idle_table(idle)]
    return Section("Footprint", TEXT.format(events=EVENTS, idle=bench.effort.idle_s), tables, targets)


def _memory(bench: Bench) -> dict[str, list[tuple[int, int, int]]]:
    found: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for _ in range(bench.effort.repeats):
        for kind in TITLES:
            with bench.worker(kind) as worker:
                if worker:
                    found[kind].append(worker.ask("memory", events=EVENTS))
    return found


def _idle(bench: Bench) -> dict[str, list[tuple[float, int]]]:
    """All at the same time: what is idle disturbs nobody."""
    found: dict[str, list[tuple[float, int]]] = {}
    with bench.workers(IDLE) as workers:
        for worker in workers.values():
            worker.send("idle", seconds=bench.effort.idle_s)
        for kind, worker in workers.items():
            found[kind] = [worker.answer()]
    return found


def _memory_table(found: dict[str, list[tuple[int, int, int]]]) -> Table:
    columns = ("memory, KB", "start and first event", f"{EVENTS - 1:,} more", "files", "all")
    rows = []
    for kind, title in TITLES.items():
        cells = [middle(values) for values in zip(*found[kind], strict=True)] if found[kind] else ["", "", ""]
        rows.append((title, *cells, middle([sum(sizes) for sizes in found[kind]])))
    return Table(columns, rows)


def _idle_table(found: dict[str, list[tuple[float, int]]]) -> Table:
    rows = [
        (TITLES[kind], middle([cpu_ms for cpu_ms, _ in runs]), middle([wakes for _, wakes in runs]))
        for kind, runs in found.items()
    ]
    return Table(("idle", "CPU ms", "wake-ups"), rows)
