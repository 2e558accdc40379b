"""Spool files of processes that used different directories."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from event_count_logger.config import from_dicts, spool_directories
from event_count_logger.counting.recovery import Recovery
from event_count_logger.logs import Log
from event_count_logger.reading import machine_checks
from event_count_logger.reading.local_reader import LocalReader
from event_count_logger.store import Store
from tests.conftest import BIN, ROOT
from tests.servers import Server

GROUPS = {"web": {"events": ["ok"], "intervals": ["1h"], "sync_interval": 3600}}

#: Counts 1,000 events, and is killed before they are sent.
PROGRAM = """
import json, os, signal, sys
from event_count_logger import EventCountLogger
from event_count_logger.config import spool_directories
groups, redis, parents = map(json.loads, sys.argv[1:])
spool_directories.PARENTS = parents or spool_directories.PARENTS
group = EventCountLogger(groups, redis)["web"]
for _ in range(1000):
    group.log("ok")
os.kill(os.getpid(), signal.SIGKILL)
"""

#: Runs a command with other directories in place of the default ones; the first may be read-only.
NAMESPACE = """
mount --bind "$1/shm" /dev/shm
[ "$2" = rw ] || mount -o remount,bind,ro /dev/shm
mount --bind "$1/var" /var/tmp
mount --bind "$1/tmp" /tmp
shift 2
exec "$@"
"""

NAME = f"event-count-logger-{os.geteuid()}"


@pytest.fixture(autouse=True)
def spool_dir(spool_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset ECL_SPOOL_DIR, so that processes use the default directories."""
    monkeypatch.delenv("ECL_SPOOL_DIR")


@pytest.fixture
def parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Directories of the test in place of the default ones."""
    found = [tmp_path / name for name in ("shm", "tmp", "var")]
    for each in found:
        each.mkdir()
    monkeypatch.setattr(spool_directories, "PARENTS", tuple(map(str, found)))
    return found


def killed(server: Server, *parents: Path, **environment: str) -> None:
    arguments = (json.dumps(each) for each in (GROUPS, server.config, list(map(str, parents))))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], env={**os.environ, **environment}, check=False
    )
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("used", [0, 1, 2])
def test_counts_are_recovered_from_each_directory(used: int, server: Server, parents: list[Path]) -> None:
    killed(server, *(each / "missing" for each in parents[:used]), *parents[used:])
    assert [len([*each.glob(f"{NAME}/*.ecl")]) for each in parents] == [
        int(each == used) for each in range(3)
    ]
    config = from_dicts(GROUPS, server.config)
    (snapshot,) = LocalReader(config).read()
    assert (snapshot.alive, snapshot.counts["ok"].unsent) == (False, 1000)
    store = Store(config.redis)
    Recovery(config, store, Log("test")).run_once()
    store.close()
    assert server.counts("web", "1h", "cur") == {"ok": 1000}


@pytest.mark.parametrize("variable", ["TMPDIR", "TEMP", "TMP"])
def test_temporary_directory_of_a_process_is_not_used(
    variable: str, server: Server, parents: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    killed(server, parents[0] / "missing", *parents[1:], **{variable: str(tmp_path / "own")})
    assert not [*(tmp_path / "own").iterdir()]
    assert [*parents[1].glob(f"{NAME}/*.ecl")]


def test_directory_of_another_user_is_ignored(parents: list[Path]) -> None:
    directory = parents[1] / NAME
    directory.symlink_to(parents[2])
    assert spool_directories.default_spool_dirs() == [parents[0] / NAME]
    directory.unlink()
    directory.write_text("")
    assert spool_directories.default_spool_dirs() == [parents[0] / NAME]
    directory.unlink()
    directory.mkdir()
    assert spool_directories.default_spool_dirs() == [parents[0] / NAME, directory]
    if os.geteuid() == 0:
        os.chown(directory, 1, -1)
        assert spool_directories.default_spool_dirs() == [parents[0] / NAME]


def test_named_directory_is_the_only_one(parents: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    (parents[1] / NAME).mkdir()
    named = {**GROUPS["web"], "spool_dir": str(parents[2])}
    assert from_dicts({"web": named}).spool_dirs == [parents[2]]
    assert from_dicts({"web": {**named, "spool": False}}).spool_dirs == []
    monkeypatch.setenv("ECL_SPOOL_DIR", str(parents[2]))
    assert from_dicts(GROUPS).spool_dirs == [parents[2]]


# The default directories, in a mount namespace


@pytest.fixture
def inside(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command in a mount namespace, with directories of the test in place of the default ones."""
    if not shutil.which("unshare") or ROOT.is_relative_to("/tmp"):
        pytest.skip("needs unshare, and the project outside of /tmp")
    for name in ("shm", "tmp", "var"):
        (tmp_path / name).mkdir()

    def run(access: str, *command: object, **environment: str) -> subprocess.CompletedProcess[str]:
        script = ["unshare", "-rm", "sh", "-ec", NAMESPACE, "sh", tmp_path, access]
        environment = {**os.environ, **environment}
        return subprocess.run(
            [*map(str, script), *map(str, command)], env=environment, capture_output=True, text=True, cwd=BIN
        )

    if run("ro", "true").returncode:
        pytest.skip("namespaces are not permitted here")
    return run


@pytest.fixture
def file(server: Server, inside: object, tmp_path: Path) -> str:
    (tmp_path / "shm" / "ecl.yml").write_text(json.dumps({"redis": server.config, "groups": GROUPS}))
    return "/dev/shm/ecl.yml"


def kill(inside: Callable[..., Any], server: Server, access: str) -> None:
    arguments: tuple[Any, ...] = (GROUPS, server.config, [])
    done = inside(access, sys.executable, "-c", PROGRAM, *map(json.dumps, arguments), TMPDIR="/var/tmp")
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("command", ["recover FILE", "master --once FILE", "log_event FILE web ok"])
def test_process_without_shared_memory_is_recovered_by_one_with_it(
    command: str, inside: Callable[..., Any], server: Server, file: str, tmp_path: Path
) -> None:
    kill(inside, server, "ro")
    assert [*(tmp_path / "tmp").glob("event-count-logger-0/*.ecl")]
    kill(inside, server, "rw")
    done = inside("rw", BIN / "ecl", *command.replace("FILE", file).split())
    assert done.returncode == 0, done.stderr
    assert server.counts("web", "1h", "cur") == {"ok": 2000 + command.startswith("log_event")}


def test_commands_look_into_each_directory(inside: Callable[..., Any], server: Server, file: str) -> None:
    kill(inside, server, "ro")
    kill(inside, server, "rw")
    listed = inside("rw", BIN / "ecl", "local", file)
    assert listed.stdout.count("dead") == 2, listed.stderr
    undelivered = json.loads(inside("rw", BIN / "ecl", "status", "--json", file).stdout)["undelivered"]
    found = {(str(Path(each["file"]).parent), each["unsent"]) for each in undelivered}
    assert found == {(f"{parent}/event-count-logger-0", 1000) for parent in ("/tmp", "/dev/shm")}


def test_check_names_the_directory_and_warns_of_a_disk(inside: Callable[..., Any], file: str) -> None:
    usual, other = (inside(access, BIN / "ecl", "check", file) for access in ("rw", "ro"))
    assert f"{file}: spool directory: /dev/shm/event-count-logger-0 (" in usual.stdout
    assert "WARNING" not in usual.stderr
    assert f"{file}: spool directory: /tmp/event-count-logger-0 (" in other.stdout
    if "(tmpfs)" not in other.stdout:
        assert "WARNING: /dev/shm cannot be written to: spool files are in /tmp/event" in other.stderr


def test_check_finds_a_directory_that_cannot_be_made(inside: Callable[..., Any], file: str) -> None:
    done = inside("ro", BIN / "ecl", "check", file, ECL_SPOOL_DIR="/dev/shm/spool")
    assert done.returncode == 1
    problem = "counts are kept in memory, and lost when a process is killed: /dev/shm cannot be written to"
    assert f"{file}: {problem}\n" in done.stdout


@pytest.mark.parametrize("exists", [True, False])
def test_check_finds_a_file_system_without_room_for_a_file(exists: bool, tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    if exists:
        directory.mkdir(0o700)
    config = from_dicts(GROUPS, spool_dir=str(directory))
    assert [*machine_checks.spool_problems(config)] == []
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        (problem,) = machine_checks.spool_problems(config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    where = directory if exists else tmp_path
    assert problem.endswith(f"is killed: no spool file can be created in {where}: File too large")
    assert directory.exists() == exists
    assert [*where.iterdir()] == []
