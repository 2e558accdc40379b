"""Cost of log() in direct groups, where Redis confirms each count."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from statistics import median

from bench_parts.processes import Bench
from bench_parts.report import Section, Table, at_most, number

TEXT = """\
Microseconds per `log("e")` of a group without `sync_interval` and `sync_limit`, which waits for the
server. The ratio is to one `incr` of redis-py in the same process at the same time. Client and server
share one core of the machine. On two, the figures would mostly be the time in which a sleeping core wakes
up, which depends on how long it slept. The second table has the CPU time of the client alone."""

INTERVALS = (1, 2, 4)
TITLES = {"native": "log(), native", "pure": "log(), pure Python", "1.1": "event-count-logger 1.1"}

#: The clock of each table, and the title of its first column.
CLOCKS = {
    "perf_counter_ns": "µs per call, and times incr",
    "process_time_ns": "µs of CPU time of the client, and times incr",
}

Samples = dict[tuple[str, int], list[tuple[float, float]]]


def run(bench: Bench) -> Section:
    samples: dict[str, Samples] = {clock: defaultdict(list) for clock in CLOCKS}
    with bench.server.on_one_core(), bench.workers(list(TITLES)) as workers:
        ours = bench.ours(workers)
        for _ in range(bench.effort.processes * bench.effort.repeats):
            for intervals, clock in product(INTERVALS, CLOCKS):
                for kind, worker in workers.items():
                    sample = worker.ask(
                        "sample",
                        call="direct",
                        base="incr",
                        events=1,
                        intervals=intervals,
                        threads=1,
                        sample_ms=bench.effort.sample_ms,
                        clock=clock,
                    )
                    samples[clock][kind, intervals].append(sample)
    ratio = _ratio(samples["perf_counter_ns"][ours, 4])
    target = at_most("direct log(), 4 intervals, against one redis-py incr", ratio, 1.6)
    tables = [_table(title, samples[clock]) for clock, title in CLOCKS.items()]
    return Section("Direct log()", TEXT, tables, [target])


def _ratio(samples: list[tuple[float, float]]) -> float:
    return median(call for _, call in samples) / median(base for base, _ in samples)


def _table(title: str, samples: Samples) -> Table:
    incr = [base for found in samples.values() for base, _ in found]
    columns = [title]
    first = ["redis-py incr"]
    for intervals in INTERVALS:
        columns += (f"{intervals} interval{'s' if intervals > 1 else ''}", "")
        first += (number(median(incr) / 1000), "1.00")
    rows = [tuple(first)]
    for kind, name in TITLES.items():
        cells = [name]
        for intervals in INTERVALS:
            found = samples[kind, intervals]
            cells += (
                (number(median(call for _, call in found) / 1000), number(_ratio(found)))
                if found
                else ("", "")
            )
        rows.append(tuple(cells))
    return Table(tuple(columns), rows)
