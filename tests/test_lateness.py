"""Late rotations: what a master logs about them, and why they were late."""

from __future__ import annotations

import re
import signal
import time

import pytest

from event_count_logger.config import RedisConfig, from_file
from event_count_logger.errors import Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log
from event_count_logger.service.late_rotations import LateRotation, LateRotations, RotationAttempts, late_s
from event_count_logger.store import Rotation, Store
from tests.fixtures import Start, Write
from tests.groups import group_of
from tests.servers import Server, wait_until

GROUPS = {"g": {"events": ["e"], "intervals": ["1s"]}}


def late_rotations(err: str) -> list[str]:
    """Returns the warnings about late rotations, without time and level."""
    return [line.partition("[WARNING] ")[2] for line in err.splitlines() if " late, " in line]


def lateness_s(warning: str) -> float:
    found = re.search(r"rotated ([\d.]+)s late", warning)
    assert found, warning
    return float(found[1])


def test_master_start_rotates_late_interval_and_warns(
    server: Server, start: Start, config_file: Write
) -> None:
    store = Store(RedisConfig(**server.config))
    interval = from_file(config_file({"redis": server.config, "groups": GROUPS})).groups["g"].intervals[0]
    now = store.client.server_time()
    store.commits.commit(group_of("g", [interval]), "s", 0, 1, {"e": 3}, now - 10)
    master = start("ecl_master", config_file({"redis": server.config, "groups": GROUPS}))
    wait_until(lambda: server.client.get("g:1s:last:@ts"))
    master.terminate()
    _, err = master.communicate(timeout=60)
    late = late_rotations(err)
    assert late, "on a busy machine, a second line is logged for later ones"
    assert re.fullmatch(
        r"Group 'g', interval '1s': rotated [\d.]+s late, \S+Z to \S+Z in one interval: "
        r"this master has just started with it, and no other master had rotated it",
        late[0],
    )
    store.close()


def test_outage_is_logged_in_one_line_for_all_late_rotations(
    own_server: Server, start: Start, config_file: Write
) -> None:
    groups = {f"g{number}": {"events": ["e"], "intervals": ["0.5s", "1s"]} for number in range(10)}
    redis = {**own_server.config, "socket_timeout": 1}
    master = start("ecl_master", config_file({"redis": redis, "groups": groups}))

    def rotated() -> set[int]:
        return {int(float(own_server.client.get(f"{name}:1s:last:@ts") or 0)) for name in groups}

    wait_until(lambda: 0 not in rotated(), what="all are rotated")
    own_server.stall()
    time.sleep(4.5)
    own_server.go_on()
    back_at = int(own_server.client.time()[0]) + 1
    wait_until(lambda: min(rotated()) > back_at, what="all are rotated again")
    master.terminate()
    _, err = master.communicate(timeout=60)
    late = late_rotations(err)
    assert 1 <= len(late) <= 2, "one at once, and one for all others when it stops"
    assert not [line for line in late if "no other master" in line], "a master ran all the time"
    assert "Redis" in late[0]
    assert re.search(r" \(the longest of \d+ late rotations of \d+ intervals\)$", late[-1])


def test_suspended_master_logs_that_it_was_late(server: Server, start: Start, config_file: Write) -> None:
    master = start("ecl_master", config_file({"redis": server.config, "groups": GROUPS}))
    wait_until(lambda: server.client.get("g:1s:last:@ts"))
    master.send_signal(signal.SIGSTOP)
    time.sleep(4.5)
    master.send_signal(signal.SIGCONT)
    back_at = int(server.client.time()[0]) + 1
    wait_until(lambda: int(server.text("g:1s:last:@ts")) > back_at)
    master.terminate()
    # On a busy machine, others are late, too: less.
    longest = max(late_rotations(master.communicate(timeout=60)[1]), key=lateness_s)
    assert lateness_s(longest) > 2
    assert re.search(
        r": (this master tried [\d.]+s late \(busy, stopped, or waiting for Redis\)|"
        r"the request to Redis took [\d.]+s)( \(the longest of .*\))?$",
        longest,
    )


def test_reason_of_a_late_rotation_comes_from_earlier_attempts() -> None:
    now = 100.0
    seen = RotationAttempts(lambda: now)
    seen.begin()
    assert seen.reason(60) == "this master has just started with it, and no other master had rotated it"
    seen.succeed(10)
    now = 110.0
    seen.begin()
    assert seen.reason(60) == "the clock of Redis was set forward, or this machine was suspended"
    now = 150.0
    assert seen.reason(60) == "the request to Redis took 40s"
    seen.begin()
    assert seen.reason(60).startswith("this master tried 40s late ")
    seen.fail(Unavailable("h:1", "gone"))
    seen.begin()
    assert seen.reason(60) == "earlier attempts of this master failed: Redis at h:1 cannot be reached: gone"
    seen.succeed(10)
    assert not seen.reason(60).startswith("this master could")


def test_lateness_is_measured_by_the_clock_of_redis() -> None:
    minute = Interval.parse("1m")
    assert late_s(minute, Rotation("waiting", 30.0)) == 0
    assert late_s(minute, Rotation("rotated", 60.0, 600.0, 660.0)) == 0
    assert late_s(minute, Rotation("rotated", 20.0, 600.0, 660.0)) == 40, "still in the next interval"
    assert late_s(minute, Rotation("rotated", 20.0, 600.0, 780.0)) == 160


def test_late_rotations_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    late = LateRotations(Log("late"), lambda: now)
    for number in range(50):
        late.add(LateRotation(f"g{number % 5}", "0.1s", 3 + number, 600.0, 660.0, "why"))
    late.log_if_due()
    assert [record.message for record in caplog.records] == [
        "Group 'g0', interval '0.1s': rotated 3s late, 1970-01-01T00:10:00Z to 1970-01-01T00:11:00Z in one "
        "interval: why"
    ]
    now = 60.0
    late.log_if_due()
    late.log()
    assert len(caplog.records) == 2
    assert caplog.records[-1].message.startswith("Group 'g4', interval '0.1s': rotated 52s late, ")
    assert caplog.records[-1].message.endswith(": why (the longest of 49 late rotations of 5 intervals)")
