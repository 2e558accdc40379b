"""Entries with nothing to read: `ecl tail --once` and `ecl check` name the reason."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from event_count_logger.config.path_pattern import PathPattern
from event_count_logger.sources.tail.inputs.absence import absence
from tests.fixtures import Run
from tests.servers import Server


@pytest.mark.parametrize(
    ("file", "with_archives", "reason"),
    [
        ("a.log", False, ""),
        ("*.log", False, ""),
        ("*", False, ""),
        ("none.log", False, "/none.log: No such file or directory"),
        ("none*.log", False, "no file matches "),
        ("(?P<name>[b-z]+).log", False, "no file matches "),
        ("dir", False, "/dir is a directory, not a log file"),
        ("dir*", False, "/dir is a directory, not a log file"),
        ("a.log.gz", False, "/a.log.gz is compressed, and read only with --once --from start"),
        ("a.log.gz", True, ""),
        ("a.log.z", True, "/a.log.z is compressed, and only .gz, .zst, .bz2 and .xz can be read"),
        ("socket", False, "/socket is not a regular file"),
    ],
)
def test_reason_names_the_path(tmp_path: Path, file: str, with_archives: bool, reason: str) -> None:
    (tmp_path / "dir").mkdir()
    for name in ("a.log", "a.log.gz", "a.log.z"):
        (tmp_path / name).touch()
    (tmp_path / "socket").symlink_to("/dev/null")
    found = absence(PathPattern(f"{tmp_path}/{file}"), with_archives)
    assert reason in found
    assert bool(reason) == bool(found)


def test_once_exits_with_1_if_an_entry_has_nothing_to_read(server: Server, run: Run, tmp_path: Path) -> None:
    config = tmp_path / "ecl.yml"
    groups = {"g": {"intervals": ["24h"], "events": ["line"]}}
    rules = [{"match": "^line", "events": ["line"]}]
    tail = [{"file": file, "group": "g", "rules": rules} for file in ("app.log", "app.log.gz")]
    config.write_text(json.dumps({"redis": server.config, "groups": groups, "tail": tail}))
    (tmp_path / "app.log.gz").write_bytes(gzip.compress(b"line\n"))
    done = run("ecl", "tail", "--once", config)
    assert done.returncode == 1
    assert [line.partition("Nothing to read: ")[2] for line in done.stderr.splitlines()] == [
        f"{tmp_path}/app.log: {os.strerror(2)}",
        f"{tmp_path}/app.log.gz is compressed, and read only with --once --from start",
    ]
    checked = run("ecl", "check", config)
    assert f"WARNING: {config}: nothing to read for 'ecl tail' now: {tmp_path}/app.log:" in checked.stderr
    (tmp_path / "app.log").write_text("line")
    done = run("ecl", "tail", "--from", "start", "--once", config)
    assert (done.returncode, done.stderr) == (0, "")
    assert server.counts("g", "24h", "cur") == {"line": 2}
