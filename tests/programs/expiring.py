"""Counts with threads while the counters are replaced repeatedly, then prints the counts logged.

Usage: expiring.py CONFIG SECONDS [STEP], where the process kills itself at a step of a replacement
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from typing import Any

from event_count_logger import EventCountLogger
from event_count_logger.counting.cells import Cells
from event_count_logger.counting.local_counters import LocalCounters
from event_count_logger.counting.spool_file import SpoolFile

#: Seconds that it may take beyond the given ones until the counters were replaced some times.
_MOST_S = 30.0

#: The first step of a replacement that is not done when the process is killed.
STEPS: dict[str, tuple[type, str]] = {
    "close": (Cells, "close"),
    "replace": (LocalCounters, "make_successor"),
    "send": (LocalCounters, "send"),
    "retire": (LocalCounters, "retire"),
    "delete": (SpoolFile, "delete"),
}


def kill_at(step: str, logged: Counter[str]) -> None:
    def kill(*arguments: Any) -> None:
        print(json.dumps(logged), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(*STEPS[step], kill)


class Counting:
    """Threads that log events which never expire, also with bound counters."""

    def __init__(self, group: Any) -> None:
        self._group = group
        self._rounds = [0] * 3  # one entry for each thread, since adding to a shared one is not atomic
        self._stop = False
        self._threads = [threading.Thread(target=self._count, args=(number,)) for number in range(3)]
        for thread in self._threads:
            thread.start()

    @property
    def logged(self) -> Counter[str]:
        """Counts by event, after `stop`."""
        own = {f"own {number}": n for number, n in enumerate(self._rounds)}
        return Counter({"common": 3 * sum(self._rounds), **own})

    def _count(self, number: int) -> None:
        counter, n = self._group.counter("common"), 0
        while not self._stop:
            self._group.log("common")
            counter.inc(2)
            self._group.log(f"own {number}")
            n += 1
        self._rounds[number] = n

    def stop(self) -> None:
        self._stop = True
        for thread in self._threads:
            thread.join()


def main(path: str, seconds: str, step: str = "") -> None:
    group: Any = EventCountLogger.from_file(path)["g"]
    counters = group._counters.get()
    logged: Counter[str] = Counter()
    if step:
        for event_id, count in (("old", 3), ("new", 4)):
            group.log(event_id, count)
            logged[event_id] += count
        group.sync()
        counters.expire_idle(time.monotonic() + 1e3)
        group.log("new", 5)
        logged["new"] += 5
        kill_at(step, logged)
        counters.expire_idle(time.monotonic() + 1e6)
        group.sync()
        time.sleep(60)
    sys.setswitchinterval(1e-6)
    counting, now, n_replaced = Counting(group), time.monotonic(), 0
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until or (n_replaced < 5 and time.monotonic() < until + _MOST_S):
        now += group._config.expire_after
        before = counters.local
        group.log(f"once {now}")
        logged[f"once {now}"] += 1
        counters.expire_idle(now)
        time.sleep(0.01)  # other threads count
        n_replaced += counters.local is not before
    counting.stop()
    assert n_replaced >= 5
    assert group.sync()
    print(json.dumps(logged + counting.logged))


if __name__ == "__main__":
    main(*sys.argv[1:])
