"""scripts/soak: counts stay exact while primaries are replaced by their replicas."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from event_count_logger import EventCountLogger
from soak_parts.checks import tracebacks, unequal_counts, wrong_counts
from soak_parts.groups import COMMANDS, GROUPS, write_config
from soak_parts.replicated import Node, Replicated
from soak_parts.shared_memory import SharedMemory

SHORT, LONG = "2s", "9000h"
WORKERS, MASTERS = 6, 2

#: Seconds before the first fault. Memory is measured for the first time after these seconds, or after a
#: quarter of the run: objects of connections that broke take memory, too, which is used again.
WARM_S = 20

#: Part of its memory by which a warm process may grow: with each worker it learns a new event.
MOST_GROWTH = 0.2

#: Seconds between two faults, of the outage of a killed server, and of the stop of a stalled process.
PAUSE_S, DOWN_S, STALL_S = (2.0, 8.0), (0.0, 3.0), (0.1, 3.0)

ENDING_S = 90

#: Seconds of close() at the end of a worker, which may have to find a new primary first.
CLOSING_S = 30


@dataclass
class Program:
    """A process, and its memory in KiB when it was warm and when it was last measured."""

    name: str
    process: subprocess.Popen[bytes]
    started: float
    first_kib: int = 0
    last_kib: int = 0
    is_ending: bool = False

    def kill(self) -> None:
        self.is_ending = True
        self.process.kill()

    def terminate(self) -> None:
        self.is_ending = True
        self.process.terminate()

    def measure(self, warm_s: float) -> None:
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
            self.last_kib = int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
            if time.monotonic() - self.started > warm_s:
                self.first_kib = self.first_kib or self.last_kib

    @property
    def more_kib(self) -> int:
        """Growth of its memory since it was warm."""
        return self.last_kib - self.first_kib

    def problems(self) -> Iterator[str]:
        """Yields an unexpected end, and too much growth."""
        status = self.process.poll()
        # SIGTERM: it came before the process had set its handler.
        if status is not None and (not self.is_ending or status not in (0, -signal.SIGKILL, -signal.SIGTERM)):
            yield f"{self.name} ended with status {status}"
        if self.first_kib and self.more_kib > MOST_GROWTH * self.first_kib:
            yield f"{self.name} has grown from {self.first_kib:,} to {self.last_kib:,} KiB"


class FailoverSoak:
    """One run."""

    def __init__(self, folder: Path, seconds: float, seed: int) -> None:
        self._seconds = seconds
        self._chance = random.Random(seed)
        self._memory_file = folder / "memory"
        most_workers = WORKERS + int(seconds / PAUSE_S[0]) + 1
        self._memory = SharedMemory.create(self._memory_file, [*GROUPS], most_workers)
        self._log_file = folder / "log"
        self._log = self._log_file.open("ab")
        self._servers = Replicated(folder)
        settings: dict[str, object] = {"intervals": [SHORT, LONG], "durability": "replicas"}
        self._config_file = write_config(folder, self._servers.config, settings)
        self._n_workers = 0
        self._warm_s = max(WARM_S, seconds / 4)
        self._programs: list[Program] = []
        self.done: Counter[str] = Counter()
        self._faults: dict[Callable[[], None], int] = {
            self._kill_primary: 4,
            self._stall_primary: 2,
            self._kill_replica: 1,
            self._kill_worker: 3,
            self._stall_worker: 2,
            self._kill_master: 1,
        }

    def run(self) -> None:
        for _ in range(MASTERS):
            self._start_master()
        for _ in range(WORKERS):
            self._start_worker()
        begun = time.monotonic()
        while (elapsed_s := time.monotonic() - begun) < self._seconds:
            # The first worker and the first master live through the whole run: growth shows in them.
            if elapsed_s > WARM_S:
                self._chance.choices([*self._faults], [*self._faults.values()])[0]()
            self._wait(self._chance.uniform(*PAUSE_S))
        self._servers.wait_until_replicated()
        self._wait(1)

    def end(self) -> None:
        """End all programs in order, and recover the counts of killed ones."""
        for program in self._programs:
            if program.process.poll() is None:
                program.terminate()
        for program in self._programs:
            program.process.wait(ENDING_S)
        command = (COMMANDS / "ecl", "recover", self._config_file)
        subprocess.run(command, stdout=self._log, stderr=self._log, timeout=ENDING_S, check=True)

    def check(self) -> list[str]:
        """Print the table, and return all problems found."""
        problems = [problem for program in self._programs for problem in program.problems()]
        logged = counted = unknown = 0
        with EventCountLogger.from_file(self._config_file) as logger:
            for group in GROUPS:
                counts = logger.reader(group).current(LONG).counts
                totals = logger.reader(group).totals().counts
                problems += wrong_counts(self._memory, group, counts)
                problems += unequal_counts(group, {"the interval": counts, "the totals": totals})
                pairs = [pair for of_event in self._memory.counts(group).values() for pair in of_event]
                logged += sum(ended for _, ended in pairs)
                unknown += sum(begun - ended for begun, ended in pairs)
                counted += sum(counts.values())
        self._print(logged, counted, unknown)
        return [*problems, *tracebacks(self._log_file)]

    def _print(self, logged: int, counted: int, unknown: int) -> None:
        print(f"{'events logged':24}{logged:>14,}")
        print(f"{'events counted':24}{counted:>14,}")
        print(f"{'difference':24}{counted - logged:>14,}  (0 to {unknown:,}: killed inside log())")
        for what, number in self.done.items():
            print(f"{what:24}{number:>14,}")
        restarts = sum(node.starts - 1 for node in self._servers.nodes)
        print(f"{'restarts of servers':24}{restarts:>14,}")
        print(f"{'process':24}{'KiB at start':>14}{'KiB at end':>14}{'more':>8}")
        for program in self._programs:
            if program.first_kib:
                print(
                    f"{program.name:24}{program.first_kib:>14,}{program.last_kib:>14,}{program.more_kib:>8,}"
                )

    def close(self) -> None:
        for program in self._programs:
            program.process.kill()
            program.process.wait()
        self._servers.kill_all()
        self._log.close()

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for program in self._programs:
                program.measure(self._warm_s)
            time.sleep(min(0.5, max(0, deadline - time.monotonic())))

    def _start(self, name: str, *command: object) -> None:
        process = subprocess.Popen(
            [*map(str, command)], cwd=Path(__file__).parent.parent, stdout=self._log, stderr=self._log
        )
        self._programs.append(Program(f"{name} {process.pid}", process, time.monotonic()))

    def _start_master(self) -> None:
        self._start("master", COMMANDS / "ecl_master", "-v", self._config_file)

    def _start_worker(self) -> None:
        command = (sys.executable, "-m", "soak_parts.worker", self._config_file, self._memory_file)
        given = ("--close-s", CLOSING_S, "--seed", self._chance.random(), "--groups", *GROUPS)
        self._start("worker", *command, self._n_workers, *given)
        self._n_workers += 1

    def _chosen(self, name: str) -> Program:
        """Returns a running program, but never the first one, whose memory shows whether it grows."""
        running = [
            each for each in self._programs if each.name.startswith(name) and each.process.poll() is None
        ]
        return self._chance.choice(running[1:])

    def _kill_worker(self) -> None:
        self.done["killed workers"] += 1
        self._chosen("worker").kill()
        self._start_worker()

    def _stall_worker(self) -> None:
        self.done["stalled workers"] += 1
        process = self._chosen("worker").process
        process.send_signal(signal.SIGSTOP)
        self._wait(self._chance.uniform(*STALL_S))
        process.send_signal(signal.SIGCONT)

    def _kill_master(self) -> None:
        self.done["killed masters"] += 1
        self._chosen("master").kill()
        self._start_master()

    def _kill_primary(self) -> None:
        self.done["killed primaries"] += 1
        self._kill(self._servers.wait_until_replicated())

    def _kill_replica(self) -> None:
        self.done["killed replicas"] += 1
        primary = self._servers.wait_until_replicated()
        self._kill(self._chance.choice([node for node in self._servers.nodes if node is not primary]))

    def _kill(self, node: Node) -> None:
        node.kill()
        self._wait(self._chance.uniform(*DOWN_S))
        node.start()

    def _stall_primary(self) -> None:
        self.done["stalled primaries"] += 1
        self._servers.wait_until_replicated().stall_for(self._chance.uniform(*STALL_S))


def soak(folder: Path, seconds: float, seed: int) -> list[str]:
    """Returns all problems found."""
    one = FailoverSoak(folder, seconds, seed)
    try:
        one.run()
        one.end()
        return one.check()
    finally:
        one.close()
