"""Spool files: format, locks, directories, and full disks."""

from __future__ import annotations

import os
import random
import resource
import signal
import stat
import struct
import subprocess
import sys
import textwrap
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from event_count_logger import EventCountLogger
from event_count_logger.config import from_dicts
from event_count_logger.counting import spool_file, spool_format
from event_count_logger.counting.cells import Cells, Memory, Storage
from event_count_logger.counting.recovery import Recovery
from event_count_logger.counting.spool_file import InUse, SpoolFile, SpoolReader
from event_count_logger.counting.spool_format import Damaged, Extent, HeaderWord, SpoolContents, State
from event_count_logger.logs import Log
from event_count_logger.store import Store
from tests.fixtures import Make
from tests.servers import Server, wait_until


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def file(directory: Path) -> SpoolFile:
    return spool_file.create(directory, "web", ["5m", "1h"], "localhost:6379/0")


def filled(storage: Storage) -> Cells:
    cells = Cells(lambda: storage)
    for number, event_id in enumerate(("ok", "für", "x" * 512)):
        cell = cells.add(event_id)
        cell.total, cell.pending, cell.acked = 30 + number, 20 + number, 10 + number
    return cells


def counts(contents: SpoolContents) -> dict[str, tuple[int, int, int]]:
    return {cell.event_id: (cell.total, cell.pending, cell.acked) for cell in contents.cells()}


FILLED = {"ok": (30, 20, 10), "für": (31, 21, 11), "x" * 512: (32, 22, 12)}


def test_only_unusual_prefixes_are_in_the_description(file: SpoolFile, directory: Path) -> None:
    others = [spool_file.create(directory, "web", ["5m"], "", prefix) for prefix in ("web", "{web}")]
    assert [b'"prefix"' in each.path.read_bytes() for each in (file, *others)] == [False, False, True]
    assert [each.description.prefix for each in (file, *others)] == ["", "", "{web}"]
    of_hash = spool_file.create(directory, "web", ["5m"], "", redis_layout="hash")
    assert [b'"layout"' in each.path.read_bytes() for each in (file, of_hash)] == [False, True]
    others.append(of_hash)


def test_file_has_the_documented_format(file: SpoolFile) -> None:
    """Reads a file without the package, by docs/spool-format.md alone."""
    cells = filled(file)
    cells.state, cells.position, cells.next_position = State.SENDING, 4, 5
    data = file.path.read_bytes()
    magic, version, header_size, length, checksum = struct.unpack_from("=8sIIII", data)
    assert (magic, version) == (b"ECLSPOOL", 1)
    description = data[24 : 24 + length]
    assert checksum == zlib.crc32(data[:20] + description)
    assert b'"group": "web", "intervals": ["5m", "1h"], "redis": "localhost:6379/0"' in description
    assert f'"pid": {os.getpid()}'.encode() in description
    sent_until, state, position, *others = struct.unpack_from("=6Q", data, header_size - 48)
    next_position, generation, size = others
    assert 0 < sent_until <= time.monotonic_ns()
    assert (state, position, next_position, generation, size) == (1, 4, 5, 0, len(data))
    found, at = {}, header_size
    while at < size:
        extent_size, slots = struct.unpack_from("=2Q", data, at)
        name_at = at + 16 + 24 * slots
        for slot in range(slots):
            (name_length,) = struct.unpack_from("=H", data, name_at)
            if name_length == 0:
                break
            name = data[name_at + 2 : name_at + 2 + name_length].decode()
            found[name] = struct.unpack_from("=3Q", data, at + 16 + 24 * slot)
            name_at += 2 + name_length
        at += extent_size
    assert found == FILLED


def test_reader_shows_the_contents_of_a_file(file: SpoolFile) -> None:
    cells = filled(file)
    with SpoolReader(file.path) as window:
        assert window.is_held()
        contents = window.contents()
        assert counts(contents) == FILLED
        assert (contents.description.group, contents.description.pid) == ("web", os.getpid())
        cells.add("ok").total = 99
        file.delete()
        assert counts(window.contents())["ok"] == (99, 20, 10)
        assert not window.is_held()


def test_new_file_is_private_and_locked(file: SpoolFile) -> None:
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    with pytest.raises(InUse):
        spool_file.take_over(file.path)


def test_unlocked_file_can_be_taken_over_once(file: SpoolFile) -> None:
    filled(file)
    file.close()
    taken = spool_file.take_over(file.path)
    assert counts(taken.contents) == FILLED
    with pytest.raises(InUse):
        spool_file.take_over(file.path)
    taken.delete()
    with pytest.raises(FileNotFoundError):
        spool_file.take_over(file.path)


@pytest.mark.parametrize("event_id", ["{}", "{:0500}", "ä{:0200}"])
@pytest.mark.parametrize("in_file", [True, False])
def test_file_grows_for_many_events(event_id: str, in_file: bool, directory: Path) -> None:
    storage: Any = spool_file.create(directory, "web", ["5m"], "") if in_file else Memory()
    cells = Cells(lambda: storage)
    n_events = 3000
    for number in range(n_events):
        cells.add(event_id.format(number)).total = number + 1
    expected = {event_id.format(number): number + 1 for number in range(n_events)}
    assert {cell.event_id: cell.total for cell in cells.unsent()} == expected
    if in_file:
        storage.close()
        found = {cell.event_id: cell.total for cell in spool_file.take_over(storage.path).contents.cells()}
        assert found == expected


def test_changed_cells_are_found_in_all_extents(chance: random.Random) -> None:
    cells = Cells()
    for number in range(1000):
        cells.add(str(number))
    for n_changed in (0, 1, 2, 40, 500, 1000):
        chosen = {str(number) for number in chance.sample(range(1000), n_changed)}
        for event_id in chosen:
            cells.by_id[event_id].total += chance.randint(1, 2**60)
        assert {cell.event_id for cell in cells.unsent()} == chosen
        assert cells.has_unsent() == bool(chosen)
        for cell in cells.unsent():
            cell.acked = cell.total


def test_event_added_by_a_handler_during_growth_keeps_its_cell(
    file: SpoolFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, make = Cells(lambda: file), Extent.new
    handled: list[int] = []

    def interrupted(memory: memoryview) -> Extent:
        extent = make(memory)
        if not handled:
            handled.append(1)
            cells.add("handler").total = 1
        return extent

    monkeypatch.setattr(Extent, "new", interrupted)
    events = [f"e{number}" for number in range(200)]
    for event in events:
        cells.add(event).total = 1
    left = SpoolReader(file.path).contents()
    assert counts(left) == dict.fromkeys([*events, "handler"], (1, 0, 0))
    assert left.unsent() == 201


def test_half_written_name_is_not_an_event(file: SpoolFile) -> None:
    filled(file).add("half\0")
    file.close()
    assert counts(spool_file.take_over(file.path).contents) == FILLED


def damaged(data: bytearray, what: str) -> bytearray:
    (header_size,) = struct.unpack_from("=I", data, 12)
    places = {
        "magic": 0,
        "version": 8,
        "description": 40,
        "state": header_size - 40,
        "size": header_size - 8 + 3,
        "extent": header_size + 2,
        "slots": header_size + 8 + 2,
        "total": header_size + 16 + 7,
    }
    data[places[what]] ^= 0x80
    return data


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("magic", "not a spool file"),
        ("version", "its version is 129, and 1 is known"),
        ("description", "checksum of its header"),
        ("state", "its state is 128"),
        ("size", "cut off"),
        ("extent", "impossible size"),
        ("slots", "impossible number of cells"),
        ("total", "counts of event 'ok' are impossible"),
    ],
)
def test_damaged_file_is_rejected_with_a_reason(what: str, message: str, file: SpoolFile) -> None:
    filled(file)
    file.close()
    file.path.write_bytes(damaged(bytearray(file.path.read_bytes()), what))
    with pytest.raises(Damaged, match=message):
        spool_file.take_over(file.path)


def test_truncated_file_is_never_used(file: SpoolFile, tmp_path: Path) -> None:
    cells = filled(file)
    for number in range(200):
        cells.add(str(number)).total = 1
    file.close()
    path = tmp_path / "cut.ecl"
    path.write_bytes(file.path.read_bytes())
    for length in reversed(range(path.stat().st_size)):
        os.truncate(path, length)
        with pytest.raises(Damaged):
            spool_file.take_over(path)


def test_random_bytes_are_never_used(file: SpoolFile, tmp_path: Path, chance: random.Random) -> None:
    whole = file.path.read_bytes()
    (header_size,) = struct.unpack_from("=I", whole, 12)
    path = tmp_path / "random.ecl"
    for _ in range(500):
        kept = chance.choice((0, 0, 8, 24, chance.randrange(header_size - 8)))
        path.write_bytes(whole[:kept] + chance.randbytes(chance.randrange(1, 10_000)))
        with pytest.raises(Damaged):
            spool_file.take_over(path)


def test_random_changes_in_a_file_crash_no_reader(
    file: SpoolFile, tmp_path: Path, chance: random.Random
) -> None:
    filled(file)
    whole = file.path.read_bytes()
    path = tmp_path / "changed.ecl"
    refused = 0
    for _ in range(1000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 20)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            with SpoolReader(path) as window:
                window.contents()
            spool_file.take_over(path).close()
        except Damaged:
            refused += 1
    assert refused > 100


SPECIAL: dict[str, Callable[[Path], object]] = {
    "a directory": Path.mkdir,
    "a symbolic link": lambda path: path.symlink_to("/etc/passwd"),
    "a FIFO": os.mkfifo,
    "an empty file": Path.touch,
}


@pytest.mark.parametrize("what", SPECIAL)
def test_non_regular_file_is_not_used(what: str, tmp_path: Path) -> None:
    path = tmp_path / "special.ecl"
    SPECIAL[what](path)
    with pytest.raises(Damaged):
        spool_file.take_over(path)
    with pytest.raises(Damaged):
        SpoolReader(path).contents()


def test_incomplete_file_is_removed(directory: Path) -> None:
    config = from_dicts({"g": {"events": ["e"], "intervals": ["1h"]}}, {"port": 1}, spool_dir=str(directory))
    directory.mkdir(mode=0o700)
    young, old = directory / "young.new", directory / "old.new"
    for path in (young, old):
        path.touch()
    os.utime(old, (time.time() - 3600,) * 2)
    list(Recovery(config, Store(config.redis), Log("test")).run())
    assert [*directory.iterdir()] == [young]


def make_foreign(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    os.chown(directory, 12345, -1)


def link(directory: Path) -> None:
    directory.with_name("real").mkdir(0o700)
    directory.symlink_to("real")


def make_below_file(directory: Path) -> None:
    directory.parent.rmdir()
    directory.parent.touch()


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "open to others": (lambda path: path.mkdir(mode=0o755), "has mode 0755, not 0700"),
    "a symbolic link": (link, "link"),
    "a file": (Path.touch, "is a regular file, not a directory"),
    "another user's": (make_foreign, "belongs to user 12345, not to"),
    "below a file": (make_below_file, "Not a directory"),
}


@pytest.mark.parametrize("why", UNUSABLE)
def test_counts_without_a_file_are_in_memory_with_one_warning(
    why: str, server: Server, logger: Make, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    if os.geteuid() and why == "another user's":
        pytest.skip("only root can give a directory away")
    directory = tmp_path / "parent" / "spool"
    directory.parent.mkdir()
    make, message = UNUSABLE[why]
    make(directory)
    group = {"events": ["a", "b"], "intervals": ["1h"], "sync_interval": 3600, "spool_dir": str(directory)}
    events = logger({"g": group}, server.config)["g"]
    for event_id in ("a", "b", "a"):
        events.log(event_id)
    assert events.sync()
    assert server.counts("g", "1h", "cur") == {"a": 2, "b": 1}
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith("Counts of group 'g' are kept in memory, and lost if this process is killed: ")
    assert message in warning


def test_deleted_directory_is_warned_of_once_and_counting_continues(
    server: Server, logger: Make, caplog: pytest.LogCaptureFixture, directory: Path
) -> None:
    group = {
        "auto_declare_events": True,
        "intervals": ["1h"],
        "sync_interval": 3600,
        "spool_dir": str(directory),
    }
    events = logger({"g": group}, server.config)["g"]
    events.log("a")
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    for number in range(300):
        events.log("a")
        events.log(f"e{number}")
        if number % 100 == 0:
            assert events.sync()
    assert events.sync()
    assert server.counts("g", "1h", "cur") == {"a": 301} | {f"e{number}": 1 for number in range(300)}
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "the spool file was deleted" in warning


PROGRAM = """
import json, os, resource, signal, sys
from event_count_logger import EventCountLogger
redis, directory, limit = json.loads(sys.argv[1])
group = {"auto_declare_events": True, "intervals": ["1h"], "sync_interval": 3600, "spool_dir": directory}
ecl = EventCountLogger({"g": group}, redis)
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
for _ in range(2):
    for number in range(2000):
        ecl["g"].log(f"event-{number}", number + 1)
if "kill" in sys.argv:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run_program(server: Server, directory: Path, limit: int, *more: str) -> subprocess.CompletedProcess[str]:
    import json

    arguments = json.dumps([server.config, str(directory), limit])
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, arguments, *more], capture_output=True, text=True, timeout=60
    )


EXPECTED = {f"event-{number}": 2 * (number + 1) for number in range(2000)}


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 64 KiB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", directory],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr}")
    yield directory
    subprocess.run(["umount", directory], check=True)


@pytest.mark.parametrize("limit", [1, 5000, 20_000])
def test_full_file_is_warned_of_once_and_counting_continues(
    limit: int, server: Server, directory: Path
) -> None:
    done = run_program(server, directory, limit)
    assert done.stderr.count("kept in memory") == done.stderr.count("\n") == 1
    assert "File too large" in done.stderr
    assert server.counts("g", "1h", "cur") == EXPECTED


def test_full_disk_is_warned_of_once_and_counting_continues(server: Server, small_disk: Path) -> None:
    done = run_program(server, small_disk, 0)
    assert done.stderr.count("kept in memory") == done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr
    assert server.counts("g", "1h", "cur") == EXPECTED
    assert [*small_disk.iterdir()] == []


def test_counts_in_the_file_on_a_full_disk_survive_kill_9(
    server: Server, small_disk: Path, logger: Make
) -> None:
    done = run_program(server, small_disk, 0, "kill")
    assert done.returncode == -signal.SIGKILL
    assert "Counts of group 'g' of further events are kept in memory" in done.stderr
    group = {"auto_declare_events": True, "intervals": ["1h"], "spool_dir": str(small_disk)}
    logger({"g": group}, server.config)["g"].log("another")

    def counted() -> dict[str, int]:
        return server.counts("g", "1h", "cur")

    # The counts of the file and those of this process arrive in separate batches.
    wait_until(lambda: "another" in (found := counted()) and len(found) > 501, what="both are counted")
    found = counted()
    assert found.pop("another") == 1
    assert found.items() <= EXPECTED.items()


def test_counters_with_spool_false_are_in_memory(server: Server, logger: Make, directory: Path) -> None:
    plain = {"events": ["a"], "intervals": ["1h"], "sync_interval": 3600}
    groups = {"off": {**plain, "spool": False}, "on": {**plain, "spool_dir": str(directory)}}
    ecl = logger(groups, server.config)
    for name in groups:
        ecl[name].log("a")
    (path,) = directory.iterdir()
    assert path.name.startswith("on.")


def test_file_is_deleted_with_its_group_and_at_the_end(server: Server, directory: Path) -> None:
    group = {"events": ["a"], "intervals": ["1h"], "sync_interval": 3600, "spool_dir": str(directory)}
    ecl: EventCountLogger | None = EventCountLogger({"g": group}, server.config)
    assert not directory.exists(), "nothing is made before something is counted"
    ecl["g"].log("a")  # type: ignore[index]
    assert len([*directory.iterdir()]) == 1
    ecl.close()  # type: ignore[union-attr]
    assert len([*directory.iterdir()]) == 1, "it may go on to count"
    del ecl
    wait_until(lambda: not [*directory.iterdir()])
    assert server.counts("g", "1h", "cur") == {"a": 1}
    run_program(server, directory, 0)
    assert not [*directory.iterdir()]


def test_child_process_does_not_keep_its_parents_lock(server: Server, directory: Path) -> None:
    program = """
    import json, os, signal, sys, time
    from event_count_logger import EventCountLogger
    group = {"events": ["a"], "intervals": ["1h"], "sync_interval": 3600, "spool_dir": sys.argv[2]}
    ecl = EventCountLogger({"g": group}, json.loads(sys.argv[1]))
    counter = ecl["g"].counter("a")
    counter.inc(2)
    if os.fork() == 0:
        print("child", flush=True)
        sys.stdin.readline()
        counter.inc(5)
        sys.exit()
    time.sleep(60)
    """
    import json

    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), json.dumps(server.config), str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdin and parent.stdout
    assert parent.stdout.readline() == "child\n"
    parent.kill()
    parent.wait()
    (path,) = directory.iterdir()
    spool_file.take_over(path).close()
    print(file=parent.stdin, flush=True)
    wait_until(lambda: server.counts("g", "1h", "cur") == {"a": 7}, what="child and parent are counted")
    parent.stdin.close()
    parent.stdout.close()


def test_default_directory_is_private_and_can_be_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    from event_count_logger.config.spool_directories import default_spool_dir

    monkeypatch.setenv("ECL_SPOOL_DIR", "/some/where")
    assert default_spool_dir() == Path("/some/where")
    monkeypatch.delenv("ECL_SPOOL_DIR")
    assert default_spool_dir().name == f"event-count-logger-{os.geteuid()}"
    monkeypatch.setattr(os, "access", lambda *arguments: False)
    monkeypatch.setenv("TMPDIR", "/tmp")
    assert default_spool_dir() == Path(f"/tmp/event-count-logger-{os.geteuid()}")


def test_space_is_reserved_without_posix_fallocate(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    file = spool_file.create(directory, "web", ["5m"], "")
    filled(file)
    assert file.path.stat().st_blocks * 512 >= file.words[HeaderWord.SIZE]
    assert counts(file.contents) == FILLED
    assert spool_format.read(memoryview(bytearray(file.path.read_bytes()))).words[HeaderWord.SIZE] == 4096
    assert resource.getrlimit(resource.RLIMIT_FSIZE)
