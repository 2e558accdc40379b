"""scripts/soak --one-server: answers are lost, requests are late, workers fork and are killed."""

from __future__ import annotations

import json
import math
import random
import re
import subprocess
import time
from collections import Counter
from pathlib import Path

from event_count_logger.config import from_file
from event_count_logger.intervals import Interval
from soak_parts.finished import Follower, in_journal
from soak_parts.page import GROUPS, PROGRAMS, Control, Page, Role, worker_event
from soak_parts.processes import Processes
from soak_parts.proxy import LONGEST_DELAY_S
from soak_parts.turmoil import Turmoil
from soak_parts.verdict import differences, misread, recovered_files, unexpected_lines

SHORT = Interval.parse("2s")

#: About a year. One of them does not end while this runs.
LONG_ONES = [Interval.parse(text) for text in ("9000h", "9001h")]

#: A longer run would need more events, or have fewer faults.
LONGEST_ROUND_S = 120

LOOK_S = 0.01
LONGEST_PAUSE_S = 0.4
ENDING_S, ENDING_OF_MASTERS_S = 90, 20

#: Workers whose common event is declared; the others' are dynamic.
DECLARED = 5


class Soak:
    def __init__(self, folder: Path, seconds: float, seed: int) -> None:
        self._folder = folder
        self._seconds = seconds
        self._page = Page(folder / "page")
        self._processes = Processes(folder, folder / "page", seed)
        ends = time.time() + seconds + 2 * ENDING_S
        self._long = next(long for long in LONG_ONES if long.end_of(time.time()) > ends)
        self._config_file = self._write_config()
        self._follower = Follower(from_file(self._config_file), SHORT, self._processes.socket)
        self._turmoil = Turmoil(
            self._processes, self._page, folder / "page", self._config_file, seconds, seed
        )
        self._pause = random.Random(seed)
        self._problems: list[str] = []

    def _write_config(self) -> Path:
        common = {
            "events": [worker_event(number) for number in range(DECLARED)],
            "auto_declare_events": True,
            "intervals": [SHORT.name, self._long.name],
            "spool_dir": str(self._folder / "spool"),
        }
        config = {
            "redis": {"host": "127.0.0.1", "port": self._processes.port, "socket_timeout": 0.4},
            "groups": {name: common | settings for name, settings in GROUPS.items()},
        }
        file = self._folder / "ecl.yml"
        file.write_text(json.dumps(config))  # JSON is YAML
        return file

    def run(self) -> list[str]:
        """Returns what is wrong."""
        self._turmoil.begin()
        begin = time.monotonic()
        while (elapsed_s := time.monotonic() - begin) < self._seconds:
            self._turmoil.go_on(elapsed_s / self._seconds)
            self._wait(self._pause.uniform(0, LONGEST_PAUSE_S))
        self._turmoil.calm_down()
        self._wait(LONGEST_DELAY_S)
        while not self._turmoil.is_over():
            self._wait(LOOK_S)
        self._turmoil.end_workers()
        self._wait_for_workers()
        if not self._turmoil.end_masters(ENDING_OF_MASTERS_S):
            self._problems.append("some master does not end")
        self._recover()
        self._follower.look()
        return self._compare()

    def close(self) -> None:
        self._processes.kill_all()

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._follower.look()
            self._turmoil.do_what_is_due()
            time.sleep(LOOK_S)

    def _wait_for_workers(self) -> None:
        deadline = time.monotonic() + ENDING_S
        while not self._processes.wait_for_workers(LOOK_S):
            self._follower.look()
            if time.monotonic() > deadline:
                self._problems.append("some workers, or their children, do not end")
                return

    def _recover(self) -> None:
        command = [PROGRAMS / "ecl", "recover", self._config_file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=ENDING_S)
        said = re.search(r"^recovered (\d+) files, \d+ events; 0 live$", done.stdout, re.MULTILINE)
        if not said or done.returncode or done.stderr:
            self._problems.append(f"ecl recover ended with {done.returncode}: {done.stdout}{done.stderr}")
        self._turmoil.done["recovered files"] += int(said[1]) if said else 0
        left = [*(self._folder / "spool").glob("*.ecl*")]
        if left:
            self._problems.append(f"files are left: {left}")

    def _compare(self) -> list[str]:
        follower, finished = self._follower, in_journal(self._folder, SHORT)
        counts = {name: follower.running(name, self._long) for name in GROUPS}
        in_short = {name: Counter(follower.running(name, SHORT)) for name in GROUPS}
        for (name, _), of_interval in finished.items():
            in_short[name].update(of_interval)
        done = self._turmoil.done
        done["intervals"], done["of them followed"] = len(finished), len(follower.seen)
        self._report(sum(sum(of_group.values()) for of_group in counts.values()))
        return [
            *self._problems,
            *self._processes.badly_ended(),
            *misread(follower.seen, finished, follower.missed),
            *differences(self._page, counts, in_short, {name: follower.totals(name) for name in GROUPS}),
            *unexpected_lines(self._processes.log_file),
        ]

    def _report(self, events: int) -> None:
        roles = Counter(row.role for row in self._page.rows())
        children = roles[Role.CHILD] + roles[Role.CUT_OFF]
        done, control = self._turmoil.done, self._page.control
        done["recovered files"] += recovered_files(self._processes.log_file)
        done["children cut off"] = roles[Role.CUT_OFF]
        done["lost answers"], done["late requests"] = control[Control.LOST], control[Control.DELAYED]
        print(
            f"{events:,} events of {roles[Role.THREAD]:,} threads of workers, and of "
            f"{children:,} children; " + ", ".join(f"{what}: {number}" for what, number in done.items())
        )


def soak(folder: Path, seconds: float, seed: int) -> list[str]:
    """What is wrong, after rounds that are short enough for what happens in one."""
    rounds = max(1, math.ceil(seconds / LONGEST_ROUND_S))
    wrong: list[str] = []
    for number in range(rounds):
        of_round = folder / str(number)
        of_round.mkdir()
        one = Soak(of_round, seconds / rounds, seed + number)
        try:
            wrong += one.run()
        finally:
            one.close()
    return wrong
