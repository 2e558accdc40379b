"""Each how-to, and the page of the HTTP API, works word for word: its files, its commands, and their output.

Every page runs in a network namespace, where its ports are free, and where it may add addresses. All its
processes end with it. The folder in which it runs contains the folders `deploy` and `munin` of the project.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from postgres_process import Postgres, postgres_binary

from tests.conftest import BIN, OLD_FOLDER, ROOT, needs_1_1, needs_debian
from tests.pages import Command, File, Installation, Step, Unused, contains, matches, steps
from tests.servers import wait_until
from tests.shells import Shell

FOLDER = ROOT / "docs" / "how-to"
PAGES = [*sorted(FOLDER.glob("*.md")), ROOT / "docs" / "http-api.md"]

#: Commands that may be repeated until they print what the page shows: they only read.
READING = (
    "ecl_reader",
    "ecl reader",
    "ecl status",
    "ecl check",
    "ecl local",
    "ecl alert ecl.yml --check",
    "curl",
    "psql",
    "redis-cli",
    "sqlite3",
    "valkey-cli",
    "promtool query",
    "whisper-fetch",
)

#: A command of each Debian package that has none of its own name.
_COMMAND_OF = {
    "graphite-carbon": "carbon-cache",
    "influxdb": "influxd",
    "postgresql": "psql",
    "zabbix-agent": "zabbix_sender",
}

#: Commands that install version 1.1 in an environment of its own.
_OLD = ("python3 -m venv old", "old/bin/pip install event-count-logger==1.1")

#: A curl that sends something may be repeated only after it found no server.
_SENDING = re.compile(r"^curl\b.* (-X|--request|-d|--data\S*|--json) ")
_CURL_FOUND_NO_SERVER = 7

#: Seconds between two attempts: each one may start an interpreter.
_PAUSE_S = 0.2

#: Printed by bash when a job ends by a signal.
_JOB_END = re.compile(r"^(bash|/bin/bash): line \d+: +\d+ .*\n", re.MULTILINE)


def make_environment_of_1_1(folder: Path) -> None:
    """Write the commands of version 1.1 as a virtual environment has them."""
    needs_1_1()
    commands = {path.name: f'python {path} "$@"' for path in (OLD_FOLDER / "bin").iterdir()}
    (folder / "bin").mkdir(parents=True)
    for name, command in {**commands, "python": 'python "$@"'}.items():
        path = folder / "bin" / name
        path.write_text(f"#!/bin/sh\nPYTHONPATH={OLD_FOLDER} exec {command}\n")
        path.chmod(0o755)


class Reader:
    """Somebody who follows a page in a terminal."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self._shell = shell
        self._folder = folder
        self._n_background = 0

    def follow(self, step: Step) -> None:
        if isinstance(step, File):
            path = self._folder / step.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a" if step.is_addition else "w") as file:
                file.write(step.content)
        elif isinstance(step, Installation):
            self._install(step)
        elif isinstance(step, Command) and step.in_background:
            self._start(step)
        elif isinstance(step, Command):
            self._run(step)

    def _install(self, step: Installation) -> None:
        """The tests' environment has all packages, and version 1.1 in a folder."""
        if step.line.startswith("apt-get"):
            for package in step.line.split()[2:]:
                needs_debian(package, command=_COMMAND_OF.get(package, package))
        elif step.line == _OLD[-1]:
            make_environment_of_1_1(self._folder / "old")

    def _start(self, step: Command) -> None:
        self._n_background += 1
        log = self._folder.parent / f"background-{self._n_background}"
        log.touch()
        self._shell.run(f"{step.line.removesuffix('&')} >{log} 2>&1 &")
        try:
            wait_until(lambda: contains(log.read_text(), step.output), 60, str(step), _PAUSE_S)
        except BaseException:
            print(log.read_text())
            raise

    def _run(self, step: Command) -> None:
        if not self._prints(step):
            wait_until(partial(self._prints, step), 60, f"{step}; it printed {self._printed!r}", _PAUSE_S)

    def _prints(self, step: Command) -> bool:
        status, output = self._shell.run(step.line)
        self._printed = _JOB_END.sub("", output)
        if matches(self._printed, step.output):
            return True
        is_reading = step.line.startswith(READING) and not _SENDING.search(step.line)
        assert is_reading or status == _CURL_FOUND_NO_SERVER, (step, self._printed)
        return False


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server outside of the namespace, whose only user would be root, which PostgreSQL rejects."""
    needs_debian("postgresql", postgres_binary("postgres") or "postgres")
    server = Postgres("fsync=off")
    yield server
    server.close()


@pytest.mark.parametrize("path", PAGES, ids=[path.stem for path in PAGES])
def test_how_to_commands_print_the_output_shown(
    path: Path, short_path: Path, request: pytest.FixtureRequest
) -> None:
    needs_debian("iproute2", "ip")
    postgres: Postgres | None = request.getfixturevalue("postgres") if "$ psql" in path.read_text() else None
    folder = short_path / "counts"
    folder.mkdir()
    for name in ("deploy", "munin"):
        (folder / name).symlink_to(ROOT / name)
    alone = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    start = [*alone, "sh", "-c", "ip link set lo up && exec bash"]
    with Shell(folder, short_path / "terminal", start) as shell:
        shell.run(f"export PATH={BIN}:$PATH HOME={short_path}")
        if postgres:
            shell.run(f"export PGHOST={postgres.directory} PGUSER=ecl")
        reader = Reader(shell, folder)
        try:
            for step in steps(path.read_text()):
                reader.follow(step)
        finally:
            for log in sorted(short_path.glob("background-*")):
                print(f"{log.name}:\n{log.read_text()}")


@pytest.mark.parametrize("path", PAGES, ids=[path.stem for path in PAGES])
def test_how_to_has_no_code_that_is_not_run(path: Path) -> None:
    assert [step for step in steps(path.read_text()) if isinstance(step, Unused)] == []


@pytest.mark.parametrize("path", PAGES, ids=[path.stem for path in PAGES])
def test_how_to_packages_are_those_of_the_tests(path: Path) -> None:
    lines = [step.line for step in steps(path.read_text()) if isinstance(step, Installation)]
    for line in lines:
        assert line.startswith(("pip install ", "apt-get install ")) or line in _OLD, line
    words = [word.strip("'\"") for line in lines if line.startswith("pip") for word in line.split()[2:]]
    missing = []
    for requirement in words:
        try:
            name = re.split(r"[\[<>=]", requirement)[0]
            distribution("event-count-logger" if name == "." else name)
        except PackageNotFoundError:
            missing.append(requirement)
    assert missing == []


def test_how_to_with_other_output_fails(tmp_path: Path) -> None:
    with Shell(tmp_path, tmp_path / "terminal") as shell, pytest.raises(AssertionError, match="three"):
        Reader(shell, tmp_path).follow(Command("echo one two", "one ... three\n"))


def test_how_to_addition_is_written_after_the_file(tmp_path: Path) -> None:
    page = "`a.txt`:\n\n```text\nx\n```\n\nAt the end of `a.txt`:\n\n```text\ny\n```\n"
    with Shell(tmp_path, tmp_path / "terminal") as shell:
        for step in steps(page):
            Reader(shell, tmp_path).follow(step)
    assert (tmp_path / "a.txt").read_text() == "x\ny\n"


def test_how_to_command_may_have_several_lines_and_unknown_words() -> None:
    page = "`a.txt`:\n\n```text\nx\n```\n\n```console\n$ cat \\\n    a.txt\nx 17 z\n$ true\n```\n"
    assert list(steps(page)) == [
        File("a.txt", "x\n"),
        Command("cat \\\n    a.txt", "x 17 z\n"),
        Command("true", ""),
    ]
    assert matches("x 17 z\n", "x ... z\n")
    assert not matches("x 17 y\n", "x ... z\n")
