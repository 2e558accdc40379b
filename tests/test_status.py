from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from event_count_logger.config import from_dicts, from_file
from event_count_logger.counting import spool_file
from event_count_logger.counting.cells import Cells
from event_count_logger.reading.local_reader import LocalReader, UndeliveredFile
from event_count_logger.reading.local_status import LocalStatus, MachineStatus, examine_machine, recheck
from event_count_logger.reading.status import GroupStatus, IntervalStatus, Status, examine
from event_count_logger.render import status as render
from event_count_logger.render.state import summary
from event_count_logger.store import MasterInfo, Store
from tests.fixtures import Run, Start, Write
from tests.servers import Server, free_port, wait_until

GROUPS: dict[str, Any] = {
    "web": {"events": ["ok", "error"], "intervals": ["0.5s", "24h"]},
    "secret": {"events": ["a"], "intervals": ["0.5s", "24h"], "hidden": True},
}
MASTER = MasterInfo("web1", 4711, "2.0.0", 1_700_000_000.0, seen_s=2.0)


@pytest.fixture
def file(server: Server, config_file: Write) -> Path:
    return config_file({"redis": server.config, "groups": GROUPS})


@pytest.fixture
def started_file(run: Run, server: Server, config_file: Write) -> Path:
    """A group whose interval a master has started, and which is far from its end."""
    groups = {name: {**group, "intervals": ["1000h"]} for name, group in GROUPS.items()}
    path = config_file({"redis": server.config, "groups": groups})
    assert run("ecl_master", "--once", path).returncode == 0
    return path


def found(run: Run, file: Path) -> dict[str, Any]:
    return dict(json.loads(run("ecl", "status", "--json", file).stdout))


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout.splitlines()[-1]


def test_status_with_running_master_is_ok(run: Run, start: Start, file: Path) -> None:
    master = start("ecl_master", file)

    def ok() -> subprocess.CompletedProcess[str] | None:
        done = run("ecl", "status", file)
        return done if done.returncode == 0 else None

    done = wait_until(ok, what="all intervals have begun")
    assert done.stderr == ""
    assert last_line(done) == "OK: 1 master, 2 intervals in time"
    assert str(master.pid) in done.stdout
    assert "secret" not in done.stdout + run("ecl", "status", "--json", file).stdout


def test_rotation_without_master_becomes_overdue(run: Run, start: Start, file: Path) -> None:
    master = start("ecl_master", file)
    wait_until(lambda: run("ecl", "status", file).returncode == 0, what="all intervals have begun")
    master.send_signal(signal.SIGTERM)
    master.wait(20)

    def overdue() -> subprocess.CompletedProcess[str] | None:
        done = run("ecl", "status", file)
        sentence = "OVERDUE: 1 of 2 intervals and 1 hidden interval by up to "  # not both at the same time
        return done if last_line(done).startswith(sentence) else None

    done = wait_until(overdue, what="both rotations are overdue")
    assert done.returncode == 4
    assert last_line(done).endswith("; no master heartbeat, 1 interval in time")
    assert "overdue by" in done.stdout and "secret" not in done.stdout
    as_json = found(run, file)
    assert (as_json["state"], as_json["hidden_overdue"]) == ("overdue", 1)
    assert [(each["stopped"], each["alive"]) for each in as_json["masters"]] == [(True, False)]
    assert [each["overdue"] for each in as_json["intervals"]] == [True, False]


def count(file: Path, group: str = "web", event_id: str = "ok") -> None:
    """Commit one count, which begins the intervals of its group."""
    config = from_file(str(file))
    assert (
        Store(config.redis).commits.commit(config.groups[group], "s", 0, 1, {event_id: 1}).outcome
        == "applied"
    )


def test_group_without_any_master_is_not_started(run: Run, file: Path) -> None:
    sentence = (
        "NOT STARTED: 2 of 2 intervals and 2 hidden intervals have no master yet (start ecl_master); "
        "no master heartbeat, 0 intervals in time"
    )
    done = run("ecl", "status", file)
    assert (done.returncode, last_line(done)) == (4, sentence)
    as_json = found(run, file)
    assert as_json["state"] == "not_started"
    assert [(each["overdue_s"], each["started"]) for each in as_json["intervals"]] == [(None, False)] * 2
    count(file)  # begins the intervals, without a master to end them
    done = run("ecl", "status", file)
    assert (done.returncode, last_line(done)) == (4, sentence)
    assert [each["started"] for each in found(run, file)["intervals"]] == [False, False]


@pytest.mark.parametrize("number", [0, 5])
def test_split_group_with_one_begun_shard_is_overdue(
    number: int, run: Run, server: Server, config_file: Write
) -> None:
    groups = {"web": {"events": ["ok"], "intervals": ["2s"], "shards": 8}}
    path = config_file({"redis": server.config, "groups": groups})
    config = from_file(str(path))
    store = Store(config.redis)
    assert store.commits.commit(config.groups["web"].shard(number), "s", 0, 1, {"ok": 1}).outcome == "applied"
    store.close()
    with server.client as client:
        client.set(f"{{web#{number}}}:2s:cur:@ts", int(client.time()[0]) - 100)
    done = run("ecl", "status", path)
    assert (done.returncode, last_line(done).split(":")[0]) == (4, "NOT STARTED")
    (interval,) = found(run, path)["intervals"]
    assert (interval["overdue"], interval["started"]) == (True, False)
    assert 90 < interval["overdue_s"] < 150
    assert "rotation is" in run("ecl", "check", path).stdout


def test_master_once_counts_as_started(run: Run, file: Path) -> None:
    count(file)
    assert run("ecl_master", "--once", file).returncode == 0
    assert "not started" not in run("ecl", "status", file).stdout


def test_interval_ended_by_a_master_of_version_1_1_is_started(server: Server, file: Path) -> None:
    count(file)
    config = from_file(str(file))
    (short, long), store = config.groups["web"].intervals, Store(config.redis)
    with server.client as client:  # like a master of version 1.1
        client.rename("web:24h:cur:ok", "web:24h:last:ok")
        client.set("web:24h:cur:ok", 0)
    assert [store.rotation.has_rotated(config.groups["web"], each) for each in (short, long)] == [False, True]
    store.close()


def test_interval_added_later_is_not_started_while_master_runs(
    run: Run, start: Start, config_file: Write, server: Server, file: Path
) -> None:
    start("ecl_master", file)
    wait_until(lambda: run("ecl", "status", file).returncode == 0, what="the status is OK")
    groups = {"web": {**GROUPS["web"], "intervals": ["0.5s", "24h", "7m"]}, "secret": GROUPS["secret"]}
    later = config_file({"redis": server.config, "groups": groups}, "later.yml")
    done = run("ecl", "status", later)
    assert (done.returncode, last_line(done)) == (
        4,
        "NOT STARTED: 1 of 3 intervals has no master yet "
        "(send SIGHUP to ecl_master to reload the configuration); 1 master, 2 intervals in time",
    )


def test_master_of_other_groups_does_not_count_for_this_one(
    run: Run, start: Start, config_file: Write, server: Server, file: Path
) -> None:
    only_web = config_file({"redis": server.config, "groups": {"web": GROUPS["web"]}}, "web.yml")
    start("ecl_master", only_web)
    wait_until(
        lambda: run("ecl", "status", only_web).returncode == 0,
        what="the status of the configuration of the master is OK",
    )
    done = run("ecl", "status", file)
    assert (done.returncode, last_line(done)) == (
        4,
        "NOT STARTED: 2 hidden intervals have no master yet (start ecl_master); "
        "1 master (none of 1 group), 2 intervals in time",
    )


def seen(server: Server, group: str, ago_s: float) -> None:
    """Set back the heartbeats of the masters of a group."""
    with server.client as client:
        for master_id, value in client.hgetall(f"{group}:@masters").items():
            at = int(client.time()[0] - ago_s)
            client.hset(f"{group}:@masters", master_id, f"{at} {value.partition(' ')[2]}")


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_group_without_last_master_is_a_fault_before_rotation_is_due(
    stop: signal.Signals, run: Run, start: Start, server: Server, started_file: Path
) -> None:
    master = start("ecl_master", started_file)
    wait_until(lambda: len(found(run, started_file)["masters"]) == 1, what="the master has a heartbeat")
    master.send_signal(stop)
    master.wait(20)
    assert run("ecl", "status", started_file).returncode == 0, "it may be restarted at once"
    for group in GROUPS:
        seen(server, group, 7200)
    done = run("ecl", "status", started_file)
    assert (done.returncode, last_line(done)) == (
        4,
        "NO MASTER: 2 groups have had no master for up to 2h (start ecl_master); "
        "no master heartbeat, 1 interval in time",
    )
    assert f"{'stopped' if stop is signal.SIGTERM else 'gone'}, seen 2h ago" in done.stdout
    assert "in time, but no master for 2h" in done.stdout
    assert found(run, started_file)["groups"][0]["abandoned_s"] == pytest.approx(7200, abs=60)


def test_group_rotated_after_its_last_master_is_ok(server: Server, started_file: Path) -> None:
    config = from_file(str(started_file))
    store, group = Store(config.redis), config.groups["web"]
    store.masters.record([group], MASTER)
    seen(server, "web", 7200)
    assert [each.group for each in examine(config, store).abandoned] == ["web"]
    now = store.client.server_time()
    with server.client as client:  # the state after a rotation by a master of version 1.1
        client.set("web:1000h:cur:@ts", int(now - 7200 + 10))
    assert examine(config, store).abandoned, "the master itself may have rotated after its last heartbeat"
    with server.client as client:
        client.set("web:1000h:cur:@ts", int(now - 3600))
    assert examine(config, store).abandoned == []
    store.close()


def test_status_without_groups_still_asks_redis(run: Run, config_file: Write) -> None:
    redis = {"host": "127.0.0.1", "port": free_port(), "socket_timeout": 0.5}
    done = run("ecl", "status", config_file({"redis": redis, "groups": {}}))
    assert (done.returncode, last_line(done).split()[0]) == (3, "UNREACHABLE:")


def test_status_without_redis_shows_this_machine(run: Run, start: Start, config_file: Write) -> None:
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
    assert as_json["stuck"] == []
    assert as_json["machine"] == [{"group": "web", "alive": 1, "unsent": 7, "dead": 1, "unrecovered": 7}]


def test_key_of_unexpected_type_is_named(run: Run, server: Server, file: Path) -> None:
    with server.client as client:
        client.set("web:@sources", "foreign")
    done = run("ecl", "status", file)
    assert done.returncode == 3
    assert last_line(done).startswith("REFUSED: Redis rejects the request (key web:@sources)")


def test_answering_server_is_not_reported_as_unreachable(
    run: Run, server: Server, config_file: Write
) -> None:
    file = config_file({"redis": {**server.config, "db": 99_999}, "groups": GROUPS})
    done = run("ecl", "status", file)
    assert done.returncode == 3
    assert last_line(done).startswith(
        f"REFUSED: Redis at 127.0.0.1:{server.port}/99999 rejects the connection"
    )


def test_invalid_configuration_is_not_a_status(run: Run, config_file: Write) -> None:
    done = run("ecl", "status", config_file({"groups": {"web": {"intervals": ["5x"]}}}))
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_unusable_spool_directory_is_a_fault(run: Run, started_file: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    fault = f"{tmp_path / 'taken'} is a regular file, not a directory"
    done = run("ecl", "status", started_file, ECL_SPOOL_DIR=str(tmp_path / "taken"))
    assert (done.returncode, last_line(done)) == (
        4,
        f"UNREADABLE: spool files of this machine cannot be read: {fault}; "
        "no master heartbeat, 1 interval in time",
    )
    done = run("ecl", "status", "--json", started_file, ECL_SPOOL_DIR=str(tmp_path / "taken"))
    assert json.loads(done.stdout)["unreadable"] == [
        f"{tmp_path / 'taken'} is a regular file, not a directory"
    ]


def test_group_without_spool_files_has_no_number_of_processes(
    run: Run, server: Server, config_file: Write
) -> None:
    file = config_file({"redis": server.config, "groups": {"web": {**GROUPS["web"], "spool": False}}})
    assert "unknown for groups without spool files (spool: false): web" in run("ecl", "status", file).stdout
    assert found(run, file)["machine"] == []


COUNTING = """
import sys
from event_count_logger import EventCountLogger
group = EventCountLogger.from_file(sys.argv[1])["web"]
for line in sys.stdin:
    for _ in range(int(line)):
        group.log("ok")
    print("logged", flush=True)
"""


class Counting:
    """A process that counts in the group `web` on request."""

    def __init__(self, start: Start, file: Path) -> None:
        self.process = start("python", "-c", COUNTING, file, stdin=subprocess.PIPE)
        self.pid = self.process.pid

    def log(self, number: int) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "logged\n"


def age(spool_dir: Path, seconds: float) -> None:
    """Set back the time of the last complete send in all spool files."""
    for path in spool_dir.glob("*.ecl"):
        header_size = int.from_bytes(path.read_bytes()[12:16], sys.byteorder)
        with path.open("r+b") as file:
            file.seek(header_size - 48)
            # Not negative on a machine that has just booted.
            sent_until_ns = max(1, time.monotonic_ns() - int(seconds * 1e9))
            file.write(sent_until_ns.to_bytes(8, sys.byteorder))


@pytest.mark.parametrize(
    ("settings", "limit_s"),
    [({}, 0), ({"sync_interval": 0}, 0), ({"sync_interval": 60}, 60)],
)
def test_stopped_process_is_unsent_until_it_continues(
    settings: dict[str, Any],
    limit_s: float,
    run: Run,
    start: Start,
    server: Server,
    spool_dir: Path,
    config_file: Write,
) -> None:
    groups = {"web": {"events": ["ok"], "intervals": ["1000h"], **settings}}
    file = config_file({"redis": server.config, "groups": groups})
    assert run("ecl_master", "--once", file).returncode == 0
    counting = Counting(start, file)
    counting.log(7)
    if not limit_s:
        wait_until(lambda: found(run, file)["machine"][0]["unsent"] == 0, what="the first counts are sent")
    counting.process.send_signal(signal.SIGSTOP)
    state = Path(f"/proc/{counting.pid}/stat")
    wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", what="it is stopped")
    (path,) = spool_dir.glob("*.ecl")
    with spool_file.SpoolReader(path) as window:
        (cell,) = window.contents().cells()
    with path.open("r+b") as raw:  # the state of a process stopped right after 3 more calls of log()
        data = path.read_bytes()
        header_size = int.from_bytes(data[12:16], sys.byteorder)
        raw.seek(header_size + 16)
        raw.write((cell.total + 3).to_bytes(8, sys.byteorder))
    unsent = cell.total + 3 - cell.acked
    age(spool_dir, limit_s)
    assert run("ecl", "status", file).returncode == 0, "it is not late yet"
    age(spool_dir, limit_s + 60)
    done = run("ecl", "status", file)
    assert done.returncode == 4
    assert re.fullmatch(
        rf"UNSENT: {unsent} counts of process {counting.pid} of this machine unsent for up to [0-9hms ]+; "
        "no master heartbeat, 1 interval in time",
        last_line(done),
    )
    assert re.search(rf"\n  web +{counting.pid} +{unsent} ", done.stdout)
    (stuck,) = found(run, file)["stuck"]
    assert stuck.pop("sent_s") >= limit_s + 60
    assert stuck == {"group": "web", "pid": counting.pid, "unsent": unsent}
    counting.process.send_signal(signal.SIGCONT)
    counting.log(1)
    if not limit_s:
        wait_until(lambda: run("ecl", "status", file).returncode == 0, what="all counts are sent")


@pytest.mark.parametrize(
    ("settings", "limit_s"),
    [
        ({}, 0),
        ({"sync_interval": 0}, 0),
        ({"sync_interval": 2}, 2),
        ({"sync_interval": 900}, 300),
        ({"sync_limit": 9}, 300),
        ({"sync_limit": 9, "sync_interval": 2}, 2),
    ],
)
def test_counts_are_due_by_sync_interval_or_the_end_of_an_interval(
    settings: dict[str, Any], limit_s: float
) -> None:
    config = from_dicts({"web": {"intervals": ["1h", "5m"], **settings}})
    assert config.groups["web"].longest_unsent_s == limit_s


def test_process_with_permanently_unsent_counts_is_ok(
    run: Run, start: Start, server: Server, spool_dir: Path, config_file: Write
) -> None:
    groups = {"web": {"events": ["ok"], "intervals": ["1000h"]}}
    file = config_file({"redis": server.config, "groups": groups})
    assert run("ecl_master", "--once", file).returncode == 0
    program = """
import sys, threading
from event_count_logger import EventCountLogger
group = EventCountLogger.from_file(sys.argv[1])["web"]
def count():
    while True:
        group.log("ok")
for _ in range(4):
    threading.Thread(target=count, daemon=True).start()
print("counting", flush=True)
sys.stdin.read()
"""
    process = start("python", "-c", program, file, stdin=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == "counting\n"
    wait_until(lambda: any(spool_dir.glob("*.ecl")), what="the process counts")
    config = from_file(str(file))

    def first_look() -> MachineStatus | None:
        age(spool_dir, 3600)
        machine = examine_machine(config)
        return machine if machine.late else None

    late = wait_until(first_look, what="a look finds unsent counts")
    assert recheck(config, late).late == []
    assert run("ecl", "status", file).returncode == 0


def test_sync_records_time_of_last_complete_send(
    run: Run, start: Start, server: Server, spool_dir: Path, config_file: Write
) -> None:
    groups = {"web": {"events": ["ok"], "intervals": ["1000h"], "sync_interval": 0.2}}
    file = config_file({"redis": server.config, "groups": groups})
    counting = Counting(start, file)
    counting.log(1)
    age(spool_dir, 3600)
    reader = LocalReader(from_file(str(file)))
    wait_until(lambda: reader.read()[0].sent_s < 60, what="an idle process records the time, too")


@pytest.mark.parametrize(
    ("masters", "lags", "sentence"),
    [
        ([MASTER], [(0, False)], "OK: 1 master, 1 interval in time"),
        ([MASTER, MASTER], [(1.9, False), (0, True)], "OK: 2 masters, 1 interval in time"),
        (
            [],
            [(0, False), (None, False)],
            "NOT STARTED: 1 of 2 intervals has no master yet (start ecl_master); "
            "no master heartbeat, 1 interval in time",
        ),
        (
            [],
            [(90, False), (0, False)],
            "OVERDUE: 1 of 2 intervals by up to 1m 30s; no master heartbeat, 1 interval in time",
        ),
        (
            [MASTER],
            [(0, False), (7200, True)],
            "OVERDUE: 1 hidden interval by up to 2h; 1 master, 1 interval in time",
        ),
    ],
)
def test_summary_describes_the_status(
    masters: list[MasterInfo], lags: list[tuple[float | None, bool]], sentence: str
) -> None:
    intervals = [
        IntervalStatus("web", "5m", overdue_s, hidden, overdue_s is not None) for overdue_s, hidden in lags
    ]
    groups = [GroupStatus("web", 1, bool(masters))]
    assert summary(Status(masters, intervals, groups)) == sentence


def test_summary_lists_all_faults_worst_first() -> None:
    intervals = [
        IntervalStatus("web", "5m", 9.0),
        IntervalStatus("web", "1h", None, started=False),
        IntervalStatus("api", "1h", 0.0),
    ]
    groups = [GroupStatus("web", 1, True), GroupStatus("api", 1, False, 90.0)]
    left_behind = [UndeliveredFile(Path("/spool/a.ecl"), 1, 0.0, unsent=1)]
    machine = MachineStatus(undelivered=left_behind, faults=["/x is no directory"])
    assert summary(Status([MASTER], intervals, groups), machine) == (
        "OVERDUE: 1 of 3 intervals by up to 9s; "
        "1 of 3 intervals has no master yet (start ecl_master); "
        "group 'api' has had no master for 1m 30s (start ecl_master); "
        "1 count in 1 spool file of this machine not recovered (see ecl recover); "
        "spool files of this machine cannot be read: /x is no directory; "
        "1 master (none of 1 group), 1 interval in time"
    )


def left(directory: Path, redis: str, group: str = "web", interval: str = "24h") -> Path:
    """Write the spool file of a killed process, with one count."""
    file = spool_file.create(directory, group, [interval], redis)
    Cells.from_storage(file).add("ok").total = 1
    file.close()
    return file.path


def test_unrecovered_file_for_this_redis_is_a_fault(
    run: Run, server: Server, started_file: Path, spool_dir: Path
) -> None:
    file = started_file
    path = left(spool_dir, f"localhost:{server.port}/0", "web", "1000h")
    left(spool_dir, f"localhost:{server.port}/0", "secret", "1000h")
    done = run("ecl", "status", file)
    assert done.returncode == 4
    assert last_line(done) == (
        "UNRECOVERED: 2 counts in 2 spool files of this machine not recovered (see ecl recover); "
        "no master heartbeat, 1 interval in time"
    )
    assert re.search(rf"\n  {path}  +[\d.]+s  +4.1 kB  this Redis: 1 count\n", done.stdout)
    assert "secret" not in done.stdout
    run("ecl", "recover", file)
    assert run("ecl", "status", file).returncode == 0


def test_file_for_another_redis_is_listed_without_fault(
    run: Run, server: Server, started_file: Path, spool_dir: Path
) -> None:
    file = started_file
    path = left(spool_dir, "gone:6379/0")
    done = run("ecl", "status", file)
    assert done.returncode == 0
    assert last_line(done).endswith(", 1 interval in time; 1 spool file for another Redis")
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


def test_file_recovered_in_time_is_no_fault(server: Server, spool_dir: Path, file: Path) -> None:
    config = from_file(str(file))
    path = left(spool_dir, config.redis.identity)
    before = examine_machine(config)
    assert [each.path for each in before.unrecovered] == [path]
    looks: list[float] = []

    def recover(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            path.unlink()
            left(spool_dir, config.redis.identity)  # the file of a process that has just ended

    assert recheck(config, before, recover).unrecovered == []
    assert len(looks) == 3
    later = examine_machine(config)
    assert recheck(config, later, looks.append).unrecovered == later.unrecovered
    assert sum(looks[3:]) == pytest.approx(5)


def test_unreadable_file_is_a_fault(spool_dir: Path, file: Path) -> None:
    (spool_dir / "web.1.ecl").write_bytes(b"something else")
    (unreadable,) = examine_machine(from_file(str(file))).unrecovered
    assert (unreadable.fault, unreadable.size) == ("it is not a spool file", 14)


def test_list_of_thousands_of_undelivered_files_is_short() -> None:
    files = [
        UndeliveredFile(
            Path(f"/spool/{number}.ecl"), 45_000_000, 1000 - number, redis="gone:1/0", is_ours=False
        )
        for number in range(3000)
    ]
    lines = render.render(None, MachineStatus(undelivered=files), now=3_601_000.0).splitlines()
    assert lines[-22].split() == ["file", "age", "size", "counts", "for"]
    assert re.split("  +", lines[-21])[1:] == [
        "/spool/0.ecl",
        "41d 16h",
        "45.0 MB",
        "another Redis: gone:1/0",
    ]
    assert lines[-1] == "  ... and 2,980 more, 134,100.0 MB"
