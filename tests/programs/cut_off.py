"""Stops a process at each single line of the counters' code in turn, and recovers what it leaves.

Usage: cut_off.py REDIS SPOOL_DIR SCENARIO

Prints what was wrong, a line each, and last how many processes were stopped.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import redis

import event_count_logger
from event_count_logger import EventCountLogger, syncer
from event_count_logger.config import from_dicts
from event_count_logger.counters.recovery import Recovery
from event_count_logger.errors import StoreError
from event_count_logger.logs import Log
from event_count_logger.store import Store

REDIS = json.loads(sys.argv[1])
CODE = str(Path(event_count_logger.__file__).parent / "counters")

#: Where the process was stopped, and what it had begun and ended to log before.
page = mmap.mmap(-1, 4096)
words = memoryview(page)[2048:].cast("Q")
client = redis.Redis(**REDIS, decode_responses=True)


def stop_at(step: int) -> None:
    """From now on, count lines; at the given one, name it and be killed."""
    passed = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal passed
        if not frame.f_code.co_filename.startswith(CODE):
            return None
        if event == "line":
            passed += 1
            if passed == step:
                place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
                page[: len(place)] = place.encode()
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def settings(group: str) -> dict[str, Any]:
    plain = {"auto_declare_events": True, "intervals": ["1h", "2h"], "sync_interval": 3600}
    return {group: {**plain, "spool_dir": sys.argv[2]}}


class Worker:
    """Counts in a group of its own, syncs only when told to."""

    def __init__(self, name: str) -> None:
        syncer.Syncer.watch = lambda *arguments: None  # type: ignore[method-assign]
        self.group: Any = EventCountLogger(settings(name), REDIS)[name]

    def log(self, event: str, count: int) -> None:
        words[ord(event)] += count
        self.group.log(event, count)
        words[256 // 2 + ord(event)] += count

    def sync(self) -> None:
        self.group.local.sync(5)


def recovery(name: str) -> Recovery:
    config = from_dicts(settings(name), REDIS)
    return Recovery(config, Store(config.redis), Log("cut_off"))


def recover(name: str) -> None:
    for _ in recovery(name).run():
        pass


def first_events(name: str, step: int) -> None:
    worker = Worker(name)
    stop_at(step)
    worker.log("a", 3)
    worker.log("b", 2)
    worker.sync()


def second_batch(name: str, step: int) -> None:
    worker = Worker(name)
    worker.log("a", 3)
    worker.log("b", 2)
    worker.sync()
    worker.log("a", 4)
    worker.log("c", 1)
    stop_at(step)
    worker.sync()


def many_events(name: str, step: int) -> None:
    worker = Worker(name)
    worker.log("a", 1)
    for number in range(76):  # the file is about to grow
        worker.group.log(f"other{number}")
    stop_at(step)
    for event in "bcdef":
        worker.log(event, 1)


def refused_event(name: str, step: int) -> None:
    client.rpush(f"{name}:1h:cur:a", "in the way")
    worker = Worker(name)
    worker.log("a", 3)
    worker.log("b", 2)
    stop_at(step)
    worker.sync()


def recovering(name: str, step: int) -> None:
    leave_a_batch(name)
    stop_at(step)
    recover(name)


def clean_end(name: str, step: int) -> None:
    worker = Worker(name)
    worker.log("a", 3)
    worker.sync()
    worker.log("a", 3)
    stop_at(step)
    worker.sync()
    worker.group.local.retire()
    worker.group.local.put_away()


def leave_a_batch(name: str) -> None:
    """Let a process die whose batch was counted, without it knowing."""

    def work() -> None:
        worker = Worker(name)
        worker.log("a", 3)
        worker.sync()
        worker.log("a", 4)
        worker.log("b", 2)
        commit = Store.commit

        def lose_the_answer(*arguments: Any, **options: Any) -> None:
            commit(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        Store.commit = lose_the_answer  # type: ignore[method-assign, assignment]
        worker.sync()

    in_child(work)


def in_child(work: Callable[[], None]) -> bool:
    """Whether it was killed."""
    pid = os.fork()
    if pid == 0:
        work()
        sys.settrace(None)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or status == 0, f"the child failed: {status}"
    return os.WIFSIGNALED(status)


def faults(name: str) -> list[str]:
    found = []
    for code in range(ord("a"), ord("g")):
        begun, done = words[code], words[128 + code]
        counted = {int(client.get(f"{name}:{interval}:cur:{chr(code)}") or 0) for interval in ("1h", "2h")}
        if len(counted) != 1 or not done <= min(counted) <= begun:
            found.append(f"{chr(code)} was logged {done} to {begun} times, and counted {counted}")
    return found


def main() -> None:
    scenario = globals()[sys.argv[3]]
    step, killed = 0, True
    while killed:
        step += 1
        name = f"g{step}"
        page[:] = bytes(len(page))
        killed = in_child(lambda name=name, step=step: scenario(name, step))  # type: ignore[misc]
        if scenario is refused_event:
            client.delete(f"{name}:1h:cur:a")
        try:
            recover(name)
        except StoreError as error:
            print(f"recovery: {error}")
        place = page[: page.find(b"\0")].decode()
        for fault in faults(name):
            print(f"{place}: {fault}")
        for path in Path(sys.argv[2]).iterdir():
            if path.suffix != ".new":
                print(f"{place}: {path.name} is left")
            path.unlink()
    print(step - 1)


main()
