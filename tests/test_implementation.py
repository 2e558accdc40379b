"""Commands print the implementation that counts: native or pure Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from event_count_logger.cli.ecl import ecl
from event_count_logger.config import from_dicts
from event_count_logger.counting import implementation
from event_count_logger.reading.local_reader import LocalReader
from tests.fixtures import Run, Write
from tests.servers import Server

needs_extension = pytest.mark.skipif(not implementation.NATIVE, reason="the C extension was not built")

GROUPS = {"web": {"events": ["ok"], "intervals": ["1h"], "sync_interval": 3600}}

#: A process that is killed after a count.
KILLED = """
import json, os, sys
from event_count_logger import EventCountLogger
EventCountLogger(*map(json.loads, sys.argv[1:]))["web"].log("ok")
os._exit(0)
"""

#: The commands, with an extension that fails to load.
UNLOADABLE = """
import sys
class Finder:
    def find_spec(name, path, target=None):
        if name == "event_count_logger._native":
            raise ImportError("libc.so.7 is missing")
sys.meta_path.insert(0, Finder)
sys.argv = ["ecl", *sys.argv[1:]]
from event_count_logger.cli.ecl import ecl
ecl()
"""


@pytest.fixture
def file(server: Server, config_file: Write) -> Path:
    return config_file({"redis": server.config, "groups": GROUPS})


@pytest.mark.parametrize("name", ["", *ecl.list_commands(None)])  # type: ignore[arg-type]
def test_every_version_names_the_implementation(name: str, run: Run) -> None:
    done = run("ecl", *name.split(), "--version", ECL_NATIVE="0")
    assert (done.returncode, done.stdout) == (0, "ecl 2.0.0 (counting: pure Python)\n")


@needs_extension
def test_version_with_the_extension_is_native(run: Run) -> None:
    assert run("ecl_master", "--version").stdout == "ecl_master 2.0.0 (counting: native)\n"


@pytest.mark.parametrize(
    ("native", "counting"),
    [pytest.param("1", "native", marks=needs_extension), ("0", "pure Python (ECL_NATIVE=0)")],
)
def test_check_prints_how_this_installation_counts(native: str, counting: str, run: Run, file: Path) -> None:
    assert f"{file}: counting: {counting}\n" in run("ecl", "check", file, ECL_NATIVE=native).stdout


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ('ImportError("libc.so.7 is missing")', "the C extension cannot be loaded: libc.so.7 is missing"),
        (
            "ModuleNotFoundError()",
            "the C extension was not built: install a C compiler and the headers of Python, "
            "and reinstall this package",
        ),
    ],
)
def test_check_prints_why_counting_is_not_native(error: str, reason: str, file: Path) -> None:
    program = UNLOADABLE.replace('ImportError("libc.so.7 is missing")', error)
    done = subprocess.run(
        [sys.executable, "-c", program, "check", str(file)], capture_output=True, text=True, check=False
    )
    assert f"{file}: counting: pure Python ({reason})\n" in done.stdout


def leave(server: Server, native: str) -> None:
    arguments = map(json.dumps, (GROUPS, server.config))
    environment = {**os.environ, "ECL_NATIVE": native}
    subprocess.run([sys.executable, "-c", KILLED, *arguments], env=environment, check=True)


@needs_extension
def test_each_process_is_listed_with_its_own_implementation(run: Run, server: Server, file: Path) -> None:
    leave(server, "1")
    leave(server, "0")
    for native in ("1", "0"):  # of the command
        listed = run("ecl", "local", file, ECL_NATIVE=native).stdout
        titles = sorted(line.partition("dead, ")[2] for line in listed.splitlines() if "group" in line)
        assert titles == ["native", "pure Python"]
        found = json.loads(run("ecl", "local", "--json", file, ECL_NATIVE=native).stdout)
        assert sorted(each["native"] for each in found) == [False, True]
    sums = run("ecl", "local", "--sum", file).stdout
    assert sums.startswith("group web, 0 alive, 2 dead, 1 native, 1 pure Python\n")


def test_process_in_pure_python_is_known_by_its_spool_file(server: Server) -> None:
    leave(server, "0")
    (snapshot,) = LocalReader(from_dicts(GROUPS, server.config)).read()
    assert not snapshot.native
