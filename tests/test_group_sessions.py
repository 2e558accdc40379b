"""Sessions reported with `EventGroup.session`: each is counted once, also with faults."""

from __future__ import annotations

import enum
import json
import logging
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from typing import Any

import pytest

from event_count_logger import DUMMY_EVENT_GROUP, EventCountLogger, NotConfigured
from event_count_logger.counting import outbox
from event_count_logger.groups.redis_group import RedisEventGroup
from event_count_logger.sources import sessions
from tests.fixtures import Make
from tests.groups import event_group
from tests.servers import Proxy, Server, free_port, wait_until

B = time.time() // 3600 * 3600 - 3600
SETTINGS: dict[str, Any] = {"events": ["dash"], "intervals": ["1h"], "sessions": {"timeout": "1h"}}
DYNAMIC: dict[str, Any] = {**SETTINGS, "events": [], "auto_declare_events": True}


def counted(server: Server, event: str = "dash") -> tuple[int, int]:
    """Returns the number of sessions and their milliseconds."""
    counts = server.counts("g", "1h", "cur")
    return counts.get(event, 0), counts.get(f"{event}:ms", 0)


def test_session_is_counted_once_and_its_time_added_up(server: Server, logger: Make) -> None:
    session = logger({"g": SETTINGS}, server.config)["g"].session("s1", "dash")
    session.start(B)
    assert counted(server) == (1, 0)
    session.heartbeat(B + 1.25)
    assert counted(server) == (1, 1250)
    session.end(B + 2)
    session.heartbeat(B + 3)
    assert counted(server) == (1, 2000)


def test_action_without_a_time_is_now(server: Server, logger: Make) -> None:
    session = logger({"g": SETTINGS}, server.config)["g"].session("s1", "dash")
    session.start()
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() - begun > 0.1)
    session.end()
    assert counted(server)[0] == 1
    assert 100 <= counted(server)[1] < 60_000


def test_declared_session_events_have_a_time_event(server: Server, logger: Make) -> None:
    group = logger({"g": SETTINGS}, server.config)["g"]
    assert group.get_counts("1h", current=True) == {"dash": 0, "dash:ms": 0}


def test_undeclared_session_event_is_warned_of_once_and_not_counted(
    server: Server, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    session = logger({"g": SETTINGS}, server.config)["g"].session("s1", "other")
    session.start(B)
    session.end(B + 1)
    assert [record.getMessage() for record in caplog.records] == [
        "Event 'other' of group 'g' is not declared: not counted"
    ]
    assert server.everything() == {}


def test_session_events_beyond_max_events_are_counted_together(server: Server, logger: Make) -> None:
    group = logger({"g": {**DYNAMIC, "max_events": 2}}, server.config)["g"]
    for number, event in enumerate(["a", "b", "c"]):
        group.session(f"s{number}", event).start(B)
        group.session(f"s{number}", event).end(B + 1)
    expected = {"a": 1, "a:ms": 1000, "@overflow": 2, "@overflow:ms": 2000}
    assert server.counts("g", "1h", "cur") == expected


def test_session_can_be_ended_by_its_id_alone(server: Server, logger: Make) -> None:
    group = logger({"g": SETTINGS}, server.config)["g"]
    group.end_session("s1")
    assert server.everything() == {}
    group.session("s1", "dash").start()
    group.end_session("s1")
    assert server.client.zcard("g:@sessions_open") == 0
    assert counted(server)[0] == 1


def test_group_without_sessions_raises_not_configured(server: Server, logger: Make) -> None:
    group = logger({"g": {"events": ["dash"], "intervals": ["1h"]}}, server.config)["g"]
    for attempt in (lambda: group.session("s1", "dash"), lambda: group.end_session("s1")):
        with pytest.raises(NotConfigured, match="Group 'g' has no sessions"):
            attempt()


@pytest.mark.parametrize(
    ("id", "event", "at", "error"),
    [
        (7, "a", B, "TypeError: the ID of a session must be a string, not 7"),
        ("", "a", B, "ValueError: '' is not the ID of a session: it is empty"),
        ("a\nb", "a", B, "ValueError: 'a\\nb' is not the ID of a session: it contains control characters"),
        ("s", ["a"], B, "TypeError: event_id must be a string, not ['a']"),
        ("s", None, B, "TypeError: event_id must be a string, not None"),
        ("s", "@a", B, "ValueError: '@a' is not an event of sessions: it begins with '@', which is"),
        ("s", "a:ms", B, "ValueError: 'a:ms' is not an event of sessions: it ends with ':ms'"),
        ("s", "x" * 510, B, "it leaves no room for ':ms', with which it has 513 bytes"),
        ("s", "a", "12", "TypeError: the time must be a number of Unix seconds, not '12'"),
        ("s", "a", datetime.now(timezone.utc), "TypeError: the time must be a number of Unix seconds"),
        ("s", "a", -1, "ValueError: the time must be Unix seconds from 0 to 253402300800, not -1"),
        ("s", "a", float("nan"), "ValueError: the time must be Unix seconds"),
    ],
)
def test_invalid_session_arguments_raise_with_a_reason(
    id: Any, event: Any, at: Any, error: str, server: Server, logger: Make
) -> None:
    group = logger({"g": DYNAMIC}, server.config)["g"]
    with pytest.raises((TypeError, ValueError)) as caught:
        group.session(id, event).heartbeat(at)
    assert error in f"{caught.type.__name__}: {caught.value}"
    assert server.everything() == {}


class Kind(str, enum.Enum):
    DASH = "dash"


def test_session_strings_of_a_subclass_are_the_equal_ones(server: Server, logger: Make) -> None:
    logger({"g": SETTINGS}, server.config)["g"].session(Kind.DASH, Kind.DASH).start(B)
    assert counted(server) == (1, 0)
    assert server.client.hkeys("g:@sessions") == ["dash"]


def test_dummy_group_accepts_all_session_calls() -> None:
    session = DUMMY_EVENT_GROUP.session("s1", "dash")
    session.start()
    session.heartbeat(B)
    session.end()
    DUMMY_EVENT_GROUP.end_session("s1")


@pytest.mark.parametrize("gone", ["stalled", "killed"])
def test_sessions_during_an_outage_neither_raise_nor_wait(
    gone: str, own_server: Server, logger: Make
) -> None:
    timeout_s = 0.4
    group = logger({"g": SETTINGS}, {**own_server.config, "socket_timeout": timeout_s})["g"]
    session = group.session("s1", "dash")
    session.start(B)
    own_server.stall() if gone == "stalled" else own_server.kill()
    before = time.monotonic()
    for number in range(1, 201):
        session.heartbeat(B + number)
    assert time.monotonic() - before < 200 * timeout_s / 4, "heartbeat() waits although the stall is known"
    own_server.go_on() if gone == "stalled" else own_server.start()
    wait_until(lambda: counted(own_server) == (1, 200_000))
    wait_until(group.sync)
    session.end(B + 201)
    wait_until(lambda: counted(own_server) == (1, 201_000))


def test_sync_is_true_although_later_actions_wait(server: Server, logger: Make) -> None:
    group = event_group(logger({"g": {**SETTINGS, "sync_interval": 0}}, server.config), "g")
    group.outbox.put(sessions.checked_action("s1", "dash", "start", B))
    target = group._counters.get().flush_target()
    assert not target.is_confirmed()
    group.outbox.send(5)
    group.outbox.put(sessions.checked_action("s2", "dash", "start", B))
    assert target.is_confirmed()


def test_lost_answer_counts_no_session_twice(server: Server, proxy: Proxy, logger: Make) -> None:
    group = logger({"g": SETTINGS}, proxy.config)["g"]
    for number in range(10):
        proxy.lose_replies = 1
        group.session(f"s{number}", "dash").start(B)
        group.session(f"s{number}", "dash").end(B + 1)
        wait_until(group.sync)
    assert proxy.lost == 10
    assert counted(server) == (10, 10_000)


def test_restart_between_two_heartbeats_changes_no_figure(own_server: Server) -> None:
    for number in range(3):
        with EventCountLogger({"g": SETTINGS}, own_server.config) as ecl:
            ecl["g"].session("s1", "dash").heartbeat(B + 10 * number)
        own_server.kill()
        own_server.start()
    assert counted(own_server) == (1, 20_000)


def test_threads_may_act_on_the_same_sessions(server: Server, logger: Make) -> None:
    group = logger({"g": SETTINGS}, server.config)["g"]

    def act(first: int) -> None:
        for number in range(first, 101, 4):
            group.session(f"s{number % 5}", "dash").heartbeat(B + number)

    threads = [threading.Thread(target=act, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times_s = [100, *[95] * 4]
    assert counted(server) == (5, 1000 * sum(times_s))


PROGRAM = """
import json, os, sys
from event_count_logger import EventCountLogger
group = EventCountLogger(json.loads(sys.argv[1]), json.loads(sys.argv[2]))["g"]
session = group.session(sys.argv[3], "dash")
"""


def run_program(program: str, redis: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    arguments = [json.dumps({"g": SETTINGS}), json.dumps(redis), "s1"]
    # Python itself warns of fork() beside threads, from 3.12 on.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM + program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_child_process_sends_its_own_actions_and_not_its_parents(server: Server) -> None:
    program = f"""
group.outbox.send = lambda timeout_s: None  # nothing gets through until it forks
session.heartbeat({B} + 1)
assert group.outbox.has_unsent()
if os.fork() == 0:
    assert not group.outbox.has_unsent()
    session.heartbeat({B} + 5)
    assert group.sync()
    os._exit(0)
assert os.wait()[1] == 0
del group.outbox.send
session.heartbeat({B} + 7)
"""
    done = run_program(program, server.config)
    assert (done.returncode, done.stderr) == (0, "")
    assert counted(server) == (1, 6000)


def test_end_of_a_process_sends_waiting_actions(own_server: Server) -> None:
    program = f"""
import threading, signal
pid = {own_server.process.pid if own_server.process else 0}
session.start({B})
os.kill(pid, signal.SIGSTOP)
session.end({B} + 3)
assert group.outbox.has_unsent()
timer = threading.Timer(0.3, os.kill, (pid, signal.SIGCONT))
timer.daemon = True
timer.start()
"""
    done = run_program(program, {**own_server.config, "socket_timeout": 0.2})
    own_server.go_on()
    assert "Traceback" not in done.stderr
    assert counted(own_server) == (1, 3000)


def test_process_that_ends_without_redis_logs_lost_actions() -> None:
    program = "from event_count_logger.counting import syncer; syncer.FLUSH_TIMEOUT_S = 0.3; session.start()"
    done = run_program(program, {"port": free_port(), "socket_timeout": 0.2})
    assert done.returncode == 0
    assert "ends with 1 action of sessions of group 'g' unsent: lost" in done.stderr


def test_key_in_the_way_is_warned_of_once_and_delays_sessions(
    server: Server, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    group = logger({"g": SETTINGS}, server.config)["g"]
    server.client.lpush("g:1h:cur:dash", "x")
    for number in range(3):
        group.session("s1", "dash").heartbeat(B + number)
        assert not group.sync()
    (message,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "key g:1h:cur:dash" in message
    server.client.delete("g:1h:cur:dash")
    wait_until(group.sync)
    assert counted(server) == (1, 2000)
    group.session("s1", "dash").heartbeat(B + 3)
    assert counted(server) == (1, 3000), "actions no longer wait for the next attempt"


def test_actions_beyond_a_limit_are_lost_during_an_outage(
    logger: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_MAX_ACTIONS", 3)
    group = logger({"g": SETTINGS}, {"port": free_port()})["g"]
    for number in range(6):
        group.session("s1", "dash").heartbeat(B + number)
    assert isinstance(group, RedisEventGroup)
    assert group.outbox.describe_unsent() == "3 actions of sessions"
    warnings = [
        record.getMessage() for record in caplog.records if "further ones are lost" in record.getMessage()
    ]
    assert warnings == ["3 actions of sessions wait for Redis: further ones are lost"]
