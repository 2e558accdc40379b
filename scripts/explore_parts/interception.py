"""Leads all requests and all writes to files of the real code into the explored world."""

from __future__ import annotations

import fcntl
import logging
import time
import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from event_count_logger.counting import batch_sender, implementation, pure, recovery, spool_file, spool_format
from event_count_logger.logs import Log
from event_count_logger.store import Store, client
from explore_parts.world import World

LOG = Log("explore")


class _Wire:
    """A `Route` into the world."""

    commands = ()

    def __init__(self, world: World) -> None:
        self._world = world

    def exchange(self, requests: Sequence[bytes], key: str, connect: bool) -> list[Any]:
        # What follows a commit are notes of intervals, on which no count depends.
        request, *notes = requests
        return [self._world.request(request), *(b"OK" for _ in notes)]

    def node(self, key: str) -> None:
        return None

    def is_unavailable(self, key: str) -> bool:
        return False


class _Words:
    """Words of a file. The world is asked before each write."""

    def __init__(self, world: World, memory: memoryview, name: str) -> None:
        self._world = world
        self._memory = memory
        self._name = name

    def __getitem__(self, at: int) -> int:
        return self._memory[at]

    def __setitem__(self, at: int, value: int) -> None:
        if self._name == "header" and at == spool_format.HeaderWord.SENT_UNTIL:
            return  # a time, on which no count depends: it would make all states differ
        self._world.before_step(f"{self._name}[{at}] = {value}")
        self._memory[at] = value


def intercept(world: World) -> Store:
    """From now on, all stores and files of counters in this Python process belong to a world.

    Returns:
        A store of that world.
    """
    if implementation.NATIVE:
        raise SystemExit("ECL_NATIVE must be 0: writes of counters are intercepted in Python")
    _intercept_files(world)
    recovery.BatchSender = partial(batch_sender.BatchSender, clock=lambda: world.now)  # type: ignore[misc]
    LOG.logger.addHandler(_Messages(world))
    LOG.logger.propagate = False
    LOG.logger.setLevel(logging.WARNING)
    client.route_to = lambda *arguments: _Wire(world)
    return Store(world.config.redis)


def _intercept_files(world: World) -> None:
    spool_file.uuid = SimpleNamespace(uuid4=lambda: uuid.UUID(int=0))  # type: ignore[assignment]
    spool_file.time = SimpleNamespace(time=time.time, monotonic_ns=lambda: 0)  # type: ignore[assignment]
    spool_format.Cell = lambda event_id, words, at: pure.Cell(event_id, _Words(world, words, event_id), at)
    spool_file.SpoolFile.words = property(  # type: ignore[assignment, method-assign]
        lambda file: _Words(world, file.contents.words, "header")
    )
    open_file, lock, delete = spool_file._open, spool_file._lock, spool_file.SpoolFile.delete

    def watched_open(path: Path) -> int:
        world.before_step("open")
        return open_file(path)

    def watched_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> None:
        world.before_step("lock")
        lock(descriptor, kind)

    def watched_delete(file: spool_file.SpoolFile) -> None:
        world.before_step("delete")
        delete(file)

    spool_file._open, spool_file._lock = watched_open, watched_lock
    spool_file.SpoolFile.delete = watched_delete  # type: ignore[method-assign]


class _Messages(logging.Handler):
    """Keeps the warnings of losses."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        if "has lost data" in record.msg:
            self._world.messages.append(record.getMessage())
