"""Repeated kills of `ecl tail` during writing, rotation and truncation: each line counts once."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fixtures import Start
from tests.journal import Journal
from tests.servers import Server, wait_until

#: Number of kills; ECL_TAIL_KILLS in the environment changes it.
KILLS = int(os.environ.get("ECL_TAIL_KILLS", "20"))

#: Rotated files that stay uncompressed: more than the rotations between two counts.
KEPT = 60


class Writer:
    """A writer of numbered lines that rotates and truncates its file like logrotate."""

    def __init__(self, path: Path, some: random.Random) -> None:
        self.path = path
        self.some = some
        self.n_lines = 0
        self.log = path.open("a")
        self.done: list[str] = []

    def write(self) -> None:
        for _ in range(self.some.choice([1, 3, 50, 2000])):
            line = f"{self.n_lines} {'x' * self.some.randrange(60)}\n"
            cut = self.some.randrange(len(line))
            self.log.write(line[:cut])
            if self.some.random() < 0.01:
                self.log.flush()
            self.log.write(line[cut:])
            self.n_lines += 1
        self.log.flush()

    def rotate(self) -> None:
        self.some.choice([self.rename, self.rename_and_write_on, self.copy_and_truncate])()

    def rename(self) -> None:
        self.done.append("rename")
        self._shift()
        self.path.rename(f"{self.path}.1")
        self._reopen()

    def rename_and_write_on(self) -> None:
        self.done.append("rename late")
        self._shift()
        self.path.rename(f"{self.path}.1")
        self.write()
        self._reopen()

    def copy_and_truncate(self) -> None:
        self.done.append("copytruncate")
        self._shift()
        shutil.copyfile(self.path, f"{self.path}.1")
        os.truncate(self.path, 0)

    def truncate(self) -> None:
        self.done.append("truncate")
        os.truncate(self.path, 0)

    def recreate(self) -> None:
        self.done.append("recreate")
        self.path.unlink()
        self._reopen()

    def _shift(self) -> None:
        for number in range(KEPT, 0, -1):
            old = Path(f"{self.path}.{number}")
            if old.exists():
                old.rename(f"{self.path}.{number + 1}" if number < KEPT else f"{self.path}.gz")

    def _reopen(self) -> None:
        self.log.close()
        self.log = self.path.open("a")


def test_each_line_counts_once_through_kills_rotation_and_truncation(
    server: Server, start: Start, tmp_path: Path, chance: random.Random
) -> None:
    config = tmp_path / "ecl.yml"
    path = tmp_path / "log" / "access.log"
    path.parent.mkdir()
    entry = {"file": str(path), "group": "g", "rules": [{"match": "^[0-9]+ x*$", "events": ["line"]}]}
    groups = {"g": {"events": ["line"], "intervals": ["24h"]}}
    config.write_text(json.dumps({"redis": server.config, "groups": groups, "tail": [entry]}))
    writer = Writer(path, chance)
    start("ecl", "tail", "--once", config).wait(60)
    for number in range(KILLS):
        process = start("ecl", "tail", config, stderr=None)
        until = time.monotonic() + chance.choice([0.2, 0.3, 0.5, 1.5])
        while time.monotonic() < until:
            writer.write()
            if chance.random() < 0.05:
                writer.rotate()
            time.sleep(chance.uniform(0, 0.03))
        if number % 5 == 0:
            wait_until(
                lambda: counted(server).get("line") == writer.n_lines,
                what=f"{counted(server)} {writer.n_lines} {writer.done[-20:]}",
            )
            chance.choice([writer.truncate, writer.recreate])()
        process.send_signal(signal.SIGKILL)
        process.wait()
        for _ in range(chance.choice([0, 1, 3])):
            writer.write()
            writer.rotate()
            writer.write()
    writer.log.close()
    last = start("ecl", "tail", "--once", config)
    assert last.wait(60) == 0
    assert counted(server) == {"line": writer.n_lines}, writer.done


def kill_repeatedly(start: Start, config: Path, chance: random.Random, write: Callable[[], object]) -> None:
    """Run `ecl tail` and kill it again and again while something writes."""
    for _ in range(KILLS // 3):
        process = start("ecl", "tail", config, stderr=None)
        until = time.monotonic() + chance.choice([0.5, 1, 2])
        while time.monotonic() < until:
            write()
            time.sleep(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_each_entry_of_the_journal_counts_once_through_kills(
    server: Server, start: Start, tmp_path: Path, chance: random.Random
) -> None:
    journal = Journal(tmp_path / "journal")
    config = tmp_path / "ecl.yml"
    rules = [{"match": "^[0-9]+ x*", "events": ["line"]}]
    entry = {"input": "journald", "directory": "journal", "group": "g", "rules": rules}
    groups = {"g": {"events": ["line"], "intervals": ["24h"]}}
    config.write_text(json.dumps({"redis": server.config, "groups": groups, "tail": [entry]}))
    n = 0

    def write() -> None:
        nonlocal n
        some = chance.choice([1, 3, 500])
        file = f"{chance.randrange(3)}"
        journal.write(*(f"{n + i} {'x' * chance.randrange(60)}" for i in range(some)), file=file)
        n += some

    start("ecl", "tail", "--from", "start", "--once", config, stderr=None).wait(60)
    kill_repeatedly(start, config, chance, write)
    assert start("ecl", "tail", "--once", config).wait(60) == 0
    assert counted(server) == {"line": n}


def test_each_line_of_archives_counts_once_through_kills(
    server: Server, start: Start, tmp_path: Path, chance: random.Random
) -> None:
    config = tmp_path / "ecl.yml"
    entry = {"file": "a.log*", "group": "g", "rules": [{"match": "^[0-9]+ ", "events": ["line"]}]}
    groups = {"g": {"events": ["line"], "intervals": ["24h"]}}
    config.write_text(json.dumps({"redis": server.config, "groups": groups, "tail": [entry]}))
    n = 0
    for number in range(3):
        with gzip.open(tmp_path / f"a.log.{number + 2}.gz", "wb") as archive:
            for _ in range(150_000):
                archive.write(b"%d %x\n" % (n, n * 7919))
                n += 1
    log = tmp_path / "a.log"
    for _ in range(KILLS // 2):
        with log.open("a") as file:
            file.write(f"{n} first half")
            n += 1
        process = start("ecl", "tail", "--from", "start", "--once", config, stderr=None)
        time.sleep(chance.uniform(0.3, 1.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        with log.open("a") as file:
            file.write(f", second half\n{n} \n")
            n += 1
    last = start("ecl", "tail", "--from", "start", "--once", config)
    assert last.wait(60) == 0
    assert counted(server) == {"line": n}


def docker_line(text: str, stream: str = "stdout") -> str:
    return json.dumps({"log": text, "stream": stream, "time": "2026-11-25T03:00:00Z"}, separators=(",", ":"))


def cri_line(text: str, tag: str, stream: str = "stdout") -> str:
    return f"2026-11-25T03:00:00.1Z {stream} {tag} {text}"


#: Lines of a record of each format, from its number and text.
FORMATS: dict[str, tuple[dict[str, Any], Callable[[int, str], list[str]]]] = {
    "json": ({"format": "json"}, lambda n, text: [json.dumps({"n": n, "text": text})]),
    "multiline": ({"multiline": {"start": "^[0-9]"}}, lambda n, text: [f"{n} {text[:9]}", f" {text[9:]}"]),
    "docker": (
        {"format": "docker"},
        lambda n, text: [docker_line(f"{n} "), docker_line("-\n", "stderr"), docker_line(f"{text}\n")],
    ),
    "cri": (
        {"format": ["cri", "json"]},
        lambda n, text: [
            cri_line(f'{{"n": {n}, ', "P"),
            cri_line('{"n": "-"}', "F", "stderr"),
            cri_line(f'"text": "{text}"}}', "F"),
        ],
    ),
}


def test_each_record_of_any_format_counts_once_through_kills(
    server: Server, start: Start, tmp_path: Path, chance: random.Random
) -> None:
    config = tmp_path / "ecl.yml"
    groups = {name: {"events": ["line", "stderr"], "intervals": ["24h"]} for name in FORMATS}
    whole = {"match": "(?s)^[0-9]+ [ \nx]*x$", "events": ["line"]}
    with_fields = {"where": {"n": "[0-9]+", "text": "x+"}, "events": ["line"]}
    entries = [
        {
            "file": f"{name}.log",
            "group": name,
            "rules": [
                with_fields if "json" in settings.get("format", "") else whole,
                {"match": "-", "events": ["stderr"]},
            ],
            **settings,
        }
        for name, (settings, _) in FORMATS.items()
    ]
    config.write_text(json.dumps({"redis": server.config, "groups": groups, "tail": entries}))
    logs = {name: (tmp_path / f"{name}.log").open("a") for name in FORMATS}
    n = 0

    def write() -> None:
        nonlocal n
        for _ in range(chance.choice([1, 3, 50])):
            text = "x" * chance.randrange(10, 60)
            for name, (_, lines) in FORMATS.items():
                data = "".join(f"{line}\n" for line in lines(n, text))
                cut = chance.randrange(len(data))
                logs[name].write(data[:cut])
                if chance.random() < 0.02:
                    logs[name].flush()
                logs[name].write(data[cut:])
            n += 1
        for log in logs.values():
            if chance.random() < 0.5:
                log.flush()

    start("ecl", "tail", "--once", config, stderr=None).wait(60)
    kill_repeatedly(start, config, chance, write)
    for log in logs.values():
        log.close()
    assert start("ecl", "tail", "--once", config).wait(60) == 0
    counts = {name: server.counts(name, "24h", "cur") for name in FORMATS}
    with_stderr = {"line": n, "stderr": n}
    assert counts == {
        "json": {"line": n},
        "multiline": {"line": n},
        "docker": with_stderr,
        "cri": with_stderr,
    }


def counted(server: Server) -> dict[str, int]:
    counts = server.counts("g", "24h", "cur")
    with server.client as client:
        counts |= {
            name: int(n) for name in ("@skipped", "@unmatched") if (n := client.get(f"g:24h:cur:{name}"))
        }
    return counts
