"""Any order of logging, sending, losing answers, rotating and restarting, against a simple model.

At any time: logged = unsent + current interval + all finished intervals.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from event_count_logger.config import GroupConfig, RedisConfig
from event_count_logger.counting.batch_sender import BatchSender
from event_count_logger.counting.cells import Cells
from event_count_logger.errors import StoreError, Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log
from event_count_logger.reading.reader import Reader
from event_count_logger.store import Commit, Store
from event_count_logger.store.commits import Commits
from tests.servers import Server

INTERVALS = (Interval.parse("10s"), Interval.parse("1m"))
EVENTS = ("a", "b", "declared")
WORKERS = st.sampled_from([0, 1])


class LossyCommits(Commits):
    """Commits at a time that is set by hand, of which the next request or its answer can be lost."""

    lose: str | None = None
    now = 0.0

    def commit(self, *arguments: Any, **options: Any) -> Commit:
        lose, self.lose = self.lose, None
        if lose == "request":
            raise Unavailable("Redis", "lost request")
        answer = super().commit(*arguments, **{**options, "now": self.now})
        if lose == "answer":
            raise Unavailable("Redis", "lost answer")
        return answer


class Machine(RuleBasedStateMachine):
    server: Server

    @initialize()
    def begin(self) -> None:
        with self.server.client as client:
            client.flushall()
        self.now = 1_700_000_000.0
        self.group = GroupConfig("g", INTERVALS, events=("declared",), auto_declare_events=True)
        self.store = Store(RedisConfig(**self.server.config))
        self.commits = self.store.commits = LossyCommits(self.store.client)
        self.commits.now = self.now
        self.reader = Reader(self.store)
        self.logged: Counter[str] = Counter()
        self.finished = {interval.name: Counter[str]() for interval in INTERVALS}
        self.workers = [self.new_worker(), self.new_worker()]

    def new_worker(self) -> tuple[Cells, BatchSender]:
        cells = Cells()
        return cells, BatchSender(self.group, cells, self.store, Log("model"), lambda: self.now)

    @rule(worker=WORKERS, event=st.sampled_from(EVENTS), count=st.integers(1, 2**55))
    def log(self, worker: int, event: str, count: int) -> None:
        self.workers[worker][0].add(event).total += count
        self.logged[event] += count

    @rule(worker=WORKERS)
    def sync(self, worker: int) -> None:
        self.workers[worker][1].run()

    @rule(worker=WORKERS, lose=st.sampled_from(["request", "answer"]))
    def sync_and_lose(self, worker: int, lose: str) -> None:
        self.commits.lose = lose
        try:
            self.workers[worker][1].run()
        except StoreError:
            return
        self.commits.lose = None

    @rule(worker=WORKERS)
    def worker_ends_in_order_and_another_begins(self, worker: int) -> None:
        self.workers[worker][1].run()
        self.workers[worker] = self.new_worker()

    @rule(seconds=st.sampled_from([0.5, 3, 10, 25, 70]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.commits.now = self.now

    @rule(interval=st.sampled_from(INTERVALS))
    def rotate(self, interval: Interval) -> None:
        rotation = self.store.rotation.rotate(self.group, interval, self.now)
        if rotation.outcome == "rotated":
            (last,) = self.reader.read(self.group, interval, "last", now=self.now)
            assert (last.start, last.end) == (rotation.start, rotation.end)
            assert not last.stale
            self.finished[interval.name] += Counter(last.counts)
            (held,) = self.reader.history(self.group, interval, 1)
            assert (held.start, held.end, held.counts) == (last.start, last.end, last.counts)

    @rule()
    def server_forgets_its_scripts(self) -> None:
        with self.server.client as client:
            client.script_flush()

    @rule()
    def server_is_killed_and_restarts(self) -> None:
        self.server.kill()
        self.server.start()

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        totals = Counter(self.reader.totals(self.group, now=self.now).counts)
        for interval in INTERVALS:
            (current,) = self.reader.read(self.group, interval, "cur", now=self.now)
            assert totals == self.finished[interval.name] + Counter(current.counts)
            in_redis = self.finished[interval.name] + Counter(current.counts)
            unsent: Counter[str] = Counter()
            in_doubt: Counter[str] = Counter()
            for cells, _ in self.workers:
                for cell in cells.by_id.values():
                    unsent[cell.event_id] += cell.total - cell.pending
                    in_doubt[cell.event_id] += cell.pending - cell.acked
            for event in EVENTS:
                missing = self.logged[event] - in_redis[event] - unsent[event]
                assert 0 <= missing <= in_doubt[event], (interval.name, event)

    def teardown(self) -> None:
        for _, sender in self.workers:
            sender.run()
        for interval in INTERVALS:
            (current,) = self.reader.read(self.group, interval, "cur", now=self.now)
            total = self.finished[interval.name] + Counter(current.counts)
            assert {event: count for event, count in total.items() if count} == dict(self.logged)
        self.store.close()


@pytest.mark.timeout(300)
def test_any_order_of_steps_is_exact(own_server: Server) -> None:
    Machine.server = own_server
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,  # the seed, to run a failure again
            suppress_health_check=list(HealthCheck),
        ),
    )
