"""`ecl status --nagios` follows the Monitoring Plugins Development Guidelines."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from event_count_logger.reading.local_status import LocalStatus, MachineStatus
from event_count_logger.render.nagios import State, render, state, values
from tests.conftest import BIN, needs_debian
from tests.fixtures import Run, Start, Write
from tests.servers import Server, free_port

#: Command of Debian that runs a plugin as Nagios does, and exchanges OK and CRITICAL.
NEGATE = "/usr/lib/nagios/plugins/negate"

GROUPS = {"web": {"events": ["ok"], "intervals": ["1000h"]}}

#: A line of output: text without `|`, and 'label'=value[UOM];[warn];[crit];[min];[max] for each value.
LABEL = r"(?:'[^'=]+'|[^'= ]+)"
VALUE = rf"{LABEL}=-?[0-9.]+(?:s|us|ms|%|[KMGT]?B|c)?(?:;[^; ]*){{0,4}}"
LINE = re.compile(rf"ECL (OK|WARNING|CRITICAL|UNKNOWN): [^|\n]+(?: \| {VALUE}(?: {VALUE})*)?\n")


@pytest.fixture
def unreachable(config_file: Write) -> Path:
    """A configuration with a port where nothing listens."""
    return config_file({"redis": {"host": "127.0.0.1", "port": free_port()}, "groups": GROUPS})


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("OK: 1 master, 3 intervals in time", State.OK),
        *((f"{word}: x", State.WARNING) for word in ("UNSENT", "UNRECOVERED", "UNREADABLE")),
        *((f"{word}: x", State.CRITICAL) for word in ("UNREACHABLE", "REFUSED", "OVERDUE", "NO MASTER")),
        *((f"{word}: x", State.CRITICAL) for word in ("NOT STARTED", "UNROTATED", "a new fault")),
    ],
)
def test_fault_of_one_machine_is_a_warning_any_other_critical(sentence: str, expected: State) -> None:
    assert state(sentence) == expected


def test_line_has_no_bar_newline_or_control_character_in_its_text() -> None:
    assert render(State.CRITICAL, "OVERDUE: a|b\nc\x1b[0m", {"unsent": 2**63}) == (
        "ECL CRITICAL: OVERDUE: a/b c\\x1b[0m | unsent=9223372036854775808;;;0"
    )


def test_long_text_leaves_room_for_values_within_1024_bytes() -> None:
    line = render(State.CRITICAL, "x" * 2000, {"masters": 1})
    assert len(line) < 1024
    assert line.endswith("x... | masters=1;;;0")


def test_unknown_values_are_left_out() -> None:
    machine = MachineStatus([LocalStatus("web", 1, 7, 1, 5)])
    assert values(None, machine) == {"unsent": 7, "unrecovered": 0}
    assert values(None, MachineStatus(machine.groups, faults=["cannot be read"])) == {}
    assert values(None, MachineStatus()) == {}


def test_status_of_running_counting_is_ok(run: Run, server: Server, config_file: Write) -> None:
    file = config_file({"redis": server.config, "groups": GROUPS})
    assert run("ecl_master", "--once", file).returncode == 0
    done = run("ecl", "status", "--nagios", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "ECL OK: no master heartbeat, 1 interval in time | "
        "masters=0;;;0 intervals=1;;;0 overdue=0;;;0 unsent=0;;;0 unrecovered=0;;;0\n"
    )
    taken = file.with_name("taken")
    taken.write_text("")
    done = run("ecl", "status", "--nagios", file, ECL_SPOOL_DIR=str(taken))
    assert (done.returncode, LINE.fullmatch(done.stdout) is not None) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("status --nagios --colour", "No such option '--colour'."),
        ("status --nagios", "Missing argument 'CONFIG'."),
        ("status --nagios --json FILE", "--json cannot be used with --nagios"),
        ("status missing.yml --nagios", "missing.yml: cannot be read: No such file or directory"),
    ],
)
def test_wrong_usage_is_unknown(run: Run, unreachable: Path, arguments: str, message: str) -> None:
    words = arguments.replace("FILE", str(unreachable)).split()
    done = run("ecl", *words, ECL_CONFIG="")
    assert (done.returncode, done.stdout, done.stderr) == (3, f"ECL UNKNOWN: {message}\n", "")


def test_unexpected_error_is_unknown_without_traceback(unreachable: Path) -> None:
    program = (
        "import sys; from event_count_logger.cli import ecl, status; status.from_file = None; "
        f"sys.argv = ['ecl', 'status', '--nagios', {str(unreachable)!r}]; ecl.ecl()"
    )
    done = subprocess.run([BIN / "python", "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith("ECL UNKNOWN: TypeError: ")


def test_state_is_kept_without_output(start: Start, unreachable: Path) -> None:
    closed = subprocess.run(["sh", "-c", f"exec {BIN}/ecl status --nagios {unreachable} >&-"])
    with open("/dev/full", "w") as full:
        process = start("ecl", "status", "--nagios", unreachable, stdout=full)
        assert process.communicate(timeout=60)[1] == ""
    assert (closed.returncode, process.returncode) == (2, 2)


def test_unreachable_redis_is_critical_for_a_wrapper_of_plugins(unreachable: Path) -> None:
    if not os.path.exists(NEGATE):
        needs_debian("monitoring-plugins-basic", NEGATE)
    command = [NEGATE, "-s", "-t", "60", str(BIN / "ecl"), "status", "--nagios", str(unreachable)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0  # CRITICAL, exchanged for OK
    assert done.stdout.startswith("ECL OK: UNREACHABLE: Redis at 127.0.0.1:")
    assert LINE.fullmatch(done.stdout)
