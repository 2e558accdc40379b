"""Cost of a rotation and of reads, and the time for which they keep the server from other clients."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

from bench_parts.libraries import event_names
from bench_parts.processes import Bench, Worker
from bench_parts.report import Section, Table, at_least, at_most, blocked, middle
from event_count_logger.config import GroupConfig, History, RedisConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.reader import Reader
from event_count_logger.store import Store

TEXT = """\
Milliseconds to end an interval and to read it, with counts in all of so many undeclared events. "Blocked"
is the longest time for which one request kept the server from all other clients, by its own slow log and
statistics. It is a median, and for reading also the longest of all. "Bare" is without history and totals.
"Current" is the current interval, and "totals" are the all-time totals. Each run fills the counts into a
server that holds nothing else. (event-count-logger 1.1 is not measured with the most events, to save
time.)"""

INTERVAL = Interval.parse("1h")
GROUP = GroupConfig("rotated", (INTERVAL,), auto_declare_events=True)
OURS = {"this library": GROUP, "this library, bare": replace(GROUP, history=History.of(0), totals=False)}
PREVIOUS = "event-count-logger 1.1"
BATCH = 500
ACTIONS = ("rotate", "read", "current", "totals")

Times = dict[tuple[str, int, str], list[tuple[float, float]]]


def run(bench: Bench) -> Section:
    times: Times = defaultdict(list)
    store = Store(RedisConfig(host="127.0.0.1", port=bench.server.port, socket_timeout=60))
    with bench.worker("1.1") as previous:
        for _ in range(bench.effort.repeats):
            for events in bench.effort.sizes:
                for library, group in OURS.items():
                    _measure_ours(bench, store, events, library, group, times)
                if previous and events < bench.effort.sizes[-1]:
                    _measure_previous(bench, store, events, previous, times)
    store.close()
    return Section("Rotate and read", TEXT, [_table(bench, times)], _targets(bench, times))


class _Filler:
    """Counts each event once in the hour that is asked for."""

    def __init__(self, bench: Bench, store: Store, events: int) -> None:
        bench.server.empty()
        self._store = store
        self._names = event_names(events)
        self._position = 0

    def fill(self, now: float) -> None:
        for first in range(0, len(self._names), BATCH):
            batch = dict.fromkeys(self._names[first : first + BATCH], 1)
            position = self._position
            self._position += 1
            self._store.commits.commit(GROUP, "bench", position, position + 1, batch, now)


def _measure_ours(
    bench: Bench, store: Store, events: int, library: str, group: GroupConfig, times: Times
) -> None:
    """Measure the second of two rotations: a master rotates again and again."""
    begin, filler, reader = time.time(), _Filler(bench, store, events), Reader(store)
    for hour in range(2):
        filler.fill(begin + hour * INTERVAL.length_s)
        end = begin + (hour + 1) * INTERVAL.length_s
        rotated = _timed(bench, partial(store.rotation.rotate, group, INTERVAL, end))
    times[library, events, "rotate"].append(rotated)
    filler.fill(end)
    reads: dict[str, Callable[[], Any]] = {
        "read": lambda: reader.read(group, INTERVAL, "last", now=end)[0],
        "current": lambda: reader.read(group, INTERVAL, "cur", now=end)[0],
    }
    if group.totals:
        reads["totals"] = lambda: reader.totals(group, end)
    for action, read in reads.items():
        times[library, events, action].append(_timed(bench, read))
        assert len(read().counts) == events


def _timed(bench: Bench, action: Callable[[], Any]) -> tuple[float, float]:
    with bench.server.blocked_ms() as waits:
        begin = time.perf_counter_ns()
        action()
        took = (time.perf_counter_ns() - begin) / 1e6
    return took, waits[0]


def _measure_previous(bench: Bench, store: Store, events: int, worker: Worker, times: Times) -> None:
    _Filler(bench, store, events).fill(time.time())
    for action in ("rotate", "read"):
        with bench.server.blocked_ms() as waits:
            answer = worker.ask(action, group=GROUP.name, interval=INTERVAL.name)
        took, found = answer if action == "read" else (answer, events)
        assert found == events
        times[PREVIOUS, events, action].append((took, waits[0]))


def _targets(bench: Bench, times: Times) -> list[Any]:
    _, many, very_many = bench.effort.sizes
    full, bare = OURS

    def took_ms(library: str, action: str) -> float | None:
        found = times.get((library, many, action))
        return median(took for took, _ in found) if found else None

    rotate_full, rotate_bare = took_ms(full, "rotate"), took_ms(bare, "rotate")
    read, read_previous = took_ms(full, "read"), took_ms(PREVIOUS, "read")
    longest_ms = max(
        wait for library in OURS for action in ACTIONS[1:] for _, wait in times[library, very_many, action]
    )
    return [
        at_most(
            f"rotation of {many:,} counters with history and totals, against without",
            rotate_full and rotate_bare and rotate_full / rotate_bare,
            1.6,
        ),
        at_least(
            f"read of {many:,} counts, faster than 1.1", read and read_previous and read_previous / read, 40
        ),
        at_most(f"longest time that a read of {very_many:,} blocked the server", longest_ms, 20, "ms"),
    ]


def _table(bench: Bench, times: Times) -> Table:
    rows = []
    for events in bench.effort.sizes:
        for library in (*OURS, PREVIOUS):
            cells = [f"{events:,}", library]
            for action in ACTIONS:
                found = times[library, events, action]
                waits = [wait for _, wait in found]
                cells += (middle([took for took, _ in found]), blocked(waits))
            longest = [wait for action in ACTIONS[1:] for _, wait in times[library, events, action]]
            if any(cells[2:]):
                rows.append((*cells, blocked(longest, max)))
    columns = [name for action in ACTIONS for name in (f"{action} ms", "blocked ms")]
    return Table(("events", "library", *columns, "reads blocked, at most"), rows)
