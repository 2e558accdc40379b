"""Memory of open sessions in Redis, and the cost of a heartbeat."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from itertools import cycle, islice
from statistics import median

from bench_parts.processes import Bench
from bench_parts.report import Section, Table, at_most, middle, number
from event_count_logger import keys
from event_count_logger.config import GroupConfig, RedisConfig, SessionsConfig
from event_count_logger.config.session_actions import ActionName
from event_count_logger.intervals import Interval
from event_count_logger.store import SessionAction, Store

TEXT = """\
{sessions:,} sessions are open in a group with 2 intervals. Their IDs are 36 characters long. The table
shows microseconds per heartbeat, sent one at a time and {batch} in one request. The ratio is to one
`hset` of redis-py in the same process at the same time. Its hash has as many fields, of the same names.
Client and server share one core, as for direct log(). Memory is that of the server per session, after the
start and a heartbeat of each. Then {more:,} more sessions than `max_sessions` are started."""

INTERVALS = (Interval.parse("1h"), Interval.parse("2h"))
BATCH = 100
MORE = 1_000
EVENT = "visit"

Times = dict[str, list[float]]


class _Sessions:
    """Sends actions of sessions as the library does, through one connection."""

    def __init__(self, bench: Bench, n: int) -> None:
        self._store = Store(RedisConfig(host="127.0.0.1", port=bench.server.port, socket_timeout=60))
        self._client = bench.server.client
        self._group = GroupConfig("visits", INTERVALS, (EVENT,), sessions=SessionsConfig(max_sessions=n))
        self.ids = [str(uuid.UUID(int=number)) for number in range(n + MORE)]
        self._some = cycle(self.ids[:n])

    def send(self, name: ActionName, ids: list[str]) -> None:
        now = self._store.client.now()
        for first in range(0, len(ids), BATCH):
            actions = [SessionAction(id, EVENT, name, now) for id in ids[first : first + BATCH]]
            self._store.commits.commit_actions(self._group, actions)

    def heartbeat(self) -> None:
        self.send("heartbeat", [next(self._some)])

    def heartbeats(self) -> None:
        self.send("heartbeat", list(islice(self._some, BATCH)))

    def hset(self) -> None:
        self._client.hset("hash", next(self._some), "1764000000000,,1764000000000,1764000000000:visit")

    def n_kept(self) -> int:
        return int(self._client.hlen(keys.sessions(self._group.name)[0]))

    def memory(self) -> int:
        return int(self._client.info("memory")["used_memory"])

    def close(self) -> None:
        self._store.close()


def run(bench: Bench) -> Section:
    n = bench.effort.sizes[-1]
    sessions = _Sessions(bench, n)
    with bench.server.on_one_core():
        before = sessions.memory()
        sessions.send("start", sessions.ids[:n])
        sessions.send("heartbeat", sessions.ids[:n])
        bytes_each = (sessions.memory() - before) / n
        times = _times(bench, sessions)
    sessions.send("start", sessions.ids[n:])
    kept = sessions.n_kept()
    sessions.close()
    one, many = (_ratio(times, name) for name in ("heartbeat", "heartbeats"))
    targets = [
        at_most("heartbeat of a session, against one redis-py hset", one, 4),
        at_most(f"heartbeat of a session, {BATCH} at once, against one redis-py hset", many, 1),
        at_most(f"memory of one of {n:,} sessions", bytes_each, 400, "bytes"),
        at_most("sessions kept above max_sessions", kept - n, 0),
    ]
    text = TEXT.format(sessions=n, batch=BATCH, more=MORE)
    return Section("Sessions", text, [_table(times), _kept_table(n, bytes_each, kept)], targets)


def _times(bench: Bench, sessions: _Sessions) -> Times:
    """Returns microseconds per session, in samples that take turns."""
    times: Times = defaultdict(list)
    calls = {"hset": sessions.hset, "heartbeat": sessions.heartbeat, "heartbeats": sessions.heartbeats}
    for _ in range(bench.effort.processes * bench.effort.repeats):
        for name, call in calls.items():
            n_each = BATCH if name == "heartbeats" else 1
            times[name].append(_us(call, bench.effort.sample_ms) / n_each)
    return times


def _us(call: Callable[[], None], sample_ms: float) -> float:
    """Call repeatedly for about `sample_ms`; returns microseconds per call."""
    begin = now = time.perf_counter_ns()
    n = 0
    while now - begin < sample_ms * 1e6:
        call()
        n += 1
        now = time.perf_counter_ns()
    return (now - begin) / 1000 / n


def _ratio(times: Times, name: str) -> float:
    return median(times[name]) / median(times["hset"])


def _table(times: Times) -> Table:
    titles = {
        "hset": "redis-py hset",
        "heartbeat": "heartbeat",
        "heartbeats": f"heartbeat, {BATCH} in one request",
    }
    rows = [(title, middle(times[name]), number(_ratio(times, name))) for name, title in titles.items()]
    return Table(("µs per call, and times hset", "µs", "times hset"), rows)


def _kept_table(n: int, bytes_each: float, kept: int) -> Table:
    columns = ("open sessions, and max_sessions", "bytes each", "started in all", "kept")
    return Table(columns, [(f"{n:,}", number(bytes_each), f"{n + MORE:,}", f"{kept:,}")])
