"""One source in two processes: cloned or restored machines, and copies of spool files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from event_count_logger.config import Config, GroupConfig, RedisConfig, from_dicts
from event_count_logger.counting import spool_file
from event_count_logger.counting.batch_sender import BatchSender
from event_count_logger.counting.cells import Cells
from event_count_logger.counting.recovery import FileState, Recovery
from event_count_logger.counting.spool_format import State
from event_count_logger.logs import Log
from event_count_logger.store import Store
from tests.fixtures import Start
from tests.servers import Server
from tests.test_recovery import leave

SETTINGS: dict[str, Any] = {"auto_declare_events": True, "intervals": ["1h"], "sync_interval": 3600}
GROUP = GroupConfig("g", from_dicts({"g": SETTINGS}, {}).groups["g"].intervals)


class Process:
    """The counters of a process in a copy of one spool file, with a clock of its own."""

    def __init__(self, path: Path, store: Store, clock_s: float) -> None:
        self.file = spool_file.take_over(path)
        self.cells = Cells.from_storage(self.file)
        self.sender = BatchSender(GROUP, self.cells, store, Log("test"), lambda: clock_s)

    def log(self, event_id: str, count: int = 1) -> None:
        self.cells.add(event_id).total += count


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    store = Store(RedisConfig(**server.config), timeout_s=30)
    yield store
    store.close()


@pytest.fixture
def cloned(server: Server, store: Store, tmp_path: Path) -> Iterator[Callable[[int], list[Process]]]:
    """Makes a process that has sent 10 counts, and its clones, copied with `unsent` further counts."""
    made: list[Process] = []

    def clone(unsent: int) -> list[Process]:
        directory = tmp_path / "spool"
        file = spool_file.create(directory, "g", ["1h"], store.identity)
        file.close()
        original = Process(file.path, store, 1000.0)
        made.append(original)
        original.log("a", 10)
        original.sender.run()
        original.log("a", unsent)
        for number in (1, 2):
            copy = tmp_path / f"machine-{number}" / file.path.name
            copy.parent.mkdir(mode=0o700)
            shutil.copy(file.path, copy)
            made.append(Process(copy, store, 1000.0 + number / 1e6))
        return made

    yield clone
    for process in made:
        process.file.close()


def counts(server: Server) -> dict[str, int]:
    return server.counts("g", "1h", "cur")


def test_clones_of_a_process_lose_no_count(
    cloned: Callable[[int], list[Process]], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    processes = cloned(0)
    for _ in range(5):
        for number, process in enumerate(processes):
            process.log(f"by {number}")
            process.sender.run()
    assert counts(server) == {"a": 10, "by 0": 5, "by 1": 5, "by 2": 5}
    assert "another process uses source" in caplog.text


def test_ended_clones_remove_their_positions_and_report_no_loss(
    cloned: Callable[[int], list[Process]], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    processes = cloned(0)
    for process in processes:
        process.log("b")
        process.sender.run()
    for process in processes:
        process.sender.retire()
    assert "has lost data" not in caplog.text
    assert not server.client.exists("g:@sources")


def test_ended_clone_keeps_the_position_of_the_other(
    cloned: Callable[[int], list[Process]], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    original, clone, _ = cloned(0)
    original.log("b")
    original.sender.run()
    clone.sender.retire()
    original.log("b")
    original.sender.run()
    assert "has lost data" not in caplog.text
    assert counts(server) == {"a": 10, "b": 2}


def test_unsent_counts_of_a_cloned_process_are_counted_by_each_clone(
    cloned: Callable[[int], list[Process]], server: Server
) -> None:
    for process in cloned(3):
        process.log("b")
        process.sender.run()
    assert counts(server) == {"a": 10 + 3 * 3, "b": 3}


def test_rejected_batch_of_a_clone_is_sent_as_another_source(
    cloned: Callable[[int], list[Process]], server: Server
) -> None:
    original, clone, _ = cloned(0)
    server.client.rpush("g:1h:cur:bad", "x")
    clone.log("bad", 2)
    clone.sender._begin(clone.cells.unsent())
    clone.cells.state = State.ABANDONING
    original.log("b")
    original.sender.run()
    server.client.delete("g:1h:cur:bad")
    clone.sender.run()
    assert counts(server) == {"a": 10, "b": 1, "bad": 2}


def recovered(server: Server, directory: Path) -> list[tuple[FileState, int]]:
    config: Config = from_dicts({"g": {**SETTINGS, "spool_dir": str(directory)}}, server.config)
    store = Store(config.redis)
    found = [(finding.state, finding.counts) for finding in Recovery(config, store, Log("test")).run()]
    store.close()
    return found


@pytest.mark.parametrize(("n_events", "second"), [(3, FileState.RECOVERED), (1500, FileState.SET_ASIDE)])
def test_copies_of_a_dead_file_are_counted_once(
    n_events: int, second: FileState, server: Server, tmp_path: Path
) -> None:
    first, copy = tmp_path / "first", tmp_path / "copy"
    events = {f"e{number}": 1 for number in range(n_events)}
    leave({"g": {**SETTINGS, "spool_dir": str(first)}}, server.config, events)
    shutil.copytree(first, copy)
    copy.chmod(0o700)
    assert recovered(server, first) == [(FileState.RECOVERED, n_events)]
    assert [outcome for outcome, _ in recovered(server, copy)] == [second]
    assert counts(server) == events


COUNTING = """
import json, sys
from event_count_logger import EventCountLogger
g = EventCountLogger({"g": json.loads(sys.argv[1])}, json.loads(sys.argv[2]))["g"]
for line in sys.stdin:
    g.log("a", int(line))
    if int(line) % 2:
        assert g.sync()
    print(flush=True)
"""


@pytest.mark.parametrize("copy_first", [True, False])
def test_copied_file_of_a_running_process_loses_no_counts(
    copy_first: bool, server: Server, tmp_path: Path, start: Start
) -> None:
    directory, copy = tmp_path / "spool", tmp_path / "copy"
    settings = json.dumps({**SETTINGS, "spool_dir": str(directory)})
    process = start(
        sys.executable, "-c", COUNTING, settings, json.dumps(server.config), stdin=subprocess.PIPE
    )

    def log(count: int) -> None:
        """Log a count; an odd one is also sent."""
        assert process.stdin
        assert process.stdout
        print(count, file=process.stdin, flush=True)
        assert process.stdout.readline() == "\n"

    log(1)
    log(10)
    shutil.copytree(directory, copy)
    copy.chmod(0o700)
    if copy_first:
        assert recovered(server, copy) == [(FileState.RECOVERED, 10)]
    log(101)
    log(1001)
    if not copy_first:
        assert recovered(server, copy) == [(FileState.SET_ASIDE, 0)]
        assert [path.suffix for path in copy.iterdir()] == [".bad"]
    log(10001)
    assert counts(server) == {"a": 11114 + (10 if copy_first else 0)}
