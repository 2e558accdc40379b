"""The pytest plugin, in the tests of an application whose Redis cannot be reached."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures import Run
from tests.servers import free_port

APPLICATION = """
import atexit
from event_count_logger import EventCountLogger

GROUPS = {"requests": {"events": ["ok", "failed"], "intervals": ["1h"]}}
early = EventCountLogger(GROUPS, {"port": PORT})["requests"]
counter = early.counter("ok")
atexit.register(early.log, "ok")

def handle():
    counter.inc()
    early.log("ok")
    EventCountLogger(GROUPS, {"port": PORT})["requests"].log("failed")
"""

TESTS = """
import application

def test_counts(ecl):
    application.handle()
    assert ecl["requests"] == {"ok": 2, "failed": 1}

def test_begins_without_counts(ecl):
    assert ecl["requests"]["ok"] == 0

def test_without_the_fixture():
    application.handle()
"""

OWN_FIXTURE = """
import pytest

@pytest.fixture
def ecl():
    return "own"

def test_own(ecl):
    assert ecl == "own"
"""


@pytest.fixture
def application(tmp_path: Path) -> Path:
    (tmp_path / "application.py").write_text(APPLICATION.replace("PORT", str(free_port())))
    (tmp_path / "conftest.py").write_text("import application\napplication.handle()\n")
    (tmp_path / "test_application.py").write_text(TESTS)
    (tmp_path / "test_own.py").write_text(OWN_FIXTURE)
    return tmp_path


@pytest.mark.parametrize("native", ["1", "0"])
def test_run_with_ecl_capture_leaves_no_counts(
    native: str, application: Path, spool_dir: Path, run: Run
) -> None:
    (application / "pytest.ini").write_text("[pytest]\necl_capture = true\n")
    # Without the plugins of others, pytest starts in a third of the time.
    plugin = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "event_count_logger.pytest_plugin"}
    done = run("pytest", "-q", "--strict-config", "-W", "error", application, ECL_NATIVE=native, **plugin)
    assert done.stdout.splitlines()[-1].startswith("4 passed"), done.stdout
    assert list(spool_dir.iterdir()) == []


def test_test_with_the_fixture_leaves_no_counts(application: Path, spool_dir: Path, run: Run) -> None:
    (application / "conftest.py").unlink()
    source = application / "application.py"
    source.write_text(source.read_text().replace('atexit.register(early.log, "ok")', ""))
    done = run("pytest", "-q", application, "-k", "test_counts or test_begins")
    assert done.stdout.splitlines()[-1].startswith("2 passed"), done.stdout
    assert list(spool_dir.iterdir()) == []


def test_plugin_imports_nothing_else_of_the_package() -> None:
    program = """
import sys
import event_count_logger.pytest_plugin
loaded = {name.partition(".")[2] for name in sys.modules if name.startswith("event_count_logger")}
assert loaded == {"", "pytest_plugin", "installation", "errors"}, loaded
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
