"""`event_count_logger.testing`: counts in memory, which are those that Redis would have."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from event_count_logger import (
    DummyEventGroup,
    EventCountLogger,
    EventGroup,
    NotConfigured,
    SourceMoved,
)
from event_count_logger.counting.group_counters import GroupCounters
from event_count_logger.groups.captured_group import CapturedGroup
from event_count_logger.groups.recording_group import UnconfiguredRecordingGroup
from event_count_logger.groups.redis_group import RedisEventGroup
from event_count_logger.testing import RecordingEventCountLogger, RecordingGroup, capture_counts
from tests.fixtures import Make, Write
from tests.groups import event_group
from tests.servers import Server, free_port, wait_until

GROUP: dict[str, Any] = {"events": ["ok", "failed"], "intervals": ["1h", "2h"]}
CACHED = {**GROUP, "sync_interval": 3600}
DYNAMIC: dict[str, Any] = {"auto_declare_events": True, "max_events": 3, "intervals": ["1h"]}

#: A port without a server.
NOWHERE = {"port": free_port()}


@pytest.fixture
def recorded() -> RecordingEventCountLogger:
    return RecordingEventCountLogger({"g": GROUP, "dynamic": DYNAMIC}, NOWHERE)


# The interface


@pytest.mark.parametrize(
    "kind", [RedisEventGroup, CapturedGroup, DummyEventGroup, RecordingGroup, UnconfiguredRecordingGroup]
)
def test_each_kind_of_group_has_all_methods_of_the_interface(kind: type[EventGroup]) -> None:
    assert issubclass(kind, EventGroup)
    assert not inspect.isabstract(kind)


def test_captured_group_replaces_all_methods_that_use_redis() -> None:
    own = {name for name in vars(RedisEventGroup) if callable(getattr(RedisEventGroup, name))}
    made_of_the_group = {"counter", "log"}  # they lead to `_log_unusual`
    internal = {name for name in own if name.startswith("_") and name != "_log_unusual"}
    assert own - made_of_the_group - internal <= vars(CapturedGroup).keys()


# RecordingEventCountLogger


def test_recorded_counts_are_a_mapping_of_event_to_count(recorded: RecordingEventCountLogger) -> None:
    group = recorded["g"]
    group.log("ok")
    group.log("ok", 2)
    group.log("failed", 0)
    assert group["ok"] == 3
    assert group["failed"] == 0
    assert group == {"ok": 3}
    assert (list(group), len(group), "failed" in group) == (["ok"], 1, False)
    assert "{'ok': 3}" in repr(group)
    assert recorded["g"] is group
    assert recorded["dynamic"]
    assert recorded["dynamic"] != group
    assert {group, recorded["dynamic"]}


def test_unknown_event_of_recorded_counts_is_a_key_error(recorded: RecordingEventCountLogger) -> None:
    with pytest.raises(KeyError, match=r"group 'g' has no event 'okk' \(declared: failed, ok\)"):
        recorded["g"]["okk"]
    assert recorded["dynamic"]["anything"] == 0


def test_recording_logger_of_a_file_needs_no_server(
    config_file: Write, caplog: pytest.LogCaptureFixture, spool_dir: Path
) -> None:
    before = set(threading.enumerate())
    with RecordingEventCountLogger.from_file(
        config_file({"groups": {"g": GROUP}, "redis": NOWHERE})
    ) as recorded:
        recorded["g"].log("ok")
        assert recorded["g"].sync()
        assert asyncio.run(recorded["g"].flush())
    assert recorded["g"] == {"ok": 1}
    assert set(threading.enumerate()) <= before
    assert list(spool_dir.iterdir()) == []
    assert caplog.messages == []


def test_recording_group_reads_its_counts_as_the_current_interval(
    recorded: RecordingEventCountLogger, caplog: pytest.LogCaptureFixture
) -> None:
    group = recorded["g"]
    group.log("ok", 2)
    assert group.get_counts("1h", current=True) == {"ok": 2, "failed": 0}
    assert group.get_counts("1h") == {"ok": 0, "failed": 0}
    assert group.get_current_counts("ok") == {"1h": 2, "2h": 2}
    assert group.get_current_counts("x") is None
    assert group.get_current_count("ok", "1h") == 2
    assert group.get_current_count("ok", "7h") == group.get_last_count("ok", "1h") == 0
    assert group.get_counts("7h") == {}
    with pytest.raises(NotImplementedError, match=r"has no readers: use recorded\['g'\]"):
        recorded.reader("g")


def test_recording_group_that_is_not_configured_counts_nothing(
    recorded: RecordingEventCountLogger, caplog: pytest.LogCaptureFixture
) -> None:
    assert recorded.get_group("x") is None
    group = recorded["x"]
    group.log("ok")
    group.counter("ok").inc()
    assert group == {}
    assert isinstance(group, DummyEventGroup)
    assert [record.getMessage() for record in caplog.records] == [
        "Event group 'x' is not configured: its events are not counted"
    ]


def test_threads_and_coroutines_record_exactly(recorded: RecordingEventCountLogger) -> None:
    group = recorded["g"]
    counter = group.counter("failed")

    def count(_: int) -> None:
        for _ in range(1000):
            group.log("ok")
            counter.inc(2)

    async def handle() -> None:
        with group.outcome("ok"):
            await asyncio.sleep(0)

    async def handle_all() -> None:
        await asyncio.gather(*(handle() for _ in range(100)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    asyncio.run(handle_all())
    assert group == {"ok": 4100, "failed": 8000}


# As in Redis


def log_events(group: EventGroup) -> None:
    for event_id in "abacdcea":
        group.log(event_id)
        group.counter(event_id).inc(2)
    with group.outcome("a", "b"):
        pass
    with pytest.raises(ZeroDivisionError), group.outcome("a", "b"):
        1 / 0  # noqa: B018


def act(seed: int, group: EventGroup) -> None:
    chance = random.Random(seed)
    for _ in range(40):
        session = group.session(chance.choice("12345678"), chance.choice("ab"))
        action = chance.choice([session.start, session.heartbeat, session.heartbeat, session.end])
        action(1000 + chance.randrange(40) / 4)
    group.end_session("1")
    group.end_session("unknown")


def consume(group: EventGroup) -> None:
    records = [(number, "ab"[number % 2], number) for number in range(50)]
    assert group.consume("s", records[:30], batch_size=7) == "29"
    assert group.consume("s", records) == "49"
    assert group.consume("s", lambda after: records[int(after or 0) :]) == "49"
    with pytest.raises(SourceMoved):
        group.consume("t", other_consumer(group), batch_size=1)


def other_consumer(group: EventGroup) -> Iterator[tuple[int, str, int]]:
    yield (1, "a", 1)
    group.consume("t", [(1, "a", 1), (2, "a", 1)])
    yield (3, "a", 1)


def log_undeclared(group: EventGroup) -> None:
    group.declare_event_ids(["mine", "yours"])
    for event_id in ("mine", "unknown"):
        group.log(event_id)


@pytest.mark.parametrize("settings", [DYNAMIC, GROUP], ids=["dynamic", "declared"])
@pytest.mark.parametrize("use", ["events", "sessions", "stream", "undeclared"])
def test_recorded_counts_are_those_of_redis(
    settings: dict[str, Any], use: str, seed: int, server: Server, logger: Make
) -> None:
    uses: dict[str, Callable[[EventGroup], None]] = {
        "events": log_events,
        "sessions": partial(act, seed),
        "stream": consume,
        "undeclared": log_undeclared,
    }
    groups = {"g": {**settings, "sessions": {"timeout": "2s"}}}
    recorded = RecordingEventCountLogger(groups)["g"]
    counted = logger(groups, server.config)["g"]
    for group in (recorded, counted):
        uses[use](group)
    wait_until(counted.sync)
    assert recorded == {event: count for event, count in server.counts("g", "1h", "cur").items() if count}
    assert recorded.event_ids == counted.event_ids


@pytest.mark.parametrize("group", ["g", "dynamic"])
@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda group: group.log(404), TypeError),
        (lambda group: group.log("ok", "1"), TypeError),
        (lambda group: group.log("ok", True), TypeError),
        (lambda group: group.log("ok", -1), ValueError),
        (lambda group: group.log("@ok", 0), ValueError),
        (lambda group: group.counter(""), ValueError),
        (lambda group: group.outcome("ok", 404), TypeError),
        (lambda group: group.declare_event_id("a\n"), ValueError),
        (lambda group: group.session(5, "ok").start(), (TypeError, NotConfigured)),
        (lambda group: group.session("5", "ok").end("now"), (TypeError, NotConfigured)),
        (lambda group: group.consume("@s", []), ValueError),
    ],
)
def test_wrong_arguments_raise_as_in_a_group_in_redis(
    call: Callable[[Any], object], error: type[Exception], group: str, recorded: RecordingEventCountLogger
) -> None:
    with pytest.raises(error) as of_recorded:
        call(recorded[group])
    with pytest.raises(error) as of_redis:
        call(EventCountLogger({group: GROUP if group == "g" else DYNAMIC}, NOWHERE)[group])
    assert str(of_recorded.value) == str(of_redis.value)


# capture_counts


def test_everything_made_before_records_while_captured(server: Server, logger: Make) -> None:
    made = logger({"g": {**CACHED, "sessions": {}}}, server.config)
    group = event_group(made, "g")
    count, counter, outcome = group.log, group.counter("ok"), group.outcome("ok")
    session = group.session("1", "failed")
    group.log("ok", 1000)
    with capture_counts() as counts:
        group.log("ok")
        count("ok")
        counter.inc()
        with outcome:
            made["g"].log("failed")
        session.start()
        assert made.get_group("g") is group
        assert group.consume("s", [(1, "ok", 1)]) == "1"
        assert group.sync()
        assert asyncio.run(group.flush())
        assert counts["g"] == {"ok": 5, "failed": 2}
        assert group.get_counts("1h", current=True) == {"ok": 5, "failed": 2, "ok:ms": 0, "failed:ms": 0}
        assert group.get_current_counts("ok") == {"1h": 5, "2h": 5}
        assert group.get_current_count("ok", "1h") == 5
        assert group.get_last_count("ok", "1h") == 0
    counter.inc(3000)
    session.start()
    assert group.sync()
    assert server.counts("g", "1h", "cur") == {"ok": 4000, "failed": 1}
    assert counts["g"] == {"ok": 5, "failed": 2}


def test_logger_made_while_captured_counts_in_redis_afterwards(server: Server, logger: Make) -> None:
    with capture_counts() as counts:
        made = logger({"g": CACHED}, server.config)
        counter = made["g"].counter("ok")
        counter.inc()
        made["g"].declare_event_id("mine")
        made["g"].log("mine")
    counter.inc(7)
    with capture_counts() as again:
        made["g"].log("mine", 5)
    made["g"].log("mine", 4)
    assert made["g"].sync()
    assert counts["g"] == {"ok": 1, "mine": 1}
    assert again["g"] == {"mine": 5}
    assert server.counts("g", "1h", "cur") == {"ok": 7, "mine": 4}


def test_events_of_one_capture_take_no_room_in_the_next(logger: Make) -> None:
    group = logger({"g": DYNAMIC}, NOWHERE)["g"]
    for events in ("abc", "def"):
        with capture_counts() as counts:
            for event_id in events:
                group.log(event_id)
        assert counts["g"] == dict.fromkeys(events, 1)
    assert group.event_ids == set()


def test_groups_of_one_name_are_captured_together(logger: Make) -> None:
    first, other = logger({"g": GROUP}, NOWHERE), logger({"g": {**GROUP, "events": ["new"]}}, NOWHERE)
    with capture_counts() as counts:
        assert counts["g"]["ok"] == counts["g"]["new"] == 0
        first["g"].log("ok")
        other["g"].log("new")
        other["g"].log("ok")
        assert counts["g"] == {"ok": 1, "new": 1}
        with pytest.raises(NotConfigured, match="No EventCountLogger of this process has a group 'nope'"):
            counts["nope"]


def test_innermost_capture_records(logger: Make) -> None:
    group = logger({"g": CACHED}, NOWHERE)["g"]
    with capture_counts() as outer:
        group.log("ok")
        with capture_counts() as inner:
            group.log("ok", 2)
        group.log("ok", 4)
    assert outer["g"] == {"ok": 5}
    assert inner["g"] == {"ok": 2}


def test_capture_keeps_no_group_alive(logger: Make) -> None:
    made = EventCountLogger({"g": CACHED}, NOWHERE)
    with capture_counts() as counts:
        made["g"].log("ok")
        del made
        gc.collect()
        assert counts["g"] == {"ok": 1}


def test_capture_that_begins_within_the_first_log_records_it(
    logger: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = event_group(logger({"g": CACHED}, NOWHERE), "g")
    counters = group._counters.get()
    with ExitStack() as begun:
        counts = capture_counts()
        begin = iter([lambda: begun.enter_context(counts)])

        def get() -> GroupCounters:
            next(begin, lambda: counts)()  # only the first time
            return counters

        monkeypatch.setattr(group._counters, "get", get)
        group.log("ok")
        group.log("ok")
    assert counts["g"] == {"ok": 2}
    assert group.local.unsent() == {}


def test_each_count_around_captures_is_in_one_place(logger: Make) -> None:
    """Threads log while captures begin and end: no count is lost, and none is recorded and counted."""
    group = event_group(logger({"g": {**CACHED, "spool": False}}, NOWHERE), "g")
    counter = group.counter("ok")
    stop = threading.Event()

    def count(log: Callable[[], None]) -> int:
        n = 0
        while not stop.is_set():
            log()
            n += 1
        return n

    with ThreadPoolExecutor(3) as pool:
        ways = (partial(group.log, "ok"), counter.inc, lambda: group.log("ok"))
        n_logged = [pool.submit(count, way) for way in ways]
        captured = []
        for _ in range(20):
            with capture_counts() as counts:
                captured.append(counts["g"])
                wait_until(lambda: captured[-1]["ok"], what="threads have logged")
                group.log("failed")
            group.log("failed")
        stop.set()
    n_counted = sum(each.result() for each in n_logged) - sum(each["ok"] for each in captured)
    assert group.local.unsent() == {"ok": n_counted, "failed": 20}
    assert [each["failed"] for each in captured] == [1] * 20


def test_forked_child_records_for_itself(logger: Make, spool_dir: Path) -> None:
    group = logger({"g": CACHED}, NOWHERE)["g"]
    with capture_counts() as counts:
        group.log("ok")
        child = os.fork()
        if not child:
            status = 1
            try:
                group.log("ok", 2)
                status = 0 if counts["g"] == {"ok": 2} else 2
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert counts["g"] == {"ok": 1}
    assert list(spool_dir.iterdir()) == []
