"""Runs workers that count as fast as they can, and kills each one at a random time, also while it starts.

Usage: killed_workers.py REDIS SPOOL_DIR WORKERS AT_ONCE SEED

Prints a list of [group, event, begun, done] as JSON: the calls of `log()` that each worker had begun and
ended when it was killed. These numbers are in a shared page, independent of the library.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import sys
import time
from collections import deque

from event_count_logger import EventCountLogger

PLAIN = {"auto_declare_events": True, "intervals": ["1h", "2h"], "spool_dir": sys.argv[2]}
GROUPS = {
    "direct": PLAIN,
    "at_once": {**PLAIN, "sync_interval": 0},
    "quick": {**PLAIN, "sync_interval": 0.002},
    "limited": {**PLAIN, "sync_limit": 10},
    "slow": {**PLAIN, "sync_interval": 3600},
}


def work(number: int, group_name: str, page: memoryview[int]) -> None:
    redis = {**json.loads(sys.argv[1]), "socket_timeout": 0.3}
    group = EventCountLogger(GROUPS, redis)[group_name]
    event = f"w{number}"
    others = [f"{event}.{other}" for other in range(20)]
    count = 0
    while True:
        count += 1
        page[2 * number] = count
        group.log(event)
        page[2 * number + 1] = count
        group.log(others[count % 20])


def main() -> None:
    n_workers, at_once, seed = map(int, sys.argv[3:6])
    some = random.Random(seed)
    page = memoryview(mmap.mmap(-1, 16 * n_workers)).cast("Q")
    running: deque[int] = deque()
    names = []
    for number in range(n_workers):
        names.append(some.choice([*GROUPS]))
        pid = os.fork()
        if pid == 0:
            work(number, names[-1], page)
        running.append(pid)
        if some.random() < 0.2:
            while not page[2 * number + 1]:  # a busy machine may need long until the first call has ended
                time.sleep(0.001)
        time.sleep(some.uniform(0, 0.12 / at_once))
        while len(running) >= at_once:
            oldest = running.popleft()
            os.kill(oldest, signal.SIGKILL)
            os.waitpid(oldest, 0)
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    print(
        json.dumps([[names[n], f"w{n}", page[2 * n], page[2 * n + 1]] for n in range(n_workers)]), flush=True
    )


main()
