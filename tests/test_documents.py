"""Snippets of the documents: each is run unchanged, beside a real master."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from event_count_logger import EventCountLogger, GroupReader
from event_count_logger.config import RedisConfig
from event_count_logger.store import Store
from tests.conftest import BIN, ROOT, needs_debian
from tests.fixtures import Start
from tests.servers import Server, free_port, wait_until

SESSIONS, STREAMS = (
    (ROOT / "docs/sources.md").read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    for title in ("Sessions", "Streams")
)
PYTHON, SHELL = (ROOT / "docs/reading.md").read_text().split("\n## In the shell\n")

GROUPS: dict[str, Any] = {
    "requests": {"events": ["ok", "failed"], "intervals": ["5s", "5m"]},
    "http": {"auto_declare_events": True, "intervals": ["5m"]},
}


def snippets(text: str) -> list[str]:
    """The indented blocks, in their order."""
    blocks = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", text, re.MULTILINE)
    return [re.sub("^ {4}", "", block, flags=re.MULTILINE).strip() for block in blocks]


def fenced(text: str, language: str) -> list[str]:
    """Returns the fenced blocks of a language, in their order."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block.strip() for block in blocks]


def snippet(text: str, part: str) -> str:
    """Returns the only fenced block that contains a text."""
    (found,) = (each for language in ("python", "sh") for each in fenced(text, language) if part in each)
    return found


COMMANDS = snippet(SHELL, "--totals").splitlines()
ENDLESS = snippet(PYTHON, 'reader.follow("5s", after=after)')


@pytest.fixture
def reader(
    server: Server, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GroupReader]:
    """A reader of the group of the snippets. Intervals have finished, and a master rotates further ones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    Path("ecl.yml").write_text(json.dumps({"redis": server.config, "groups": GROUPS}))
    with EventCountLogger.from_file("ecl.yml") as ecl:
        found = ecl.reader("requests")
        store = Store(RedisConfig(**server.config))
        long_ago = time.time() - 3600
        store.commits.commit(found.group, "test", 0, 1, {"ok": 4}, long_ago)
        store.close()
        start("ecl_master", "ecl.yml")
        wait_until(
            lambda: found.history("5s") and found.history("5m"), what="the master has ended what it found"
        )
        yield found


def run_python(*parts: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "\n\n".join(parts)]
    return subprocess.run(program, capture_output=True, text=True, timeout=60)


def run_shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)


def test_reading_page_has_all_snippets() -> None:
    assert len(fenced(PYTHON, "python")) == 7
    assert len(COMMANDS) == 8


def test_every_installation_from_the_index_requires_version_2() -> None:
    """The index has version 1.1 under the same name; `>` must be quoted in a shell."""
    folders = ("docs", "deploy", "munin", "event_count_logger", "scripts")
    found = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file()]
    files = [file for file in found if file.suffix not in (".pyc", ".so")]
    asked = {
        requirement
        for file in [*ROOT.glob("*.md"), *files]
        for requirement in re.findall(
            r"pip install [^\n`]*?('?event-count-logger\b[^\s`\"]*)", file.read_text("utf-8", "ignore")
        )
    }
    extras = ("embedded,server,top", "server", "{extra}")
    assert asked - {"event-count-logger==1.1"} == {f"'event-count-logger[{extra}]>=2'" for extra in extras}


@pytest.mark.usefixtures("reader")
def test_python_snippets_print_counts() -> None:
    done = run_python(*(each for each in fenced(PYTHON, "python") if each != ENDLESS))
    assert (done.returncode, done.stderr) == (0, "")
    counted, last, total, missing = done.stdout.splitlines()[:4]
    assert (counted.split()[-1], last.split()[0]) == ("4", "ok:")
    assert re.fullmatch(r"4 in \d+ intervals, \d+\.0 s", total)
    assert missing.startswith("missing: ")


def test_session_and_stream_snippets_count_their_events(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (settings,) = fenced(SESSIONS, "yaml")
    groups = yaml.safe_load(settings)["groups"]
    groups["orders"] = {"events": ["shop", "blog"], "intervals": ["5m"]}
    Path("ecl.yml").write_text(json.dumps({"redis": server.config, "groups": groups}))
    streams = fenced(STREAMS.partition("\n### ")[0], "python")
    done = run_python(*fenced(SESSIONS, "python"), *streams, "ecl.close()")
    assert (done.returncode, done.stderr) == (0, "")
    sessions, orders = map(ast.literal_eval, done.stdout.splitlines())
    assert {"shop": 1, "blog": 0, "blog:ms": 0}.items() <= sessions.items()
    assert orders == {"shop": 7, "blog": 1}
    assert server.counts("orders", "5m", "cur") == {"shop": 7 + 3, "blog": 1 + 4}


def test_killed_follower_snippet_gets_each_interval_once(reader: GroupReader, start: Start) -> None:
    program = "\n\n".join([fenced(PYTHON, "python")[0], snippet(PYTHON, "def work_on"), ENDLESS])
    place = Path("requests.position")
    spans: list[tuple[str, str]] = []

    def is_up_to_date(before: str) -> bool:
        return (
            place.exists()
            and place.read_text() not in (before, "")
            and place.read_text() == reader.history("5s")[-1].position
        )

    for _ in range(2):
        before = place.read_text() if place.exists() else ""
        process = start(sys.executable, "-u", "-c", program)
        wait_until(partial(is_up_to_date, before), what="the program has worked on the newest interval")
        process.send_signal(signal.SIGKILL)
        printed = process.communicate()[0]
        # One that was printed, but whose position was not saved, comes again.
        n_saved = [finished.position for finished in reader.history("5s")].index(place.read_text()) + 1
        found = re.findall(r"^(\d+\.\d+) (\d+\.\d+) {", printed, re.MULTILINE)
        assert len(found) - (n_saved - len(spans)) in (0, 1)
        spans += found[: n_saved - len(spans)]
    assert [float(start) for start, _ in spans] == [finished.start for finished in reader.history("5s")][
        : len(spans)
    ]
    assert len(spans) >= 2


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("command", COMMANDS)
def test_shell_snippet_succeeds_and_prints(command: str) -> None:
    # On a busy machine, an interval may be late at the first look.
    done = wait_until(lambda: "stale" not in (found := run_shell(command)).stderr and found, what=command)
    assert done.returncode == 0
    assert done.stdout
    gap = r"WARNING: interval '5m' of group 'requests': 6d 2.h of the range missing in the history: .+\n"
    assert re.fullmatch(gap if "--sum" in command else "", done.stderr)


def test_killed_shell_script_continues_at_its_position(reader: GroupReader, start: Start) -> None:
    needs_debian("jq", "jq")
    place = Path("position")
    seen: list[str] = []
    for _ in range(2):
        process = start("bash", "-c", snippet(SHELL, "--follow"), start_new_session=True)
        wait_until(
            lambda: place.exists() and place.read_text().strip() not in ("", *seen), what="it has noted one"
        )
        seen.append(place.read_text().strip())
        os.killpg(process.pid, signal.SIGKILL)
        assert "ok" in json.loads(process.communicate()[0].splitlines()[0])
    assert set(seen) <= {finished.position for finished in reader.history("5s")}


@pytest.mark.usefixtures("reader")
def test_monitoring_snippets_report_ok() -> None:
    short, for_nagios = fenced(SHELL, "sh")[-2:]
    # On a busy machine, an interval may be late at the first look.
    wait_until(lambda: run_shell(short).stdout.startswith("OK: "), what=short)
    start = "ECL OK: 1 master, 3 intervals in time | masters=1;;;0 intervals=3;;;0 "
    done = wait_until(lambda: (found := run_shell(for_nagios)).stdout.startswith(start) and found)
    assert done.returncode == 0


def test_monitoring_snippet_reports_unreachable_redis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    redis = {"host": "127.0.0.1", "port": free_port(), "socket_timeout": 0.5}
    Path("ecl.yml").write_text(json.dumps({"redis": redis, "groups": GROUPS}))
    done = run_shell(fenced(SHELL, "sh")[-1])
    assert done.returncode == 2
    assert done.stdout.startswith("ECL CRITICAL: UNREACHABLE: ")
