"""Memory and time of each layout, with very many events."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median
from typing import Any

from bench_parts.libraries import event_names
from bench_parts.processes import QUICK, Bench
from bench_parts.report import Section, Table, at_most, blocked, number
from event_count_logger.config import GroupConfig, History, RedisConfig
from event_count_logger.intervals import Interval
from event_count_logger.store import Store

TEXT = """\
One interval with so many events, in each layout. Memory is the growth of the server's use when each event
was counted once, without and with totals, divided by the number of events. "Rotate" is the second of two
rotations, with history and totals. "Blocked" is the longest time in it for which one request kept the
server from other clients. "Commit" is the time of one existing event, and of a batch of {batch} of them, as a
median of {times}."""

INTERVAL = Interval.parse("1h")
GROUP = GroupConfig("laid out", (INTERVAL,), auto_declare_events=True)
BATCH, FILL = 500, 5_000


def run(bench: Bench) -> Section:
    store = Store(RedisConfig(host="127.0.0.1", port=bench.server.port, socket_timeout=60))
    sizes = (1_000, 10_000) if bench.effort is QUICK else (100_000, 1_000_000)
    rows, longest_ms = [], {}
    for events in sizes:
        for layout in ("keys", "hash"):
            group = replace(GROUP, layout=layout)
            bare = _memory(bench, store, replace(group, totals=False, history=History.of(0)), events)
            full = _memory(bench, store, group, events)
            one, many = _commit_us(store, group, events, bench.effort.latencies)
            took, waited = _rotation_ms(bench, store, group, events)
            longest_ms[layout] = waited
            memory = (number(bare), number(full))
            rows.append((f"{events:,}", layout, *memory, number(took), blocked([waited]), one, many))
    store.close()
    columns = ("bytes/event", "with totals", "rotate ms", "blocked ms", "commit us", f"of {BATCH} us")
    target = at_most(f"longest block by a rotation of {sizes[-1]:,} in a hash", longest_ms["hash"], 5, "ms")
    text = TEXT.format(batch=BATCH, times=bench.effort.latencies)
    return Section("Layouts", text, [Table(("events", "layout", *columns), rows)], [target])


def _fill(store: Store, group: GroupConfig, events: int, now: float) -> None:
    names = event_names(events)
    for first in range(0, events, FILL):
        batch = dict.fromkeys(names[first : first + FILL], 1)
        store.commits.commit(group, f"{now}:{first}", 0, 1, batch, now)


def _memory(bench: Bench, store: Store, group: GroupConfig, events: int) -> float:
    client: Any = bench.server.client
    bench.server.empty()
    before = client.info("memory")["used_memory"]
    _fill(store, group, events, time.time())
    return float(client.info("memory")["used_memory"] - before) / events


def _commit_us(store: Store, group: GroupConfig, events: int, times: int) -> tuple[str, str]:
    names = event_names(events)
    found = []
    for size in (1, BATCH):
        took = []
        for at in range(times):
            first = at * BATCH % (events - BATCH)
            batch = dict.fromkeys(names[first : first + size], 1)
            begin = time.perf_counter_ns()
            store.commits.commit(group, f"timed {size}", at, at + 1, batch)
            took.append((time.perf_counter_ns() - begin) / 1e3)
        found.append(number(median(took)))
    return found[0], found[1]


def _rotation_ms(bench: Bench, store: Store, group: GroupConfig, events: int) -> tuple[float, float]:
    """Returns milliseconds of a rotation, and those for which one of its requests blocked the server."""
    begin = time.time()
    store.rotation.rotate(group, INTERVAL, begin + INTERVAL.length_s)
    _fill(store, group, events, begin + INTERVAL.length_s)
    with bench.server.blocked_ms() as waits:
        start = time.perf_counter_ns()
        store.rotation.rotate(group, INTERVAL, begin + 2 * INTERVAL.length_s)
        took = (time.perf_counter_ns() - start) / 1e6
    return took, waits[0]
