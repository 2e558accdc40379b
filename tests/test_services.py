"""What services owe those who run them: messages, word of how they are, and files that work."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.servers import free_port

Start = Callable[..., "subprocess.Popen[str]"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Write = Callable[..., Path]

GROUPS = {"g": {"events": ["e"], "intervals": ["1s"]}}

HOSTILE = "a\n2026-11-25T00:00:00 [INFO] all is well\r\x1b[2J\x85\u2028b"


def logging_program(log_format: str, *lines: str) -> str:
    """What a program that logs so writes to standard error."""
    program = (
        "import logging, warnings",
        "from event_count_logger.cli.log_format import set_up_logging",
        f"set_up_logging({log_format!r})",
        f"hostile = {HOSTILE!r}",
        *lines,
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(program)], capture_output=True, text=True)
    assert done.stdout == ""
    return done.stderr


def test_no_message_can_look_like_two_in_text() -> None:
    told = logging_program(
        "text",
        "logging.getLogger('x').warning('Event %s', hostile)",
        "try: raise ValueError(hostile)",
        "except ValueError: logging.exception('It failed')",
    )
    first, second, *others = told.split("\n")[:-1]
    assert first.endswith(r"[WARNING] Event a\n2026-11-25T00:00:00 [INFO] all is well\r\x1b[2J\x85\u2028b")
    assert second.endswith("[ERROR] It failed")
    assert others
    assert all(line.startswith("    ") for line in others)
    assert re.fullmatch(r"[\n -~]*", told)


def test_json_is_one_object_a_line_whatever_is_told() -> None:
    told = logging_program(
        "json",
        "logging.getLogger('x').warning('Event %s', hostile)",
        "try: raise ValueError(hostile)",
        "except ValueError: logging.exception('It failed')",
        "warnings.warn(hostile)",
    )
    first, second, third = map(json.loads, told.splitlines())
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


def test_the_server_that_serves_logs_like_all_others() -> None:
    told = logging_program("json", "logging.getLogger('uvicorn.error').error('odd')")
    assert json.loads(told)["logger"] == "uvicorn.error"


@pytest.mark.parametrize("name", ["master", "serve", "tail"])
def test_all_that_services_say_is_json_if_asked_for(
    name: str, start: Start, config_file: Write, tmp_path: Path
) -> None:
    away = {"host": "127.0.0.1", "port": free_port()}
    entry = {"file": "app.log", "group": "g", "rules": [{"match": "x", "events": ["e"]}]}
    file = config_file({"redis": away, "groups": GROUPS, "tail": [entry]})
    options = ["--listen", "127.0.0.1:0"] if name == "serve" else []
    service = start("ecl", name, "--log-format", "json", *options, file)
    assert service.stderr
    line = service.stderr.readline()
    service.terminate()
    _, others = service.communicate(timeout=10)
    assert all(json.loads(each)["message"] for each in [line, *others.splitlines()])


def test_also_what_ends_a_service_is_json(run: Run, config_file: Write) -> None:
    file = config_file({"redis": {"port": free_port()}, "groups": GROUPS})
    done = run("ecl", "master", "--once", file, ECL_LOG_FORMAT="json")
    assert done.returncode == 3
    assert [json.loads(line)["level"] for line in done.stderr.splitlines()][-1] == "ERROR"


def test_formats_that_there_are_not_are_refused(run: Run, config_file: Write) -> None:
    done = run("ecl", "master", "--once", config_file({"groups": GROUPS}), ECL_LOG_FORMAT="xml")
    assert done.returncode == 2
    assert "'xml' is not one of 'text', 'json'" in done.stderr
