"""Capacity of one node of Redis: commits per second, and rotations of many events."""

from __future__ import annotations

import multiprocessing
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from statistics import median
from typing import NamedTuple

from bench_parts.libraries import event_names
from bench_parts.processes import Bench
from bench_parts.report import Section, Table, middle, number
from event_count_logger.config import GroupConfig, RedisConfig
from event_count_logger.intervals import Interval
from event_count_logger.store import Store

TEXT = """\
The benchmark commits batches with counts of so many distinct events, from {clients} processes at once
without rest. "Per second" is per second of all processor time that the server used meanwhile. It is what
one core of a node can do when it does nothing else. "Events" are the commits times the size of the batch.
The second table is the rotation of an interval with counts in all of so many events, with history and
totals. "Server" is processor time of the server, for most of which it serves no other client. "Rotate" is
time from start to end. "Bytes" are the memory that each event takes after it, with counts in two
intervals that have finished."""

BATCHES = (1, 10, 100, 1000)
INTERVALS = {1: ("1h",), 4: ("1h", "2h", "3h", "4h")}
CLIENTS = 3

#: Least number of events whose memory is shown: that of fewer ones is small beside that of connections.
_ENOUGH_TO_WEIGH = 10_000

Rates = dict[tuple[int, int], list[float]]


class Rotated(NamedTuple):
    """One rotation."""

    took_ms: float
    server_ms: float
    bytes_each: float


def run(bench: Bench) -> Section:
    rates: Rates = defaultdict(list)
    rotations: dict[int, list[Rotated]] = defaultdict(list)
    few, many, very_many = bench.effort.sizes
    for _ in range(max(1, bench.effort.repeats // 2)):
        for n_intervals in INTERVALS:
            for batch in BATCHES:
                rates[batch, n_intervals].append(_commits_per_cpu_second(bench, batch, n_intervals))
        for events in (few * 10, many, very_many):
            rotations[events].append(_rotate(bench, events))
    tables = [_table_of_commits(rates), _table_of_rotations(rotations)]
    return Section("Capacity of a node", TEXT.format(clients=CLIENTS), tables)


def _group(n_intervals: int) -> GroupConfig:
    intervals = tuple(map(Interval.parse, INTERVALS[n_intervals]))
    return GroupConfig("capacity", intervals, auto_declare_events=True)


def _commits_per_cpu_second(bench: Bench, batch: int, n_intervals: int) -> float:
    bench.server.empty()
    context = multiprocessing.get_context("fork")
    seconds = bench.effort.sample_ms / 10
    n_commits = context.Queue()
    with _cpu_seconds(bench) as cpu:
        arguments = (bench.server.port, batch, n_intervals, seconds, n_commits)
        clients = [context.Process(target=_commit, args=(*arguments, name)) for name in range(CLIENTS)]
        for client in clients:
            client.start()
        total = sum(n_commits.get(timeout=60 + seconds) for _ in clients)
        for client in clients:
            client.join()
    return float(total / cpu[0])


def _commit(port: int, batch: int, n_intervals: int, seconds: float, result: Queue[int], name: int) -> None:
    store, group = _store(port), _group(n_intervals)
    counts = dict.fromkeys(event_names(batch), 1)
    position, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        store.commits.commit(group, f"client {name}", position, position + 1, counts)
        position += 1
    store.close()
    result.put(position)


def _store(port: int) -> Store:
    return Store(RedisConfig(host="127.0.0.1", port=port, socket_timeout=60))


@contextmanager
def _cpu_seconds(bench: Bench) -> Iterator[list[float]]:
    """Add to the list the seconds of processor time that the server used in the block."""

    def used() -> float:
        cpu = bench.server.client.info("cpu")
        return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"])

    found: list[float] = []
    before = used()
    yield found
    found.append(used() - before)


def _rotate(bench: Bench, events: int) -> Rotated:
    """Measure the second of two rotations: a master rotates again and again."""
    bench.server.empty()
    store, group = _store(bench.server.port), _group(1)
    (interval,) = group.intervals
    memory, begin, names = _memory(bench), time.time(), event_names(events)
    for hour in range(2):
        at = begin + hour * interval.length_s
        for first in range(0, events, BATCHES[-1]):
            counts = dict.fromkeys(names[first : first + BATCHES[-1]], 1)
            store.commits.commit(
                group, "filler", hour * events + first, hour * events + first + 1, counts, at
            )
            store.sources.retire(group, "filler")
        with _cpu_seconds(bench) as cpu:
            before = time.perf_counter()
            store.rotation.rotate(group, interval, at + interval.length_s)
            took_s = time.perf_counter() - before
    store.close()
    return Rotated(took_s * 1000, cpu[0] * 1000, (_memory(bench) - memory) / events)


def _memory(bench: Bench) -> int:
    return int(bench.server.client.info("memory")["used_memory"])


def _table_of_commits(rates: Rates) -> Table:
    columns = ["distinct events in a batch"]
    for n_intervals in INTERVALS:
        columns += [
            f"{n_intervals} interval{'s' * (n_intervals > 1)}: commits per second",
            "events per second",
        ]
    rows = []
    for batch in BATCHES:
        found = [median(rates[batch, n_intervals]) for n_intervals in INTERVALS]
        rows.append((f"{batch:,}", *(number(rate * times) for rate in found for times in (1, batch))))
    return Table(tuple(columns), rows)


def _table_of_rotations(rotations: dict[int, list[Rotated]]) -> Table:
    rows = []
    for events, found in rotations.items():
        took, used, sizes = zip(*found, strict=True)
        size = number(median(sizes)) if events >= _ENOUGH_TO_WEIGH else ""
        rows.append((f"{events:,}", middle(used), middle(took), size))
    return Table(("events", "server ms", "rotate ms", "bytes per event"), rows)
