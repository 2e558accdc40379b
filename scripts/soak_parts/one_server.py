"""scripts/soak --one-server: replies are lost, requests are delayed, workers fork and are killed."""

from __future__ import annotations

import math
import random
import re
import subprocess
import time
from collections import Counter
from pathlib import Path

from fault_proxy import LONGEST_DELAY_S, Word

from event_count_logger.config import from_file
from event_count_logger.intervals import Interval
from soak_parts.checks import (
    recovered_files,
    unequal_counts,
    unexpected_messages,
    wrong_counts,
    wrong_snapshots,
)
from soak_parts.fault_injection import WORKERS, FaultInjector
from soak_parts.finished_intervals import Follower, in_append_only_files
from soak_parts.groups import COMMANDS, GROUPS, write_config
from soak_parts.processes import Processes
from soak_parts.shared_memory import Role, SharedMemory, worker_event

SHORT = Interval.parse("2s")

#: Intervals of about a year. At least one of them does not end during a run.
LONG_ONES = [Interval.parse(text) for text in ("9000h", "9001h")]

#: Seconds of one round. A longer one would need more events, or have fewer faults.
LONGEST_ROUND_S = 120

LOOK_S = 0.01
LONGEST_PAUSE_S = 0.4
ENDING_S, ENDING_OF_MASTERS_S = 90, 20

#: Workers whose event is declared. The events of other workers are dynamic.
DECLARED = 5


class OneServerSoak:
    """One round."""

    def __init__(self, folder: Path, seconds: float, seed: int) -> None:
        self._folder = folder
        self._seconds = seconds
        memory_file = folder / "memory"
        self._memory = SharedMemory.create(memory_file, [*GROUPS], WORKERS)
        self._processes = Processes(folder, memory_file, seed)
        ends = time.time() + seconds + 2 * ENDING_S
        self._long = next(long for long in LONG_ONES if long.end_of(time.time()) > ends)
        self._config_file = write_config(
            folder,
            {"host": "127.0.0.1", "port": self._processes.port, "socket_timeout": 0.4},
            {
                "events": [worker_event(number) for number in range(DECLARED)],
                "intervals": [SHORT.name, self._long.name],
            },
        )
        self._follower = Follower(from_file(self._config_file), SHORT, self._processes.socket)
        self._faults = FaultInjector(self._processes, self._memory, self._config_file, seconds, seed)
        self._chance = random.Random(seed)
        self._problems: list[str] = []

    def run(self) -> list[str]:
        """Returns all problems found."""
        self._faults.start()
        begin = time.monotonic()
        while (elapsed_s := time.monotonic() - begin) < self._seconds:
            self._faults.inject(elapsed_s / self._seconds)
            self._wait(self._chance.uniform(0, LONGEST_PAUSE_S))
        self._faults.stop_proxy_faults()
        self._wait(LONGEST_DELAY_S)
        while self._faults.has_scheduled():
            self._wait(LOOK_S)
        self._faults.end_workers()
        self._wait_for_workers()
        if not self._faults.end_masters(ENDING_OF_MASTERS_S):
            self._problems.append("a master does not end")
        self._recover()
        self._follower.read_finished()
        return self._compare()

    def close(self) -> None:
        self._processes.kill_all()

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._follower.read_finished()
            self._faults.run_scheduled()
            time.sleep(LOOK_S)

    def _wait_for_workers(self) -> None:
        deadline = time.monotonic() + ENDING_S
        while not self._processes.wait_for_workers(LOOK_S):
            self._follower.read_finished()
            if time.monotonic() > deadline:
                self._problems.append("workers or their child processes do not end")
                return

    def _recover(self) -> None:
        command = (COMMANDS / "ecl", "recover", self._config_file)
        done = subprocess.run(command, capture_output=True, text=True, timeout=ENDING_S)
        recovered = re.search(r"^recovered (\d+) files?, [\d,]+ events?; 0 live$", done.stdout, re.MULTILINE)
        if not recovered or done.returncode or done.stderr:
            self._problems.append(f"ecl recover ended with {done.returncode}: {done.stdout}{done.stderr}")
        self._faults.done["recovered files"] += int(recovered[1]) if recovered else 0
        left = [*(self._folder / "spool").glob("*.ecl*")]
        if left:
            self._problems.append(f"files are left: {left}")

    def _compare(self) -> list[str]:
        follower, finished = self._follower, in_append_only_files(self._folder, SHORT)
        in_long = {name: follower.current(name, self._long) for name in GROUPS}
        in_short = {name: Counter(follower.current(name, SHORT)) for name in GROUPS}
        for (name, _), of_interval in finished.items():
            in_short[name].update(of_interval)
        done = self._faults.done
        done["intervals"], done["of them followed"] = len(finished), len(follower.finished)
        self._report(sum(sum(counts.values()) for counts in in_long.values()))
        for name, counts in in_long.items():
            self._problems += [
                *wrong_counts(self._memory, name, counts),
                *unequal_counts(name, {"the long interval": counts, "the short ones": in_short[name]}),
                *unequal_counts(name, {"the long interval": counts, "the totals": follower.totals(name)}),
            ]
        return [
            *self._problems,
            *self._processes.badly_ended(),
            *wrong_snapshots(follower.finished, finished, follower.missed),
            *unexpected_messages(self._processes.log_file),
        ]

    def _report(self, events: int) -> None:
        roles = Counter(record.role for record in self._memory.used_records())
        children = roles[Role.CHILD] + roles[Role.CUT_OFF]
        done, words = self._faults.done, self._memory.words
        done["recovered files"] += recovered_files(self._processes.log_file)
        done["child processes cut off"] = roles[Role.CUT_OFF]
        done["lost replies"], done["delayed requests"] = words[Word.LOST], words[Word.DELAYED]
        print(
            f"{events:,} events of {roles[Role.THREAD]:,} threads of workers, and of "
            f"{children:,} child processes; "
            + ", ".join(f"{what}: {number}" for what, number in done.items())
        )


def soak(folder: Path, seconds: float, seed: int) -> list[str]:
    """Run rounds of equal length, `seconds` in total; returns all problems found."""
    rounds = max(1, math.ceil(seconds / LONGEST_ROUND_S))
    problems: list[str] = []
    for number in range(rounds):
        of_round = folder / str(number)
        of_round.mkdir()
        one = OneServerSoak(of_round, seconds / rounds, seed + number)
        try:
            problems += one.run()
        finally:
            one.close()
    return problems
