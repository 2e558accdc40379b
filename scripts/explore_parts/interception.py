"""Redirection of all requests and all file writes of the real code into the explored world."""

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

from event_count_logger.config import GroupConfig
from event_count_logger.counting import batch_sender, implementation, pure, recovery, spool_file, spool_format
from event_count_logger.logs import Log
from event_count_logger.store import Store, client
from explore_parts.world import World

LOG = Log("explore")


class _Wire:
    """A `Route` to the server of the world."""

    commands = ()

    def __init__(self, world: World) -> None:
        self._world = world

    def exchange(self, requests: Sequence[bytes], key: str, connect: bool) -> list[Any]:
        # Requests after a commit record intervals. No count depends on them.
        request, *notes = requests
        return [self._world.request(request), *(b"OK" for _ in notes)]

    def node(self, key: str) -> None:
        return None

    def is_unavailable(self, group: GroupConfig) -> bool:
        return False


class _Words:
    """Words of a file. Before each write, the world may inject a fault."""

    def __init__(self, world: World, memory: memoryview, name: str) -> None:
        self._world = world
        self._memory = memory
        self._name = name

    def __getitem__(self, at: int) -> int:
        return self._memory[at]

    def __setitem__(self, at: int, value: int) -> None:
        if self._name == "header" and at == spool_format.HeaderWord.SENT_UNTIL:
            return  # no count depends on this time, but it would make all states differ
        self._world.before_step(f"{self._name}[{at}] = {value}")
        self._memory[at] = value


def intercept(world: World) -> Store:
    """Redirect all stores and spool files of this Python process into a world.

    Returns:
        A store of that world.
    """
    if implementation.NATIVE:
        raise SystemExit("ECL_NATIVE must be 0: writes of counters can only be intercepted in Python")
    _intercept_files(world)
    replace(recovery, BatchSender=partial(batch_sender.BatchSender, clock=lambda: world.now))
    LOG.logger.addHandler(_Messages(world))
    LOG.logger.propagate = False
    LOG.logger.setLevel(logging.WARNING)
    replace(client, route_to=lambda *arguments: _Wire(world))
    return Store(world.config.redis)


def _intercept_files(world: World) -> None:
    def cell(event_id: str, words: memoryview[int], at: int) -> pure.Cell:
        intercepted: Any = _Words(world, words, event_id)
        return pure.Cell(event_id, intercepted, at)

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

    replace(spool_format, Cell=cell)
    replace(
        spool_file,
        uuid=SimpleNamespace(uuid4=lambda: uuid.UUID(int=0)),
        time=SimpleNamespace(time=time.time, monotonic_ns=lambda: 0),
        _open=watched_open,
        _lock=watched_lock,
    )
    replace(
        spool_file.SpoolFile,
        words=property(lambda file: _Words(world, file.contents.words, "header")),
        delete=watched_delete,
    )


def replace(owner: object, **attributes: object) -> None:
    """Replace attributes of a module or class for the rest of this process."""
    for name, value in attributes.items():
        assert hasattr(owner, name)
        setattr(owner, name, value)


class _Messages(logging.Handler):
    """Keeps the warnings about lost counts."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        if "has lost data" in record.msg:
            self._world.messages.append(record.getMessage())
