"""Counts with many threads while others sync, read, fork and close; compares counts logged and counted.

Then starts processes whose threads still count when the interpreter ends. Each must end, and print nothing.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from event_count_logger import EventCountLogger
from event_count_logger.counting.implementation import NATIVE
from tests.servers import Server

#: Seconds of a round, and the timeout of everything else.
ROUND_S, PATIENCE_S = 3.0, 60.0

#: Number of threads that count, of threads that sync and read, and of counts per child process and group.
N_COUNTING, N_SYNCING, N_OF_CHILD = 6, 2, 100

SWITCH_INTERVAL_S = 1e-6

#: Without a GIL, child processes are forked while no thread counts. In CPython 3.13 a child may wait forever
#: for the lock of a dictionary that threads of its parent were using.
HAS_GLOBAL_LOCK: bool = getattr(sys, "_is_gil_enabled", lambda: True)()

GROUPS = ("direct", "cached", "limited")


def configuration(round_: int) -> dict[str, Any]:
    """Returns the groups of one round. No other round has the same names."""
    common = {"intervals": ["24h"], "auto_declare_events": True, "max_events": 10**6}
    return {
        f"direct{round_}": common,
        f"cached{round_}": {**common, "sync_interval": 0.02},
        f"limited{round_}": {**common, "sync_interval": 60, "sync_limit": 50},
    }


class Round:
    """One EventCountLogger, used for some seconds."""

    def __init__(self, number: int, server: Server) -> None:
        self.number = number
        self.ecl = EventCountLogger(configuration(number), server.config, "ERROR")
        self.server = server
        self.faults: list[str] = []
        self.over = threading.Event()
        self.tallies: list[Counter[tuple[str, str]]] = []

    def run(self) -> tuple[int, list[str]]:
        """Returns the number of counts, and all faults found."""
        counting = [self.thread(self.count, number) for number in range(N_COUNTING)]
        others = [self.thread(self.sync) for _ in range(N_SYNCING)]
        if HAS_GLOBAL_LOCK:
            others.append(self.thread(self.fork, 10**6))
        time.sleep(ROUND_S / 2)
        self.ecl.close(timeout=0.1)  # counting goes on
        time.sleep(ROUND_S / 2)
        self.over.set()
        for thread in (*counting, *others):
            thread.join(PATIENCE_S)
            if thread.is_alive():
                self.faults.append(f"{thread.name} does not end")
        if not HAS_GLOBAL_LOCK:
            self.over.clear()
            self.fork(3)
        self.ecl.close(timeout=PATIENCE_S)
        logged = sum(self.tallies, Counter())
        self.compare(logged)
        return logged.total(), self.faults

    def thread(self, function: Callable[..., None], *arguments: int) -> threading.Thread:
        def run() -> None:
            try:
                function(*arguments)
            except BaseException as error:  # noqa: BLE001 - it is reported
                self.faults.append(f"{function.__name__}: {error!r}")

        thread = threading.Thread(target=run, name=function.__name__, daemon=True)
        thread.start()
        return thread

    def name(self, kind: str) -> str:
        return f"{kind}{self.number}"

    def count(self, number: int) -> None:
        tally: Counter[tuple[str, str]] = Counter()
        self.tallies.append(tally)
        n = 0
        while not self.over.is_set():
            n += 1
            for kind in GROUPS:
                group = self.ecl[self.name(kind)]
                for event in ("all", f"new {n}", f"of thread {number} {n % 5000}"):
                    size = random.randint(1, 9)
                    group.log(event, size)
                    tally[kind, event] += size
                counter = group.counter("counter")
                for _ in range(20 if kind != "direct" else 1):
                    counter.inc()
                    tally[kind, "counter"] += 1

    def sync(self) -> None:
        while not self.over.is_set():
            for kind in GROUPS:
                group: Any = self.ecl[self.name(kind)]
                group.sync()
                for counts in (group.local.unsent(),):
                    if any(not 0 <= count < 2**40 for count in counts.values()):
                        self.faults.append(f"impossible unsent counts: {max(counts.values())}")
                group.local.describe_unsent()
                group.event_ids, group.get_counts("24h", current=True)
                time.sleep(random.random() / 100)

    def fork(self, n_children: int) -> None:
        tally: Counter[tuple[str, str]] = Counter()
        self.tallies.append(tally)
        for _ in range(n_children):
            if self.over.is_set():
                return
            pid = os.fork()
            if pid == 0:
                self.be_a_child()
            if wait_for(pid) != 0:
                self.faults.append("a forked child failed, or did not end")
                return
            for kind in GROUPS:
                tally[kind, "of children"] += N_OF_CHILD
            time.sleep(0.1)

    def be_a_child(self) -> None:
        faulthandler.dump_traceback_later(PATIENCE_S / 2, exit=True)
        try:
            for kind in GROUPS:
                for _ in range(N_OF_CHILD):
                    self.ecl[self.name(kind)].log("of children")
            self.ecl.close(timeout=PATIENCE_S / 2)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - it is printed
            traceback.print_exc()
        finally:
            os._exit(1)

    def compare(self, logged: Counter[tuple[str, str]]) -> None:
        names = list(logged)
        with self.server.client as client:
            keys = [f"{self.name(kind)}:24h:cur:{event}" for kind, event in names]
            counted = [int(value or 0) for value in client.mget(keys)]
        wrong = [(name, logged[name], n) for name, n in zip(names, counted, strict=True) if logged[name] != n]
        if wrong:
            self.faults.append(
                f"{len(wrong)} events are not exact, such as {wrong[:3]} (name, logged, counted)"
            )


def wait_for(pid: int) -> int:
    """Returns the exit status of a child process; kills it after a timeout."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        time.sleep(0.002)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGABRT)
    os.waitpid(pid, 0)
    return -1


def end_while_threads_count(port: int) -> None:
    """Run a process that ends while its threads count."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    ecl = EventCountLogger(configuration(0), {"port": port}, "ERROR")
    groups = [ecl[f"{kind}0"] for kind in GROUPS]

    def count() -> None:
        for number in range(10**9):
            for group in groups:
                group.log(f"event {number % 1000}")

    for _ in range(4):
        threading.Thread(target=count, daemon=True).start()
    time.sleep(random.random() / 5)


def faults_at_the_end(server: Server, seconds: float) -> tuple[int, list[str]]:
    """Returns the number of processes that ended while they counted, and all faults found."""
    faults: list[str] = []
    n, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        n += 1
        try:
            command = [sys.executable, __file__, "0", "--end", str(server.port)]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            faults.append("a process does not end")
        else:
            if ended.returncode or ended.stderr:
                faults.append(f"a process ended with {ended.returncode}: {ended.stderr.strip()}")
    return n, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--end", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.end:
        end_while_threads_count(arguments.end)
        return 0
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    folder = Path(tempfile.mkdtemp(prefix="ecl-threads-"))
    os.environ["ECL_SPOOL_DIR"] = str(folder / "spool")
    server = Server("redis" if shutil.which("redis-server") else "valkey", folder)
    try:
        faults: list[str] = []
        counts = n_rounds = 0
        deadline = time.monotonic() + arguments.seconds * 3 / 4
        while time.monotonic() < deadline and not faults:
            n_rounds += 1
            n, faults = Round(n_rounds, server).run()
            counts += n
        n_ended, faults_at_end = faults_at_the_end(server, arguments.seconds / 4)
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
    lock = "a" if HAS_GLOBAL_LOCK else "no"
    print(f"Counting in {'C' if NATIVE else 'Python'}, with {lock} global lock")
    print(f"{counts} counts in {n_rounds} rounds; {n_ended} processes ended while their threads counted")
    faults += faults_at_end
    print("\n".join(faults[:20]) or "exact")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
