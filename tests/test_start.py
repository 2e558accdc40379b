"""The steps of docs/start.md print the output that the page shows."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT
from tests.servers import wait_until
from tests.shells import Shell, copy_project, install

PAGE = (ROOT / "docs" / "start.md").read_text()
FILES = dict(re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
(INSTALLING,) = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SECOND_TERMINAL = re.findall(r"`([^`]*)`", PAGE.partition("second terminal, with")[2].partition("\n")[0])
LOGGED = re.findall(r"^\d{4}-\S+ \[INFO\] .*$", PAGE, re.MULTILINE)

#: Commands that only read. They are repeated until they print the expected output.
LOOKING = ("ecl check", "ecl status", "ecl_reader")


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
        assert step.command.startswith(LOOKING), (step, seen)
        wait_until(shows_that, what=f"{step}, not {seen[0]}")


@pytest.mark.timeout(300)  # it installs in a new virtual environment
def test_start_page_steps_print_the_output_shown(short_path: Path) -> None:
    checkout = copy_project(short_path)
    folder = checkout / "counts"
    (master, _), *others = steps()
    with Shell(checkout, short_path / "first") as first, Shell(checkout, short_path / "second") as second:
        install(first, INSTALLING)
        for name, content in FILES.items():
            (folder / name).write_text(content)
        first.begin(master)
        wait_until(lambda: "Master starting" in first.printed, what="the master runs")
        for command in SECOND_TERMINAL:
            assert second.run(command) == (0, "")
        wait_until(lambda: time.time() % 5 < 1, what="an interval of 5 seconds has just begun")
        for step in others:
            follow(step, second, folder)
        assert first.interrupt() == 0
        assert {alike(line) for line in LOGGED} <= set(alike(first.printed, folder).splitlines())


def test_start_page_has_all_files_commands_and_log_lines() -> None:
    assert set(FILES) == {"ecl.yml", "count.py", "coroutine.py", "crash.py"}
    assert SECOND_TERMINAL == ["cd counts", ". venv/bin/activate"]
    assert len(steps()) == 11
    assert len(LOGGED) == 3
