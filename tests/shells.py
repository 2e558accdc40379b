"""Shells in which a reader of the documentation types, from a checkout on."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import BIN, ROOT
from tests.servers import wait_until

#: What is neither of this package nor of use in building it.
_NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", ".*_cache", ".hypothesis", "build", "counts", "dist", "*.egg-info", "*.so", "__pycache__"
)

#: Printed after each command, with its exit status.
_END = "-- end of the command:"

#: Seconds that a command may take: installing downloads packages.
_TIMEOUT_S = 250

#: Seconds between two looks at what a command has printed: a command takes some tenths of a second.
_PAUSE_S = 0.03


def copy_project(directory: Path) -> Path:
    """A copy of the checkout, as a clone would be."""
    return Path(shutil.copytree(ROOT, directory / "project", ignore=_NOT_COPIED))


def _environ() -> dict[str, str]:
    """That of a user who has no virtual environment, and Python first in the path."""
    places = [place for place in os.environ["PATH"].split(os.pathsep) if Path(place) != BIN]
    python = Path(sys._base_executable).parent  # type: ignore[attr-defined]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_"))}
    return {**kept, "PATH": os.pathsep.join([str(python), *places])}


class Shell:
    """A bash that is given one command after the other; `with` ends it, and what it runs."""

    def __init__(self, directory: Path, log: Path, start: Sequence[str] = ("bash",)) -> None:
        """`log` is a file for what it prints; `start` is the command that starts it."""
        self._log = log
        self._n_ended = 0
        with log.open("w") as output:
            self._process = subprocess.Popen(
                start,
                cwd=directory,
                env=_environ(),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                text=True,
                start_new_session=True,
            )

    @property
    def printed(self) -> str:
        """Everything so far."""
        return self._log.read_text(errors="replace")  # it may end within a character

    def run(self, command: str) -> tuple[int, str]:
        """The exit status of a command, and what it has printed."""
        self.begin(f"{command}\nprintf '\\n{_END} %s\\n' $?")
        before, self._n_ended = self._n_ended, self._n_ended + 1
        ends = re.compile(
            rf"{re.escape(_END)} \d+\n"
        )  # with the status: the file is read while it is written
        wait_until(lambda: len(ends.findall(self.printed)) == self._n_ended, _TIMEOUT_S, command, _PAUSE_S)
        output, status = self.printed.split(f"\n{_END} ")[before:][:2]
        return int(status.split("\n")[0]), output.partition("\n")[2] if before else output

    def begin(self, command: str) -> None:
        """Give it a command that goes on."""
        assert self._process.stdin
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def interrupt(self) -> int:
        """Press Ctrl-C; returns the exit status of the command that ends by it."""
        self.begin("exit $?")
        os.killpg(self._process.pid, signal.SIGINT)
        return self._process.wait(60)

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


def install(shell: Shell, commands: str) -> None:
    """Give the commands that install; skip the test where there is no package index, except in CI."""
    for command in commands.splitlines():
        status, output = shell.run(command)
        if status and os.environ.get("CI") != "true" and "Failed to establish a new connection" in output:
            pytest.skip(f"no package index: {output}")
        assert status == 0, output
