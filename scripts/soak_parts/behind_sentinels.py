"""scripts/soak: counts stay exact while primaries are replaced by their replicas."""

from __future__ import annotations

import json
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
from soak_parts.page import GROUPS, PROGRAMS, Page
from soak_parts.replicated import Node, Replicated

SHORT, LONG = "2s", "9000h"
WORKERS, MASTERS = 6, 2

#: Seconds before the first fault. Memory is looked at for the first time after these, or a quarter of all:
#: garbage of connections that broke takes its room, too, which is used again.
WARM_S = 20

#: Part of its memory by which a warm process may grow: it comes to know a new event with each worker.
MOST_GROWTH = 0.2

#: Seconds between two faults, and for which a killed server is away, and a stalled one stands still.
PAUSE_S, AWAY_S, STALL_S = (2.0, 8.0), (0.0, 3.0), (0.1, 3.0)

ENDING_S = 90


@dataclass
class Program:
    """A process, and its memory in KiB when it was warm and when it was last looked at."""

    name: str
    process: subprocess.Popen[bytes]
    started: float
    first_kib: int = 0
    last_kib: int = 0
    is_told_to_end: bool = False

    def kill(self) -> None:
        self.is_told_to_end = True
        self.process.kill()

    def terminate(self) -> None:
        self.is_told_to_end = True
        self.process.terminate()

    def look(self, warm_s: float) -> None:
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
            self.last_kib = int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
            if time.monotonic() - self.started > warm_s:
                self.first_kib = self.first_kib or self.last_kib

    @property
    def more_kib(self) -> int:
        """By how much its memory has grown since it was warm."""
        return self.last_kib - self.first_kib

    def problems(self) -> Iterator[str]:
        """What it has done that nobody told it to; called while it runs, or when it has ended."""
        status = self.process.poll()
        # SIGTERM: who is told to end before it could say what it does then.
        if status is not None and (
            not self.is_told_to_end or status not in (0, -signal.SIGKILL, -signal.SIGTERM)
        ):
            yield f"{self.name} ended with status {status}"
        if self.first_kib and self.more_kib > MOST_GROWTH * self.first_kib:
            yield f"{self.name} has grown from {self.first_kib:,} to {self.last_kib:,} KiB"


class Failover:
    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._some = random.Random(seed)
        self._page_file = folder / "page"
        self._page = Page(self._page_file)
        self._log = (folder / "log").open("ab")
        self._servers = Replicated(folder)
        self._config_file = self._write_config()
        self._rows = 0
        self._warm_s: float = WARM_S
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

    def _write_config(self) -> Path:
        common = {
            "auto_declare_events": True,
            "intervals": [SHORT, LONG],
            "spool_dir": str(self._folder / "spool"),
            "durability": "replicas",
        }
        groups = {name: common | settings for name, settings in GROUPS.items()}
        file = self._folder / "ecl.yml"
        file.write_text(json.dumps({"redis": self._servers.config, "groups": groups}))  # JSON is YAML
        return file

    def run(self, seconds: float) -> None:
        self._warm_s = max(WARM_S, seconds / 4)
        for _ in range(MASTERS):
            self._start_master()
        for _ in range(WORKERS):
            self._start_worker()
        begun = time.monotonic()
        while (elapsed_s := time.monotonic() - begun) < seconds:
            # The first workers and masters live as long as this, so that growth shows.
            if elapsed_s > WARM_S:
                self._some.choices([*self._faults], [*self._faults.values()])[0]()
            self._wait(self._some.uniform(*PAUSE_S))
        self._servers.wait_until_whole()
        self._wait(1)

    def end(self) -> None:
        """Let all end in order, and what killed ones have left be counted."""
        for program in self._programs:
            if program.process.poll() is None:
                program.terminate()
        for program in self._programs:
            program.process.wait(ENDING_S)
        command = [PROGRAMS / "ecl", "recover", self._config_file]
        subprocess.run(command, stdout=self._log, stderr=self._log, timeout=ENDING_S, check=True)

    def verdict(self) -> list[str]:
        """Print the table; what is wrong, such as an event that was not counted as often as it was logged."""
        logged = counted = unclear = 0
        wrong = [problem for program in self._programs for problem in program.problems()]
        with EventCountLogger.from_file(self._config_file) as logger:
            for number, group in enumerate(GROUPS):
                counts = logger.reader(group).current(LONG).counts
                totals = logger.reader(group).totals().counts
                for row in map(self._page.row, range(self._rows)):
                    begun, done = row.begun_and_done(number, False)
                    count = counts.get(row.own_event, 0)
                    logged, counted, unclear = logged + done, counted + count, unclear + begun - done
                    if not done <= count <= begun or totals.get(row.own_event, 0) != count:
                        wrong.append(f"{group}, {row.own_event}: {done} to {begun} logged, {count} counted")
        self._print(logged, counted, unclear)
        if "Traceback" in (self._folder / "log").read_text(errors="replace"):
            wrong.append("some process has told of an error with a traceback (see --keep)")
        return wrong

    def _print(self, logged: int, counted: int, unclear: int) -> None:
        print(f"{'events logged':24}{logged:>14,}")
        print(f"{'events counted':24}{counted:>14,}")
        print(f"{'difference':24}{counted - logged:>14,}  (of {unclear:,} it is open: killed inside log())")
        for what, number in self.done.items():
            print(f"{what:24}{number:>14,}")
        print(f"{'restarts of servers':24}{sum(node.restarts for node in self._servers.nodes):>14,}")
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
                program.look(self._warm_s)
            time.sleep(min(0.5, max(0, deadline - time.monotonic())))

    def _start(self, name: str, *command: object) -> None:
        process = subprocess.Popen(
            [*map(str, command)], cwd=Path(__file__).parent.parent, stdout=self._log, stderr=self._log
        )
        self._programs.append(Program(f"{name} {process.pid}", process, time.monotonic()))

    def _start_master(self) -> None:
        self._start("master", PROGRAMS / "ecl_master", "-v", self._config_file)

    def _start_worker(self) -> None:
        seed = self._some.random()
        self._start(
            "worker",
            sys.executable,
            "-m",
            "soak_parts.steady",
            self._config_file,
            self._page_file,
            self._rows,
            seed,
        )
        self._rows += 1

    def _chosen(self, name: str) -> Program:
        """One of those that run, but never the first: that one is to show whether memory grows."""
        running = [
            each for each in self._programs if each.name.startswith(name) and each.process.poll() is None
        ]
        return self._some.choice(running[1:])

    def _kill_worker(self) -> None:
        self.done["killed workers"] += 1
        self._chosen("worker").kill()
        self._start_worker()

    def _stall_worker(self) -> None:
        self.done["stalled workers"] += 1
        process = self._chosen("worker").process
        process.send_signal(signal.SIGSTOP)
        self._wait(self._some.uniform(*STALL_S))
        process.send_signal(signal.SIGCONT)

    def _kill_master(self) -> None:
        self.done["killed masters"] += 1
        self._chosen("master").kill()
        self._start_master()

    def _kill_primary(self) -> None:
        self.done["killed primaries"] += 1
        self._kill(self._servers.wait_until_whole())

    def _kill_replica(self) -> None:
        self.done["killed replicas"] += 1
        primary = self._servers.wait_until_whole()
        self._kill(self._some.choice([node for node in self._servers.nodes if node is not primary]))

    def _kill(self, node: Node) -> None:
        node.kill()
        self._wait(self._some.uniform(*AWAY_S))
        node.start()

    def _stall_primary(self) -> None:
        self.done["stalled primaries"] += 1
        self._servers.wait_until_whole().stall(self._some.uniform(*STALL_S))


def soak(folder: Path, seconds: float, seed: int) -> list[str]:
    """What is wrong."""
    one = Failover(folder, seed)
    try:
        one.run(seconds)
        one.end()
        return one.verdict()
    finally:
        one.close()
