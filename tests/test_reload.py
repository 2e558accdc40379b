"""SIGHUP: services read their configuration again, and lose no counts."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from event_count_logger.config import from_dicts, from_file
from event_count_logger.config.changes import changes, usable_at_once
from event_count_logger.store import Store
from tests.conftest import BIN
from tests.fixtures import Start, Write
from tests.notified import Manager
from tests.servers import Server, free_port, wait_until
from tests.serving import Serving
from tests.test_write import PAYLOAD

G = {"events": ["e"], "intervals": ["1s"]}
RELOADED = ["RELOADING=1", "READY=1"]


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    with Manager() as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        yield manager


def reload(process: subprocess.Popen[str], manager: Manager) -> None:
    n = manager.states().count("RELOADING=1")
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: manager.states().count("RELOADING=1") > n and manager.states()[-1] == "READY=1")


def end(process: subprocess.Popen[str]) -> str:
    process.terminate()
    _, logged = process.communicate(timeout=60)
    assert process.returncode == 0
    return logged


def rotated(server: Server, group: str, interval: str = "1s") -> Any:
    return server.client.get(f"{group}:{interval}:last:@ts")


def lengths_s(server: Server, name: str, settings: dict[str, Any]) -> set[float]:
    """Returns the lengths of the finished intervals of a group, in seconds."""
    config = from_dicts({name: settings}, server.config)
    with closing(Store(config.redis)) as store:
        finished = store.reads.history(config.group(name), config.group(name).intervals[0], 100)
    return {each.end - each.start for each in finished}


# Configurations


def test_differences_are_described() -> None:
    old = from_dicts({"a": G, "b": G, "c": G})
    new = from_dicts({"a": G, "b": {**G, "hidden": True}, "d": G})
    assert changes(old, old) == []
    assert changes(old, new) == ["groups added: d", "groups removed: c", "groups changed: b"]


def test_address_of_redis_is_kept_until_the_next_start() -> None:
    old, new = from_dicts({"a": G}, {"port": 1}), from_dicts({"a": G, "b": G}, {"port": 2})
    config, kept = usable_at_once(old, new)
    assert kept == ["redis"]
    assert config.redis == old.redis
    assert config.groups == new.groups


def test_moved_line_is_no_difference(config_file: Write) -> None:
    old = from_file(config_file("{groups: {g: {intervals: [1s]}}, servr: {}}"))
    new = from_file(config_file("\n\n{groups: {g: {intervals: [1s]}}, servr: {}}"))
    assert old.warnings != new.warnings
    assert changes(old, new) == []


# The master


def has_stopped(server: Server, group: str) -> bool:
    """Returns whether all masters of a group have recorded that they stopped."""
    return all('"stopped": true' in value for value in server.client.hvals(f"{group}:@masters"))


def test_master_rotates_added_groups_and_stops_removed_ones(
    server: Server, start: Start, config_file: Write, manager: Manager
) -> None:
    stays = {"events": ["e"], "intervals": ["4s"]}  # on a busy machine, a rotation may be late by a second
    before = {"stays": stays, "goes": G, "grows": G}
    master = start("ecl_master", "-v", config_file({"redis": server.config, "groups": before}))
    manager.wait_for("READY=1")
    wait_until(
        lambda: all(
            rotated(server, name, group["intervals"][0]) and server.client.hlen(f"{name}:@masters")
            for name, group in before.items()
        )
    )
    after = {"stays": stays, "comes": G, "grows": {**G, "intervals": ["1s", "2s"], "history": 7}}
    config_file({"redis": server.config, "groups": after})
    reload(master, manager)
    gone, at_reload = rotated(server, "goes"), server.client.time()[0]
    wait_until(lambda: rotated(server, "comes") and rotated(server, "grows", "2s"))
    wait_until(lambda: has_stopped(server, "goes"), what="the master records that it has left the group")
    assert int(rotated(server, "goes")) <= int(gone) + 1
    wait_until(lambda: int(rotated(server, "stays", "4s")) > at_reload)
    logged = end(master)
    assert "reloaded: groups added: comes; groups removed: goes; groups changed: grows" in logged
    assert lengths_s(server, "stays", stays) == {4}, "groups that stay are rotated on time"
    assert has_stopped(server, "comes")
    ends = [line.split()[-1] for line in logged.splitlines() if "Group 'grows', interval '1s'" in line]
    assert len(ends) == len(set(ends)), "each interval is rotated once"


def test_invalid_configuration_is_logged_in_full_and_changes_nothing(
    server: Server, start: Start, config_file: Write, manager: Manager
) -> None:
    master = start("ecl_master", config_file({"redis": server.config, "groups": {"g": G}}))
    manager.wait_for("READY=1")
    config_file({"redis": {"port": "x"}, "groups": {"g": {"intervals": ["5x"]}}})
    reload(master, manager)
    at_reload = server.client.time()[0]
    wait_until(lambda: int(rotated(server, "g") or 0) > at_reload)
    config_file({"redis": server.config, "groups": {"g": G}})
    reload(master, manager)
    logged = end(master)
    assert "'5x' is not an interval" in logged
    assert "redis.port" in logged
    assert "ecl.yml cannot be used; keeping the previous configuration" in logged
    assert any(line.endswith("Configuration reloaded: no changes") for line in logged.splitlines())


@pytest.mark.parametrize("left", ["", "redis: {}", "groups:", "groups: {}", None])
def test_incomplete_or_missing_file_changes_nothing(
    left: str | None, server: Server, start: Start, config_file: Write, manager: Manager
) -> None:
    config = config_file({"redis": server.config, "groups": {"g": G}})
    master = start("ecl_master", config)
    manager.wait_for("READY=1")
    if left is None:
        config.unlink()
    else:
        config_file(left)
    reload(master, manager)
    at_reload = server.client.time()[0]
    wait_until(lambda: int(rotated(server, "g") or 0) > at_reload)
    assert "keeping the previous configuration" in end(master)


def test_tail_keeps_its_entries_when_the_section_is_removed(
    server: Server, start: Start, config_file: Write, manager: Manager, tmp_path: Path
) -> None:
    config = {"redis": server.config, "groups": {"g": {**G, "intervals": ["24h"]}}}
    entry = {"file": "log", "group": "g", "rules": [{"match": "x", "events": ["e"]}]}
    tail = start("ecl", "tail", config_file({**config, "tail": [entry]}))
    manager.wait_for("READY=1")
    config_file(config)
    reload(tail, manager)
    (tmp_path / "log").write_text("x\n")
    wait_until(lambda: server.counts("g", "24h", "cur").get("e") == 1)
    assert "ecl.yml has no section 'tail'; keeping the previous configuration" in end(tail)


def test_setting_that_needs_a_restart_is_logged(
    server: Server, start: Start, config_file: Write, manager: Manager
) -> None:
    master = start("ecl_master", config_file({"redis": server.config, "groups": {"g": G}}))
    manager.wait_for("READY=1")
    config_file({"redis": {"port": free_port()}, "groups": {"g": G, "h": G}})
    reload(master, manager)
    wait_until(lambda: rotated(server, "h"), what="the other changes are applied")
    assert "redis changed; the change takes effect at the next start" in end(master)


@pytest.mark.parametrize("name", ["master", "serve", "tail"])
def test_sighup_is_harmless_at_any_time(
    name: str, own_server: Server, start: Start, config_file: Write, manager: Manager
) -> None:
    own_server.stall()  # the tail waits for Redis, so the first signals come before it has begun
    entry = {"file": "app.log", "group": "g", "rules": [{"match": "x", "events": ["e"]}]}
    config = config_file({"redis": own_server.config, "groups": {"g": G}, "tail": [entry]})
    for _ in range(10):  # on a busy machine, the test may look too late
        service = start("ecl", name, *(["--listen", "127.0.0.1:0"] if name == "serve" else []), config)
        wait_until(lambda: holds(service, signal.SIGHUP) or catches(service, signal.SIGHUP))  # noqa: B023
        if holds(service, signal.SIGHUP):
            break
        service.kill()
    else:
        pytest.fail("SIGHUP is not blocked before anything else is imported")
    while not catches(service, signal.SIGHUP):
        service.send_signal(signal.SIGHUP)
        assert service.poll() is None, (service.returncode, service.communicate())
    assert manager.states() == []
    for _ in range(3):
        service.send_signal(signal.SIGHUP)
    own_server.go_on()
    manager.wait_for("READY=1")
    for _ in range(20):
        service.send_signal(signal.SIGHUP)
    manager.wait_for(*RELOADED)
    service.terminate()
    while service.poll() is None:
        service.send_signal(signal.SIGHUP)
    assert service.returncode == 0
    assert "STOPPING=1" in manager.states()


def catches(process: subprocess.Popen[str], number: signal.Signals) -> bool:
    return in_mask("SigCgt", process, number)


def holds(process: subprocess.Popen[str], number: signal.Signals) -> bool:
    return in_mask("SigBlk", process, number)


def in_mask(name: str, process: subprocess.Popen[str], number: signal.Signals) -> bool:
    """See proc_pid_status(5)."""
    (mask,) = (
        line.split()[1]
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
        if line.startswith(name)
    )
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.parametrize(
    "command", [("ecl_master", "--once"), ("ecl", "master", "--once"), ("ecl", "status")]
)
def test_sighup_ends_commands_that_do_not_reload(
    command: tuple[str, ...], start: Start, own_server: Server, config_file: Write
) -> None:
    config = config_file({"redis": {**own_server.config, "socket_timeout": 30}, "groups": {"g": G}})
    own_server.stall()
    program = start(*command, config)
    wait_until(lambda: has_connection(program), what="it waits for Redis")
    assert not holds(program, signal.SIGHUP)
    program.send_signal(signal.SIGHUP)
    program.communicate(timeout=60)
    assert program.returncode == -signal.SIGHUP


def has_connection(process: subprocess.Popen[str]) -> bool:
    with suppress(FileNotFoundError):
        return any(
            os.readlink(each).startswith("socket:") for each in Path(f"/proc/{process.pid}/fd").iterdir()
        )
    return False


@pytest.mark.parametrize("outlives", [False, True])
def test_master_stops_with_its_terminal_unless_started_by_nohup(
    outlives: bool, server: Server, config_file: Write
) -> None:
    config = config_file({"redis": server.config, "groups": {"g": G}})
    pid, terminal = os.forkpty()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN if outlives else signal.SIG_DFL)  # see nohup(1)
        os.execv(BIN / "ecl_master", ["ecl_master", str(config)])
    try:
        wait_until(lambda: rotated(server, "g"))
    finally:
        os.close(terminal)
    if outlives:
        closed_at = server.client.time()[0]
        wait_until(lambda: int(rotated(server, "g")) > closed_at)
        os.kill(pid, signal.SIGTERM)
    ended = wait_until(lambda: os.waitpid(pid, os.WNOHANG)[0] and True)
    assert ended
    assert has_stopped(server, "g"), "in order"


# The server


def test_server_applies_the_new_configuration(
    server: Server, start: Start, config_file: Write, manager: Manager
) -> None:
    old = {"a": {**G, "history": 5}, "b": {**G, "history": 5}}
    serving = Serving(start, config_file({"redis": server.config, "groups": old}))
    manager.wait_for("READY=1")
    page = {"Origin": "https://shop.example"}
    path = "/api/v1/groups/{}/events"
    assert serving.post(path.format("a"), {"events": {"e": 3}})[0] == 202
    assert serving.post(path.format("a"), {"events": {"e": 1}}, **page)[0] == 403
    kept, cut = (Stream(serving, name) for name in "ab")
    new = {"a": old["a"], "b": {**old["b"], "hidden": True}, "c": {**G, "events": ["e"], "sessions": {}}}
    allowed = {"allowed_origins": ["https://shop.example"]}
    config_file(
        {"redis": server.config, "groups": new, "serve": allowed, "grafana": {"group": "c", "event": "e"}}
    )
    reload(serving.process, manager)
    wait_until(lambda: cut.is_over, what="the stream of a hidden group ends")
    assert serving.ask("GET", "/api/v1/groups/b/1s")[0] == 404
    assert serving.ask("GET", "/api/v1/groups/c/1s")[0] == 200
    for name in "abc":
        assert serving.post(path.format(name), {"events": {"e": 1}}, **page)[0] == 202
    wait_until(
        lambda: server.counts("a", "1s", "cur") == {"e": 4}, what="counts from before the signal are kept"
    )
    assert serving.post("/write", PAYLOAD)[0] == 201, "the only group with sessions"
    assert not kept.is_over
    for stream in (kept, cut):
        stream.close()
    serving.stop()
    assert server.counts("b", "1s", "cur") == {"e": 1}


class Stream:
    """Reads a stream of finished intervals in the background."""

    def __init__(self, serving: Serving, group: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=30)
        self._connection.request("GET", f"/api/v1/groups/{group}/1s/stream")
        assert self._connection.sock
        self._socket = self._connection.sock
        self._response = self._connection.getresponse()
        assert self._response.status == 200
        self._response.readline()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._response.close()
        self._connection.close()

    def _read(self) -> None:
        with suppress(OSError, http.client.HTTPException):
            while self._response.readline():
                pass


# Log files


def test_lines_count_once_while_entries_change(
    server: Server, start: Start, config_file: Write, manager: Manager, tmp_path: Path
) -> None:
    group = {"auto_declare_events": True, "intervals": ["24h"]}

    def configure(**events: list[str]) -> Path:
        tail = [
            {"file": f"{name}.log", "group": "g", "rules": [{"match": "x", "events": counted}]}
            for name, counted in events.items()
        ]
        return config_file({"redis": server.config, "groups": {"g": group}, "tail": tail})

    logs = {name: (tmp_path / f"{name}.log").open("a") for name in ("stays", "changes", "goes", "comes")}

    def write(n: int) -> None:
        for log in logs.values():
            log.write("x\n" * n)
            log.flush()

    def counted() -> dict[str, int]:
        return server.counts("g", "24h", "cur")

    tail = start("ecl", "tail", configure(stays=["stays"], changes=["old"], goes=["goes"]))
    manager.wait_for("READY=1")
    write(1000)
    configure(stays=["stays"], changes=["old", "new"], comes=["comes"])
    reload(tail, manager)
    followed = {name for name in logs if f"{name}.log" in open_files(tail)}
    assert followed == {"stays", "changes", "comes"}
    write(1)
    expected = {"stays": 1001, "old": 1001, "goes": 1000, "new": 1, "comes": 1}
    wait_until(lambda: counted() == expected, what=f"{counted()}: lines count by the rules at their time")
    configure(stays=["stays"], goes=["goes"])
    reload(tail, manager)
    write(1)
    wait_until(lambda: counted().get("goes") == 1002, what="the entry continues at its offset")
    logged = end(tail)
    assert counted() == {"stays": 1002, "old": 1001, "goes": 1002, "new": 1, "comes": 1}
    assert "WARNING" not in logged
    for log in logs.values():
        log.close()


def open_files(process: subprocess.Popen[str]) -> set[str]:
    found = set()
    for file in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was open for a look only
            found.add(os.path.basename(os.readlink(file)))
    return found


def test_entry_that_cannot_be_followed_does_not_stop_others(
    server: Server, start: Start, config_file: Write, manager: Manager, tmp_path: Path
) -> None:
    rules = [{"match": "x", "events": ["e"]}]
    good, bad = ({"file": name, "group": "g", "source": "s", "rules": rules} for name in ("good", "bad"))
    config = {"redis": server.config, "groups": {"g": {**G, "intervals": ["24h"]}}}
    tail = start("ecl", "tail", config_file({**config, "tail": [good]}))
    manager.wait_for("READY=1")
    server.client.hset("g:@sources", f"tail:s:{tmp_path}/bad", "17")
    config_file({**config, "tail": [bad, good]})
    reload(tail, manager)
    (tmp_path / "good").write_text("x\n")
    wait_until(lambda: server.counts("g", "24h", "cur").get("e") == 1)
    assert "not followed: '17' is not a position in log files" in end(tail)


# Workers


WORKER = """
import json, sys
from event_count_logger import EventCountLogger
with EventCountLogger(json.loads(sys.argv[1]), json.loads(sys.argv[2])) as ecl:
    print("counts", flush=True)
    for line in sys.stdin:
        for name in ("both", "some"):
            for event in ("old", "new"):
                for _ in range(100):
                    ecl[name].log(event)
"""


def test_workers_with_old_and_new_configuration_count_exactly(
    server: Server, start: Start, config_file: Write, manager: Manager
) -> None:
    old = {
        "both": {"events": ["old"], "intervals": ["24h", "12h"], "sync_interval": 0.05},
        "some": {"events": ["old"], "intervals": ["24h"]},
    }
    new = {"both": {"events": ["old", "new"], "intervals": ["24h", "6h"], "sync_limit": 7}}
    master = start("ecl_master", config_file({"redis": server.config, "groups": old}))
    manager.wait_for("READY=1")

    def worker(groups: dict[str, Any]) -> subprocess.Popen[str]:
        arguments = ("-c", WORKER, json.dumps(groups), json.dumps(server.config))
        started = start(sys.executable, *arguments, stdin=subprocess.PIPE)
        assert started.stdout
        assert started.stdout.readline() == "counts\n"
        return started

    workers = [worker(old), worker(new)]
    for reloading in (False, True, False):
        for each in workers:
            assert each.stdin
            each.stdin.write("go\n" * 5)
            each.stdin.flush()
        if reloading:
            config_file({"redis": server.config, "groups": new})
            reload(master, manager)
    for each in workers:
        each.communicate(timeout=20)
        assert each.returncode == 0
    n = 3 * 5 * 100
    assert server.counts("both", "24h", "cur") == {"old": 2 * n, "new": n}
    assert server.counts("both", "12h", "cur") == {"old": n}
    assert server.counts("both", "6h", "cur") == {"old": n, "new": n}
    assert server.counts("some", "24h", "cur") == {"old": n}, "a group that is gone keeps its counts"
    end(master)
