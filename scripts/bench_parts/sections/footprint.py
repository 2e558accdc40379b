"""Memory of the counters of a process, and its CPU time while it does not count."""

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

#: Milliseconds of CPU time that the measurement itself takes: it wakes up from its sleep.
NOTHING_MS = 1.0

EVENTS = 1_000

TEXT = """\
Memory: additional kilobytes of a process and its files (anonymous memory and the blocks of its files,
medians of new processes). The process has a cached group with one declared event, or with {events:,}. All
of them were counted, and the background thread has connected. Idle: CPU time that a process with such a
group uses in {idle:g} seconds without counting, with `sync_interval: 60`. "Wake-ups" is how often one of
its threads wakes up. It is one run, all libraries at the same time."""


def run(bench: Bench) -> Section:
    memory, idle = _memory(bench), _idle(bench)
    ours = "native" if memory["native"] else "pure"
    kb = median(many - one for one, many in memory[ours])
    cpu_ms = median(cpu_ms for cpu_ms, _ in idle[ours])
    targets = [
        at_most(f"memory of {EVENTS:,} events, against that of one", kb, 200, "KB"),
        at_most(f"CPU time of {bench.effort.idle_s:g} idle seconds", cpu_ms, NOTHING_MS, "ms"),
    ]
    tables = [_memory_table(memory), _idle_table(idle)]
    return Section("Footprint", TEXT.format(events=EVENTS, idle=bench.effort.idle_s), tables, targets)


def _memory(bench: Bench) -> dict[str, list[tuple[int, int]]]:
    """Returns kilobytes with one event and with many."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for _ in range(bench.effort.repeats):
        for kind in TITLES:
            one, many = (_memory_of(bench, kind, events) for events in (1, EVENTS))
            if one is not None and many is not None:
                found[kind].append((one, many))
    return found


def _memory_of(bench: Bench, kind: str, events: int) -> int | None:
    with bench.worker(kind) as worker:
        return worker.ask("memory", events=events) if worker else None


def _idle(bench: Bench) -> dict[str, list[tuple[float, int]]]:
    """Measure all at the same time: idle processes do not disturb each other."""
    found: dict[str, list[tuple[float, int]]] = {}
    with bench.workers(IDLE) as workers:
        for worker in workers.values():
            worker.send("idle", seconds=bench.effort.idle_s)
        for kind, worker in workers.items():
            found[kind] = [worker.answer()]
    return found


def _memory_table(found: dict[str, list[tuple[int, int]]]) -> Table:
    columns = ("memory, KB", "1 event", f"{EVENTS:,} events", "difference")
    rows = []
    for kind, title in TITLES.items():
        ones, manys = zip(*found[kind], strict=True) if found[kind] else ((), ())
        differences = [many - one for one, many in found[kind]]
        rows.append((title, middle(ones), middle(manys), middle(differences)))
    return Table(columns, rows)


def _idle_table(found: dict[str, list[tuple[float, int]]]) -> Table:
    rows = [
        (TITLES[kind], middle([cpu_ms for cpu_ms, _ in runs]), middle([wakes for _, wakes in runs]))
        for kind, runs in found.items()
    ]
    return Table(("idle", "CPU ms", "wake-ups"), rows)
