"""Shell completion, in real shells and in the completion of click."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from event_count_logger.cli.ecl import ecl
from event_count_logger.cli.log_event import log_event
from event_count_logger.cli.reader import reader
from tests.conftest import BIN, ROOT, needs_debian
from tests.fixtures import Run
from tests.terminal import Terminal

#: Line of each shell in the documentation.
LINES = dict(
    re.findall(r"^(.*?=(\w+)_source.*?)  +#", (ROOT / "docs" / "commands.md").read_text(), re.MULTILINE)
)
LINES = {shell: line for line, shell in LINES.items()}

SHELLS = {"bash": ["--norc", "-i"], "zsh": ["-f", "-i"], "fish": ["--no-config", "-i"]}

CONFIG = """
groups:
  requests: {events: [ok, failed, a b], intervals: [5s, 5m]}
  http: {auto_declare_events: true, intervals: [1h]}
  secret: {events: [x], intervals: [9h], hidden: true}
alerts:
  - {name: many errors, group: http, event: error, above: 10}
  - {name: stale, group: secret, stale: true}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with configurations."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ECL_CONFIG", raising=False)
    (tmp_path / "ecl.yml").write_text(CONFIG)
    (tmp_path / "bad.yml").write_text("groups: {web: {intervals: [5x]}}")
    return tmp_path


def completed(command: click.Command, line: str) -> list[str]:
    """Returns the completions of the last word of a line; `<file>` stands for file names."""
    *words, incomplete = line.split(" ")
    found = BashComplete(command, {}, "program", "_PROGRAM_COMPLETE").get_completions(words, incomplete)
    return ["<file>" if item.type == "file" else item.value for item in found]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("re", ["reader", "recover"]),
        ("check ", ["<file>"]),
        ("reader ecl.yml -g ", ["requests", "http"]),
        ("reader ecl.yml -g h", ["http"]),
        ("reader ecl.yml --group=r", ["requests"]),
        ("reader ecl.yml -g requests -i ", ["5s", "5m"]),
        ("reader ecl.yml -g secret -i ", ["9h"]),
        ("reader ecl.yml -i ", ["5s", "5m", "1h"]),
        ("reader ecl.yml --format j", ["json"]),
        ("reader ecl.yml --fo", ["--follow", "--format"]),
        ("reader bad.yml -g ", []),
        ("reader none.yml -g ", []),
        ("top ecl.yml requests -i 5", ["5s", "5m"]),
        ("top ecl.yml requests ", []),
        ("local ecl.yml --poll requests ok f", ["failed"]),
        ("purge ecl.yml ", ["requests", "http"]),
        ("migrate ecl.yml h", ["http"]),
        ("alert ", ["<file>"]),
        ("alert ecl.yml ", ["ack"]),
        ("alert ecl.yml ack ", ["many errors", "stale"]),
        ("alert ecl.yml other ", []),
        ("alert ecl.yml ack stale ", []),
        ("alert ecl.yml --test m", ["many errors"]),
        ("alert ecl.yml --check --only st", ["stale"]),
        ("export ", ["<file>"]),
        ("export ecl.yml --o", ["--once"]),
        ("log_event ", ["<file>"]),
        ("log_event ecl.yml requests ok ", []),
        ("log_event bad.yml ", []),
    ],
)
def test_word_is_completed_from_the_configuration(line: str, expected: list[str]) -> None:
    assert completed(ecl, line) == expected


@pytest.mark.parametrize(
    ("command", "line", "expected"),
    [
        (reader, "-g ", ["requests", "http"]),
        (reader, "", ["<file>"]),
        (log_event, "", ["<file>", "requests", "http"]),
        (log_event, "requests f", ["failed"]),
        (log_event, "http ", []),
        (log_event, "ecl.yml requests o", ["ok"]),
    ],
)
def test_configuration_of_the_environment_completes_words(
    monkeypatch: pytest.MonkeyPatch, command: click.Command, line: str, expected: list[str]
) -> None:
    monkeypatch.setenv("ECL_CONFIG", "ecl.yml")
    assert completed(command, line) == expected


def test_completion_with_wrong_variables_prints_nothing(run: Run) -> None:
    done = run("ecl_reader", _ECL_READER_COMPLETE="bash_complete", COMP_WORDS="ecl_reader", COMP_CWORD="x")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


@pytest.fixture
def terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Terminal]:
    """A terminal with a shell that has run the line of the documentation."""
    shell = request.param
    needs_debian(shell, shell)
    needs_debian("tmux", "tmux")
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(folder))
    terminal = Terminal(folder, shell, *SHELLS[shell])
    prepare = "autoload -U compinit; compinit -u; " if shell == "zsh" else ""
    terminal.press(f"{prepare}{LINES[shell]}; echo prepa''red", "Enter")
    terminal.sees("prepared")
    yield terminal
    terminal.close()


@pytest.mark.parametrize("terminal", SHELLS, indirect=True)
def test_tab_completes_commands_groups_and_events(terminal: Terminal) -> None:
    terminal.press("ecl rea", "Tab", "ec", "Tab", "-g requ", "Tab", "x")
    terminal.sees("ecl reader ecl.yml -g requests x")
    terminal.press("C-u", "ecl_log_event ecl.yml requests fai", "Tab", "x")
    terminal.sees("ecl_log_event ecl.yml requests failed x")
    terminal.press("C-u", "ecl_log_event bad.yml ", "Tab", "x")
    terminal.sees("ecl_log_event bad.yml x")


def test_completion_into_a_closed_pipe_prints_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    environ = {**os.environ, "_ECL_COMPLETE": "bash_source"}
    done = subprocess.run([BIN / "ecl"], stdout=writing, stderr=subprocess.PIPE, env=environ, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
