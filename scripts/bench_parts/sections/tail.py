"""Time of `ecl tail` for an access log, from start to end."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from bench_parts.processes import Bench
from bench_parts.report import Section, Table, at_most, number

TEXT = """\
Seconds that `ecl tail --from start --once` takes from start to end for an access log in the combined
format. One rule counts two events and adds a number for each line. The loop is a Python program that only
searches for the same pattern in each line."""

PATTERN = r'"(?P<method>[A-Z]+) \S+ HTTP/[^"]+" (?P<status>\d{3}) (?P<bytes>\d+)'
RULE = {
    "match": PATTERN,
    "events": ["status_{status}", "method_{method}"],
    "counts": {"bytes_sent": "{bytes}"},
}

LOOP = """\
import re, sys
pattern = re.compile(sys.argv[1])
for line in open(sys.argv[2]):
    pattern.search(line)
"""

OURS, BASE = "ecl tail", "loop"


def run(bench: Bench) -> Section:
    n_lines = 10 * bench.effort.sizes[2]
    log, config = bench.folder / "access.log", bench.folder / "tail.yml"
    _write(log, n_lines)
    entry = {"file": str(log), "group": "http", "rules": [RULE]}
    groups = {"http": {"auto_declare_events": True, "intervals": ["1h"]}}
    redis = {"host": "127.0.0.1", "port": bench.server.port}
    config.write_text(json.dumps({"redis": redis, "groups": groups, "tail": [entry]}))
    ecl = Path(sys.executable).parent / "ecl"
    commands = {
        BASE: ["-c", LOOP, PATTERN, str(log)],
        OURS: [str(ecl), "tail", "--from", "start", "--once", str(config)],
    }
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(bench.effort.repeats):
        bench.server.empty()
        for name, command in commands.items():
            begin = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True)
            times[name].append(time.perf_counter() - begin)
    log.unlink()
    medians = {name: median(found) for name, found in times.items()}
    rows = [(name, number(took), number(took / medians[BASE])) for name, took in medians.items()]
    table = Table((f"{n_lines:,} lines", "s", "times the loop"), rows)
    target = at_most("ecl tail of an access log, against a loop", medians[OURS] / medians[BASE], 2)
    return Section("Log files", TEXT, [table], [target])


def _write(log: Path, n_lines: int) -> None:
    some = random.Random(1)
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    with log.open("w") as stream:
        for i in range(n_lines):
            address = f"10.0.{some.randrange(256)}.{i % 256}"
            time_ = f"25/Nov/2026:{i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02} +0000"
            request = f"{some.choice(['GET', 'POST', 'HEAD'])} /path/{some.randrange(10_000)} HTTP/1.1"
            status, size = some.choice([200, 200, 200, 304, 404, 500]), some.randrange(100_000)
            stream.write(
                f'{address} - - [{time_}] "{request}" {status} {size} "https://example.org/" "{agent}"\n'
            )
