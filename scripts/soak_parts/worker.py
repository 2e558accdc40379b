"""A worker that counts in threads and forked processes, and records each logged count in shared memory.

The worker ends after a time or by SIGTERM. Tests and scripts/soak compare the records, also those
of killed workers, with the counts in Redis.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import multiprocessing
import os
import random
import signal
import threading
import time
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from event_count_logger import EventCountLogger
from soak_parts.shared_memory import RECORDS_PER_WORKER, Role, SharedMemory, ThreadRecord

THREADS_OF_CHILD = 3

LONGEST_LIFE_OF_CHILD_S = 1.5
LOOK_S = 0.05

#: Whole seconds.
HUNG_AFTER_S = 60

#: Calls of `log()` without a pause, in direct groups and in others.
LONGEST_BURST = {True: 3, False: 20}

#: Counts of one call.
COUNTS = (0, 1, 1, 1, 2, 7, 1000)

FORKS_PER_BURST = 0.01

#: How a child process ends when it has counted: `leave(its first record, its other threads)`.
_Leave = Callable[[ThreadRecord, list[threading.Thread]], None]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m soak_parts.worker",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config_file")
    parser.add_argument("memory_file", type=Path)
    parser.add_argument("number", type=int, help="number of this worker, from 0 on")
    parser.add_argument("--groups", nargs="+", required=True, help="all groups of the shared memory")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="time to count (until SIGTERM)")
    parser.add_argument("--threads", type=int, default=1, help="threads that count (1)")
    parser.add_argument("--visitors", type=int, default=0, help="threads that make loggers of their own (0)")
    parser.add_argument("--forks", action="store_true", help="fork child processes while threads count")
    parser.add_argument("--pause-s", type=float, default=0.02, help="longest pause between bursts (0.02)")
    parser.add_argument(
        "--close-s", type=float, help="timeout of close() at the end (the interpreter's end closes it)"
    )
    parser.add_argument("--seed", default="", help="repeats random choices")
    options = parser.parse_args()
    if options.forks and options.seconds == float("inf"):
        parser.error("--forks needs --seconds")
    return options


class Worker:
    """One process with its threads and child processes."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._memory = SharedMemory(options.memory_file, options.groups)
        first = options.number * RECORDS_PER_WORKER
        self._free_records = iter(range(first, first + RECORDS_PER_WORKER))
        self._until = time.monotonic() + options.seconds
        self._children: list[int] = []
        self._logger = self._new_logger()
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True

    def run(self, chance: random.Random) -> None:
        """Count until the time is over. A child process that returns from here ends as this one does."""
        threads = [self._start(self._stay, chance) for _ in range(self._options.threads)]
        threads += [self._start(self._visit, chance) for _ in range(self._options.visitors)]
        # One kind per worker: forked children that end in order would wait for those of multiprocessing.
        by_multiprocessing = chance.random() < 0.5
        next_fork = time.monotonic()
        while not self._is_over():
            time.sleep(LOOK_S)
            self._reap(os.WNOHANG)
            if self._options.forks and time.monotonic() >= next_fork:
                next_fork += chance.uniform(0, self._options.seconds / 3)
                if by_multiprocessing:
                    self._fork_by_multiprocessing(chance)
                elif self._fork(chance, self._join):
                    return
        end_if_hung()
        for thread in threads:
            thread.join()
        self._reap(0)

    def close(self) -> None:
        if self._options.close_s is not None:
            self._logger.close(self._options.close_s)

    def _new_logger(self) -> EventCountLogger:
        return EventCountLogger.from_file(self._options.config_file, "INFO")

    def _is_over(self) -> bool:
        return self._stopped or time.monotonic() >= self._until

    def _start(
        self, target: Callable[[ThreadRecord, random.Random], None], chance: random.Random
    ) -> threading.Thread:
        record = self._memory.record(next(self._free_records))
        record.role = Role.THREAD
        thread = threading.Thread(target=target, args=(record, random.Random(chance.random())))
        thread.start()
        return thread

    def _stay(self, record: ThreadRecord, chance: random.Random) -> None:
        """Count with the logger of the process."""
        while not self._is_over():
            self._burst(self._logger, record, chance)
            if self._options.forks and chance.random() < FORKS_PER_BURST:
                self._fork(chance, chance.choice([self._close_and_exit, self._exit, self._kill]))

    def _visit(self, record: ThreadRecord, chance: random.Random) -> None:
        """Count with one new logger after the other."""
        while not self._is_over():
            logger = self._new_logger()
            for _ in range(chance.randint(1, 10)):
                self._burst(logger, record, chance)
            if chance.random() < 0.5:
                logger.close(chance.choice([0, 0.1, 5]))
            if chance.random() < 0.2:
                self._burst(logger, record, chance)

    def _burst(self, logger: EventCountLogger, record: ThreadRecord, chance: random.Random) -> None:
        """Log one event several times."""
        number = chance.randrange(len(self._memory.groups))
        event, count = chance.randrange(len(record.events)), chance.choice(COUNTS)
        group, event_id = logger[self._memory.groups[number]], record.events[event]
        inc = group.counter(event_id).inc
        by_name = chance.random() < 0.5

        def log(n: int) -> None:
            if by_name:
                group.log(event_id, n)
            else:
                inc(n)

        is_direct = logger.config.group(self._memory.groups[number]).direct
        for _ in range(chance.randint(1, LONGEST_BURST[is_direct])):
            record.log(number, event, count, log)
        time.sleep(chance.uniform(0, self._options.pause_s))

    def _fork(self, chance: random.Random, leave: _Leave) -> bool:
        """Fork, unless too few records are free. Returns True in the child process, after it has counted."""
        records, seed = self._records_of_child(), chance.random()
        pid = os.fork() if records else -1
        if pid == 0:
            self._run_child(records, seed, leave)
            return True
        if pid > 0:
            self._children.append(pid)
        return False

    def _fork_by_multiprocessing(self, chance: random.Random) -> None:
        records, seed = self._records_of_child(), chance.random()
        if records:
            child = multiprocessing.get_context("fork").Process(
                target=self._run_child, args=(records, seed, self._join)
            )
            child.start()
            assert child.pid
            self._children.append(child.pid)

    def _records_of_child(self) -> list[ThreadRecord]:
        """Returns an empty list if too few are free."""
        numbers = [*islice(self._free_records, THREADS_OF_CHILD)]
        return [self._memory.record(number) for number in numbers if len(numbers) == THREADS_OF_CHILD]

    def _run_child(self, records: list[ThreadRecord], seed: float, leave: _Leave) -> None:
        end_if_hung()
        records[0].role = Role.CHILD
        for record in records[1:]:
            record.role = Role.THREAD_OF_CHILD
        chance = random.Random(seed)
        until = min(self._until, time.monotonic() + chance.uniform(0, LONGEST_LIFE_OF_CHILD_S))
        threads = [
            threading.Thread(target=self._count, args=(record, random.Random(chance.random()), until))
            for record in records[1:]
        ]
        for thread in threads:
            thread.start()
        self._count(records[0], chance, until - chance.uniform(0, 0.3))
        leave(records[0], threads)

    def _count(self, record: ThreadRecord, chance: random.Random, until: float) -> None:
        while time.monotonic() < until:
            self._burst(self._logger, record, chance)

    def _join(self, record: ThreadRecord, threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.join()

    def _close_and_exit(self, record: ThreadRecord, threads: list[threading.Thread]) -> None:
        # A fork by another thread than the main one: returning would not end the process in order.
        self._join(record, threads)
        self._logger.close()
        os._exit(0)

    def _exit(self, record: ThreadRecord, threads: list[threading.Thread]) -> None:
        record.role = Role.CUT_OFF
        os._exit(0)

    def _kill(self, record: ThreadRecord, threads: list[threading.Thread]) -> None:
        record.role = Role.CUT_OFF
        os.kill(os.getpid(), signal.SIGKILL)

    def _reap(self, options: int) -> None:
        for pid in tuple(self._children):
            try:
                ended, status = os.waitpid(pid, options)
            except ChildProcessError:  # reaped by multiprocessing
                ended, status = pid, 0
            if ended:
                self._children.remove(pid)
                if status not in (0, signal.SIGKILL):
                    logging.error("Child process %d ended with status %d", pid, status)


def end_if_hung() -> None:
    """End this process after HUNG_AFTER_S with a traceback of each thread."""
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm(HUNG_AFTER_S)


def main() -> None:
    options = parse_arguments()
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s: %(message)s")
    warnings.filterwarnings("ignore", ".* is multi-threaded, use of fork", DeprecationWarning)
    faulthandler.enable()
    worker = Worker(options)
    signal.signal(signal.SIGTERM, lambda signum, frame: worker.stop())
    worker.run(random.Random(f"{options.number} {options.seed}"))
    worker.close()


if __name__ == "__main__":
    main()
