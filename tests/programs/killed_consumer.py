"""Counts the numbers from 0 to 100, by parity, in consumers killed at random times until one ends.

Usage: killed_consumer.py REDIS SEED

Prints the number of consumers killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator

from event_count_logger import EventCountLogger

GROUPS = {"g": {"events": ["even", "odd"], "intervals": ["1h", "2h"]}}


def numbers(position: str) -> Iterator[tuple[int, str, int]]:
    for number in range(int(position or -1) + 1, 101):
        time.sleep(0.0005)
        yield number, "odd" if number % 2 else "even", number


def consume() -> None:
    group = EventCountLogger(GROUPS, json.loads(sys.argv[1]))["g"]
    group.consume("numbers", numbers, batch_size=3)
    os._exit(0)


def main() -> None:
    some = random.Random(int(sys.argv[2]))
    n_killed = 0
    while True:
        pid = os.fork()
        if pid == 0:
            consume()
        time.sleep(some.uniform(0, 0.02 + 0.001 * n_killed))
        os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status != -signal.SIGKILL:
            sys.exit(f"{n_killed}" if status else print(n_killed))
        n_killed += 1


main()
