"""The cost of counting in programs with an event loop, and the time until counts are in Redis."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from statistics import median, quantiles

import redis

from bench_parts.processes import Bench, Worker
from bench_parts.report import Section, Table, Target, at_most, middle, number

TEXT = """\
A group with `sync_interval: 0` sends each count at once in the background thread. So does a direct group
whose `log()` is called in a thread with a running event loop. *Cost*: nanoseconds per `log("e")` without
rest, against a group that sends nothing meanwhile, in the same process. CPU time and wake-ups are those
of {idle:g} seconds without counting. *To Redis*: milliseconds from before `log()` until another process
has received the server's notification of the changed key; {latencies} counts, 10 to 20 ms apart. *In a
coroutine*: microseconds of the longest single call in {calls:g} seconds, in a direct group, with asyncio.
The server answers, is stopped by SIGSTOP, or has closed its port. Figures are medians of several runs,
and the longest of all. "An empty loop" of some 100 µs among these calls shows the share of the machine.
"The first log()" creates the file of the counters and starts the thread. "Missing" are counts that were
logged meanwhile, and that did not arrive when the server answered again."""

COSTS = {"native": "native", "pure": "pure Python"}
WAYS = {False: "sync_interval: 0", True: "direct, in a coroutine"}
STATES = ("the server answers", "it is stopped", "its port is closed")

#: Calls without a target: the first one is not of this library, the second one happens once.
EMPTY, FIRST = "an empty loop", "the first log()"

#: Timeout of a notification, in seconds.
_LONGEST_WAIT_S = 5.0

Calls = dict[tuple[str, str], list[float]]


def run(bench: Bench) -> Section:
    with bench.workers(list(COSTS)) as workers:
        ours = bench.ours(workers)
        costs = {kind: _costs(bench, worker) for kind, worker in workers.items()}
    idle = _idle(bench)
    latencies = {in_loop: _latencies_ms(bench, ours, in_loop) for in_loop in WAYS}
    calls, missing = _calls(bench, ours)
    text = TEXT.format(
        idle=bench.effort.idle_s,
        latencies=bench.effort.latencies,
        calls=bench.effort.calls_s,
    )
    tables = [_cost_table(costs, idle), _latency_table(latencies), _call_table(calls, missing)]
    return Section("Event loops", text, tables, _targets(costs[ours], idle[ours], latencies, calls, missing))


def _targets(
    costs: list[tuple[float, float]],
    idle: tuple[float, int],
    latencies: dict[bool, list[float]],
    calls: Calls,
    missing: dict[str, int],
) -> list[Target]:
    limited = [median(found) for (name, _), found in calls.items() if name not in (EMPTY, FIRST)]
    return [
        at_most("log() with sync_interval: 0 without rest, against a cached log()", _ratio(costs), 1.5),
        at_most("CPU time of idle seconds with sync_interval: 0", idle[0], 1, "ms"),
        *(
            at_most(f"from log() to Redis, {way}, 99 of 100", _percentile(latencies[in_loop], 99), 10, "ms")
            for in_loop, way in WAYS.items()
        ),
        at_most(
            "longest call in a coroutine, whatever the server does, median of runs", max(limited), 1_000, "µs"
        ),
        at_most("counts missing once the server answers again", sum(missing.values()), 0),
    ]


def _costs(bench: Bench, worker: Worker) -> list[tuple[float, float]]:
    """Returns nanoseconds per call of a cached `log()`, and of one with `sync_interval: 0`."""
    request = {"call": "at-once", "base": "log", "events": 1, "intervals": 2, "threads": 1}
    n = bench.effort.processes * bench.effort.repeats
    return [worker.ask("sample", **request, sample_ms=5 * bench.effort.sample_ms) for _ in range(n)]


def _ratio(costs: list[tuple[float, float]]) -> float:
    return median(call / base for base, call in costs)


def _idle(bench: Bench) -> dict[str, tuple[float, int]]:
    with bench.workers(list(COSTS)) as workers:
        for worker in workers.values():
            worker.send("idle", seconds=bench.effort.idle_s, sync_interval=0)
        return {kind: worker.answer() for kind, worker in workers.items()}


def _latencies_ms(bench: Bench, kind: str, in_loop: bool) -> list[float]:
    """Returns the times from `log()` until another process receives the notification of the change."""
    group = f"latency-{in_loop}"
    events = [f"e{number}" for number in range(bench.effort.latencies)]
    arrived: dict[str, list[int]] = {event: [] for event in events}
    missing = 2 * len(events)  # each is counted once before, to make its counter
    with bench.workers([kind]) as workers, _changes(bench, f"{group}:1h:cur:") as changes:
        workers[kind].send("log_times", group=group, events=events, in_loop=in_loop)
        while missing:
            event, time_ns = next(changes)
            if event in arrived:
                arrived[event].append(time_ns)
                missing -= 1
        logged = workers[kind].answer()
    return [(arrived[event][1] - time_ns) / 1e6 for event, time_ns in zip(events, logged, strict=True)]


@contextmanager
def _changes(bench: Bench, prefix: str) -> Iterator[Iterator[tuple[str, int]]]:
    """Yield an iterator over changes of keys with this prefix: the event, and the `time.monotonic_ns()`."""
    client = redis.Redis(port=bench.server.port, socket_timeout=_LONGEST_WAIT_S, decode_responses=True)
    client.config_set("notify-keyspace-events", "K$")
    with client, client.pubsub() as subscription:
        subscription.psubscribe(f"__keyspace@0__:{prefix}*")
        subscription.parse_response()
        yield (
            (channel.rpartition(":")[2], time.monotonic_ns())
            for _, _, channel, _ in iter(subscription.parse_response, None)
        )
        client.config_set("notify-keyspace-events", "")


def _calls(bench: Bench, kind: str) -> tuple[Calls, dict[str, int]]:
    """Returns microseconds of the longest calls of each run, and the number of missing counts by state."""
    blocks: list[Callable[[], AbstractContextManager[None]]] = [
        nullcontext,
        bench.server.stalled,
        bench.server.down,
    ]
    conditions = dict(zip(STATES, blocks, strict=True))
    calls: Calls = defaultdict(list)
    missing = dict.fromkeys(STATES, 0)
    for turn in range(bench.effort.repeats):
        for state, condition in conditions.items():
            group = f"calls-{turn}-{STATES.index(state)}"
            with bench.workers([kind]) as workers:
                worker = workers[kind]
                calls[FIRST, state].append(worker.ask("first_call_us", group=group))
                with condition():
                    longest = worker.ask("longest_calls_us", seconds=bench.effort.calls_s)
                for name, us in longest.items():
                    calls[name, state].append(us)
                expected = worker.ask("expected")
            missing[state] += sum(
                abs(count - int(bench.server.client.get(f"{group}:1h:cur:{event}") or 0))
                for event, count in expected.items()
            )
    return calls, missing


def _percentile(values: list[float], number: int) -> float:
    return quantiles(values, n=100, method="inclusive")[number - 1]


def _cost_table(costs: dict[str, list[tuple[float, float]]], idle: dict[str, tuple[float, int]]) -> Table:
    rows = []
    for kind, title in COSTS.items():
        if kind in costs:
            base, call = (median(found) for found in zip(*costs[kind], strict=True))
            cpu_ms, wakes = idle[kind]
            rows.append(
                (title, number(base), number(call), number(_ratio(costs[kind])), number(cpu_ms), str(wakes))
            )
    columns = ("cost", "cached, ns", "sync_interval: 0, ns", "times cached", "idle CPU ms", "wake-ups")
    return Table(columns, rows)


def _latency_table(latencies: dict[bool, list[float]]) -> Table:
    rows = [
        (
            way,
            *(number(_percentile(latencies[in_loop], p)) for p in (50, 99)),
            number(max(latencies[in_loop])),
        )
        for in_loop, way in WAYS.items()
    ]
    return Table(("to Redis, ms", "median", "99 of 100 within", "at most"), rows)


def _call_table(calls: Calls, missing: dict[str, int]) -> Table:
    columns = ["in a coroutine, longest call, µs"]
    for state in STATES:
        columns += (state, "at most")
    rows = []
    for name in dict.fromkeys(name for name, _ in calls):
        cells = [name]
        for state in STATES:
            cells += (middle(calls[name, state]), number(max(calls[name, state])))
        rows.append(tuple(cells))
    rows.append(("missing", *(cell for state in STATES for cell in (str(missing[state]), ""))))
    return Table(tuple(columns), rows)
