"""What ending and reading an interval costs, and for how long it keeps the server from others."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from bench_parts.libraries import event_names
from bench_parts.processes import Bench, Worker
from bench_parts.report import Section, Table, blocked, middle
from event_count_logger.config import GroupConfig, RedisConfig
from event_count_logger.intervals import Interval
from event_count_logger.store import Store

TEXT = """\
Milliseconds of ending an interval and of reading it, with counts in all of so many events that are not
declared, and the longest time that one request kept the server from all others, by its own slow log and
statistics. The counts are filled in anew each time, into a server that holds nothing else.
(event-count-logger 1.1 is not tried with the most events, to save time.)"""

GROUP = "rotated"
INTERVAL = Interval.parse("1h")
CONFIG = GroupConfig(GROUP, (INTERVAL,))
BATCH = 500
ACTIONS = ("rotate", "read")

Times = dict[tuple[str, int, str], list[tuple[float, float]]]


def run(bench: Bench) -> Section:
    times: Times = defaultdict(list)
    store = Store(RedisConfig(host="127.0.0.1", port=bench.server.port, socket_timeout=60))
    with bench.worker("1.1") as previous:
        for _ in range(bench.effort.repeats):
            for events in bench.effort.sizes:
                _fill(bench, store, events)
                _measure_ours(bench, store, events, times)
                if previous and events < bench.effort.sizes[-1]:
                    _fill(bench, store, events)
                    _measure_previous(bench, previous, events, times)
    store.close()
    return Section("Rotate and read", TEXT, [_table(bench, times)])


def _fill(bench: Bench, store: Store, events: int) -> None:
    bench.server.client.flushall()
    names = event_names(events)
    for position, first in enumerate(range(0, events, BATCH)):
        batch = dict.fromkeys(names[first : first + BATCH], 1)
        store.commit(GROUP, [INTERVAL], "bench", position, position + 1, batch)


def _measure_ours(bench: Bench, store: Store, events: int, times: Times) -> None:
    later = time.time() + INTERVAL.length_s
    actions: dict[str, Callable[[], Any]] = {
        "rotate": lambda: store.rotate(CONFIG, INTERVAL, later),
        "read": lambda: store.read(GROUP, INTERVAL, (), ["last"], later),
    }
    for name, action in actions.items():
        with bench.server.blocked_ms() as waits:
            begin = time.perf_counter_ns()
            result = action()
            took = (time.perf_counter_ns() - begin) / 1e6
        times["this library", events, name].append((took, waits[0]))
    assert len(result.counts["last"]) == events


def _measure_previous(bench: Bench, worker: Worker, events: int, times: Times) -> None:
    with bench.server.blocked_ms() as waits:
        took = worker.ask("rotate", group=GROUP, interval=INTERVAL.name)
    times["event-count-logger 1.1", events, "rotate"].append((took, waits[0]))
    with bench.server.blocked_ms() as waits:
        took, found = worker.ask("read", group=GROUP, interval=INTERVAL.name)
    assert found == events
    times["event-count-logger 1.1", events, "read"].append((took, waits[0]))


def _table(bench: Bench, times: Times) -> Table:
    rows = []
    for events in bench.effort.sizes:
        for library in dict.fromkeys(library for library, size, _ in tuple(times) if size == events):
            cells = [f"{events:,}", library]
            for action in ACTIONS:
                found = times[library, events, action]
                cells += (middle([took for took, _ in found]), blocked([wait for _, wait in found]))
            rows.append(tuple(cells))
    return Table(("events", "library", "rotate ms", "blocked ms", "read ms", "blocked ms"), rows)
