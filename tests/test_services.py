"""Services: log formats, notifications for systemd, and the files of deploy/."""

from __future__ import annotations

import configparser
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from event_count_logger import EventCountLoggerMaster
from event_count_logger.service.sd_notify import Notifier
from tests.commands_of_files import fails_only_because_of_its_configuration
from tests.conftest import BIN, ROOT, needs_debian
from tests.fixtures import Run, Start, Write
from tests.notified import Manager
from tests.servers import Server, free_port, wait_until

GROUPS = {"g": {"events": ["e"], "intervals": ["1s"]}}
ALERTS = [{"name": "n", "group": "g", "event": "e", "above": 1}]
SECTIONS: dict[str, Any] = {"alerts": ALERTS, "export": {"url": "sqlite:///counts.db"}}

HOSTILE = "a\n2026-11-25T00:00:00 [INFO] all is well\r\x1b[2J\x85\u2028b"


def logging_program(log_format: str, *lines: str) -> str:
    """Returns the standard error of a program that logs in a format."""
    program = (
        "import logging, warnings",
        "from event_count_logger.service.log_format import set_up_logging",
        f"set_up_logging({log_format!r})",
        f"hostile = {HOSTILE!r}",
        *lines,
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(program)], capture_output=True, text=True)
    assert done.stdout == ""
    return done.stderr


def test_text_message_with_line_feeds_stays_one_line() -> None:
    output = logging_program(
        "text",
        "logging.getLogger('x').warning('Event %s', hostile)",
        "try: raise ValueError(hostile)",
        "except ValueError: logging.exception('It failed')",
    )
    first, second, *others = output.split("\n")[:-1]
    assert first.endswith(r"[WARNING] Event a\n2026-11-25T00:00:00 [INFO] all is well\r\x1b[2J\x85\u2028b")
    assert second.endswith("[ERROR] It failed")
    assert others
    assert all(line.startswith("    ") for line in others)
    assert re.fullmatch(r"[\n -~]*", output)


def test_json_message_with_any_content_is_one_object_per_line() -> None:
    output = logging_program(
        "json",
        "logging.getLogger('x').warning('Event %s', hostile)",
        "try: raise ValueError(hostile)",
        "except ValueError: logging.exception('It failed')",
        "warnings.warn(hostile)",
    )
    first, second, third = map(json.loads, output.splitlines())
    assert first | {"time": ""} == {
        "time": "",
        "level": "WARNING",
        "logger": "x",
        "message": f"Event {HOSTILE}",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    age = datetime.now(timezone.utc) - datetime.fromisoformat(first["time"].replace("Z", "+00:00"))
    assert 0 <= age.total_seconds() < 60
    assert second["message"] == "It failed"
    assert second["exception"].startswith("Traceback")
    assert HOSTILE in second["exception"]
    assert HOSTILE in third["message"]


@pytest.mark.parametrize(
    "lines",
    [
        ("raise ValueError(hostile)",),
        (
            "import threading",
            "def fail(): raise ValueError(hostile)",
            "threading.Thread(target=fail).start()",
        ),
        ("class Odd:", "    def __del__(self): raise ValueError(hostile)", "Odd()"),
    ],
    ids=["main", "thread", "finalizer"],
)
def test_uncaught_exception_is_logged_in_the_format(lines: tuple[str, ...]) -> None:
    (output,) = map(json.loads, logging_program("json", *lines).splitlines())
    assert (output["level"], output["message"]) == ("CRITICAL", "Uncaught exception")
    assert output["exception"].startswith("Traceback")
    assert HOSTILE in output["exception"]
    first, *others = logging_program("text", *lines).splitlines()
    assert first.endswith("[CRITICAL] Uncaught exception")
    assert all(line.startswith("    ") for line in others)


def test_thread_that_exits_logs_nothing() -> None:
    assert logging_program("json", "import threading", "threading.Thread(target=exit).start()") == ""


def test_uvicorn_logs_in_the_format() -> None:
    output = logging_program("json", "logging.getLogger('uvicorn.error').error('odd')")
    assert json.loads(output)["logger"] == "uvicorn.error"


@pytest.mark.parametrize("name", ["alert", "export", "master", "serve", "tail"])
def test_services_log_json_on_request(name: str, start: Start, config_file: Write, tmp_path: Path) -> None:
    away = {"host": "127.0.0.1", "port": free_port()}
    entry = {"file": "app.log", "group": "g", "rules": [{"match": "x", "events": ["e"]}]}
    file = config_file({"redis": away, "groups": GROUPS, "tail": [entry], **SECTIONS})
    options = ["--listen", "127.0.0.1:0"] if name == "serve" else []
    service = start("ecl", name, "--log-format", "json", *options, file)
    assert service.stderr
    line = service.stderr.readline()
    service.terminate()
    _, others = service.communicate(timeout=60)
    assert all(json.loads(each)["message"] for each in [line, *others.splitlines()])


def test_fatal_error_of_a_service_is_json(run: Run, config_file: Write) -> None:
    file = config_file({"redis": {"port": free_port()}, "groups": GROUPS})
    done = run("ecl", "master", "--once", file, ECL_LOG_FORMAT="json")
    assert done.returncode == 3
    assert [json.loads(line)["level"] for line in done.stderr.splitlines()][-1] == "ERROR"


def test_unknown_log_format_is_rejected(run: Run, config_file: Write) -> None:
    done = run("ecl", "master", "--once", config_file({"groups": GROUPS}), ECL_LOG_FORMAT="xml")
    assert done.returncode == 2
    assert "'xml' is not one of 'text', 'json'" in done.stderr


# Notifications


class Clock:
    """A replacement of `time.monotonic`."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_notifier_sends_messages_of_sd_notify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Manager() as manager:
        environment = {"NOTIFY_SOCKET": manager.address, "PATH": "/bin"}
        notifier = Notifier(environment)
        assert environment == {"PATH": "/bin"}, "child processes must not use the variable"
        notifier.ready("rotates\nnothing")
        notifier.reloading()
        notifier.alive()
        notifier.stopping()
        notifier.ready("too late")
        manager.states()
        ready, reloading, stopping = manager.received
        assert ready == "READY=1\nSTATUS=rotates nothing"
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", reloading)
        sent_at = int(reloading.split("=")[-1]) / 1e6
        assert 0 <= time.clock_gettime(time.CLOCK_MONOTONIC) - sent_at < 60
        assert stopping == "STOPPING=1"


def test_notify_socket_may_be_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"{directory}/notify")
        end.settimeout(20)
        Notifier({"NOTIFY_SOCKET": f"{directory}/notify"}).stopping()
        assert end.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "@ecl-no-listener", "x" * 300, "not/absolute"])
def test_notify_socket_without_listener_is_ignored(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "4"})
    notifier.ready("serves")
    notifier.alive()


def test_watchdog_messages_come_several_times_per_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr("event_count_logger.service.sd_notify.time.monotonic", clock)
    with Manager() as manager:
        notifier = Notifier({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "8000000"})
        for _ in range(80):
            notifier.alive()
            clock.now += 0.1
        assert manager.watchdog_messages() == 4


@pytest.mark.parametrize(
    "watchdog", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "8000000", "WATCHDOG_PID": "1"}]
)
def test_process_without_watchdog_sends_no_watchdog_messages(watchdog: dict[str, str]) -> None:
    with Manager() as manager:
        Notifier({"NOTIFY_SOCKET": manager.address, **watchdog}).alive()
        assert manager.watchdog_messages() == 0


@pytest.mark.parametrize("name", ["alert", "export", "master", "serve", "tail"])
def test_services_send_ready_watchdog_and_stopping(
    name: str, own_server: Server, start: Start, config_file: Write
) -> None:
    entry = {"file": "app.log", "group": "g", "rules": [{"match": "x", "events": ["e"]}]}
    file = config_file({"redis": own_server.config, "groups": GROUPS, "tail": [entry], **SECTIONS})
    options = ["--listen", "127.0.0.1:0"] if name == "serve" else []
    with Manager() as manager:
        variables = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000"}
        service = start("ecl", name, *options, file, env={**os.environ, **variables})
        manager.wait_for("READY=1")
        (status,) = (line for each in manager.received for line in each.split("\n") if "STATUS" in line)
        word = status.split()[0].removeprefix("STATUS=")
        assert word in ("rotates", "serves", "follows", "watches", "exports")
        own_server.kill()
        n = manager.watchdog_messages()
        wait_until(lambda: manager.watchdog_messages() > n + 3, what="it lives without Redis, too")
        service.terminate()
        service.communicate(timeout=60)
        assert service.returncode == 0
        assert manager.states() == ["READY=1", "STOPPING=1"]


def test_tail_is_ready_after_its_start_and_alive_before(
    own_server: Server, start: Start, config_file: Write
) -> None:
    own_server.kill()
    entry = {"file": "app.log", "group": "g", "rules": [{"match": "x", "events": ["e"]}]}
    file = config_file({"redis": own_server.config, "groups": GROUPS, "tail": [entry]})
    with Manager() as manager:
        variables = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "100000"}
        start("ecl", "tail", file, env={**os.environ, **variables})
        wait_until(lambda: manager.watchdog_messages() > 2)
        assert manager.states() == []
        own_server.start()
        manager.wait_for("READY=1")


def test_master_with_stuck_jobs_sends_no_watchdog_messages(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("event_count_logger.service.master._STUCK_S", 1)
    steps: list[float] = []
    master = EventCountLoggerMaster(GROUPS, {**server.config, "socket_timeout": 0.1})
    thread = threading.Thread(target=master.run, args=[lambda: steps.append(time.monotonic())])
    thread.start()
    try:
        wait_until(lambda: len(steps) > 1)
        with master._planning:  # no job can end
            wait_until(lambda: time.monotonic() > steps[-1] + 2.5, what="there are no steps any more")
        wait_until(lambda: time.monotonic() < steps[-1] + 1)
    finally:
        master.stop()
        thread.join(60)
    assert not thread.is_alive()


# Units of systemd

UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))


def test_each_service_has_a_unit() -> None:
    assert [unit.stem for unit in UNITS] == ["ecl-alert", "ecl-export", "ecl-master", "ecl-serve", "ecl-tail"]


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """Copies of the units that start the commands of this environment."""
    folder = tmp_path / "units"
    folder.mkdir()
    for unit in UNITS:
        text = unit.read_text().replace("/opt/event-count-logger/bin/ecl", str(BIN / "ecl"))
        (folder / unit.name).write_text(text)
    return sorted(folder.iterdir())


def test_units_are_accepted_by_systemd(units: list[Path]) -> None:
    needs_debian("systemd", "systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, units)], capture_output=True, text=True
    )
    own = [line for line in done.stderr.splitlines() if "ecl-" in line]
    assert (own, done.returncode) == ([], 0)


@pytest.mark.parametrize("number", range(len(UNITS)))
def test_units_have_a_low_exposure_level(number: int, units: list[Path]) -> None:
    needs_debian("systemd", "systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=18", str(units[number])],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_start_commands_with_existing_options(unit: Path, run: Run, config_file: Write) -> None:
    (command,) = re.findall(r"^ExecStart=\S+ecl (.*)$", unit.read_text(), re.MULTILINE)
    name, *options = command.split()
    assert options[-1] == "/etc/event-count-logger/ecl.yml"
    done = run("ecl", name, *options[:-1], "/nowhere.yml")
    assert (done.returncode, done.stderr) == (
        2,
        "ERROR: /nowhere.yml: cannot be read: No such file or directory\n",
    )


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_make_the_spool_directory_for_their_user(unit: Path) -> None:
    text = unit.read_text()
    (spool,) = re.findall(r"^Environment=ECL_SPOOL_DIR=%S/(.*)$", text, re.MULTILINE)
    (directories,) = re.findall(r"^StateDirectory=(.*)$", text, re.MULTILINE)
    assert spool in directories.split(), "else the first program makes it, perhaps as root"


# Supervisor


def test_supervisor_starts_existing_commands(run: Run) -> None:
    supervisor = configparser.RawConfigParser(inline_comment_prefixes=(";",), strict=True)
    supervisor.read_string((ROOT / "deploy/supervisor/event-count-logger.conf").read_text())
    programs = [name for name in supervisor.sections() if name.startswith("program:")]
    assert supervisor["group:event-count-logger"]["programs"] == ",".join(
        name.removeprefix("program:") for name in programs
    )
    for name in programs:
        program, *command = supervisor[name]["command"].split()
        assert program.endswith("/ecl")
        assert name == f"program:ecl-{command[0]}"
        assert (supervisor[name]["user"], supervisor[name]["stopsignal"]) == ("ecl", "TERM")
        fails_only_because_of_its_configuration(run, command)
