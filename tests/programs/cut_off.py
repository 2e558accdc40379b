"""Kills a process at each line of the counters' code in turn, and recovers its spool file.

A first run finds the lines before which the files, the counts logged or Redis have changed. A process is
killed at each of these lines. At all others, there is nothing new to recover.

Usage: cut_off.py REDIS SPOOL_DIR SCENARIO

Prints each fault in a line, and the number of processes killed in the last line.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import Semaphore, Thread
from types import FrameType
from typing import Any

import redis

import event_count_logger
from event_count_logger import EventCountLogger
from event_count_logger.config import from_dicts
from event_count_logger.counting import syncer
from event_count_logger.counting.recovery import Recovery
from event_count_logger.errors import StoreError
from event_count_logger.logs import Log
from event_count_logger.store import Store
from event_count_logger.store.commits import Commits

#: Called before each line of the counters' code.
Look = Callable[[FrameType], object]
Scenario = Callable[[str, Look], None]

REDIS = json.loads(sys.argv[1])
CODE = str(Path(event_count_logger.__file__).parent / "counting")

#: The place where the process was killed, and the counts that it had begun and ended to log.
page = mmap.mmap(-1, 4096)
words = memoryview(page)[2048:].cast("Q")
client = redis.Redis(**REDIS, decode_responses=True)


def at_each_line(look: Look) -> None:
    """Call a function before each line of the counters' code, from now on."""

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(CODE):
            return None
        if event == "line":
            look(frame)
        return trace

    sys.settrace(trace)


def stopping_at(step: int) -> Look:
    """Returns a function that kills the process at its n-th call, after storing the place."""
    steps = count(1)

    def look(frame: FrameType) -> None:
        if next(steps) == step:
            place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
            page[: len(place)] = place.encode()
            os.kill(os.getpid(), signal.SIGKILL)

    return look


def finding_changes(name: str, found: Callable[[int], object]) -> Look:
    """Returns a function that calls `found` with the number of each line before which the state changed."""
    steps, before = count(1), None

    def look(frame: FrameType) -> None:
        nonlocal before
        step, now = next(steps), left_behind(name)
        if now != before:
            found(step)
        before = now

    return look


def left_behind(name: str) -> object:
    """Returns the state that outlives this process: its files, the counts logged, and its keys in Redis."""
    return files(), bytes(page), {key: client.dump(key) for key in client.scan_iter(f"{name}:*")}


def files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(sys.argv[2]).iterdir()}


def settings(group: str) -> dict[str, Any]:
    plain = {"auto_declare_events": True, "intervals": ["1h", "2h"], "sync_interval": 3600}
    return {group: {**plain, "spool_dir": sys.argv[2]}}


class Worker:
    """Counts in a group of its own. Only `send` sends."""

    def __init__(self, name: str) -> None:
        syncer.Syncer.watch = lambda *arguments: None  # type: ignore[method-assign]
        self.group: Any = EventCountLogger(settings(name), REDIS)[name]

    def log(self, event: str, count: int) -> None:
        words[ord(event)] += count
        self.group.log(event, count)
        words[256 // 2 + ord(event)] += count

    def send(self) -> None:
        self.group.local.send(5)


class OtherThread:
    """Logs an event that has a cell, before each line at which the file has changed since the last time."""

    def __init__(self, worker: Worker) -> None:
        self._go, self._done = Semaphore(0), Semaphore(0)
        self._worker = worker
        self._seen = files()
        Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while self._go.acquire():
            self._worker.log("b", 1)
            self._done.release()

    def beside(self, look: Look) -> Look:
        """Returns a function that calls `look`, and then logs if the file has changed."""

        def look_and_log(frame: FrameType) -> None:
            look(frame)
            if files() != self._seen:
                self._go.release()
                self._done.acquire()
                self._seen = files()

        return look_and_log


def recovery(name: str) -> Recovery:
    config = from_dicts(settings(name), REDIS)
    return Recovery(config, Store(config.redis), Log("cut_off"))


def recover(name: str) -> None:
    for _ in recovery(name).run():
        pass


def first_events(name: str, look: Look) -> None:
    worker = Worker(name)
    at_each_line(look)
    worker.log("a", 3)
    worker.log("b", 2)
    worker.send()


def second_batch(name: str, look: Look) -> None:
    worker = Worker(name)
    worker.log("a", 3)
    worker.log("b", 2)
    worker.send()
    worker.log("a", 4)
    worker.log("c", 1)
    at_each_line(look)
    worker.send()


def many_events(name: str, look: Look) -> None:
    worker = Worker(name)
    worker.log("a", 1)
    for number in range(76):  # the file is about to grow
        worker.group.log(f"other{number}")
    at_each_line(look)
    for event in "bcdef":
        worker.log(event, 1)


def refused_event(name: str, look: Look) -> None:
    client.rpush(f"{name}:1h:cur:a", "in the way")
    worker = Worker(name)
    worker.log("a", 3)
    worker.log("b", 2)
    at_each_line(look)
    worker.send()


def recovering(name: str, look: Look) -> None:
    leave_a_batch(name)
    at_each_line(look)
    recover(name)


def clean_end(name: str, look: Look) -> None:
    worker = Worker(name)
    worker.log("a", 3)
    worker.send()
    worker.log("a", 3)
    at_each_line(look)
    worker.send()
    worker.group.local.retire()
    worker.group.local.dispose()


def retiring_while_logged(name: str, look: Look) -> None:
    worker = Worker(name)
    worker.log("b", 3)
    worker.send()
    at_each_line(OtherThread(worker).beside(look))
    worker.group.local.retire()


def closing_while_logged(name: str, look: Look) -> None:
    worker = Worker(name)
    worker.log("a", 3)
    worker.log("b", 2)
    at_each_line(OtherThread(worker).beside(look))
    worker.send()
    worker.group.local.retire()


def growing_while_logged(name: str, look: Look) -> None:
    worker = Worker(name)
    worker.log("b", 1)
    for number in range(76):  # the file is about to grow
        worker.group.log(f"other{number}")
    at_each_line(OtherThread(worker).beside(look))
    for event in "cde":
        worker.log(event, 1)


def leave_a_batch(name: str) -> None:
    """Kill a process after Redis has counted its batch, and before it gets the answer."""

    def work() -> None:
        worker = Worker(name)
        worker.log("a", 3)
        worker.send()
        worker.log("a", 4)
        worker.log("b", 2)
        commit = Commits.commit

        def lose_the_answer(*arguments: Any, **options: Any) -> None:
            commit(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        Commits.commit = lose_the_answer  # type: ignore[method-assign, assignment]
        worker.send()

    in_child(work)


def in_child(work: Callable[[], None]) -> bool:
    """Run a function in a child process. Returns whether it was killed."""
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


def check(scenario: Scenario, name: str, look: Look) -> bool:
    """Run a scenario in a process, recover its file, and print faults. Returns whether it was killed."""
    page[:] = bytes(len(page))
    killed = in_child(lambda: scenario(name, look))
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
    return killed


def changes(scenario: Scenario) -> list[int]:
    """Returns the numbers of the lines before which the state has changed, in a run without a kill."""
    reading, writing = os.pipe()
    check(scenario, "whole", finding_changes("whole", lambda step: os.write(writing, b"%d\n" % step)))
    os.close(writing)
    with open(reading) as steps:
        return [int(step) for step in steps]


def main() -> None:
    scenario = globals()[sys.argv[3]]
    steps = changes(scenario)
    for step in steps:
        if not check(scenario, f"g{step}", stopping_at(step)):
            print(f"step {step} was not reached")
    print(len(steps))


main()
