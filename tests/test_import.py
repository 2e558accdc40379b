"""Failed imports of the package name the cause."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

#: What makes Python like that of a system without POSIX.
WITHOUT = {
    "the module fcntl": "import sys; sys.modules['fcntl'] = None",
    "os.register_at_fork": "import os; del os.register_at_fork",
}

NEEDED = "event-count-logger needs Python on Linux (on Windows: in WSL), macOS or another POSIX system"

SETUP = ROOT / "setup.py"

IMPORTS = (
    "import event_count_logger",
    "from event_count_logger import EventCountLogger",
    "from event_count_logger.config import from_file",
    "from event_count_logger.cli.ecl import ecl",
)


def last_error(*lines: str) -> str:
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("statement", IMPORTS)
@pytest.mark.parametrize("lacking", [*WITHOUT, " and ".join(WITHOUT)])
def test_import_on_another_system_names_the_supported_ones(lacking: str, statement: str) -> None:
    statements = (*(WITHOUT[each] for each in lacking.split(" and ")), statement)
    assert last_error(*statements) == f"ImportError: {NEEDED}: this one, on {sys.platform}, lacks {lacking}"


def test_installation_on_another_system_prints_one_line() -> None:
    error = last_error(WITHOUT["the module fcntl"], f"import runpy; runpy.run_path({str(SETUP)!r})")
    assert error == f"ERROR: {NEEDED}: this one, on {sys.platform}, lacks the module fcntl"


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        ("import threading; del threading.local", "module 'threading' has no attribute 'local'"),
        ("import struct; del struct.Struct", "module 'struct' has no attribute 'Struct'"),
        ("import sys; sys.modules['mmap'] = None", "import of mmap halted; None in sys.modules"),
    ],
)
@pytest.mark.parametrize("name", ["EventCountLogger", "EventCountLoggerMaster", "EventGroup"])
def test_fault_within_a_module_is_the_cause_of_the_import_error(damage: str, cause: str, name: str) -> None:
    error = last_error(damage, f"from event_count_logger import {name}")
    assert cause in error
    assert not re.search("cannot import name", error)
