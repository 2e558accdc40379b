"""Many real processes, real rotation, real faults: the sum of what readers see is what was logged."""

from __future__ import annotations

import json
import signal
import subprocess
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
from event_count_logger.intervals import Interval
from tests import groups
from tests.fixtures import Run, Start, Write
from tests.following import Follower
from tests.servers import Proxy, Server, wait_until

PROGRAMS = Path(__file__).parent / "programs"
EVENTS = ["odd", "even", "size", "fast"]


def configuration(redis: dict[str, Any], interval: str = "2s", **settings: Any) -> dict[str, Any]:
    direct = {"events": EVENTS, "intervals": [interval, "1h"], "layout": groups.layout}
    return {
        "redis": redis,
        "groups": {"direct": direct, "cached": {**direct, "sync_interval": 0.5, **settings}},
    }


class Deployment:
    """A master and followers of both groups; `check` compares with what workers say they logged."""

    def __init__(self, path: Path, start: Start, interval: str = "2s", masters: int = 1) -> None:
        config = from_file(path)
        self.masters = [start("ecl_master", path) for _ in range(masters)]
        self.followers = {group: Follower(config, group, interval) for group in ("direct", "cached")}

    def check(self, workers: list[subprocess.Popen[str]]) -> Counter[str]:
        logged: Counter[str] = Counter()
        for worker in workers:
            out, err = worker.communicate(timeout=60)
            assert worker.returncode == 0, err
            logged += Counter(json.loads(out))
        counted = {
            f"{group}:{event}": count
            for group, follower in self.followers.items()
            for event, count in follower.total().items()
        }
        assert counted == dict(logged)
        return logged


def workers(
    start: Start, path: Path, number: int, seconds: float, *rest: object
) -> list[subprocess.Popen[str]]:
    return [start(sys.executable, PROGRAMS / "worker.py", path, seconds, *rest) for _ in range(number)]


@pytest.mark.usefixtures("layout")
def test_8_processes_of_4_threads_lose_and_double_nothing_over_3_rotations(
    server: Server, start: Start, config_file: Write
) -> None:
    path = config_file(configuration(server.config))
    run = Deployment(path, start)
    wait_until(lambda: server.client.get("direct:2s:cur:@ts"))
    logged = run.check(workers(start, path, 8, 7, 4))
    assert len(run.followers["direct"].finished) >= 3
    assert logged["cached:fast"] > 1000
    hour = {event: count for event, count in server.counts("cached", "1h", "cur").items() if count}
    assert hour == {event: logged[f"cached:{event}"] for event in hour}


def test_forks_in_the_middle_of_everything_are_exact(
    server: Server, start: Start, config_file: Write
) -> None:
    path = config_file(configuration(server.config))
    run = Deployment(path, start)
    run.check(workers(start, path, 3, 5, 1, "fork"))


def test_a_server_that_stalls_longer_than_the_time_out_costs_no_count(
    own_server: Server, start: Start, config_file: Write
) -> None:
    path = config_file(configuration({**own_server.config, "socket_timeout": 0.2}))
    run = Deployment(path, start)
    started = workers(start, path, 4, 6, 2)
    for _ in range(5):
        time.sleep(0.5)  # under load
        own_server.stall()
        time.sleep(0.5)  # longer than the time-out
        own_server.go_on()
    run.check(started)


@pytest.mark.usefixtures("layout")
def test_answers_that_are_lost_cost_no_count(
    server: Server, proxy: Proxy, start: Start, config_file: Write
) -> None:
    path = config_file(configuration(proxy.config))
    run = Deployment(config_file(configuration(server.config), "readers.yml"), start)
    started = workers(start, path, 4, 5, 2)
    for times in range(1, 11):
        proxy.lose_replies = 2
        wait_until(lambda: proxy.lost >= 2 * times)  # noqa: B023 - called before the next round
    run.check(started)


def test_a_server_that_forgets_its_scripts_costs_no_count(
    server: Server, start: Start, config_file: Write
) -> None:
    path = config_file(configuration(server.config))
    run = Deployment(path, start)
    started = workers(start, path, 4, 4, 2)
    for _ in range(30):
        time.sleep(0.1)
        server.client.script_flush()
    run.check(started)


@pytest.mark.usefixtures("layout")
def test_a_server_that_is_killed_and_restarted_with_its_file_costs_no_count(
    own_server: Server, start: Start, config_file: Write
) -> None:
    path = config_file(configuration({**own_server.config, "socket_timeout": 0.5}, "2h"))
    started = workers(start, path, 4, 6, 2)
    for _ in range(4):
        time.sleep(0.7)
        own_server.kill()
        time.sleep(0.3)
        own_server.start()
    logged: Counter[str] = Counter()
    for worker in started:
        out, err = worker.communicate(timeout=60)
        assert worker.returncode == 0, err
        logged += Counter(json.loads(out))
    for group in ("direct", "cached"):
        counted = own_server.counts(group, "1h", "cur")
        assert counted == {
            event: logged[f"{group}:{event}"] for event in EVENTS if logged[f"{group}:{event}"]
        }


def test_plain_redis_py_counts_twice_where_we_count_once(own_server: Server) -> None:
    """What the whole protocol is for: the same stall, the same time-out, and one INCR too many."""
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
    assert int(plain.get("plain")) == 3
    plain.close()


def test_two_masters_and_one_of_them_stalled_rotate_once(
    server: Server, start: Start, config_file: Write
) -> None:
    path = config_file(configuration(server.config, "1s"))
    run = Deployment(path, start, "1s", masters=2)
    started = workers(start, path, 2, 6, 2)
    time.sleep(1)
    run.masters[0].send_signal(signal.SIGSTOP)
    time.sleep(2)
    run.masters[0].send_signal(signal.SIGCONT)
    run.check(started)
    spans = [each.end - each.start for each in run.followers["cached"].finished]
    assert all(span % 1 == 0 for span in spans)
    assert spans.count(1) >= 3, "the other master goes on"


def test_a_master_stopped_for_3_intervals_merges_them_and_says_so(
    server: Server, start: Start, config_file: Write, run: Run
) -> None:
    path = config_file(configuration(server.config, "1s"))
    running = Deployment(path, start, "1s")
    started = workers(start, path, 2, 6, 2)
    wait_until(lambda: running.followers["cached"].finished)
    running.masters[0].send_signal(signal.SIGSTOP)
    time.sleep(3.2)
    running.masters[0].send_signal(signal.SIGCONT)
    follower = running.followers["cached"]
    merged = wait_until(lambda: [each for each in follower.finished if each.end - each.start >= 3])
    running.check(started)
    assert len(merged) == 1


def test_rotation_from_cron_loses_nothing(server: Server, start: Start, config_file: Write, run: Run) -> None:
    path = config_file(configuration(server.config, "1s"))
    config = from_file(path)
    follower = Follower(config, "cached", "1s")
    started = workers(start, path, 2, 5, 2)
    while any(worker.poll() is None for worker in started):
        assert run("ecl_master", "--once", path).returncode == 0
        time.sleep(0.6)
    logged: Counter[str] = Counter()
    for worker in started:
        logged += Counter(json.loads(worker.communicate()[0]))
    assert follower.total() == {event: logged[f"cached:{event}"] for event in EVENTS}


def test_an_interval_holds_what_happened_in_it(server: Server, start: Start, config_file: Write) -> None:
    """Counts are sent every second, but an interval of 2 s is right to 5 % where the machine is not busy."""
    groups = {"g": {"events": ["e"], "intervals": ["2s"], "sync_interval": 1}}
    path = config_file({"redis": server.config, "groups": groups})
    start("ecl_master", path)
    follower = Follower(from_file(path), "g", "2s")
    wait_until(lambda: server.client.get("g:2s:cur:@ts"))
    steady = start(sys.executable, PROGRAMS / "steady.py", path, 7)
    out, err = steady.communicate(timeout=60)
    assert steady.returncode == 0, err
    logged_at = json.loads(out)
    counted = follower.total()
    assert counted == {"e": len(logged_at)}
    truth = Counter(Interval.parse("2s").start_of(at) for at in logged_at)
    whole = [each for each in follower.finished if each.start > logged_at[0] and each.end < logged_at[-1]]
    right = [each for each in whole if each.counts["e"] == pytest.approx(truth[each.start], rel=0.05)]
    assert right, (whole, truth)
