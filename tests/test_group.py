"""`EventGroup` and `EventCountLogger` as applications use them: counting, reading, outages."""

from __future__ import annotations

import asyncio
import enum
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from event_count_logger import (
    DUMMY_EVENT_GROUP,
    DummyEventGroup,
    EventCountLogger,
    EventGroup,
    NotConfigured,
    Unavailable,
)
from event_count_logger.config import from_dicts
from event_count_logger.counting.syncer import Syncer
from event_count_logger.groups.redis_group import RedisEventGroup
from tests.fixtures import Make, Write
from tests.groups import event_group
from tests.servers import Proxy, Server, free_port, wait_until

DIRECT = {"events": ["a", "b"], "intervals": ["1h", "2h"]}
CACHED = {**DIRECT, "sync_interval": 3600}
DYNAMIC = {"auto_declare_events": True, "intervals": ["1h"]}


def has_counts(server: Server, group: str, expected: dict[str, int]) -> bool:
    return server.counts(group, "1h", "cur") == expected


def messages(caplog: pytest.LogCaptureFixture, level: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == level]


def test_direct_count_is_in_redis_when_log_returns(server: Server, logger: Make) -> None:
    group = logger({"g": DIRECT}, server.config)["g"]
    group.log("a")
    group.log("a", 4)
    assert server.counts("g", "1h", "cur") == server.counts("g", "2h", "cur") == {"a": 5}


def test_first_logs_of_several_threads_are_all_confirmed(server: Server) -> None:
    """At first, there is no connection; the first thread opens one."""
    together = threading.Barrier(6)
    for _ in range(100):
        with EventCountLogger({"g": DYNAMIC}, {**server.config, "socket_timeout": 20}) as made:
            group = event_group(made, "g")

            def log(event: str, group: RedisEventGroup = group) -> bool:
                together.wait()
                group.log(event)
                return event not in group.local.unsent()

            with ThreadPoolExecutor(6) as pool:
                assert all(pool.map(log, "abcdef"))


def test_cached_count_is_in_redis_after_sync(server: Server, logger: Make) -> None:
    group = logger({"g": CACHED}, server.config)["g"]
    group.log("a", 3)
    assert server.counts("g", "1h", "cur") == {}
    assert group.sync()
    assert server.counts("g", "1h", "cur") == {"a": 3}


def test_sync_result_is_about_counts_before_the_call(server: Server, logger: Make) -> None:
    group = logger({"g": CACHED}, server.config)["g"]
    enough = threading.Event()

    def count() -> None:
        while not enough.is_set():
            group.log("b")

    thread = threading.Thread(target=count)
    thread.start()
    try:
        for n in range(1, 11):
            group.log("a")
            assert group.sync()
            assert server.counts("g", "1h", "cur")["a"] == n
    finally:
        enough.set()
        thread.join()


def test_cached_count_is_sent_when_the_interval_is_over(server: Server, logger: Make) -> None:
    group = logger({"g": {**DIRECT, "sync_interval": 0.2}}, server.config)["g"]
    group.log("a", 3)
    wait_until(lambda: server.counts("g", "1h", "cur") == {"a": 3})


def test_cached_count_is_sent_when_it_reaches_the_limit(server: Server, logger: Make) -> None:
    group = logger({"g": {**DIRECT, "sync_limit": 10}}, server.config)["g"]
    group.log("b", 2)
    group.log("a", 9)
    assert server.counts("g", "1h", "cur") == {}
    group.log("a")
    wait_until(lambda: server.counts("g", "1h", "cur") == {"a": 10, "b": 2})


def test_cached_counts_are_sent_just_before_a_boundary(server: Server, logger: Make) -> None:
    group = logger({"g": {"events": ["a"], "intervals": ["1s"], "sync_limit": 1000}}, server.config)["g"]
    group.log("a")
    wait_until(lambda: server.counts("g", "1s", "cur") == {"a": 1})


def test_undeclared_event_is_not_counted_and_warned_of_once(
    server: Server, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    group = logger({"g": DIRECT}, server.config)["g"]
    for _ in range(3):
        group.log("x")
        group.log("y")
    assert messages(caplog, "WARNING") == [
        "Event 'x' of group 'g' is not declared: not counted",
        "Event 'y' of group 'g' is not declared: not counted",
    ]
    assert server.everything() == {}


def test_declared_event_is_counted_from_then_on(server: Server, logger: Make) -> None:
    group = logger({"g": DIRECT}, server.config)["g"]
    group.declare_event_id("x")
    group.declare_event_ids(["y", "z"])
    for event_id in "xyz":
        group.log(event_id)
    assert group.get_counts("1h", current=True) == {"a": 0, "b": 0, "x": 1, "y": 1, "z": 1}


class Kind(str, enum.Enum):
    A = "a"


@pytest.mark.parametrize("event_id", ["a", Kind.A])
@pytest.mark.parametrize("group", [DIRECT, CACHED], ids=["direct", "cached"])
def test_string_of_a_subclass_is_the_equal_event(
    event_id: str, group: dict[str, Any], server: Server, logger: Make
) -> None:
    events = logger({"g": group}, server.config)["g"]
    events.log(event_id, 2)
    events.sync()
    assert server.counts("g", "1h", "cur") == {"a": 2}


@pytest.mark.parametrize(
    "arguments", [(1,), (None,), (b"a",), (["a"],), ("a", "1"), ("a", 1.0), ("a", None), ("a", True)]
)
def test_wrong_types_raise_type_error(arguments: tuple[Any, ...], server: Server, logger: Make) -> None:
    group = logger({"g": DIRECT}, server.config)["g"]
    with pytest.raises(TypeError, match="must be"):
        group.log(*arguments)
    assert server.everything() == {}


@pytest.mark.parametrize("count", [-1, 2**63])
def test_count_out_of_range_raises_value_error(count: int, server: Server, logger: Make) -> None:
    group = logger({"g": DIRECT}, server.config)["g"]
    with pytest.raises(ValueError, match=str(count)):
        group.log("a", count)
    assert server.everything() == {}


@pytest.mark.parametrize("event_id", ["", "@ts", "a\nb", "x" * 513, "\udcff"])
def test_invalid_event_id_raises_value_error(event_id: str, server: Server, logger: Make) -> None:
    group = logger({"g": DYNAMIC}, server.config)["g"]
    with pytest.raises(ValueError, match="is not an event ID: it"):
        group.log(event_id)
    with pytest.raises(ValueError, match="is not an event ID: it"):
        group.declare_event_id(event_id)
    assert server.everything() == {}


def test_count_of_0_does_nothing(server: Server, logger: Make, caplog: pytest.LogCaptureFixture) -> None:
    group = logger({"g": DIRECT}, server.config)["g"]
    group.log("a", 0)
    group.log("undeclared", 0)
    assert server.everything() == {}
    assert caplog.records == []


@pytest.mark.parametrize("settings", [{**DYNAMIC, "max_events": 1}, DIRECT], ids=["dynamic", "declared"])
@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("event_id", ["@overflow", "@lost"])
def test_reserved_event_always_raises_value_error(
    event_id: str, count: int, settings: dict[str, Any], server: Server, logger: Make
) -> None:
    group = event_group(logger({"g": settings}, server.config), "g")
    for _ in range(2):
        with pytest.raises(ValueError, match="it begins with '@', which is reserved"):
            group.log(event_id, count)
        with pytest.raises(ValueError, match="it begins with '@', which is reserved"):
            group.counter(event_id)
        group.local.cells.add_lost()
        for other in ("a", "x", "y"):
            group.log(other)
    expected = {"a": 2, "@overflow": 4} if settings is not DIRECT else {"a": 2}
    assert {key: n for key, n in group.get_counts("1h", current=True).items() if n} == expected


def test_events_beyond_max_events_are_counted_together_with_a_warning(
    server: Server, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    group = logger({"g": {**DYNAMIC, "events": ["a"], "max_events": 3}}, server.config)["g"]
    for event_id in ("x", "y", "z", "w", "z", "a", "x"):
        group.log(event_id)
    assert group.get_counts("1h", current=True) == {"a": 1, "x": 2, "y": 1, "@overflow": 3}
    (warning,) = messages(caplog, "WARNING")
    assert "More than 3 events (max_events): 'z'" in warning


def test_threads_lose_no_count(server: Server, logger: Make) -> None:
    groups = logger({"direct": DIRECT, "cached": {**DIRECT, "sync_limit": 50}}, server.config)

    def work() -> None:
        for _ in range(200):
            groups["direct"].log("a")
        for _ in range(20_000):
            groups["cached"].log("a")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert groups["direct"].sync() and groups["cached"].sync()
    assert server.counts("direct", "1h", "cur") == {"a": 8 * 200}
    assert server.counts("cached", "1h", "cur") == {"a": 8 * 20_000}


def test_concurrent_direct_callers_share_commits(server: Server, logger: Make) -> None:
    group = logger({"g": DIRECT}, server.config)["g"]
    group.log("a")
    start = threading.Barrier(17)

    def work() -> None:
        start.wait()
        for _ in range(20):
            group.log("a")

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    before = int(server.client.info("commandstats")["cmdstat_evalsha"]["calls"])
    start.wait()
    for thread in threads:
        thread.join()
    commits = int(server.client.info("commandstats")["cmdstat_evalsha"]["calls"]) - before
    assert server.counts("g", "1h", "cur") == {"a": 321}
    assert commits < 320


@pytest.mark.parametrize("group", [DIRECT, CACHED], ids=["direct", "cached"])
def test_signal_handler_may_count(group: dict[str, Any], server: Server, logger: Make) -> None:
    events = logger({"g": group}, server.config)["g"]
    seen = 0

    def handler(signum: int, frame: Any) -> None:
        nonlocal seen
        seen += 1
        events.log("b")
        signal.setitimer(signal.ITIMER_REAL, 0.001)

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    logged = 0
    while seen < 200:
        events.log("a")
        logged += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    wait_until(events.sync)
    assert server.counts("g", "1h", "cur") == {"a": logged, "b": seen}


# Outages


@pytest.mark.parametrize("group", [DIRECT, CACHED], ids=["direct", "cached"])
def test_counts_during_an_outage_arrive_later(
    group: dict[str, Any], own_server: Server, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    events = logger({"g": group}, own_server.config)["g"]
    events.log("a")
    assert events.sync()
    own_server.kill()
    for _ in range(20):
        events.log("a")
    assert not events.sync()
    for _ in range(20):
        events.log("a")
    assert len(messages(caplog, "WARNING")) == 1
    own_server.start()
    wait_until(events.sync)
    assert own_server.counts("g", "1h", "cur") == {"a": 41}
    assert len(messages(caplog, "WARNING")) == 1
    assert [message for message in messages(caplog, "INFO") if message.endswith("is back")] != []
    assert len(messages(caplog, "INFO")) == 1


def n_scripts(server: Server) -> int:
    """Returns the number of EVALSHA requests that a server got, including rejected ones."""
    with server.client as client:
        stats = client.info("commandstats").get("cmdstat_evalsha", {})
    return int(stats.get("calls", 0)) + int(stats.get("rejected_calls", 0))


@pytest.mark.parametrize("serves_reads", ["yes", "no"], ids=["READONLY", "MASTERDOWN"])
def test_replica_retried_often_logs_one_warning_and_one_return(
    serves_reads: str, own_server: Server, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with_sessions = {**CACHED, "sessions": {"timeout": "60s"}}
    groups = {"d": DIRECT, "c": {**DIRECT, "sync_interval": 0.2}, "o": {**DIRECT, "sync_interval": 0}}
    made = logger({**groups, "s": with_sessions}, own_server.config)
    for name in groups:
        made[name].log("a")
        assert made[name].sync()
    own_server.client.config_set("replica-serve-stale-data", serves_reads)
    own_server.client.replicaof("127.0.0.1", 1)
    for name in groups:
        made[name].log("a")
    made["s"].session("x", "b").start()
    wait_until(lambda: made._store.client.is_unavailable(made.config.group("d")))
    before, states = n_scripts(own_server), set()
    while n_scripts(own_server) < before + 15:
        made._store.client.server_time(made.config.group("d"))  # as recovery does: a replica answers that
        states.add(made._store.client.is_unavailable(made.config.group("d")))
    assert states == {True}
    own_server.client.replicaof("NO", "ONE")
    for name in groups:
        wait_until(partial(has_counts, own_server, name, {"a": 2}))
    wait_until(lambda: own_server.counts("s", "1h", "cur").get("b") == 1)
    wait_until(lambda: not made._store.client.is_unavailable(made.config.group("d")))
    (warning,) = messages(caplog, "WARNING")
    assert ("READONLY" if serves_reads == "yes" else "MASTERDOWN") in warning
    (info,) = messages(caplog, "INFO")
    assert info.endswith("is back")


def test_direct_counts_arrive_without_further_calls_after_an_outage(own_server: Server, logger: Make) -> None:
    group = logger({"g": DIRECT}, {**own_server.config, "socket_timeout": 0.3})["g"]
    own_server.kill()
    group.log("a", 7)
    own_server.start()
    wait_until(lambda: own_server.counts("g", "1h", "cur") == {"a": 7})


def test_logger_is_made_without_redis(logger: Make) -> None:
    group = logger({"g": CACHED}, {"port": free_port()})["g"]
    group.log("a")
    assert isinstance(group, EventGroup)


@pytest.mark.parametrize("known_before", [True, False], ids=["connected", "not connected"])
def test_direct_log_waits_no_longer_than_the_time_out(
    known_before: bool, own_server: Server, logger: Make
) -> None:
    timeout_s = 6
    group = logger({"g": DIRECT}, {**own_server.config, "socket_timeout": timeout_s})["g"]
    if known_before:
        group.log("a")
    own_server.stall()
    waits = []
    for _ in range(5):
        before = time.monotonic()
        group.log("a")
        waits.append(time.monotonic() - before)
    assert waits[0] < timeout_s + 5
    assert sum(waits[1:]) < 5, "log() waits although the stall is known"
    own_server.go_on()
    wait_until(lambda: own_server.counts("g", "1h", "cur") == {"a": 5 + known_before})


def test_threads_of_a_direct_group_share_one_time_out(own_server: Server, logger: Make) -> None:
    timeout_s = 2
    group = logger({"g": DIRECT}, {**own_server.config, "socket_timeout": timeout_s})["g"]
    group.log("a")
    own_server.stall()
    waits = []

    def work() -> None:
        before = time.monotonic()
        group.log("a")
        waits.append(time.monotonic() - before)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(waits) < timeout_s + 5, "one after the other, they wait for five times the time-out"
    own_server.go_on()
    wait_until(lambda: own_server.counts("g", "1h", "cur") == {"a": 11})


def test_stalled_redis_of_many_groups_does_not_delay_another_redis(
    server: Server, own_server: Server, logger: Make
) -> None:
    at_once = {"events": ["a"], "intervals": ["1h"], "sync_interval": 0}
    names = [f"g{number}" for number in range(20)]
    stalled, healthy = (
        logger(dict.fromkeys(names, at_once), own_server.config),
        logger({"g": at_once}, server.config),
    )
    for group in (*(stalled[name] for name in names), healthy["g"]):
        group.log("a")
        assert group.sync()
    own_server.stall()
    for n in range(2, 5):
        for name in names:
            stalled[name].log("a")
        wait_until(lambda: stalled._store.client.is_unavailable(stalled.config.group("g0")))
        healthy["g"].log("a")
        assert healthy["g"].sync(), "the other groups wait for their Redis one after the other"
        assert server.counts("g", "1h", "cur") == {"a": n}
    own_server.go_on()
    for name in names:
        wait_until(partial(has_counts, own_server, name, {"a": 4}))


def test_cached_log_does_not_wait_for_redis(own_server: Server, logger: Make) -> None:
    group = logger({"g": {**DIRECT, "sync_limit": 1000}}, {**own_server.config, "socket_timeout": 20})["g"]
    group.log("a")
    own_server.stall()
    longest = 0.0
    for _ in range(50_000):
        before = time.monotonic()
        group.log("a")
        longest = max(longest, time.monotonic() - before)
    assert longest < 5
    own_server.go_on()
    wait_until(group.sync)
    assert own_server.counts("g", "1h", "cur") == {"a": 50_001}


def test_reading_during_an_outage_raises_unavailable(logger: Make) -> None:
    group = logger({"g": DIRECT}, {"port": free_port()})["g"]
    with pytest.raises(Unavailable, match="cannot be reached"):
        group.get_counts("1h")


# The end


def test_close_sends_the_rest_and_removes_its_source(server: Server) -> None:
    with EventCountLogger({"g": CACHED}, server.config) as logger:
        logger["g"].log("a", 3)
    assert server.counts("g", "1h", "cur") == {"a": 3}
    assert "g:@sources" not in server.everything()


def test_counts_after_close_arrive(server: Server, logger: Make) -> None:
    made = logger({"g": CACHED}, server.config)
    made["g"].log("a")
    made.close()
    made["g"].log("a", 2)
    wait_until(lambda: server.counts("g", "1h", "cur") == {"a": 3})


def test_close_is_bounded_in_time_and_keeps_unsent_counts(
    own_server: Server, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    made = logger({"g": CACHED}, {**own_server.config, "socket_timeout": 0.2})
    made["g"].log("a", 3)
    own_server.kill()
    before = time.monotonic()
    made.close(timeout=0.5)
    assert time.monotonic() - before < 5
    assert "Closed with 3 counts of 1 event of group 'g' unsent" in caplog.text
    own_server.start()
    wait_until(lambda: own_server.counts("g", "1h", "cur") == {"a": 3})


def test_close_logs_nothing_about_counts_that_were_sent_meanwhile(
    server: Server, logger: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ecl = logger({"g": {"events": ["a"], "intervals": ["1h"], "sync_interval": 60}}, server.config)
    group = event_group(ecl, "g")
    group.log("a")
    assert group.sync()
    monkeypatch.setattr(Syncer, "close", lambda self, senders, timeout_s: list(senders))
    ecl.close()
    assert "Closed with" not in caplog.text


def test_source_with_an_unanswered_request_keeps_its_position(server: Server, proxy: Proxy) -> None:
    with EventCountLogger({"g": CACHED}, proxy.config) as logger:
        logger["g"].log("a", 3)
        proxy.lose_replies = 1
    assert proxy.lost == 1
    assert server.counts("g", "1h", "cur") == {"a": 3}
    assert len(server.everything()["g:@sources"]) == 1


def test_counts_of_a_garbage_collected_group_are_sent(server: Server) -> None:
    EventCountLogger({"g": CACHED}, server.config)["g"].log("a", 3)
    wait_until(lambda: server.counts("g", "1h", "cur") == {"a": 3})
    wait_until(lambda: "g:@sources" not in server.everything())


def test_many_loggers_in_turn_leave_no_connections(server: Server) -> None:
    with server.client as client:
        before = client.info("clients")["connected_clients"]  # earlier tests may have left some
        for _ in range(50):
            EventCountLogger({"g": DIRECT}, server.config)["g"].log("a")
        wait_until(lambda: server.counts("g", "1h", "cur") == {"a": 50})
        wait_until(lambda: client.info("clients")["connected_clients"] < before + 10)


# Reading


def test_current_counts_include_unsent_ones(server: Server, logger: Make) -> None:
    groups = logger({"g": CACHED}, server.config)
    groups["g"].log("a", 3)
    assert groups["g"].get_current_counts("a") == {"1h": 3, "2h": 3}
    server.client.rpush("g:1h:cur:b", "x")
    server.client.set("g:1h:cur:a", 10)
    groups["g"].log("a", 4)
    assert groups["g"].get_current_counts("a") == {"1h": 14, "2h": 7}


def test_reading_an_unknown_event_or_interval_gives_nothing(
    server: Server, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    group = logger({"g": DIRECT}, server.config)["g"]
    assert group.get_current_counts("x") is None
    assert group.get_counts("7h") == {}
    assert group.get_last_count("x", "1h") == group.get_current_count("a", "7h") == 0
    assert messages(caplog, "ERROR") == ["Interval '7h' is not configured for group 'g': no counts returned"]


def test_group_that_is_not_configured_is_none_or_a_dummy(
    server: Server, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    made = logger({"g": DIRECT}, server.config)
    assert made.get_group("x") is None
    assert made.get_group("x", dummy=True) is made["x"] is DUMMY_EVENT_GROUP
    assert made.get_group("y", warn=False) is None
    assert made.get_group("g") is made["g"]
    assert messages(caplog, "WARNING") == ["Event group 'x' is not configured: its events are not counted"]


@pytest.mark.parametrize("way", ["constructor", "from_file", "from_config"])
def test_misspelt_group_raises_where_missing_groups_do(
    way: str, config_file: Write, caplog: pytest.LogCaptureFixture
) -> None:
    groups = {"requests": DIRECT, "http": DIRECT}
    made = {
        "constructor": lambda: EventCountLogger(groups, missing="raise"),
        "from_file": lambda: EventCountLogger.from_file(config_file({"groups": groups}), missing="raise"),
        "from_config": lambda: EventCountLogger.from_config(from_dicts(groups), missing="raise"),
    }[way]()
    errors = set()
    for ask in (made.__getitem__, made.get_group, partial(made.get_group, warn=False), made.reader):
        with pytest.raises(NotConfigured, match="Group 'reqests' not found in configuration") as raised:
            ask("reqests")
        errors.add(str(raised.value))
    assert len(errors) == 1
    assert made.get_group("reqests", dummy=True, warn=False) is DUMMY_EVENT_GROUP
    assert made["http"].group_name == "http"
    assert caplog.messages == []


def test_unknown_value_of_missing_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="missing must be 'raise' or 'warn', not 'ignore'"):
        EventCountLogger({"g": DIRECT}, missing="ignore")  # type: ignore[arg-type]


def test_dummy_group_has_all_methods_without_effect() -> None:
    dummy = DummyEventGroup()
    assert (dummy.group_name, dummy.event_ids, dummy.intervals) == ("", set(), [])
    dummy.log("a")
    dummy.log("a", 3)
    dummy.declare_event_id("a")
    dummy.declare_event_ids(["a"])
    with dummy.outcome("a", "b"):
        pass
    assert dummy.sync() is True
    assert dummy.get_counts("5m") == {}
    assert dummy.get_last_count("a", "5m") == dummy.get_current_count("a", "5m") == 0
    assert dummy.get_current_counts("a") is None


# Outcomes


def test_block_is_counted_as_success_or_failure(server: Server, logger: Make) -> None:
    group = logger({"g": DIRECT}, server.config)["g"]
    with group.outcome("a", "b"):
        pass
    with pytest.raises(ZeroDivisionError), group.outcome("a", "b"):
        1 / 0  # noqa: B018
    with pytest.raises(ZeroDivisionError), group.outcome(success="a"):
        1 / 0  # noqa: B018
    assert server.counts("g", "1h", "cur") == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("event_ids", "error"),
    [
        (("ok", 404), TypeError),
        ((404, "failed"), TypeError),
        (("ok", "@bad"), ValueError),
        (("",), ValueError),
    ],
)
def test_outcome_with_a_wrong_event_raises_at_the_call(
    event_ids: Any, error: type[Exception], server: Server, logger: Make
) -> None:
    group = logger({"g": DIRECT}, server.config)["g"]
    with pytest.raises(error):
        group.outcome(*event_ids)


def test_decorated_calls_are_counted_as_success_or_failure(server: Server, logger: Make) -> None:
    group = logger({"g": DIRECT}, server.config)["g"]

    @group.outcome("a", "b")
    def divide(one: int, other: int) -> float:
        return one / other

    @group.outcome("a", "b")
    async def divide_later(one: int, other: int) -> float:
        await asyncio.sleep(0)
        return one / other

    assert divide(4, other=2) == 2
    assert asyncio.run(divide_later(4, 2)) == 2
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(divide_later(1, 0))
    assert group.sync()
    assert server.counts("g", "1h", "cur") == {"a": 2, "b": 2}


def test_group_finds_the_new_primary_behind_the_same_name(
    server: Server, own_server: Server, logger: Make
) -> None:
    """The open connection leads to the former primary, now a replica; new ones lead to the new primary."""
    proxy = Proxy(own_server)
    groups = logger({"d": DIRECT, "c": {**DIRECT, "sync_interval": 0.2}}, proxy.config)
    groups["d"].log("a")
    groups["c"].log("a")
    assert groups["c"].sync()
    own_server.client.replicaof("127.0.0.1", server.port)
    proxy.server = server
    for _ in range(3):
        groups["d"].log("a")
        groups["c"].log("a")
    wait_until(lambda: groups["d"].sync() and groups["c"].sync())
    for name in "dc":
        assert server.counts(name, "1h", "cur") == {"a": 3, "@lost": 1}
    proxy.close()


def test_close_of_many_groups_is_bounded_in_time(own_server: Server, logger: Make) -> None:
    names = [f"g{number}" for number in range(20)]
    made = logger(dict.fromkeys(names, CACHED), {**own_server.config, "socket_timeout": 1})
    for name in names:
        made[name].log("a")
        assert made[name].sync()
    own_server.stall()
    before = time.monotonic()
    made.close(timeout=1)
    assert time.monotonic() - before < 7, "half a second for each of them"
    own_server.go_on()


def test_log_with_a_failing_handler_does_not_raise(
    own_server: Server, logger: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ValueError("I/O operation on closed file")

    monkeypatch.setattr(logging.getLogger(), "handlers", [Broken()])
    group = logger({"g": DIRECT}, {**own_server.config, "socket_timeout": 0.3})["g"]
    group.log("a")
    group.log("undeclared")
    own_server.kill()
    group.log("a")
    own_server.start()
    wait_until(lambda: own_server.counts("g", "1h", "cur") == {"a": 2})


def test_exception_of_a_signal_handler_does_not_confirm_a_count(own_server: Server, logger: Make) -> None:
    class TooLong(Exception):
        pass

    def give_up(number: int, frame: FrameType | None) -> None:
        while frame and frame.f_code.co_name != "receive":
            frame = frame.f_back
        if frame:  # otherwise, log() has not come that far on a busy machine
            raise TooLong

    group = logger({"g": DIRECT}, own_server.config)["g"]
    group.log("a")
    own_server.stall()
    before = signal.signal(signal.SIGALRM, give_up)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2, 0.05)
        with pytest.raises(TooLong):
            group.log("a")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        own_server.go_on()
    wait_until(lambda: own_server.counts("g", "1h", "cur") == {"a": 2})


def test_process_without_file_descriptors_counts(server: Server, tmp_path: Path) -> None:
    program = """
import json, os, resource, sys
from event_count_logger import EventCountLogger
group = {"events": ["a"], "intervals": ["1h"]}
ecl = EventCountLogger({"g": group}, json.loads(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
taken = []
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
for _ in range(3):
    ecl["g"].log("a")
for descriptor in taken:
    os.close(descriptor)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(server.config)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert server.counts("g", "1h", "cur") == {"a": 3}
