"""The first minute of the README, and docs/start.md, work word for word in a new environment."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT
from tests.servers import wait_until
from tests.shells import Shell, copy_project, install
from tests.terminal import Terminal

MINUTE = (ROOT / "README.md").read_text().partition("\n## In one minute\n")[2].partition("\n## ")[0]
PAGE = (ROOT / "docs" / "start.md").read_text()

#: A paragraph that ends with a colon, and the fenced block below it.
_PART = re.compile(r"^(\S.*(?:\n\S.*)*:)\n\n```(?:sh|console|yaml|python)\n((?:.*\n)*?)```$", re.MULTILINE)


def parts(section: str) -> Iterator[tuple[str, str]]:
    """Yields each block below a colon with the name of its file; '' for commands."""
    for words, block in _PART.findall(section):
        name = re.search(r"`([\w.]+)`:$", words)
        yield name[1] if name else "", block


MINUTE_FILES = {name: block for name, block in parts(MINUTE) if name}
INSTALLING, MASTER, COUNTING, READING, LOOKING = (block for name, block in parts(MINUTE) if not name)
SERVE, TOP, *CHECKING = (line.partition("#")[0].strip() for line in LOOKING.splitlines())

PAGE_FILES = {name: block for name, block in parts(PAGE) if name}
SECOND_TERMINAL = re.findall(r"`([^`]*)`", PAGE.partition("second terminal, with")[2].partition("\n")[0])
LOGGED = re.findall(r"^\d{4}-\S+ \[INFO\] .*$", PAGE, re.MULTILINE)

#: The command whose counts the next step shows in one interval of 5 seconds.
COUNT_ALL = "python count.py"

#: Commands that only read. They are repeated until they print the expected output.
READING_COMMANDS = ("ecl check", "ecl status", "ecl_reader")

#: A shell whose network has no other server.
ALONE = ["unshare", "--map-root-user", "--net", "sh", "-c", "ip link set lo up && exec bash"]


class Step(NamedTuple):
    command: str
    output: str


def steps() -> list[Step]:
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    each = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [Step(*part.split("\n", 1)) for part in each]


def alike(text: str, folder: Path | str = "/home/me/counts") -> str:
    """Returns a text without the parts that differ between runs, such as times and paths."""
    text = text.replace(str(folder), "FOLDER")
    text = re.sub(r"\d{4}-\d\d-\d\dT\S+", "TIME", text)
    return re.sub(r"\b(process|Valkey) [\d.]+", r"\1 N", text)


def give(shell: Shell, command: str) -> str:
    """Returns the output of a command; of one that was killed, the word that a terminal shows."""
    status, output = shell.run(command)
    return "Killed\n" if status == 128 + 9 else output


def follow(step: Step, shell: Shell, folder: Path) -> None:
    """Run the command of a step, and compare its output with the page."""

    def shows_that() -> bool:
        seen.append(alike(give(shell, step.command), folder))
        return seen[-1] == alike(step.output)

    seen: list[str] = []
    if not shows_that():
        assert step.command.startswith(READING_COMMANDS), (step, seen)
        wait_until(shows_that, what=f"{step}, not {seen[0]}")


def run_all(shell: Shell, commands: list[str]) -> None:
    for command in commands:
        status, output = shell.run(command)
        assert status == 0, (command, output)


@pytest.fixture(scope="module")
def installed() -> Iterator[Path]:
    """A checkout in which the commands of both pages, which are the same, have installed the package."""
    with tempfile.TemporaryDirectory(prefix="ecl-") as directory:
        checkout = copy_project(Path(directory))
        with Shell(checkout, Path(directory) / "installing") as shell:
            install(shell, INSTALLING)
        yield checkout


@pytest.fixture
def checkout(installed: Path) -> Iterator[Path]:
    """That checkout, as it was after the installation."""
    yield installed
    for path in (installed / "counts").iterdir():
        if path.is_dir() and path.name != "venv":
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()


@pytest.mark.timeout(300)  # it installs in a new virtual environment
def test_first_minute_works_word_for_word_in_a_new_environment(checkout: Path, tmp_path: Path) -> None:
    entering = ["cd counts", ". venv/bin/activate"]
    with (
        Shell(checkout, tmp_path / "first") as first,
        Shell(checkout, tmp_path / "second") as second,
        Shell(checkout, tmp_path / "third", ALONE) as third,
    ):
        run_all(first, entering)
        for name, content in MINUTE_FILES.items():
            (checkout / "counts" / name).write_text(content)
        first.begin(MASTER)
        wait_until(lambda: "Master starting" in first.printed, what="the master runs")
        run_all(second, COUNTING.splitlines())
        command, figures = READING.removeprefix("$ ").split("\n", 1)
        assert second.run(command) == (0, figures)
        second.begin("python -u read.py")
        run_all(third, entering)
        # On a busy machine, an interval may be late at the first look.
        wait_until(lambda: all(third.run(each)[0] == 0 for each in CHECKING), what=str(CHECKING))
        third.begin(f"{SERVE} &")
        fetch = "curl --silent --show-error http://127.0.0.1:8917/"
        wait_until(lambda: "<title>" in third.run(fetch)[1], what="it serves the page")
        with closing(Terminal(checkout / "counts", "sh", "-c", f". venv/bin/activate && {TOP}")) as terminal:
            terminal.sees("requests", "5s", "in time")
            terminal.press("q")
            assert terminal.ended() == 0
        wait_until(lambda: re.search(r"^4\n\d+\.0 \d+\.0 {", second.printed, re.MULTILINE), what="it follows")
        assert first.interrupt() == 0


@pytest.mark.timeout(300)  # it installs in a new virtual environment
def test_start_page_steps_print_the_output_shown(checkout: Path, tmp_path: Path) -> None:
    folder = checkout / "counts"
    (master, _), *others = steps()
    with Shell(folder, tmp_path / "first") as first, Shell(checkout, tmp_path / "second") as second:
        run_all(first, [". venv/bin/activate"])
        for name, content in PAGE_FILES.items():
            (folder / name).write_text(content)
        first.begin(master)
        wait_until(lambda: "Master starting" in first.printed, what="the master runs")
        for command in SECOND_TERMINAL:
            assert second.run(command) == (0, "")
        for step in others:
            if step.command == COUNT_ALL:
                wait_until(lambda: time.time() % 5 < 0.5, what="an interval of 5 seconds has just begun")
            follow(step, second, folder)
        assert first.interrupt() == 0
        assert {alike(line) for line in LOGGED} <= set(alike(first.printed, folder).splitlines())


def test_both_pages_install_with_the_same_commands() -> None:
    assert "pip install" in INSTALLING
    assert f"```sh\n{INSTALLING}```\n" in PAGE
    assert INSTALLING.splitlines()[-1] == "cd counts"


def test_first_minute_has_all_parts_under_test() -> None:
    assert list(MINUTE_FILES) == ["ecl.yml", "count.py", "read.py"]
    assert MASTER.startswith("ecl_master ")
    assert COUNTING.splitlines()[:2] == SECOND_TERMINAL
    assert MINUTE.count("```") == 2 * len(list(parts(MINUTE)))
    assert not re.findall(r"^ {4}\S.*$", re.sub(r"```(?:.|\n)*?```", "", MINUTE), re.MULTILINE)


def test_start_page_has_all_files_commands_and_log_lines() -> None:
    assert set(PAGE_FILES) == {"ecl.yml", "count.py", "coroutine.py", "crash.py"}
    assert SECOND_TERMINAL == ["cd counts", ". venv/bin/activate"]
    assert len(steps()) == 11
    assert [step.command for step in steps()].count(COUNT_ALL) == 1
    assert len(LOGGED) == 3
