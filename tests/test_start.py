"""Whoever does what docs/start.md says sees what stands there."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import BIN, ROOT
from tests.servers import wait_until

PAGE = (ROOT / "docs" / "start.md").read_text()
FILES = dict(re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
LOGGED = re.findall(r"^\d{4}-\S+ \[INFO\] .*$", PAGE, re.MULTILINE)

#: Commands that only look, and so may be given again until they show what has happened meanwhile.
LOOKING = ("ecl check", "ecl status", "ecl_reader")


class Step(NamedTuple):
    command: str
    output: str


def steps() -> list[Step]:
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    each = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [Step(*part.split("\n", 1)) for part in each]


def alike(text: str, folder: Path | str = "/home/me/counts") -> str:
    """Without what differs from one time to the other."""
    text = text.replace(str(folder), "FOLDER")
    text = re.sub(r"\d{4}-\d\d-\d\dT\S+", "TIME", text)
    return re.sub(r"\b(process|Valkey) [\d.]+", r"\1 N", text)


def do(command: str) -> str:
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30)
    return "Killed\n" if done.returncode == -9 else done.stdout + done.stderr


def follow(step: Step, folder: Path) -> None:
    """Give a command, and see what it shows."""

    def shows_that() -> bool:
        seen.append(alike(do(step.command), folder))
        return seen[-1] == alike(step.output)

    seen: list[str] = []
    if not shows_that():
        assert step.command.startswith(LOOKING), (step, seen)
        wait_until(shows_that, what=f"{step}, not {seen[0]}")


def test_all_goes_as_it_stands_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[..., subprocess.Popen[str]]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    for name, content in FILES.items():
        Path(name).write_text(content)
    (master, _), *others = steps()
    log = Path("master.log")
    with log.open("w") as output:
        process = start(*master.split(), stdout=output, stderr=output)
    wait_until(lambda: "Master starting" in log.read_text(), what="the master runs")
    wait_until(lambda: time.time() % 5 < 1, what="an interval of 5 seconds has just begun")
    for step in others:
        follow(step, tmp_path)
    process.terminate()
    assert process.wait(10) == 0
    assert {alike(line) for line in LOGGED} <= set(alike(log.read_text(), tmp_path).splitlines())


def test_the_page_shows_all_that() -> None:
    assert set(FILES) == {"ecl.yml", "count.py", "coroutine.py", "crash.py"}
    assert len(steps()) == 11
    assert len(LOGGED) == 3
