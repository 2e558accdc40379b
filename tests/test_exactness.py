"""Exact counts: many processes, rotations and faults, compared with the counts that workers have logged."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from event_count_logger import EventCountLogger
from event_count_logger.config import from_file
from event_count_logger.counting import spool_file
from event_count_logger.intervals import Interval
from tests import groups
from tests.counting_workers import EVENTS, GROUPS, CountingWorkers
from tests.fixtures import Run, Start, Write
from tests.following import IntervalCollector
from tests.servers import Proxy, Server, wait_until

PROGRAMS = Path(__file__).parent / "programs"

#: Seconds within which a master recovers the files of killed processes.
RECOVERY_S = 30

#: An interval that ends in no test.
LONG = "9000h"


def configuration(redis: dict[str, Any], interval: str = "2s") -> dict[str, Any]:
    direct = {
        "events": EVENTS,
        "auto_declare_events": True,
        "intervals": [interval, LONG],
        "layout": groups.layout,
    }
    return {"redis": redis, "groups": {"direct": direct, "cached": {**direct, "sync_interval": 0.5}}}


class Deployment:
    """Masters, and followers of both groups."""

    def __init__(self, path: Path, start: Start, interval: str = "2s", masters: int = 1) -> None:
        self._config = from_file(path)
        self.masters = [start("ecl_master", path) for _ in range(masters)]
        self.followers = {group: IntervalCollector(self._config, group, interval) for group in GROUPS}

    def check(self, workers: CountingWorkers) -> None:
        """Wait for the workers, and compare the sum of all intervals with the counts that they logged."""
        workers.wait()
        (folder,) = self._config.groups["cached"].spool_directories
        wait_until(lambda: not spool_file.find(folder), RECOVERY_S, "the master recovers all files")
        counted = {group: follower.total() for group, follower in self.followers.items()}
        for group in GROUPS:
            workers.check(group, counted[group])


@pytest.mark.usefixtures("layout")
def test_8_processes_of_4_threads_are_exact_over_3_rotations(
    server: Server, start: Start, config_file: Write
) -> None:
    path = config_file(configuration(server.config))
    run = Deployment(path, start)
    wait_until(lambda: server.client.get("direct:2s:cur:@ts"))
    workers = CountingWorkers(start, path, 8, 7, "--threads", 4)
    run.check(workers)
    assert len(run.followers["direct"].finished) >= 3
    assert workers.logged("cached") > 1000
    for group in GROUPS:
        workers.check(group, server.counts(group, LONG, "cur"))


def test_forks_while_threads_count_are_exact(server: Server, start: Start, config_file: Write) -> None:
    path = config_file(configuration(server.config))
    run = Deployment(path, start)
    run.check(CountingWorkers(start, path, 3, 5, "--threads", 2, "--visitors", 1, "--forks"))


def test_server_that_stalls_longer_than_the_timeout_costs_no_count(
    own_server: Server, start: Start, config_file: Write
) -> None:
    path = config_file(configuration({**own_server.config, "socket_timeout": 0.2}))
    run = Deployment(path, start)
    workers = CountingWorkers(start, path, 4, 6, "--threads", 2)
    for _ in range(5):
        time.sleep(0.5)  # under load
        own_server.stall_for(0.5)
    run.check(workers)


@pytest.mark.usefixtures("layout")
def test_lost_replies_cost_no_count(server: Server, proxy: Proxy, start: Start, config_file: Write) -> None:
    path = config_file(configuration(proxy.config))
    run = Deployment(config_file(configuration(server.config), "readers.yml"), start)
    workers = CountingWorkers(start, path, 4, 5, "--threads", 2)
    for times in range(1, 11):
        proxy.lose_replies = 2
        wait_until(lambda: proxy.lost >= 2 * times or not workers.are_running())  # noqa: B023 - called at once
    run.check(workers)
    assert proxy.lost


def test_server_that_forgets_its_scripts_costs_no_count(
    server: Server, start: Start, config_file: Write
) -> None:
    path = config_file(configuration(server.config))
    run = Deployment(path, start)
    workers = CountingWorkers(start, path, 4, 4, "--threads", 2)
    for _ in range(30):
        time.sleep(0.1)
        server.client.script_flush()
    run.check(workers)


@pytest.mark.usefixtures("layout")
def test_server_that_is_killed_and_restarted_costs_no_count(
    own_server: Server, start: Start, config_file: Write
) -> None:
    path = config_file(configuration({**own_server.config, "socket_timeout": 0.5}, "2h"))
    workers = CountingWorkers(start, path, 4, 6, "--threads", 2)
    for _ in range(4):
        time.sleep(0.7)
        own_server.kill()
        time.sleep(0.3)
        own_server.start()
    workers.wait()
    for group in GROUPS:
        workers.check(group, own_server.counts(group, LONG, "cur"))


def test_stalled_server_makes_redis_py_count_twice_and_log_once(own_server: Server) -> None:
    """The purpose of the protocol: after the same stall and the same timeout, INCR was executed twice."""
    timeout_s, has_given_up = 0.3, threading.Event()

    class Noting(NoBackoff):
        def compute(self, failures: int) -> float:
            has_given_up.set()
            return super().compute(failures)

    plain = redis.Redis(**own_server.config, socket_timeout=timeout_s, retry=Retry(Noting(), 1000))
    plain.set("plain", 1)
    groups = {"g": {"events": ["e"], "intervals": ["1h"]}}
    with EventCountLogger(groups, {**own_server.config, "socket_timeout": timeout_s}) as logger:
        logger["g"].log("e")
        own_server.stall()
        increments = [
            threading.Thread(target=call)
            for call in (lambda: plain.incr("plain"), lambda: logger["g"].log("e"))
        ]
        for thread in increments:
            thread.start()
        assert has_given_up.wait(20)
        wait_until(
            lambda: logger._store.client.is_unavailable(logger.config.group("g")),
            what="both have given up waiting",
        )
        own_server.go_on()
        for thread in increments:
            thread.join()
        wait_until(logger["g"].sync)
    assert own_server.counts("g", "1h", "cur") == {"e": 2}
    assert plain.incrby("plain", 0) >= 3
    plain.close()


def test_two_masters_one_of_them_stalled_rotate_once(
    server: Server, start: Start, config_file: Write
) -> None:
    path = config_file(configuration(server.config, "1s"))
    run = Deployment(path, start, "1s", masters=2)
    workers = CountingWorkers(start, path, 2, 6, "--threads", 2)
    time.sleep(1)
    run.masters[0].send_signal(signal.SIGSTOP)
    time.sleep(2)
    run.masters[0].send_signal(signal.SIGCONT)
    run.check(workers)
    spans = [each.end - each.start for each in run.followers["cached"].finished]
    assert all(span % 1 == 0 for span in spans)
    assert spans.count(1) >= 3, "the other master rotates"


def test_master_stopped_for_3_intervals_rotates_them_as_one(
    server: Server, start: Start, config_file: Write
) -> None:
    path = config_file(configuration(server.config, "1s"))
    running = Deployment(path, start, "1s")
    workers = CountingWorkers(start, path, 2, 6, "--threads", 2)
    wait_until(lambda: running.followers["cached"].finished)
    running.masters[0].send_signal(signal.SIGSTOP)
    time.sleep(3.2)
    running.masters[0].send_signal(signal.SIGCONT)
    follower = running.followers["cached"]
    merged = wait_until(lambda: [each for each in follower.finished if each.end - each.start >= 3])
    running.check(workers)
    assert len(merged) == 1


def test_rotation_from_cron_loses_nothing(server: Server, start: Start, config_file: Write, run: Run) -> None:
    path = config_file(configuration(server.config, "1s"))
    follower = IntervalCollector(from_file(path), "cached", "1s")
    workers = CountingWorkers(start, path, 2, 5, "--threads", 2)
    while workers.are_running():
        assert run("ecl_master", "--once", path).returncode == 0
        time.sleep(0.6)
    workers.wait()
    workers.check("cached", follower.total())


def test_interval_has_the_counts_logged_in_it(server: Server, start: Start, config_file: Write) -> None:
    """Counts are sent every second, but an interval of 2 s is exact to 5 % while the machine is not busy."""
    groups = {"g": {"events": ["e"], "intervals": ["2s"], "sync_interval": 1}}
    path = config_file({"redis": server.config, "groups": groups})
    start("ecl_master", path)
    follower = IntervalCollector(from_file(path), "g", "2s")
    wait_until(lambda: server.client.get("g:2s:cur:@ts"))
    process = start(sys.executable, PROGRAMS / "log_times.py", path, 7)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    logged_at = json.loads(out)
    counted = follower.total()
    assert counted == {"e": len(logged_at)}
    truth = Counter(Interval.parse("2s").start_of(at) for at in logged_at)
    whole = [each for each in follower.finished if each.start > logged_at[0] and each.end < logged_at[-1]]
    right = [each for each in whole if each.counts["e"] == pytest.approx(truth[each.start], rel=0.05)]
    assert right, (whole, truth)
