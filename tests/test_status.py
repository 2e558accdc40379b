from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from event_count_logger.config import from_file
from event_count_logger.counters import spool_file
from event_count_logger.counters.cells import Cells
from event_count_logger.local_reader import UndeliveredFile
from event_count_logger.local_status import LocalStatus, MachineStatus, after_recovery, examine_machine
from event_count_logger.render import status as render
from event_count_logger.status import IntervalStatus, Status
from event_count_logger.store import MasterInfo
from tests.servers import Server, free_port, wait_until

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]

GROUPS: dict[str, Any] = {
    "web": {"events": ["ok", "error"], "intervals": ["0.5s", "24h"]},
    "secret": {"events": ["a"], "intervals": ["0.5s", "24h"], "hidden": True},
}
MASTER = MasterInfo("web1", 4711, "2.0.0", 1_700_000_000.0, seen_s=2.0)


@pytest.fixture
def file(server: Server, config_file: Callable[..., Path]) -> Path:
    return config_file({"redis": server.config, "groups": GROUPS})


def found(run: Run, file: Path) -> dict[str, Any]:
    return dict(json.loads(run("ecl", "status", "--json", file).stdout))


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout.splitlines()[-1]


def test_all_is_well_while_a_master_is_at_work(run: Run, start: Start, file: Path) -> None:
    master = start("ecl_master", file)
    wait_until(lambda: found(run, file)["masters"], what="the master says that it is there")
    wait_until(lambda: None not in [each["overdue_s"] for each in found(run, file)["intervals"]])
    done = run("ecl", "status", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert last_line(done) == "OK: 1 master, 2 intervals in time"
    assert str(master.pid) in done.stdout
    assert "secret" not in done.stdout + run("ecl", "status", "--json", file).stdout


def test_without_a_master_a_rotation_becomes_overdue(run: Run, start: Start, file: Path) -> None:
    master = start("ecl_master", file)
    wait_until(lambda: found(run, file)["masters"], what="the master says that it is there")
    master.send_signal(signal.SIGTERM)
    master.wait(20)
    wait_until(lambda: run("ecl", "status", file).returncode == 4, what="it is overdue")
    done = run("ecl", "status", file)
    assert last_line(done).startswith("OVERDUE: 1 of 2 intervals and 1 hidden interval by up to ")
    assert last_line(done).endswith("; no sign of a master")
    assert "overdue by" in done.stdout and "secret" not in done.stdout
    as_json = found(run, file)
    assert (as_json["state"], as_json["hidden_overdue"], as_json["masters"]) == ("overdue", 1, [])
    assert [each["overdue"] for each in as_json["intervals"]] == [True, False]


def test_an_interval_that_never_began_is_not_in_time(run: Run, file: Path) -> None:
    done = run("ecl", "status", file)
    assert done.returncode == 0
    assert last_line(done) == "OK: no sign of a master, 0 intervals in time, 2 not begun yet"
    assert [each["overdue_s"] for each in found(run, file)["intervals"]] == [None, None]


def test_without_groups_redis_is_asked_nevertheless(run: Run, config_file: Callable[..., Path]) -> None:
    redis = {"host": "127.0.0.1", "port": free_port(), "socket_timeout": 0.5}
    done = run("ecl", "status", config_file({"redis": redis, "groups": {}}))
    assert (done.returncode, last_line(done).split()[0]) == (3, "UNREACHABLE:")


def test_what_this_machine_knows_is_said_without_redis(
    run: Run, start: Start, config_file: Callable[..., Path]
) -> None:
    redis = {"host": "127.0.0.1", "port": free_port(), "socket_timeout": 0.5}
    file = config_file({"redis": redis, "groups": {"web": {**GROUPS["web"], "sync_interval": 60}}})
    program = f"""
import os, signal, sys
from event_count_logger import EventCountLogger
group = EventCountLogger.from_file({str(file)!r})["web"]
for _ in range(7):
    group.log("ok")
print("logged", flush=True)
sys.stdin.read()
"""
    killed, alive = (start("python", "-c", program, stdin=subprocess.PIPE) for _ in range(2))
    for process in (killed, alive):
        assert process.stdout and process.stdout.readline() == "logged\n"
    killed.kill()
    killed.wait()
    done = run("ecl", "status", file)
    assert (done.returncode, done.stderr) == (3, "")
    assert last_line(done).startswith(f"UNREACHABLE: Redis at 127.0.0.1:{redis['port']}/0 cannot be reached")
    assert examine_machine(from_file(str(file))).groups == [LocalStatus("web", 1, 7, 1, 7)]
    as_json = found(run, file)
    assert (as_json["state"], as_json["masters"]) == ("unreachable", None)
    assert as_json["machine"] == [{"group": "web", "alive": 1, "unsent": 7, "dead": 1, "unrecovered": 7}]


def test_a_key_in_the_way_is_named(run: Run, server: Server, file: Path) -> None:
    with server.client as client:
        client.set("web:@sources", "foreign")
    done = run("ecl", "status", file)
    assert done.returncode == 3
    assert last_line(done).startswith("REFUSED: Redis refuses (key web:@sources)")


def test_a_wrong_configuration_is_no_state(run: Run, config_file: Callable[..., Path]) -> None:
    done = run("ecl", "status", config_file({"groups": {"web": {"intervals": ["5x"]}}}))
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_a_spool_directory_that_cannot_be_used_is_warned_of(run: Run, file: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = run("ecl", "status", file, ECL_SPOOL_DIR=str(tmp_path / "taken"))
    assert done.returncode == 0
    assert done.stderr.startswith("WARNING: spool files cannot be read: ")
    assert "this machine" not in done.stdout


@pytest.mark.parametrize(
    ("masters", "lags", "sentence"),
    [
        ([MASTER], [(0, False)], "OK: 1 master, 1 interval in time"),
        ([MASTER, MASTER], [(1.9, False), (0, True)], "OK: 2 masters, 1 interval in time"),
        ([], [(0, False), (None, False)], "OK: no sign of a master, 1 interval in time, 1 not begun yet"),
        ([], [(90, False), (0, False)], "OVERDUE: 1 of 2 intervals by up to 1m 30s; no sign of a master"),
        ([MASTER], [(0, False), (7200, True)], "OVERDUE: 1 hidden interval by up to 2h; 1 master"),
    ],
)
def test_the_sentence_says_what_there_is(
    masters: list[MasterInfo], lags: list[tuple[float | None, bool]], sentence: str
) -> None:
    intervals = [IntervalStatus("web", "5m", overdue_s, hidden) for overdue_s, hidden in lags]
    assert render.summary(Status(masters, intervals, {})) == sentence


def left(directory: Path, redis: str, group: str = "web") -> Path:
    """A spool file with a count, as a killed process leaves it."""
    file = spool_file.create(directory, group, ["24h"], redis)
    Cells.found(file).add("ok").total = 1
    file.close()
    return file.path


def test_file_for_this_redis_that_is_not_recovered_is_a_fault(
    run: Run, server: Server, file: Path, spool_dir: Path
) -> None:
    path = left(spool_dir, f"localhost:{server.port}/0")
    left(spool_dir, f"localhost:{server.port}/0", "secret")
    done = run("ecl", "status", file)
    assert done.returncode == 4
    assert last_line(done) == (
        "UNRECOVERED: no sign of a master, 0 intervals in time, 2 not begun yet; "
        "2 counts in 2 spool files of this machine not recovered (see ecl recover)"
    )
    assert re.search(rf"\n  {path}  +[\d.]+s  +4.1 kB  this Redis: 1 count\n", done.stdout)
    assert "secret" not in done.stdout
    run("ecl", "recover", file)
    assert run("ecl", "status", file).returncode == 0


def test_file_for_another_redis_is_named_and_no_fault(
    run: Run, server: Server, file: Path, spool_dir: Path
) -> None:
    path = left(spool_dir, "gone:6379/0")
    done = run("ecl", "status", file)
    assert done.returncode == 0
    assert last_line(done).endswith(", 2 not begun yet; 1 spool file for another Redis")
    assert re.search(rf"\n  {path}  +[\d.]+s  +4.1 kB  another Redis: gone:6379/0\n", done.stdout)
    (listed,) = found(run, file)["undelivered"]
    assert listed.pop("since") == pytest.approx(time.time(), abs=120)
    assert listed == {
        "file": str(path),
        "group": "web",
        "redis": "gone:6379/0",
        "ours": False,
        "size": 4096,
        "unsent": None,
        "fault": None,
    }


def test_file_that_a_master_recovers_in_time_is_no_fault(server: Server, spool_dir: Path, file: Path) -> None:
    config = from_file(str(file))
    path = left(spool_dir, config.redis.identity)
    before = examine_machine(config)
    assert [each.path for each in before.unrecovered] == [path]
    looks: list[float] = []

    def recover(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            path.unlink()
            left(spool_dir, config.redis.identity)  # of a process that has just ended

    assert after_recovery(config, before, recover).unrecovered == []
    assert len(looks) == 3
    later = examine_machine(config)
    assert after_recovery(config, later, looks.append).unrecovered == later.unrecovered
    assert sum(looks[3:]) == pytest.approx(5)


def test_file_that_cannot_be_read_is_a_fault(spool_dir: Path, file: Path) -> None:
    (spool_dir / "web.1.ecl").write_bytes(b"something else")
    (unreadable,) = examine_machine(from_file(str(file))).unrecovered
    assert (unreadable.fault, unreadable.size) == ("it is not a spool file", 14)


def test_thousands_of_undelivered_files_are_listed_in_short() -> None:
    files = [
        UndeliveredFile(
            Path(f"/spool/{number}.ecl"), 45_000_000, 1000 - number, redis="gone:1/0", is_ours=False
        )
        for number in range(3000)
    ]
    lines = render.render(None, MachineStatus([], files), now=3_601_000.0).splitlines()
    assert lines[-22].split() == ["file", "age", "size", "counts", "for"]
    assert re.split("  +", lines[-21])[1:] == [
        "/spool/0.ecl",
        "41d 16h",
        "45.0 MB",
        "another Redis: gone:1/0",
    ]
    assert lines[-1] == "  ... and 2,980 more, 134,100.0 MB"
