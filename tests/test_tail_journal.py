"""The systemd journal as input of `ecl tail`: each entry counts once, also if others are deleted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from event_count_logger.sources.tail.formats.framing import Until
from event_count_logger.sources.tail.inputs.journal_input import Entries
from tests.fixtures import Run, Start
from tests.journal import Journal
from tests.servers import Server, wait_until

Configure = Callable[..., Path]
Send = Callable[[bytes], list[bytes]]
Begin = Callable[[str], tuple[Entries, Send]]

BLOCK = 1 << 16

RULES = [{"match": "^line", "events": ["line"]}]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def configure(tmp_path: Path, server: Server) -> Configure:
    """Write a configuration that reads the journal."""

    def configure(**settings: Any) -> Path:
        groups = {"g": {"events": ["line"], "intervals": ["24h"]}}
        tail = [{"input": "journald", "directory": "journal", "group": "g", "rules": RULES} | settings]
        path = tmp_path / "ecl.yml"
        path.write_text(json.dumps({"redis": server.config, "groups": groups, "tail": tail}))
        return path

    return configure


def counted(server: Server) -> dict[str, int]:
    return server.counts("g", "24h", "cur")


def test_once_counts_each_entry_once(
    server: Server, run: Run, journal: Journal, configure: Configure
) -> None:
    journal.write("line 1", "other", "line é", b"line \xff", "line\ntwo", "line" + "x" * 100_000)
    for n in range(3):
        done = run("ecl", "tail", "--from", "start", "--once", configure())
        assert (done.returncode, done.stderr) == (0, "")
        assert counted(server) == {"line": 5 + n, "@unmatched": 1}
        journal.write(f"line {n}")


def test_too_long_entry_at_the_end_is_skipped_once_through_restarts(
    server: Server, run: Run, journal: Journal, configure: Configure
) -> None:
    for n in (1, 2):
        journal.write("line", *["x" * (2 << 20)] * 3)
        for _ in range(3):
            run("ecl", "tail", "--from", "start", "--once", configure())
            assert counted(server) == {"line": n, "@skipped": 3 * n}
    journal.write("line")
    run("ecl", "tail", "--once", configure())
    assert counted(server) == {"line": 3, "@skipped": 6}


def entry(cursor: str, before: int = 0, after: int = 0) -> bytes:
    """Returns an entry with fields of some bytes before and after its cursor."""
    fields = {"A": "x" * before, "__CURSOR": cursor, "B": "x" * after}
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


@pytest.fixture
def entries() -> Iterator[Begin]:
    """Returns entries from a cursor on, and a function that sends and reads bytes of them."""
    reader, writer = os.pipe()

    def begin(cursor: str) -> tuple[Entries, Send]:
        found = Entries("journal", reader, cursor)

        def send(data: bytes) -> list[bytes]:
            os.write(writer, data)
            return list(filter(None, found.chunks(1 << 30, Until.RECORD)))

        return found, send

    yield begin
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("begin", ["", "old", "long"])
@pytest.mark.parametrize("at", [0, 17 * BLOCK - 200, *range(17 * BLOCK - 24, 17 * BLOCK, 4), 30 * BLOCK])
def test_skipped_entry_counts_at_its_end_with_its_cursor(entries: Begin, begin: str, at: int) -> None:
    found, send = entries(begin)
    data = entry("long", at, 30 * BLOCK - at)
    assert len(data) % BLOCK
    for place in range(0, len(data), BLOCK):
        assert (found.cursor, found.n_skipped) == (begin, 0)
        assert send(data[place : place + BLOCK]) == []
    assert (found.cursor, found.n_skipped) == ("long", begin != "long")
    found.n_skipped = 0
    following = entry("next")
    assert send(following) == [following]
    assert (found.cursor, found.n_skipped) == ("next", 0)


def test_fields_of_entries_are_values(
    server: Server, run: Run, journal: Journal, configure: Configure
) -> None:
    journal.write("line 1", "line", unit="a.service")
    journal.write(b"line \xff", unit="b.service")
    rules = [
        {"match": r"^line (?P<rest>\S+)$", "events": ["{rest}", "{_SYSTEMD_UNIT}"]},
        {"where": {"_SYSTEMD_UNIT": "a.service"}, "events": ["{MESSAGE}"]},
    ]
    config = configure(rules=rules)
    content = json.loads(config.read_text())
    content["groups"]["g"] = {"auto_declare_events": True, "intervals": ["24h"]}
    config.write_text(json.dumps(content))
    assert run("ecl", "tail", "--from", "start", "--once", config).returncode == 0
    assert server.counts("g", "24h", "cur") == {
        "1": 1,
        "\ufffd": 1,
        "a.service": 1,
        "b.service": 1,
        "line 1": 1,
        "line": 1,
    }


def test_units_select_entries_of_either_position(
    server: Server, run: Run, journal: Journal, configure: Configure
) -> None:
    journal.write("line", unit="a.service")
    journal.write("line", unit="b.service")
    config = configure(units=["a.service", "c"])
    run("ecl", "tail", "--once", config)  # begins behind the last entry, which is of another unit
    assert counted(server) == {}
    for n in (1, 2):
        journal.write("line", unit="c.service")
        journal.write("line", unit="b.service")
        run("ecl", "tail", "--once", config)
        assert counted(server) == {"line": n}


def test_deleted_entry_of_the_cursor_is_a_warning_and_the_oldest_follows(
    server: Server, run: Run, journal: Journal, configure: Configure
) -> None:
    journal.write("line", "line", file="a")
    run("ecl", "tail", "--from", "start", "--once", configure())
    journal.write("line", "line", file="a")
    journal.write("line", "line", "line", file="b")
    (journal.directory / "a.journal").unlink()
    done = run("ecl", "tail", "--once", configure())
    assert "the journal no longer has the last entry that was counted" in done.stderr
    assert counted(server) == {"line": 5}
    done = run("ecl", "tail", "--once", configure())
    assert (done.stderr, counted(server)) == ("", {"line": 5})


def test_once_ends_if_journalctl_cannot_read(
    run: Run, configure: Configure, tmp_path: Path, server: Server
) -> None:
    done = run("ecl", "tail", "--once", configure(directory=f"{tmp_path}/none"))
    assert done.returncode == 1
    assert f"Nothing to read: journald:{tmp_path}/none: journalctl has ended: Failed to open" in done.stderr


def test_only_entry_with_the_journal_reads_its_export_from_standard_input(
    run: Run, configure: Configure, server: Server
) -> None:
    entries = '{"MESSAGE":"line","PRIORITY":"3"}\n{"MESSAGE":[108,105,110,101]}\n{"MESSAGE":"other"}\n'
    assert run("ecl", "tail", configure(), "-", input=entries).returncode == 0
    assert counted(server) == {"line": 2, "@unmatched": 1}


def test_journal_without_entries_has_nothing_to_read(
    run: Run, journal: Journal, configure: Configure, server: Server
) -> None:
    done = run("ecl", "tail", "--once", configure())
    assert done.returncode == 1
    assert f"Nothing to read: journald:{journal.directory} has no entries" in done.stderr
    journal.write("line")
    run("ecl", "tail", "--once", configure())  # all entries are later than the position
    assert counted(server) == {"line": 1}


def test_missing_journalctl_is_an_error(journal: Journal, configure: Configure, start: Start) -> None:
    environment = {**os.environ, "PATH": f"{journal.directory}"}
    process = start("ecl", "tail", configure(), env=environment)
    _, messages = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "journalctl cannot be opened: No such file or directory" in messages


def test_killed_journalctl_is_started_again(
    server: Server, start: Start, journal: Journal, configure: Configure
) -> None:
    journal.write("line")
    process = start("ecl", "tail", "--from", "start", configure())
    wait_until(lambda: counted(server) == {"line": 1})
    (child,) = subprocess.check_output(["pgrep", "-P", f"{process.pid}"]).split()
    os.kill(int(child), signal.SIGKILL)
    assert process.stderr
    assert "journalctl has ended: status -9; starting it again" in process.stderr.readline()
    journal.write("line")
    wait_until(lambda: counted(server) == {"line": 2})
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert not subprocess.run(["pgrep", "-f", f"journalctl.*{journal.directory}"], capture_output=True).stdout
