"""One run of scripts/growth: a master and a worker, faults in parts, measurements between them."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench_parts.report import Table
from server_process import wait_until
from soak_parts.checks import tracebacks

from event_count_logger import EventCountLogger
from event_count_logger.keys import LOST
from growth_parts.failovers import Failovers
from growth_parts.faults import SHORT, Faults
from growth_parts.leaver import EVENT, GROUP
from growth_parts.processes import Watched
from growth_parts.worker import GROUPS

#: An interval that does not end during a run.
_LONG = "9000h"

#: Number of groups in which nothing is counted. Each adds requests of the master.
_IDLE = 16

#: Seconds of counting without faults, before the first measurement.
_WARM_S = 5

#: Number of lines, types and attributes in a table.
_MOST = 15


class Run:
    def __init__(self, folder: Path, around: Faults | Failovers, trace: bool) -> None:
        self._around = around
        self._trace = trace
        self._log_file = folder / "log"
        self._log = self._log_file.open("ab")
        self._config_file = self._write_config(folder)
        self._watched: list[Watched] = []
        self._rows: dict[str, list[dict[str, int]]] = {"master": [], "worker": []}
        self._details: dict[str, list[dict[str, dict[str, int]]]] = {name: [] for name in self._rows}

    def _write_config(self, folder: Path) -> Path:
        common: dict[str, object] = {
            "auto_declare_events": True,
            "intervals": [SHORT, _LONG],
            "spool_dir": str(folder / "spool"),
            "durability": self._around.durability,
        }
        groups: dict[str, dict[str, float]] = {
            **GROUPS,
            GROUP: {"sync_interval": 3600},
            **{f"idle{n}": {} for n in range(_IDLE)},
        }
        config = {
            "redis": self._around.redis,
            "groups": {name: common | settings for name, settings in groups.items()},
        }
        file = folder / "ecl.yml"
        file.write_text(json.dumps(config))  # JSON is YAML
        return file

    def run(self, parts: int, minutes: float) -> list[str]:
        """Print the tables; returns all problems found."""
        try:
            for name in self._rows:
                self._watched.append(Watched(name, self._config_file, self._log))
            wait_until(self._have_connected, 60, "both programs connect")
            time.sleep(_WARM_S)
            self._measure()
            deadline = time.monotonic() + 60 * minutes
            for number in range(parts):
                if time.monotonic() > deadline:
                    print(f"time is over after {number} of {parts} parts")
                    break
                self._around.part(number, parts, self._watched, self._config_file, self._log)
                self._measure()
            self._around.wait_until_found()
            self._report()
            return [*self._differences(), *tracebacks(self._log_file)]
        finally:
            for watched in self._watched:
                watched.kill()
            self._around.close()
            self._log.close()

    def _have_connected(self) -> bool:
        return all(each.ask("connections") for each in self._watched)

    def _measure(self) -> None:
        for watched in self._watched:
            numbers = {"connections": watched.ask("connections"), **watched.ask("memory")}
            self._rows[watched.name].append(numbers)
            if self._trace:
                details = self._details[watched.name]
                details.append(watched.ask("details" if len(self._rows[watched.name]) > 1 else "trace") or {})
            print(watched.name, *(f"{what} {n:,}" for what, n in numbers.items()), sep="; ", flush=True)

    def _report(self) -> None:
        print("\n" + ", ".join(f"{what}: {number:,}" for what, number in self._around.done.items()))
        for name, rows in self._rows.items():
            columns = tuple(rows[0])
            print(f"\n{name}: memory in KB before the first and after each part\n")
            print(Table(columns, [tuple(f"{row[column]:,}" for column in columns) for row in rows]).text())
            details = self._details[name][1:]
            for what in details[0] if details else ():
                print()
                print(_grown(f"{name}, {what}", [each[what] for each in details]).text())

    def _differences(self) -> Iterator[str]:
        """Yields differences between the counts logged and the counts in Redis."""
        logged = Counter(self._watched[-1].ask("logged"))
        logged[f"{GROUP} {EVENT}"] += self._around.left
        counted: Counter[str] = Counter()
        with EventCountLogger.from_file(self._config_file) as logger:
            for group in (*GROUPS, GROUP):
                counts = logger.reader(group).current(_LONG).counts
                totals = logger.reader(group).totals().counts
                counted.update({f"{group} {event}": count for event, count in counts.items()})
                if totals != counts:
                    yield f"{group}: totals are {totals}, not {counts}"
        reported = {key: counted.pop(key) for key in [*counted] if f" {LOST}" in key}
        print(
            f"\n{logged.total():,} events logged, {counted.total():,} counted; reported as lost: {reported}"
        )
        for key in logged.keys() | counted.keys():
            if logged[key] != counted[key]:
                yield f"{key}: {logged[key]:,} logged, {counted[key]:,} counted"


def _grown(what: str, numbers: Sequence[Mapping[str, int]]) -> Table:
    """Returns a table of the names whose numbers have grown most, after one, half, and all of the parts."""
    first, half, last = numbers[0], numbers[(len(numbers) - 1) // 2], numbers[-1]
    more = {name: n - first.get(name, 0) for name, n in last.items() if n > first.get(name, 0)}
    names = sorted(more, key=more.__getitem__, reverse=True)[:_MOST]
    rows = [(name, *(f"{each.get(name, 0):,}" for each in (first, half, last))) for name in names]
    return Table((what, "first part", "half", "all"), rows)
