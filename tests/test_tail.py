"""Tailing of log files: each line counts once, through rotation, truncation and deletion."""

from __future__ import annotations

import copy
import errno
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from event_count_logger.config import from_file
from event_count_logger.counting.admission import Admission
from event_count_logger.logs import Log
from event_count_logger.sources.tail.formats.framing import Until
from event_count_logger.sources.tail.inputs import registry
from event_count_logger.sources.tail.inputs.discovery import Checkpoint, Listing, discover
from event_count_logger.sources.tail.rules.time_limit import TimeLimit
from event_count_logger.sources.tail.tail import Tail
from event_count_logger.sources.tail.worker_pool import WorkerPool
from event_count_logger.store import Store
from tests.servers import Server

LINE = {"match": "^line", "events": ["line"]}
GROUP = {"events": ["line"], "intervals": ["24h"], "auto_declare_events": True}


class Following:
    """One entry of `tail` in this process, which can be stopped as by a kill and started again."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.path = directory / "log" / "app.log"
        self.path.parent.mkdir()
        self.entry: dict[str, Any] = {"file": str(self.path), "group": "g", "rules": [LINE]}
        self.group = dict(GROUP)
        self.tail: Tail | None = None
        self.once = False

    def start(self, from_start: bool = False) -> None:
        """Start, or restart as after a kill: uncommitted counts are gone."""
        self.stop()
        file = self.directory / "ecl.yml"
        content = {"redis": self.server.config, "groups": {"g": self.group}, "tail": [self.entry]}
        file.write_text(json.dumps(content))
        config = from_file(file)
        log, (entry,), group = Log("tail"), config.tail, config.group("g")
        self.store = Store(config.redis, log)
        admission, limit = Admission(group, log), TimeLimit()
        self.stopping = threading.Event()
        self.tail = Tail(
            entry,
            group,
            admission,
            self.store,
            log,
            limit,
            self.stopping,
            once=self.once,
            from_start=from_start,
        )
        self.tail.begin()

    def stop(self) -> None:
        if self.tail:
            self.tail.close()
            self.store.close()

    def read(self, until: Until = Until.RECORD) -> None:
        """Read all lines; commit only when a commit is due."""
        assert self.tail
        while self.tail.advance(until) or not self.tail.is_caught_up:
            pass

    def counts(self, until: Until = Until.RECORD) -> dict[str, int]:
        """Read and commit all lines; return the counts."""
        assert self.tail
        self.read(until)
        self.tail.commit()
        return self.counted()

    def counted(self) -> dict[str, int]:
        with self.server.client as client:
            keys = {key.rpartition(":cur:")[2]: key for key in client.scan_iter("g:24h:cur:*")}
            return {
                name: int(client.get(key)) for name, key in keys.items() if name not in ("@ts", "@events")
            }

    def write(self, *lines: object, path: Path | None = None) -> None:
        with (path or self.path).open("a") as log:
            log.writelines(f"line {line}\n" for line in lines)

    def rotated(self, suffix: str = ".1") -> Path:
        return Path(f"{self.path}{suffix}")

    def rename(self, suffix: str = ".1") -> None:
        self.path.rename(self.rotated(suffix))

    def copy_and_truncate(self, suffix: str = ".1") -> None:
        shutil.copyfile(self.path, self.rotated(suffix))
        os.truncate(self.path, 0)


@pytest.fixture
def following(server: Server, tmp_path: Path) -> Iterator[Following]:
    following = Following(server, tmp_path)
    yield following
    following.stop()


@pytest.fixture
def caught_up(following: Following) -> Following:
    """A tail that has counted five lines."""
    following.start()
    following.write(*range(5))
    assert following.counts() == {"line": 5}
    return following


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(("from_start", "n"), [(False, 2), (True, 7)])
def test_new_source_starts_at_start_or_end_of_the_file(
    following: Following, from_start: bool, n: int
) -> None:
    following.write(*range(5))
    following.start(from_start)
    following.start(not from_start)
    following.write(5, 6)
    assert following.counts() == {"line": n}


def test_line_half_written_at_start_is_counted_when_complete(following: Following) -> None:
    following.path.write_text("line 1\nline ")
    following.start()
    following.write(2)
    assert following.counts() == {"line": 1}


def test_new_file_is_read_from_its_start(following: Following) -> None:
    following.start()
    following.write(1, 2)
    assert following.counts() == {"line": 2}


def test_uncommitted_lines_are_read_again(caught_up: Following) -> None:
    caught_up.start()
    caught_up.write(5, 6)
    caught_up.read()
    caught_up.start()
    assert caught_up.counts() == {"line": 7}


def test_incomplete_line_is_counted_when_complete(caught_up: Following) -> None:
    with caught_up.path.open("a") as log:
        log.write("li")
        log.flush()
        assert caught_up.counts() == {"line": 5}
        caught_up.start()
        log.write("ne 6\nli")
        log.flush()
        assert caught_up.counts() == {"line": 6}
        log.write("ne 7\n")
    assert caught_up.counts() == {"line": 7}


ROTATIONS: dict[str, Callable[[Following], None]] = {
    "rename": lambda log: log.rename(),
    "rename with a date": lambda log: log.rename("-20261125"),
    "rename to any name": lambda log: log.rename("_away"),
    "copytruncate": lambda log: log.copy_and_truncate(),
    "copytruncate with a date": lambda log: log.copy_and_truncate("-20261125"),
    "copytruncate to any name": lambda log: log.copy_and_truncate(".copy"),
}


@pytest.mark.parametrize("is_up", [True, False])
@pytest.mark.parametrize("pattern", ["app.log", "*.log", "app*"])
@pytest.mark.parametrize("rotate", ROTATIONS)
def test_unread_lines_are_read_after_rotation(
    following: Following, rotate: str, pattern: str, is_up: bool
) -> None:
    following.entry["file"] = str(following.path.parent / pattern)
    following.start()
    following.write("first of all", *range(4))
    assert following.counts() == {"line": 5}
    following.write(5, 6)
    ROTATIONS[rotate](following)
    following.write(7, 8, 9)
    if not is_up:
        following.start()
    assert following.counts() == {"line": 10}
    following.start()
    assert following.counts() == {"line": 10}


@pytest.mark.parametrize("is_up", [True, False])
@pytest.mark.parametrize("rotations", ["rrr", "ccc", "crc", "rcr"])
def test_several_rotations_between_scans_lose_nothing(
    caught_up: Following, rotations: str, is_up: bool
) -> None:
    if not is_up:
        caught_up.stop()
    for number, rotation in enumerate(rotations):
        caught_up.write(f"{number} a", f"{number} b")
        for old in (2, 1):
            if caught_up.rotated(f".{old}").exists():
                caught_up.rotated(f".{old}").rename(caught_up.rotated(f".{old + 1}"))
        caught_up.rename() if rotation == "r" else caught_up.copy_and_truncate()
    caught_up.write("last")
    if not is_up:
        caught_up.start()
    assert caught_up.counts() == {"line": 12}


def test_identical_lines_are_counted_through_renaming(following: Following) -> None:
    following.start()
    for number in range(4):
        following.write("x", "x")
        following.rename(f".{number}")
        following.write("x")
        following.read()
    assert following.counts() == {"line": 12}


def test_lines_written_to_a_renamed_file_are_counted(caught_up: Following) -> None:
    with caught_up.path.open("a") as old:
        caught_up.rename()
        caught_up.write(6)
        assert caught_up.counts() == {"line": 6}
        old.write("line 7\n")
        old.flush()
        assert caught_up.counts() == {"line": 7}
        caught_up.start()
        old.write("line 8\n")
    assert caught_up.counts() == {"line": 8}


def test_older_rotated_files_are_not_read(following: Following) -> None:
    following.write(1, path=following.rotated(".2"))
    following.write(2, path=following.rotated(".1"))
    following.start(from_start=True)
    following.write(3)
    assert following.counts() == {"line": 1}
    following.start()
    assert following.counts() == {"line": 1}


@pytest.mark.parametrize("pattern", ["app.log", "app*"])
def test_compressed_files_are_ignored(caught_up: Following, pattern: str) -> None:
    caught_up.entry["file"] = str(caught_up.path.parent / pattern)
    caught_up.start()
    caught_up.write(1, path=caught_up.rotated(".2.gz"))
    caught_up.write(1, path=caught_up.rotated("-20261125.ZST"))
    assert caught_up.counts()["line"] == 5


def test_rotated_file_compressed_and_expanded_counts_once(
    caught_up: Following, caplog: pytest.LogCaptureFixture
) -> None:
    caught_up.rename()
    caught_up.write(6)
    assert caught_up.counts() == {"line": 6}
    caught_up.rotated().rename(caught_up.directory / "kept")
    caught_up.start()
    assert caught_up.counts() == {"line": 6}
    shutil.copy2(caught_up.directory / "kept", caught_up.rotated(".3"))
    assert caught_up.counts() == {"line": 6}
    assert messages(caplog) == []


def test_incomplete_copy_of_a_file_is_not_read(caught_up: Following) -> None:
    copy = caught_up.rotated()
    for n in (0, 3, 20):
        copy.write_bytes(caught_up.path.read_bytes()[:n])
        assert caught_up.counts() == {"line": 5}
        caught_up.start()
    caught_up.copy_and_truncate()
    caught_up.write(6)
    assert caught_up.counts() == {"line": 6}


@pytest.mark.parametrize(
    "names",
    [
        ("app.log.1", "app.log.2"),
        ("app.log-20261124", "app.log-20261125"),
        ("app.log-2026-11-24_03:00", "app.log-2026-11-25_03:00"),
        ("app-20261124.log", "app-20261125.log"),
        ("app.1.log", "app.2.log"),
        ("app.log.old", "app.log.prev"),
    ],
)
def test_files_rotated_during_downtime_are_found_by_their_names(
    caught_up: Following, names: tuple[str, str]
) -> None:
    caught_up.stop()
    for name in names:
        caught_up.write(f"in {name}", f"in {name}")
        caught_up.path.rename(caught_up.path.with_name(name))
    caught_up.write("last")
    caught_up.start()
    assert caught_up.counts() == {"line": 10}


@pytest.mark.parametrize(
    "name", ["app.log.swp", "app.logs", "app-errors.log", "xapp.log.1", "app.log.gz", "app.err"]
)
def test_unrelated_files_in_the_directory_are_not_read(caught_up: Following, name: str) -> None:
    caught_up.write("other", path=caught_up.path.with_name(name))
    assert caught_up.counts() == {"line": 5}
    caught_up.start()
    caught_up.write("other", path=caught_up.path.with_name(name))
    assert caught_up.counts() == {"line": 5}


def test_copy_in_place_of_an_empty_file_counts_once(following: Following) -> None:
    following.rotated(".1").touch()
    following.start()
    following.write(*range(5))
    assert following.counts() == {"line": 5}
    following.stop()
    following.write(5)
    following.rotated(".1").unlink()
    following.copy_and_truncate()
    following.start()
    assert following.counts() == {"line": 6}


def test_unread_file_and_its_copy_count_once(following: Following) -> None:
    following.start()
    following.write(1, 2, 3)
    shutil.copyfile(following.path, following.rotated())
    assert following.counts() == {"line": 3}
    os.truncate(following.path, 0)
    following.write(4)
    assert following.counts() == {"line": 4}


@pytest.mark.parametrize("n_after", [1, 9])
def test_truncated_file_is_read_from_its_start(
    caught_up: Following, caplog: pytest.LogCaptureFixture, n_after: int
) -> None:
    os.truncate(caught_up.path, 0)
    caught_up.write(*(f"after {number}" for number in range(n_after)))
    assert caught_up.counts() == {"line": 5 + n_after}
    assert messages(caplog) == []


def test_same_lines_after_truncation_count_again(caught_up: Following) -> None:
    for n in (10, 15, 20):
        os.truncate(caught_up.path, 0)
        caught_up.read()
        caught_up.write(*range(5))
        assert caught_up.counts() == {"line": n}


def test_truncation_of_unread_lines_is_logged_once(
    caught_up: Following, caplog: pytest.LogCaptureFixture
) -> None:
    with caught_up.path.open("a") as log:
        log.write("half a line")
    caught_up.read()
    os.truncate(caught_up.path, 0)
    caught_up.read()
    caught_up.write("6")
    assert caught_up.counts() == {"line": 6}
    (message,) = messages(caplog)
    assert "app.log was truncated before it was read: 11 bytes after byte 35" in message


def test_deleted_file_is_read_to_its_end_and_new_file_from_its_start(caught_up: Following) -> None:
    with caught_up.path.open("a") as log:
        log.write("line 6\n")
        log.flush()
        caught_up.path.unlink()
        caught_up.write("new")
        log.write("line 7\n")
        log.flush()
        assert caught_up.counts() == {"line": 8}
        caught_up.start()
    assert caught_up.counts() == {"line": 8}


@pytest.mark.parametrize(("end", "n"), [("", 5), ("line that is not fin", 6)])
def test_copy_of_a_file_deleted_later_counts_once(
    caught_up: Following, end: str, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caught_up.path.open("a") as log:
        log.write(end)
    shutil.copyfile(caught_up.path, caught_up.rotated())
    caught_up.path.unlink()
    assert caught_up.counts() == {"line": 5}
    monkeypatch.setattr(registry, "_DELETED_S", -1)
    for _ in range(3):  # the last line counts, the file is closed, and found again
        assert caught_up.counts(Until.FILE) == {"line": n}
    caught_up.start()
    assert caught_up.counts(Until.FILE) == {"line": n}


def test_copy_with_a_date_before_its_suffix_counts_once(caught_up: Following) -> None:
    caught_up.entry["file"] = str(caught_up.path.with_name("*.log"))
    caught_up.start(from_start=True)
    assert caught_up.counts() == {"line": 10}
    shutil.copyfile(caught_up.path, caught_up.path.with_name("app-20261125.log"))
    caught_up.path.unlink()
    for _ in range(2):
        assert caught_up.counts() == {"line": 10}
        caught_up.start()


def test_copy_of_a_deleted_file_counts_once_if_killed_in_a_search(following: Following) -> None:
    following.entry["file"] = str(following.path.with_name("*.log"))
    other = following.path.with_name("other.log")
    following.start()
    following.write(*range(5))
    following.write("other", path=other)
    assert following.counts() == {"line": 6}
    assert following.tail
    os.truncate(other, 0)
    following.tail.advance()
    shutil.copyfile(following.path, following.rotated())
    following.path.unlink()
    following.tail.advance()  # looks for the content of the other file, and opens nothing new
    following.tail.commit()
    following.write(5)
    following.start()
    assert following.counts() == {"line": 7}


def test_copy_of_a_file_truncated_and_deleted_counts_once(caught_up: Following) -> None:
    caught_up.read()
    caught_up.copy_and_truncate()
    caught_up.path.unlink()
    caught_up.write(5)
    assert caught_up.tail
    caught_up.stopping.set()  # the directories are scanned, and no file is read
    caught_up.tail.advance()
    caught_up.tail.commit()
    caught_up.start()
    assert caught_up.counts() == {"line": 6}


@pytest.mark.parametrize("n_reads", [0, 1, 2])
def test_copy_of_a_deleted_file_has_its_last_record_once_after_a_kill(
    following: Following, n_reads: int
) -> None:
    following.entry["multiline"] = {"start": "^line"}
    following.start()
    following.write(*range(5))
    for _ in range(2):
        assert following.counts() == {"line": 4}
    shutil.copyfile(following.path, following.rotated())
    later = following.path.stat().st_mtime + 5
    os.utime(following.rotated(), (later, later))
    following.path.unlink()
    for _ in range(n_reads):
        assert following.counts() == {"line": 4}
    following.start()
    following.write(5)
    assert following.counts(Until.FILE) == {"line": 6}


@pytest.mark.parametrize("is_deleted", [False, True])
def test_last_line_of_a_file_no_longer_written_counts_without_newline(
    caught_up: Following, is_deleted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught_up.rename()
    with caught_up.rotated().open("a") as log:
        log.write("line that is not fin")
        log.flush()
        if is_deleted:
            caught_up.rotated().unlink()
        assert caught_up.counts() == {"line": 5}
        monkeypatch.setattr(registry, "_DELETED_S" if is_deleted else "_MOVED_S", -1)
        for _ in range(3):
            counts = caught_up.counts()
        assert counts == {"line": 6}
        monkeypatch.undo()
        if not is_deleted:
            log.write("ished\nline\n")
            log.flush()
            assert caught_up.counts() == {"line": 7}


def test_deleted_and_restored_file_counts_once(caught_up: Following) -> None:
    caught_up.rename()
    assert caught_up.counts() == {"line": 5}
    kept = shutil.copy2(caught_up.rotated(), caught_up.directory)
    caught_up.rotated().unlink()
    assert caught_up.counts() == {"line": 5}
    shutil.copy2(kept, caught_up.rotated())
    caught_up.start()
    assert caught_up.counts() == {"line": 5}


def test_lines_deleted_during_downtime_are_logged(
    caught_up: Following, caplog: pytest.LogCaptureFixture
) -> None:
    caught_up.stop()
    caught_up.write(6)
    caught_up.path.unlink()
    caught_up.write("a new one")
    caught_up.start()
    assert caught_up.counts() == {"line": 6}
    (message,) = messages(caplog)
    assert "lines written after byte 35, if any, are not counted" in message


def test_file_modified_in_the_future_hides_no_later_file(caught_up: Following) -> None:
    caught_up.rename()
    os.utime(caught_up.rotated(), (2**32, 2**32))
    caught_up.start()
    caught_up.write(6)
    assert caught_up.counts() == {"line": 6}
    caught_up.stop()
    caught_up.rotated().unlink()
    caught_up.rename(".2")
    caught_up.write(7)
    caught_up.rename()
    caught_up.start()
    assert caught_up.counts() == {"line": 7}


@pytest.mark.parametrize("name", ["app.log.1.gz", "something.else"])
def test_unrelated_file_with_a_reused_inode_is_not_read(caught_up: Following, name: str) -> None:
    caught_up.stop()
    caught_up.path.write_text("line other\n" * 9)
    caught_up.path.rename(caught_up.path.with_name(name))
    caught_up.start()
    assert caught_up.counts() == {"line": 5}


@pytest.mark.parametrize("n", [5, 7])
def test_file_deleted_and_recreated_with_same_lines_counts_again(following: Following, n: int) -> None:
    following.start()
    following.write(*["same"] * 5)
    assert following.counts() == {"line": 5}
    following.stop()
    following.path.unlink()
    following.write(*["same"] * n)
    following.start()
    assert following.counts() == {"line": 5 + n}


def test_file_renamed_during_the_first_scan_is_not_new_later(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    following.write(*range(5))

    def discover_before_renaming(*arguments: Any) -> Listing:
        monkeypatch.setattr(registry, "discover", discover)
        listing = discover(*arguments)
        following.rename()
        following.write("new")
        return listing

    monkeypatch.setattr(registry, "discover", discover_before_renaming)
    following.start()
    following.write("newer")
    assert following.counts() == {"line": 1}


def test_all_files_of_a_pattern_are_followed(following: Following) -> None:
    following.entry["file"] = str(following.path.parent / "*" / "*.log")
    following.start()
    for name in ("a/x.log", "a/y.log", "b/x.log"):
        path = following.path.parent / name
        path.parent.mkdir(exist_ok=True)
        following.write(1, 2, path=path)
    assert following.counts() == {"line": 6}


def test_file_that_gets_its_name_later_is_known_by_it(following: Following) -> None:
    following.entry["file"] = str(following.path.with_name("app*"))
    following.entry["rules"] = [{"match": "^line", "events": ["{file.name}"]}]
    following.start()
    first = following.path.with_name("app.new")
    following.write(1, path=first)
    assert following.counts() == {"app.new": 1}
    first.rename(following.path)
    following.write(2)
    assert following.counts() == {"app.new": 1, "app.log": 1}
    following.copy_and_truncate()
    following.write(3)
    assert following.counts() == {"app.new": 1, "app.log": 2}


def test_target_of_a_symbolic_link_is_followed(following: Following) -> None:
    first, second = following.path.with_name("1st.log"), following.path.with_name("2nd.log")
    following.write(1, path=first)
    following.path.symlink_to(first)
    following.start()
    following.write(2, path=first)
    following.write(1, path=second)
    following.path.unlink()
    following.path.symlink_to(second)
    assert following.counts() == {"line": 2}


def test_two_tails_of_one_file_count_each_line_once(following: Following) -> None:
    following.start()
    other = copy.copy(following)
    other.tail = None
    other.start()
    for n in (2, 4, 6):
        following.write("a", "b")
        following.read()
        other.read()
        assert following.counts() == other.counts() == {"line": n}
    other.stop()


def test_second_tail_continues_after_a_truncation(following: Following) -> None:
    following.start()
    other = copy.copy(following)
    other.tail = None
    other.start()
    following.write(*range(5))
    assert following.counts() == other.counts() == {"line": 5}
    os.truncate(following.path, 0)
    assert following.counts() == {"line": 5}
    following.write(5)
    other.counts()  # begins again at the position of the first one
    assert following.counts() == other.counts() == {"line": 6}
    other.stop()


def test_rejected_lines_are_kept_and_counted_later(
    caught_up: Following, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("event_count_logger.sources.tail.tail._REJECTED_S", 0)
    client = caught_up.server.client
    client.lpush("g:24h:cur:other", "x")
    caught_up.entry["rules"] = [LINE, {"match": "6", "events": ["other"]}]
    caught_up.start()
    caught_up.write(6)
    assert caught_up.tail
    for _ in range(3):
        caught_up.tail.advance()
        caught_up.tail.commit()
    caught_up.write(7)
    client.delete("g:24h:cur:other")
    assert caught_up.counts() == {"line": 7, "other": 1}
    (message,) = messages(caplog)
    assert "g:24h:cur:other" in message
    client.close()


def test_lines_read_after_a_rejection_are_not_added_to_its_batch(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("event_count_logger.sources.tail.tail._REJECTED_S", 0)
    monkeypatch.setattr("event_count_logger.sources.tail.tail._BATCH_BYTES", 1)
    following.entry["file"] = str(following.path.with_name("*.log"))
    following.start()
    client = following.server.client
    client.lpush("g:24h:cur:line", "x")
    for name in ("a.log", "b.log"):
        following.write(1, path=following.path.with_name(name))
    assert following.tail
    following.tail.advance()
    client.delete("g:24h:cur:line")
    following.tail.commit()
    following.start()
    assert following.counts() == {"line": 2}
    client.close()


def test_stopping_tail_reads_no_further_file(following: Following) -> None:
    following.write(1)
    following.start(from_start=True)
    assert following.tail
    following.stopping.set()
    assert following.tail.advance() == 0


@pytest.mark.parametrize("call", ["open", "scandir"])
def test_temporarily_unreadable_file_counts_once_and_blocks_nothing(
    caught_up: Following, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    other = caught_up.directory / "other" / "b.log"
    other.parent.mkdir()
    caught_up.entry["file"] = str(caught_up.directory / "*" / "*.log")
    caught_up.start()
    caught_up.write(6)
    assert caught_up.counts() == {"line": 6}
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refusing(getattr(os, call), str(caught_up.path), str(caught_up.path.parent)))
        caught_up.start()
        caught_up.write("b", path=other)
        assert caught_up.counts() == {"line": 7}
    caught_up.start()
    caught_up.write(7)
    assert caught_up.counts() == {"line": 8}
    (message,) = messages(caplog)
    assert message.endswith("cannot be read: Permission denied")


def refusing(call: Callable[..., Any], *paths: str) -> Callable[..., Any]:
    """Returns a function that opens all paths except these."""

    def refuse(path: str, *arguments: Any) -> Any:
        if path in paths:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return call(path, *arguments)

    return refuse


@pytest.mark.parametrize("place", ["rules", "else"])
def test_sessions_of_nested_rules_have_small_commits(following: Following, place: str) -> None:
    session = {"session": {"id": "{file}", "event": "visit", "action": "heartbeat"}}
    following.group["sessions"] = {}
    following.entry["rules"] = [{"match": "^line" if place == "rules" else "^x", place: [session]}]
    following.write(*range(60_000))
    following.start(from_start=True)
    assert following.counts()["visit"] == 1
    with following.server.client as client:
        (position,) = client.hvals("g:@sources")
    assert Checkpoint.parse(position).number >= 5


def test_large_file_is_matched_by_a_worker_pool(following: Following) -> None:
    following.write(*(f"{number} {'x' * 100}" for number in range(200_000)))
    with following.path.open("a") as log:
        log.write("other\n")
    following.start(from_start=True)
    assert following.tail
    following.tail.advance()
    workers = following.tail._pool._workers  # type: ignore[union-attr]
    assert len(workers) == min(4, os.cpu_count() or 1)
    os.kill(workers[0]._pid, 9)
    assert following.counts() == {"line": 200_000, "@unmatched": 1}
    assert following.tail._pool is None


def test_worker_pool_ends_while_another_one_works(following: Following) -> None:
    following.start()
    assert following.tail
    tail = following.tail
    pools = [WorkerPool(2, tail._config, tail._matcher) for _ in range(2)]
    closing = threading.Thread(target=pools[0].close)
    closing.start()
    closing.join(10)
    is_hanging = closing.is_alive()
    pools[1].close()
    closing.join()
    assert not is_hanging


def test_lines_lost_by_redis_are_read_again(caught_up: Following, caplog: pytest.LogCaptureFixture) -> None:
    forget = caught_up.server.remember()
    for _ in range(2):
        caught_up.write(5, 6)
        caught_up.counts()
    forget()
    caught_up.write(7)
    caught_up.counts()
    assert caught_up.counts() == {"line": 10}
    (warning,) = messages(caplog)
    assert "has lost data: 2 confirmed batches of source" in warning
