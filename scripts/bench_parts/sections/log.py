"""Cost of counting an event for the application, in cached groups and in other libraries."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median

from bench_parts.processes import Bench, Worker
from bench_parts.report import Section, Table, at_least, at_most, number

TEXT = """\
Nanoseconds per call, including the loop. The ratio is to an empty method, `def log(self, event_id,
count=1): pass` called as `obj.log("e")`, in the same loop and process at the same time. "1,000 events"
uses as many names in turn (prometheus_client: `counter.labels(name).inc()`, OpenTelemetry: an attribute,
this library's `counter()`: as many of them). "4 threads" count the same event, and the time is that of
all of them together. Nothing is sent meanwhile, except by statsd: it sends each count to a socket on this
machine."""


@dataclass(frozen=True)
class Row:
    title: str
    kind: str
    call: str
    intervals: int = 1


@dataclass(frozen=True)
class Condition:
    title: str
    events: int = 1
    threads: int = 1


NATIVE = Row('log("e"), native, 1 interval', "native", "log")
NATIVE_4 = Row('log("e"), native, 4 intervals', "native", "log", 4)
BOUND = Row("counter.inc(), native, 1 interval", "native", "inc")
PURE = Row('log("e"), pure Python, 1 interval', "pure", "log")
PURE_4 = Row('log("e"), pure Python, 4 intervals', "pure", "log", 4)
PURE_BOUND = Row("counter.inc(), pure Python, 1 interval", "pure", "inc")
PREVIOUS = Row("event-count-logger 1.1, cached, 2 intervals", "1.1", "log", 2)
PROMETHEUS = Row("prometheus_client child.inc()", "prometheus", "inc")
PROMETHEUS_MULTI = Row("prometheus_client child.inc(), multi-process", "prometheus multi-process", "inc")
STATSD = Row('statsd incr("e")', "statsd", "inc")
OPENTELEMETRY = Row("OpenTelemetry SDK counter.add(1)", "opentelemetry", "inc")
LOOP = Row("(only the loop)", "pure", "loop")
ROWS = [
    NATIVE, NATIVE_4, BOUND, PURE, PURE_4, PURE_BOUND, PREVIOUS,
    PROMETHEUS, PROMETHEUS_MULTI, STATSD, OPENTELEMETRY, LOOP,
]  # fmt: skip
KINDS = list(dict.fromkeys(row.kind for row in ROWS))

ONE = Condition("1 event")
CONDITIONS = [ONE, Condition("1,000 events", events=1_000), Condition("4 threads", threads=4)]

#: Two medians of the same thing differ by this much.
NOISE = 0.05

Samples = dict[tuple[Row, Condition], list[tuple[float, float]]]


def run(bench: Bench) -> Section:
    samples = _measure(bench)

    def relative(row: Row) -> float | None:
        return _ratio(samples[row, ONE])

    def against(row: Row, other: Row) -> float | None:
        """Returns the cost of `other` divided by that of `row`, in units of each process's empty method."""
        own, others = relative(row), relative(other)
        return others / own if own and others else None

    targets = [
        at_most('cached log("e"), native, against an empty method', relative(NATIVE), 1.1),
        at_most("counter.inc(), native, against an empty method", relative(BOUND), 0.6),
        at_least(
            'cached log("e"), native, faster than event-count-logger 1.1', against(NATIVE, PREVIOUS), 20
        ),
        at_least('cached log("e"), native, faster than prometheus_client', against(NATIVE, PROMETHEUS), 8),
        at_least('cached log("e"), pure Python, faster than 1.1', against(PURE, PREVIOUS), 2),
        at_most('cached log("e"), native, 4 intervals against 1', against(NATIVE, NATIVE_4), 1 + NOISE),
    ]
    return Section("Cost of log()", TEXT, [_table(bench, samples)], targets)


def _measure(bench: Bench) -> Samples:
    """Measure all rows in turn, repeatedly, in several sets of processes: memory layouts differ."""
    samples: Samples = defaultdict(list)
    for _ in range(bench.effort.processes):
        with bench.workers(KINDS) as workers:
            for _ in range(bench.effort.repeats):
                for condition in CONDITIONS:
                    for row in ROWS:
                        if row.kind in workers:
                            samples[row, condition].append(_sample(bench, workers[row.kind], row, condition))
    return samples


def _sample(bench: Bench, worker: Worker, row: Row, condition: Condition) -> tuple[float, float]:
    base, call = worker.ask(
        "sample",
        call=row.call,
        base="empty",
        events=condition.events,
        intervals=row.intervals,
        threads=condition.threads,
        sample_ms=bench.effort.sample_ms,
    )
    return base, call


def _ratio(samples: list[tuple[float, float]]) -> float | None:
    if not samples:
        return None
    return median(call for _, call in samples) / median(base for base, _ in samples)


def _table(bench: Bench, samples: Samples) -> Table:
    columns = ["ns per call, and times an empty method"]
    empty = ["an empty method"]
    for condition in CONDITIONS:
        columns += (condition.title, "")
        bases = [base for row in ROWS for base, _ in samples[row, condition]]
        empty += (number(median(bases)), "1.00")
    rows = [tuple(empty)]
    for row in ROWS:
        cells = [f"{row.title}: {bench.missing[row.kind]}" if row.kind in bench.missing else row.title]
        for condition in CONDITIONS:
            found = samples[row, condition]
            ratio = _ratio(found)
            cells += (number(median(call for _, call in found)), number(ratio)) if ratio else ("", "")
        rows.append(tuple(cells))
    return Table(tuple(columns), rows)
