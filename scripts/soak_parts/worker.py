"""Counts in several threads and forked children until it is over, and notes what it does in the shared page.

Usage: python -m soak_parts.worker CONFIG PAGE NUMBER SEED LIFE_S
"""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from event_count_logger import EventCountLogger
from soak_parts.page import GROUPS, ROWS_OF_WORKER, Page, Role, Row

THREADS, VISITORS, THREADS_OF_CHILD = 3, 1, 3

LONGEST_LIFE_OF_CHILD_S = 1.5
LONGEST_PAUSE_S = 0.005
LOOK_S = 0.05

#: Whole seconds.
HUNG_AFTER_S = 60

#: Calls of `log()`, in groups that wait for Redis and in others.
LONGEST_BURST = {True: 3, False: 20}

#: Of one call.
COUNTS = (1, 1, 1, 2, 7, 1000)

FORKS_PER_BURST = 0.01

#: What a child does when it has counted: `leave(its first row, its other threads)`.
_Leave = Callable[[Row, list[threading.Thread]], None]


class Worker:
    def __init__(self, config_file: str, page: Page, number: int, life_s: float) -> None:
        self._config_file = config_file
        self._page = page
        self._rows = iter(range(number * ROWS_OF_WORKER, (number + 1) * ROWS_OF_WORKER))
        self._until = time.monotonic() + life_s
        self._fork_every_s = life_s / 3
        self._children: list[int] = []
        self._logger = self._new_logger()
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True

    def run(self, some: random.Random) -> None:
        """All that a worker does; a child that returns from it ends in order, too."""
        threads = [self._start(self._stay, some) for _ in range(THREADS)]
        threads += [self._start(self._visit, some) for _ in range(VISITORS)]
        # Not both: forked children that end in order would wait for those of multiprocessing.
        by_multiprocessing = some.random() < 0.5
        next_fork = time.monotonic()
        while not self._is_over():
            time.sleep(LOOK_S)
            self._reap(os.WNOHANG)
            if time.monotonic() >= next_fork:
                next_fork += some.uniform(0, self._fork_every_s)
                if by_multiprocessing:
                    self._spawn(some)
                elif self._fork(some, self._join):
                    return
        end_if_hung()
        for thread in threads:
            thread.join()
        self._reap(0)

    def _new_logger(self) -> EventCountLogger:
        return EventCountLogger.from_file(self._config_file, "INFO")

    def _is_over(self) -> bool:
        return self._stopped or time.monotonic() >= self._until

    def _start(self, target: Callable[..., None], some: random.Random) -> threading.Thread:
        row = self._page.row(next(self._rows))
        thread = threading.Thread(target=target, args=(row, random.Random(some.random())))
        thread.start()
        return thread

    def _stay(self, row: Row, some: random.Random) -> None:
        row.role = Role.THREAD
        while not self._is_over():
            self._burst(self._logger, row, some)
            if some.random() < FORKS_PER_BURST:
                self._fork(some, some.choice([self._close, self._exit, self._kill]))

    def _visit(self, row: Row, some: random.Random) -> None:
        """With loggers that come and go."""
        row.role = Role.THREAD
        while not self._is_over():
            logger = self._new_logger()
            for _ in range(some.randint(1, 10)):
                self._burst(logger, row, some)
            if some.random() < 0.5:
                logger.close(some.choice([0, 0.1, 5]))
            if some.random() < 0.2:
                self._burst(logger, row, some)

    def _burst(self, logger: EventCountLogger, row: Row, some: random.Random) -> None:
        """Log one event some times."""
        group = some.randrange(len(GROUPS))
        name, shared, count = [*GROUPS][group], some.random() < 0.5, some.choice(COUNTS)
        event_id = row.events[shared]
        log = logger[name].counter(event_id).inc
        if some.random() < 0.5:
            log = lambda n: logger[name].log(event_id, n)  # noqa: E731 - the same, unbound
        for _ in range(some.randint(1, LONGEST_BURST[not GROUPS[name]])):
            row.told(group, log, count, shared)
        time.sleep(some.uniform(0, LONGEST_PAUSE_S))

    def _fork(self, some: random.Random, leave: _Leave) -> bool:
        """Whether this is a forked child, which has counted and is to end; there are not too many of them."""
        rows, seed = self._rows_of_child(), some.random()
        pid = os.fork() if rows else -1
        if pid == 0:
            self._child(rows, seed, leave)
            return True
        if pid > 0:
            self._children.append(pid)
        return False

    def _spawn(self, some: random.Random) -> None:
        """The same by multiprocessing."""
        rows, seed = self._rows_of_child(), some.random()
        if rows:
            child = multiprocessing.get_context("fork").Process(
                target=self._child, args=(rows, seed, self._join)
            )
            child.start()
            assert child.pid
            self._children.append(child.pid)

    def _rows_of_child(self) -> list[Row]:
        """An empty list when all are taken."""
        numbers = list(islice(self._rows, THREADS_OF_CHILD))
        return [self._page.row(number) for number in numbers if len(numbers) == THREADS_OF_CHILD]

    def _child(self, rows: list[Row], seed: float, leave: _Leave) -> None:
        end_if_hung()
        rows[0].role = Role.CHILD
        some = random.Random(seed)
        until = min(self._until, time.monotonic() + some.uniform(0, LONGEST_LIFE_OF_CHILD_S))
        threads = [
            threading.Thread(target=self._count, args=(row, random.Random(some.random()), until))
            for row in rows[1:]
        ]
        for thread in threads:
            thread.start()
        self._count(rows[0], some, until - some.uniform(0, 0.3))
        leave(rows[0], threads)

    def _count(self, row: Row, some: random.Random, until: float) -> None:
        while time.monotonic() < until:
            self._burst(self._logger, row, some)

    def _join(self, row: Row, threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.join()

    def _close(self, row: Row, threads: list[threading.Thread]) -> None:
        """Only the main thread of a process could end it in order."""
        self._join(row, threads)
        self._logger.close()
        os._exit(0)

    def _exit(self, row: Row, threads: list[threading.Thread]) -> None:
        row.role = Role.CUT_OFF
        os._exit(0)

    def _kill(self, row: Row, threads: list[threading.Thread]) -> None:
        row.role = Role.CUT_OFF
        os.kill(os.getpid(), signal.SIGKILL)

    def _reap(self, options: int) -> None:
        for pid in tuple(self._children):
            try:
                ended, status = os.waitpid(pid, options)
            except ChildProcessError:  # multiprocessing was quicker
                ended, status = pid, 0
            if ended:
                self._children.remove(pid)
                if status not in (0, signal.SIGKILL):
                    logging.error("Child %d has ended with status %d", pid, status)


def end_if_hung() -> None:
    """With a traceback of each thread."""
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm(HUNG_AFTER_S)


def main(config_file: str, page_file: str, number: str, seed: str, life_s: str) -> None:
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s: %(message)s")
    faulthandler.enable()
    worker = Worker(config_file, Page(Path(page_file)), int(number), float(life_s))
    signal.signal(signal.SIGTERM, lambda signum, frame: worker.stop())
    worker.run(random.Random(seed))


if __name__ == "__main__":
    main(*sys.argv[1:])
