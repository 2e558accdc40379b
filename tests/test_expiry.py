"""Idle events expire: their names, their counters, and their space in files."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from event_count_logger.config import GroupConfig, from_dicts
from event_count_logger.counting.admission import Admission
from event_count_logger.counting.recovery import Recovery
from event_count_logger.groups.redis_group import RedisEventGroup
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log
from event_count_logger.store import Store
from tests.fixtures import Make, Run, Start, Write
from tests.servers import Server, wait_until

PROGRAM = Path(__file__).parent / "programs" / "expiring.py"
HOUR = 3600.0
OPEN: dict[str, Any] = {"auto_declare_events": True, "intervals": ["24h"], "sync_interval": 3600}
CACHED = {**OPEN, "sync_interval": 0.02}
KINDS = {"cached": OPEN, "at once": {**OPEN, "sync_interval": 0}, "direct": {**OPEN, "sync_interval": None}}


class Aging:
    """A group in which time passes only when `pass_time` is called."""

    def __init__(self, group: Any) -> None:
        self.group: RedisEventGroup = group
        self.now = time.monotonic()
        self.group.admission.clock = lambda: self.now
        self.counters = self.group._counters.get()

    @property
    def names(self) -> set[str]:
        return set(self.group.admission.declared)

    def pass_time(self, seconds: float, looks: int = 1) -> None:
        assert self.group.sync()
        self.counters.expire_idle(self.now)
        for _ in range(looks):
            self.now += seconds / looks
            self.counters.expire_idle(self.now)

    def wait_until_old_counters_are_done(self) -> None:
        wait_until(lambda: len(self.group.all_local) == 1, what="the old counters are sent and deleted")


@pytest.fixture
def aging(server: Server, logger: Make) -> Callable[..., Aging]:
    def make(**settings: Any) -> Aging:
        settings = {key: value for key, value in {**OPEN, **settings}.items() if value is not None}
        return Aging(logger({"g": settings}, server.config)["g"])

    return make


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def files(directory: Path) -> list[Path]:
    return list(directory.glob("*.ecl"))


# Idle events


def test_idle_event_expires_and_is_counted_when_used_again(
    server: Server, aging: Callable[..., Aging], spool_dir: Path
) -> None:
    group = aging(events=["fixed"])
    group.group.declare_event_id("declared")
    for event_id in ("fixed", "declared", "x", "y"):
        group.group.log(event_id)
    (before,) = files(spool_dir)
    group.pass_time(48 * HOUR)
    group.group.log("y")
    group.pass_time(25 * HOUR, looks=2)
    assert group.names == {"fixed", "declared", "y"}
    for event_id in ("fixed", "x", "y"):
        group.group.log(event_id)
    group.wait_until_old_counters_are_done()
    assert group.group.sync()
    assert server.counts("g", "24h", "cur") == {"fixed": 2, "declared": 1, "x": 2, "y": 3}
    wait_until(lambda: server.client.hlen("g:@sources") == 1, what="the old position is taken out of Redis")
    wait_until(lambda: len(files(spool_dir)) == 1, what="the old file is deleted")
    assert files(spool_dir) != [before]


def test_event_with_unconfirmed_counts_does_not_expire(
    own_server: Server, logger: Make, spool_dir: Path
) -> None:
    settings = {**OPEN, "max_events": 2}
    group = Aging(logger({"g": settings}, {**own_server.config, "socket_timeout": 0.2})["g"])
    own_server.kill()
    for event_id in ("a", "b"):
        group.group.log(event_id)
    for _ in range(3):
        group.counters.expire_idle(group.now)
        group.now += 100 * HOUR
    group.group.log("c")
    assert group.names == {"a", "b"}
    own_server.start()
    wait_until(group.group.sync)
    assert own_server.counts("g", "24h", "cur") == {"a": 1, "b": 1, "@overflow": 1}


def test_few_idle_events_among_many_stay_until_there_are_more(aging: Callable[..., Aging]) -> None:
    group = aging(max_events=1000)
    group.group.log("idle")
    group.pass_time(1)
    for hours in (40, 40, 1):
        for number in range(50):
            group.group.log(f"used {number}")
        group.pass_time(hours * HOUR)
    assert "idle" in group.names


@pytest.mark.parametrize("sync", KINDS)
def test_bound_counter_goes_on_after_a_replacement(
    sync: str, server: Server, aging: Callable[..., Aging]
) -> None:
    group = aging(**KINDS[sync])
    counters = [group.group.counter(event_id) for event_id in ("a", "b")]
    for _ in range(3):
        for counter in counters:
            counter.inc(2)
        group.group.log("a")
        group.pass_time(100 * HOUR, looks=2)
        assert not group.names
    assert group.group.sync()
    assert server.counts("g", "24h", "cur") == {"a": 9, "b": 6}


def test_thread_that_holds_a_cell_keeps_the_old_file(
    server: Server, aging: Callable[..., Aging], spool_dir: Path
) -> None:
    group = aging()
    group.group.log("a")
    cell = group.group.cells.by_id["a"]
    group.pass_time(100 * HOUR, looks=2)
    assert not group.names
    group.group.log("b")
    assert not group.group.sync() or len(group.group.all_local) == 2
    cell.total += 5
    del cell
    group.wait_until_old_counters_are_done()
    assert server.counts("g", "24h", "cur")["a"] == 6
    wait_until(lambda: len(files(spool_dir)) == 1)


def test_session_event_expires_with_its_time_event(aging: Callable[..., Aging]) -> None:
    group = aging(sessions={"timeout": "1h"})
    group.group.session("s1", "old").start()
    group.pass_time(71 * HOUR)
    group.group.session("s2", "new").start()
    group.pass_time(2 * HOUR)
    assert group.names == {"new", "new:ms"}


# The limit max_events


@pytest.mark.parametrize("sync", KINDS)
def test_60_new_events_every_48_hours_do_not_overflow_100(
    sync: str, server: Server, aging: Callable[..., Aging], spool_dir: Path
) -> None:
    group = aging(max_events=100, **KINDS[sync])
    for burst in range(5):
        for number in range(60):
            group.group.log(f"{burst} {number}")
        group.pass_time(48 * HOUR, looks=5)
    assert group.group.sync()
    assert server.counts("g", "24h", "cur") == {f"{b} {n}": 1 for b in range(5) for n in range(60)}


def test_30_new_events_a_day_do_not_overflow_100(server: Server, aging: Callable[..., Aging]) -> None:
    group = aging(max_events=100)
    for number in range(300):
        group.group.log(f"{number}")
        group.pass_time(24 * HOUR / 30)
    assert "@overflow" not in server.counts("g", "24h", "cur")


def test_year_of_50_new_events_a_day_takes_bounded_memory_and_files(
    server: Server, aging: Callable[..., Aging], spool_dir: Path
) -> None:
    group = aging(layout="hash")
    most = {"names": 0, "cells": 0, "bytes": 0, "files": 0}
    for day in range(365):
        for number in range(50):
            group.group.log(f"{day} {number}")
        group.pass_time(24 * HOUR)
        group.wait_until_old_counters_are_done()
        sizes = []
        for path in files(spool_dir):
            with suppress(FileNotFoundError):  # the background thread has just deleted it
                sizes.append(path.stat().st_size)
        now = (len(group.names), len(group.group.cells.by_id), sum(sizes), len(sizes))
        most = {key: max(value, of_now) for (key, value), of_now in zip(most.items(), now, strict=True)}
    assert most["names"] <= 250 and most["cells"] <= 250
    assert most["bytes"] <= 1 << 16 and most["files"] <= 2
    assert sum(server.counts("g", "24h", "cur").values()) == 365 * 50


def test_overflow_ends_and_a_new_one_is_warned_of(
    server: Server, aging: Callable[..., Aging], caplog: pytest.LogCaptureFixture
) -> None:
    group = aging(max_events=2)
    for burst in range(2):
        for number in range(4):
            group.group.log(f"{burst} {number}")
        assert group.names == {f"{burst} 0", f"{burst} 1"}
        group.pass_time(100 * HOUR)
    assert group.group.sync()
    assert server.counts("g", "24h", "cur") == {"0 0": 1, "0 1": 1, "1 0": 1, "1 1": 1, "@overflow": 4}
    first, second = warnings(caplog)
    assert "'0 2' and new ones that follow" in first and "'1 2' and new ones that follow" in second


def test_request_beyond_max_events_is_accepted_later(aging: Callable[..., Aging]) -> None:
    group = aging(max_events=5)
    for event_id in "abcde":
        group.group.log(event_id)
    fault = group.group.admission.fault
    group.pass_time(1)
    assert fault("fgh") == "group 'g' is limited to 5 events (max_events)"
    group.pass_time(25 * HOUR)
    assert fault("fgh") is None
    assert not group.names


def test_events_without_counters_expire_by_their_times_alone() -> None:
    config = GroupConfig("g", (Interval.parse("1h"),), auto_declare_events=True, max_events=2)
    admission, now = Admission(config, Log("test")), [0.0]
    admission.clock = lambda: now[0]
    assert [admission.counted_as(event_id) for event_id in "abc"] == ["a", "b", "@overflow"]
    now[0] = 23 * HOUR
    assert admission.counted_as("b") == "b"
    now[0] = 25 * HOUR
    assert admission.counted_as("c") == "c"
    assert set(admission.declared) == {"b", "c"}


# Counting during a replacement


@pytest.mark.parametrize("native", ["1", "0"])
@pytest.mark.parametrize("sync", ["cached", "at once", "direct"])
def test_threads_lose_no_count_while_counters_are_replaced(
    sync: str,
    native: str,
    server: Server,
    run: Run,
    config_file: Write,
) -> None:
    settings = {key: value for key, value in {**KINDS, "cached": CACHED}[sync].items() if value is not None}
    path = config_file({"redis": server.config, "groups": {"g": settings}})
    done = run(sys.executable, PROGRAM, path, 1, ECL_NATIVE=native)
    assert done.returncode == 0, done.stderr
    assert server.counts("g", "24h", "cur") == json.loads(done.stdout)
    assert "g:@sources" not in server.everything()
    assert not done.stderr


@pytest.mark.parametrize("step", ["close", "replace", "send", "retire", "delete"])
def test_kill_during_a_replacement_loses_no_count(
    step: str,
    server: Server,
    start: Start,
    config_file: Write,
    spool_dir: Path,
) -> None:
    settings = {"redis": server.config, "groups": {"g": OPEN}}
    killed = start(sys.executable, PROGRAM, config_file(settings), 0, step)
    logged, _ = killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert files(spool_dir)
    config = from_dicts(settings["groups"], server.config)
    with_store = Store(config.redis)
    list(Recovery(config, with_store, Log("test")).run())
    with_store.close()
    assert server.counts("g", "24h", "cur") == json.loads(logged)
    assert not files(spool_dir)
