"""A worker for the tests: counts with threads until it is told to stop, then prints what it logged.

Usage: worker.py CONFIG SECONDS THREADS [fork]
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import threading
import time
from collections import Counter
from typing import Any

from event_count_logger import EventCountLogger

#: Seconds after each round, so that the tests that run at the same time have a part of the machine.
_PAUSE_S = 0.01


def count(logger: EventCountLogger, until: float, logged: Counter[str]) -> None:
    number = 0
    while time.time() < until:
        for group in ("direct", "cached"):
            logger[group].log("odd" if number % 2 else "even")
            logger[group].log("size", number % 7)
            logged[f"{group}:{'odd' if number % 2 else 'even'}"] += 1
            logged[f"{group}:size"] += number % 7
        for _ in range(20):
            logger["cached"].log("fast")
        logged["cached:fast"] += 20
        number += 1
        time.sleep(_PAUSE_S)


def count_in_threads(logger: EventCountLogger, until: float, n_threads: int) -> Counter[str]:
    counters = [Counter[str]() for _ in range(n_threads)]
    threads = [threading.Thread(target=count, args=(logger, until, counter)) for counter in counters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counters, Counter())


def child(logger: EventCountLogger, until: float, results: Any) -> None:
    results.put(count_in_threads(logger, until, 2))


def main() -> None:
    config_file, seconds, n_threads = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    until = time.time() + seconds
    with EventCountLogger.from_file(config_file) as logger:
        if sys.argv[4:] == ["fork"]:
            # Fork while this process counts, too: in the middle of everything.
            context = multiprocessing.get_context("fork")
            results = context.Queue()
            total = Counter[str]()
            own = threading.Thread(target=count, args=(logger, until, total))
            own.start()
            time.sleep(seconds / 3)
            children = [context.Process(target=child, args=(logger, until, results)) for _ in range(3)]
            for process in children:
                process.start()
            for _ in children:
                total_of_child = results.get()
                own.join()
                total += total_of_child
            for process in children:
                process.join()
        else:
            total = count_in_threads(logger, until, n_threads)
    print(json.dumps(total))


if __name__ == "__main__":
    main()
