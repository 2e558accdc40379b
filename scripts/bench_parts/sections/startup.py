"""Time of the command ecl_reader from start to end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from bench_parts.processes import PREVIOUS, Bench
from bench_parts.report import Section, Table, at_most, number
from event_count_logger import EventCountLogger

TEXT = """\
Milliseconds of `ecl_reader CONFIG -g requests` from start to end, run in turn by the same Python with the
same redis-py. The last row is the start of Python, which both contain."""

CONFIG = """\
redis: {{host: 127.0.0.1, port: {port}}}
groups:
  requests:
    events: [ok, failed]
    intervals: [1h]
"""

OURS, OTHER, PYTHON = "ecl_reader", "ecl_reader of event-count-logger 1.1", "python -c pass"


def run(bench: Bench) -> Section:
    config = bench.folder / "ecl.yml"
    config.write_text(CONFIG.format(port=bench.server.port))
    with EventCountLogger.from_file(config) as logger:
        logger["requests"].get_counts("1h")
    arguments = [str(config), "-g", "requests"]
    commands = {
        OURS: [str(Path(sys.executable).parent / "ecl_reader"), *arguments],
        OTHER: [str(PREVIOUS / "bin" / "ecl_reader"), *arguments],
        PYTHON: ["-c", "pass"],
    }
    if not PREVIOUS.exists():
        del commands[OTHER]
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(bench.effort.starts):
        for name, command in commands.items():
            times[name].append(_run_ms(command, {"PYTHONPATH": str(PREVIOUS)} if name == OTHER else {}))
    medians = {name: median(found) for name, found in times.items()}
    ratio = medians[OURS] / medians[OTHER] if OTHER in medians else None
    rows = [(name, number(took), number(took / medians[OURS])) for name, took in medians.items()]
    target = at_most("start-up of ecl_reader, against that of 1.1", ratio, 1)
    return Section("Start-up", TEXT, [Table(("command", "ms", "times ecl_reader"), rows)], [target])


def _run_ms(command: list[str], environment: dict[str, str]) -> float:
    others = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    begin = time.perf_counter_ns()
    done = subprocess.run(
        [sys.executable, *command], env=others | environment, capture_output=True, text=True
    )
    took = (time.perf_counter_ns() - begin) / 1e6
    if done.returncode:
        sys.exit(f"ERROR: {command[0]} has failed:\n{done.stderr}")
    return took
