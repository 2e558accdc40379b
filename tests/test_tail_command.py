"""The command `ecl tail`: its process, its signals, an unavailable Redis, and lines of all kinds."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from event_count_logger.config import from_file
from tests.conftest import BIN, ROOT, needs_debian
from tests.fixtures import Run, Start, Write
from tests.servers import Server, free_port, wait_until
from tests.terminal import Terminal

Configure = Callable[..., Path]

LINE = {"match": "^line", "events": ["line"]}
HEARTBEAT = {
    "match": r"^(?P<time>\S+) (?P<visitor>\w+) is in (?P<shop>\w+)",
    "session": {"id": "{visitor}", "event": "{shop}", "action": "heartbeat"},
    "time": {"value": "{time}", "format": "%Y-%m-%dT%H:%M:%S"},
}


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Write a configuration that follows app.log."""

    def configure(redis: dict[str, Any], *rules: dict[str, Any]) -> Path:
        group = {"auto_declare_events": True, "intervals": ["24h"], "sessions": {}}
        entry = {"file": "app.log", "group": "g", "rules": rules or (LINE,)}
        path = tmp_path / "ecl.yml"
        path.write_text(json.dumps({"redis": redis, "groups": {"g": group}, "tail": [entry]}))
        return path

    return configure


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def counted(server: Server, event_id: str = "line") -> int:
    with server.client as client:
        return int(client.get(f"g:24h:cur:{event_id}") or 0)


def test_tail_once_counts_existing_lines_and_exits(
    server: Server, run: Run, configure: Configure, log: Path
) -> None:
    log.write_text("line 1\nother\nline 2\nline")
    config = configure(server.config)
    for _ in range(2):
        done = run("ecl", "tail", "--from", "start", "--once", config)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert (counted(server), counted(server, "@unmatched")) == (3, 1)


def test_last_line_without_newline_counts_once_although_it_grows(
    server: Server, run: Run, start: Start, configure: Configure, log: Path
) -> None:
    config = configure(server.config)
    log.write_text("line 1\nline 2")
    run("ecl", "tail", "--from", "start", "--once", config)
    assert counted(server) == 2
    with log.open("a") as stream:
        stream.write("x\nline 3\nline")
        stream.flush()
        run("ecl", "tail", "--once", config)
        assert counted(server) == 4
        stream.write(" 4")
        stream.flush()
        process = start("ecl", "tail", config)
        stream.write(" line\nline 5\nline 6")
        stream.flush()
        wait_until(lambda: counted(server) == 5)
        process.kill()
        process.wait()
        stream.write("\nline 7")
    run("ecl", "tail", "--once", config)
    assert counted(server) == 7


def catches(process: subprocess.Popen[str], number: int) -> bool:
    """Returns whether a process has a handler of a signal: see proc_pid_status(5)."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) >> (number - 1) & 1)


def is_connected(process: subprocess.Popen[str]) -> bool:
    for file in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # just closed
            if os.readlink(file).startswith("socket:"):
                return True
    return False


def test_lines_are_counted_within_seconds_until_a_signal(
    server: Server, start: Start, configure: Configure, log: Path
) -> None:
    process = start("ecl", "tail", configure({**server.config, "socket_timeout": 60}))

    def has_counted(n: int) -> bool:
        return counted(server) == n

    wait_until(lambda: server.client.hlen("g:@sources"), what="the command has begun")
    with log.open("a") as stream:
        for n in (1, 2):
            stream.write("line\n")
            stream.flush()
            wait_until(partial(has_counted, n))
    with server.client as client, log.open("a") as stream:
        client.client_pause(60_000, all=False)
        try:
            stream.write("line\n")
            stream.flush()
            wait_until(
                lambda: [each for each in client.client_list() if "b" in each["flags"]],
                what="the line is read, and waits for its commit",
            )
            process.send_signal(signal.SIGTERM)
        finally:
            client.client_unpause()
        assert process.wait(60) == 0
    assert counted(server) == 3


def test_tail_waits_for_redis_logs_once_and_then_counts(
    own_server: Server, start: Start, run: Run, configure: Configure, log: Path
) -> None:
    config = configure(own_server.config)
    run("ecl", "tail", "--once", config)
    process = start("ecl", "tail", config)
    log.write_text("line\n")
    wait_until(lambda: counted(own_server) == 1)
    own_server.kill()
    with log.open("a") as stream:
        stream.write("line\n")
    assert process.stderr
    assert "[WARNING]" in process.stderr.readline()
    log.rename(f"{log}.1")
    log.write_text("line\n")
    own_server.start()
    wait_until(lambda: counted(own_server) == 3)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=20)
    assert process.returncode == 0
    (message,) = messages.splitlines()
    assert message.endswith("is back")


def test_signal_stops_tail_while_redis_is_unavailable(start: Start, configure: Configure) -> None:
    process = start("ecl", "tail", configure({"host": "127.0.0.1", "port": free_port()}))
    assert process.stderr
    assert "cannot be reached" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_second_signal_ends_tail_at_once(server: Server, start: Start, configure: Configure) -> None:
    server.stall()
    try:
        process = start("ecl", "tail", configure({**server.config, "socket_timeout": 60}))
        wait_until(lambda: "T" in Path(f"/proc/{server.process.pid}/stat").read_text().split()[2])  # type: ignore[union-attr]
        wait_until(lambda: is_connected(process), what="the command waits for an answer")
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not catches(process, signal.SIGINT), what="the first signal has arrived")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT
    finally:
        server.go_on()


def test_lines_of_all_kinds_count_except_long_ones(
    server: Server, run: Run, configure: Configure, log: Path
) -> None:
    longest, too_long = b"line " + b"x" * (2**20 - 5), b"line " + b"x" * (2**20 - 4)
    lines = [b"line \xff\x00", b"", too_long, b"line\r", longest, b"x" * 2**22, b"line", b"\xe2\x80\xa8line"]
    log.write_bytes(b"\n".join(lines) + b"\n" + too_long * 3)
    done = run("ecl", "tail", "--from", "start", "--once", configure(server.config))
    assert "app.log has a line or record of more than 1 MiB: skipped" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert counted(server) == 4
    assert counted(server, "@unmatched") == 2
    assert counted(server, "@skipped") == 3
    with log.open("a") as stream:
        stream.write("x\nline\n")
    run("ecl", "tail", "--once", configure(server.config))
    assert (counted(server), counted(server, "@skipped")) == (5, 3)


def test_utf_16_is_read_with_a_warning_unless_it_is_configured(
    server: Server, run: Run, tmp_path: Path, log: Path
) -> None:
    log.write_text("line 1\nline 2", encoding="utf-16")
    entry = {"file": "app.log", "group": "g", "rules": [LINE]}
    groups = {"g": {"intervals": ["24h"], "events": ["line"]}}
    config = tmp_path / "ecl.yml"
    messages = []
    for n, encoding in enumerate(({}, {"encoding": "UTF-16"}), 1):
        entries = [entry | encoding | {"source": str(n)}]
        config.write_text(json.dumps({"redis": server.config, "groups": groups, "tail": entries}))
        messages.append(run("ecl", "tail", "--from", "start", "--once", config).stderr)
        assert counted(server) == 2 * n
    assert "is not UTF-8: its byte order mark shows UTF-16-LE, as which it is read" in messages[0]
    assert "(set 'encoding: utf-16')" in messages[0]
    assert messages[1] == ""


def test_invalid_events_are_skipped_and_logged_once(
    server: Server, run: Run, configure: Configure, log: Path
) -> None:
    log.write_bytes(b"@a\n\x01\nok\n" + b"x" * 600 + b"\n")
    done = run(
        "ecl",
        "tail",
        "--from",
        "start",
        "--once",
        configure(server.config, {"match": "(?P<e>.+)", "events": ["{e}"]}),
    )
    assert (counted(server, "ok"), counted(server, "@skipped")) == (1, 3)
    (message,) = done.stderr.splitlines()
    assert "'@a' is not an event ID: it begins with '@', which is reserved; counted as @skipped" in message


def test_sessions_use_the_times_of_their_lines(
    server: Server, run: Run, configure: Configure, log: Path
) -> None:
    times = ("12:00:00", "12:00:10", "soon", "12:01:00")
    log.write_text("".join(f"2026-11-25T{time} ann is in books\n" for time in times))
    config = configure(server.config, HEARTBEAT)
    for _ in range(2):
        done = run("ecl", "tail", "--from", "start", "--once", config)
        assert (counted(server, "books"), counted(server, "books:ms")) == (1, 60_000)
        assert counted(server, "@skipped") == 1
    assert done.returncode == 0


def test_configuration_without_section_tail_exits_with_1(run: Run, config_file: Configure) -> None:
    done = run("ecl", "tail", config_file("groups: {g: {intervals: [5m]}}"))
    assert done.returncode == 1
    assert done.stderr.endswith("ecl.yml has no section 'tail'\n")


def test_foreign_position_is_an_error(server: Server, run: Run, configure: Configure) -> None:
    config = configure(server.config)
    run("ecl", "tail", "--once", config)
    (source,) = server.client.hkeys("g:@sources")
    server.client.hset("g:@sources", source, "17")
    done = run("ecl", "tail", "--once", config)
    assert (done.returncode, done.stderr) == (2, "ERROR: '17' is not a position in log files\n")


def test_terminal_shows_progress(server: Server, configure: Configure, log: Path, tmp_path: Path) -> None:
    needs_debian("tmux", "tmux")
    log.write_text("line\n" * 1000)
    terminal = Terminal(tmp_path, BIN / "ecl", "tail", "--from", "start", "--once", configure(server.config))
    try:
        terminal.sees("Reading", "100%")
        assert terminal.ended() == 0
    finally:
        terminal.close()
    assert counted(server) == 1000


def snippets(language: str) -> list[str]:
    section = (ROOT / "docs/sources.md").read_text().partition("## Log files\n")[2].partition("\n## ")[0]
    return re.findall(f"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("rules", [text for text in snippets("yaml") if text.startswith("rules:")])
def test_rules_in_documentation_are_valid(config_file: Write, rules: str) -> None:
    groups = "groups: {g: {auto_declare_events: true, intervals: [5m]}}\n"
    entry = indent(f"file: a.log\ngroup: g\n{rules}", "    ")
    (found,) = from_file(config_file(f"{groups}tail:\n  -\n{entry}")).tail
    assert found.rules


def test_example_in_documentation_works(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    (settings, *_), (commands, *_) = snippets("yaml"), snippets("sh")
    (tmp_path / "ecl.yml").write_text(settings + f"redis: {server.config}")
    done = subprocess.run(["bash", "-ec", commands], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["bytes_sent:512", "method_GET:1", "status_200:1"]
