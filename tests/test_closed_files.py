"""Spool files whose descriptors were closed by other code: another process may take the file over."""

from __future__ import annotations

import gc
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from event_count_logger import EventCountLogger
from event_count_logger.config import from_dicts
from event_count_logger.counting import spool_file
from event_count_logger.counting.recovery import Recovery
from event_count_logger.logs import Log
from event_count_logger.store import Store
from tests.fixtures import Make, Start, Write
from tests.servers import Server, wait_until

DEVNULL = os.open(os.devnull, os.O_RDWR)
PROGRAM = Path(__file__).parent / "programs" / "closing.py"
CACHED: dict[str, Any] = {"auto_declare_events": True, "intervals": ["24h"], "sync_interval": 3600}


@pytest.fixture
def recovery(server: Server) -> Iterator[Recovery]:
    config = from_dicts({"g": CACHED}, server.config)
    store = Store(config.redis)
    yield Recovery(config, store, Log("test"))
    store.close()


@pytest.fixture
def counting(server: Server, logger: Make) -> Callable[..., Any]:
    """Makes a group whose process has run its recovery, which happens once."""

    def make(kind: str = "cached") -> Any:
        settings = {key: value for key, value in CACHED.items() if key != "sync_interval" or kind == "cached"}
        group: Any = logger({"g": settings}, server.config)["g"]
        group.log("first")
        assert group.sync()
        return group

    return make


def close_descriptors(group: Any) -> None:
    for descriptor in group.local._spool._file._descriptors:
        os.dup2(DEVNULL, descriptor)  # so that no other file gets the same number


def files(directory: Path) -> list[Path]:
    return list(directory.glob("*.ecl"))


@pytest.mark.parametrize("kind", ["cached", "direct"])
def test_closed_file_without_new_holder_is_opened_again(
    kind: str, counting: Callable[..., Any], server: Server, spool_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    group = counting(kind)
    group.log("a", 3)
    close_descriptors(group)
    group.log("a", 4)
    assert group.sync()
    assert server.counts("g", "24h", "cur") == {"first": 1, "a": 7}
    (path,) = files(spool_dir)
    with spool_file.SpoolReader(path) as window:
        assert window.is_held()
    assert f"Spool file {path} was closed by other code of this process; opened again" in caplog.text


def test_file_finished_by_another_process_is_replaced(
    counting: Callable[..., Any], server: Server, spool_dir: Path, recovery: Recovery
) -> None:
    group = counting()
    counter = group.counter("a")
    counter.inc(3)
    close_descriptors(group)
    list(recovery.run())
    assert server.counts("g", "24h", "cur") == {"first": 1, "a": 3}
    assert not files(spool_dir)
    counter.inc(4)
    group.log("b", 5)
    wait_until(group.sync)
    counter.inc()
    wait_until(lambda: group.sync() and server.counts("g", "24h", "cur")["a"] == 8)
    assert server.counts("g", "24h", "cur") == {"first": 1, "a": 8, "b": 5}
    assert len(files(spool_dir)) == 1


def test_counts_after_the_file_was_finished_outlive_their_group(server: Server, recovery: Recovery) -> None:
    ecl: Any = EventCountLogger({"g": CACHED}, server.config)
    ecl["g"].log("e")
    assert ecl["g"].sync()
    close_descriptors(ecl["g"])
    list(recovery.run())
    ecl["g"].log("e", 10)
    del ecl
    gc.collect()
    wait_until(lambda: server.counts("g", "24h", "cur") == {"e": 11})


def test_file_held_by_another_process_is_not_sent(
    counting: Callable[..., Any], server: Server, spool_dir: Path
) -> None:
    group = counting()
    group.log("a", 3)
    close_descriptors(group)
    (path,) = files(spool_dir)
    other = spool_file.take_over(path)
    group.log("a", 4)
    assert not group.sync()
    assert server.counts("g", "24h", "cur") == {"first": 1}
    other.close()
    wait_until(group.sync)
    assert server.counts("g", "24h", "cur") == {"first": 1, "a": 7}


def test_counts_are_exact_while_descriptors_close_and_files_are_recovered(
    server: Server,
    start: Start,
    config_file: Write,
    recovery: Recovery,
) -> None:
    settings = {"redis": server.config, "groups": {"g": {**CACHED, "sync_interval": 0.7}}}
    program = start(sys.executable, PROGRAM, config_file(settings), 3)
    n_recovered = 0
    while program.poll() is None:
        # Often not all of it, because the program goes on counting.
        n_recovered += sum(finding.counts for finding in recovery.run())
        time.sleep(0.005)
    logged, errors = program.communicate()
    list(recovery.run())
    assert server.counts("g", "24h", "cur") == json.loads(logged), errors
    assert n_recovered


WITHOUT_THREADS = """
import json, sys
from event_count_logger import EventCountLogger, process
process.has_threads = lambda: False
settings = {"auto_declare_events": True, "intervals": ["24h"], "sync_interval": 3600}
group = EventCountLogger({"g": settings}, {**json.loads(sys.argv[1]), "socket_timeout": 20})["g"]
for line in sys.stdin:
    group.log("a", int(line))
    print("logged", flush=True)
"""


def test_process_without_thread_releases_a_file_it_cannot_send(
    own_server: Server, spool_dir: Path, start: Start
) -> None:
    config = from_dicts({"g": CACHED}, {**own_server.config, "socket_timeout": 20})
    program = start(
        sys.executable, "-c", WITHOUT_THREADS, json.dumps(own_server.config), stdin=subprocess.PIPE
    )
    own_server.kill()

    def log(count: int) -> None:
        assert program.stdin and program.stdout
        print(count, file=program.stdin, flush=True)
        assert program.stdout.readline() == "logged\n"

    log(3)
    log(4)
    assert len(files(spool_dir)) == 1
    own_server.start()
    store = Store(config.redis)
    list(Recovery(config, store, Log("test")).run())
    store.close()
    assert own_server.counts("g", "24h", "cur") == {"a": 7}
    sent = itertools.count(8)

    def next_is_counted() -> bool:
        log(1)  # not before half a second after the last attempt, counts are sent again
        return own_server.counts("g", "24h", "cur") == {"a": next(sent)}

    wait_until(next_is_counted)
