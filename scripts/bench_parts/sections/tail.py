"""Time of `ecl tail` for an access log, from start to end, beside mtail."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench_parts.processes import Bench
from bench_parts.report import Section, Table, Target, at_most, number

TEXT = """\
Seconds that `ecl tail --from start --once` takes from start to end for an access log in the combined
format. The first rule counts two events and adds a number for each line. The others count one event for
some lines. The loop is a Python program that only searches for the same patterns in each line. The figures
of several rules are of one run."""

MTAIL_TEXT = {
    True: "So are those of mtail, which counts the same by a program of its own.",
    False: "mtail is not installed on this machine, and not measured.",
}

PATTERN = r'"(?P<method>[A-Z]+) \S+ HTTP/[^"]+" (?P<status>\d{3}) (?P<bytes>\d+)'
RULES: list[dict[str, Any]] = [
    {"match": PATTERN, "events": ["status_{status}", "method_{method}"], "counts": {"bytes_sent": "{bytes}"}},
    {"match": r" 404 \d+ ", "events": ["missing"]},
    {"match": r'" 5\d\d ', "events": ["failed"]},
    {"match": '"POST /path/', "events": ["posts"]},
    {"match": r"^10\.0\.(?P<net>\d+)\.", "events": ["net_{net}"]},
    {"match": r'"HEAD /path/(?P<digit>\d)', "events": ["head_{digit}"]},
    {"match": r'"GET /path/1\d* ', "events": ["ones"]},
    {"match": r"/path/\d{1,2} ", "events": ["short"]},
    {"match": '" 304 ', "events": ["unmodified"]},
    {"match": r"Firefox/(?P<version>\d+)", "events": ["firefox_{version}"]},
    {"match": "Chrome/", "events": ["chrome"]},
    {"match": "bot|crawler|spider", "events": ["robots"]},
    {"match": r"\[(?P<day>\d+)/Nov/", "events": ["day_{day}"]},
    {"match": r' \d{5} "', "events": ["large"]},
    {"match": "X11; Linux", "events": ["linux"]},
    {"match": "Windows NT", "events": ["windows"]},
    {"match": "/admin|/login", "events": ["logins"]},
    {"match": r"GET \S+\?", "events": ["queries"]},
    {"match": r"^10\.0\.0\.", "events": ["local"]},
    {"match": "error", "events": ["errors"]},
]
N_RULES = (1, 5, 20)

JSON_TEXT = """\
The second table is of a log of JSON with ten fields in each line, and of the counts of the first rule. Its
loop only parses each line, with the same parser."""

JSON_RULE = {"events": ["status_{status}", "method_{method}"], "counts": {"bytes_sent": "{bytes}"}}

JSON_LOOP = """\
import json, sys
for line in open(sys.argv[1]):
    json.loads(line)
"""

LOOP = """\
import re, sys
patterns = [re.compile(pattern) for pattern in sys.argv[2:]]
for line in open(sys.argv[1]):
    for pattern in patterns:
        pattern.search(line)
"""

OURS, BASE, MTAIL = "ecl tail", "loop", "mtail"


def run(bench: Bench) -> Section:
    n_lines = 10 * bench.effort.sizes[2]
    log = bench.folder / "access.log"
    _write(log, n_lines)
    installed = shutil.which("mtail") is not None
    medians = {(name, n): took for n in N_RULES for name, took in _measure(bench, log, n, installed)}
    log.unlink()
    names = [BASE, OURS, *([MTAIL] if installed else [])]
    rows = [(name, *(number(medians[name, n]) for n in N_RULES)) for name in names]
    rows += [
        (f"{OURS} / {other}", *(number(medians[OURS, n] / medians[other, n]) for n in N_RULES))
        for other in names
        if other != OURS
    ]
    columns = (f"{n_lines:,} lines", *(f"{n} rule{'s' * (n > 1)}" for n in N_RULES))
    of_loop = medians[OURS, 1] / medians[BASE, 1]
    target = at_most("ecl tail of an access log, against a loop", of_loop, 2)
    json_table, json_target = _run_json(bench, n_lines)
    text = f"{TEXT} {MTAIL_TEXT[installed]} {JSON_TEXT}"
    return Section("Log files", text, [Table(columns, rows), json_table], [target, json_target])


def _run_json(bench: Bench, n_lines: int) -> tuple[Table, Target]:
    """Measure `ecl tail` and a loop for lines of JSON in turn."""
    log = bench.folder / "access.json"
    _write_json(log, n_lines)
    ours = _ecl_tail(bench, log, [JSON_RULE], format="json")
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(bench.effort.repeats):
        bench.server.empty()
        times[BASE].append(_seconds([sys.executable, "-c", JSON_LOOP, str(log)]))
        times[OURS].append(_seconds(ours))
    log.unlink()
    base, took = median(times[BASE]), median(times[OURS])
    rows = [(BASE, number(base)), (OURS, number(took)), (f"{OURS} / {BASE}", number(took / base))]
    target = at_most("ecl tail of JSON, against a loop", took / base, 1.5)
    return Table((f"{n_lines:,} lines of JSON", "1 rule"), rows), target


def _measure(bench: Bench, log: Path, n_rules: int, with_mtail: bool) -> Iterator[tuple[str, float]]:
    """Measure the programs in turn. Gives the median time of each."""
    rules = RULES[:n_rules]
    program = bench.folder / "tail.mtail"
    program.write_text("".join(map(_mtail_rule, rules)))
    loop = [sys.executable, "-c", LOOP, str(log), *(rule["match"] for rule in rules)]
    ours = _ecl_tail(bench, log, rules)
    mtail = ["mtail", "--one_shot", "--logtostderr", "--address", "127.0.0.1", "--port", "0"]
    mtail += ["--progs", str(program), "--logs", str(log)]
    times: dict[str, list[float]] = defaultdict(list)
    # Many rules take several seconds.
    for i in range(bench.effort.repeats if n_rules == 1 else 1):
        bench.server.empty()
        times[BASE].append(_seconds(loop))
        times[OURS].append(_seconds(ours))
        if with_mtail and i == 0:
            times[MTAIL].append(_seconds(mtail, quiet=True))
    for name, found in times.items():
        yield name, median(found)


def _ecl_tail(bench: Bench, log: Path, rules: list[dict[str, Any]], **settings: str) -> list[str]:
    """Returns the command that counts a log by rules; `settings` belong to its entry."""
    config = bench.folder / "tail.yml"
    entry = {"file": str(log), "group": "http", "rules": rules, **settings}
    groups = {"http": {"auto_declare_events": True, "intervals": ["1h"]}}
    redis = {"host": "127.0.0.1", "port": bench.server.port}
    config.write_text(json.dumps({"redis": redis, "groups": groups, "tail": [entry]}))
    ecl = Path(sys.executable).parent / "ecl"
    return [sys.executable, str(ecl), "tail", "--from", "start", "--once", str(config)]


def _seconds(command: Sequence[str], quiet: bool = False) -> float:
    output = subprocess.DEVNULL if quiet else None
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=output, stderr=output)
    return time.perf_counter() - begin


def _mtail_rule(rule: dict[str, Any]) -> str:
    """Returns a rule as mtail reads it. An event `name_{group}` becomes the counter `name by value`."""
    counters, actions = [], []
    for event in rule["events"]:
        name, _, group = event.rstrip("}").partition("_{")
        counters.append(f"counter {name} by value\n" if group else f"counter {name}\n")
        actions.append(f"  {name}[${group}]++\n" if group else f"  {name}++\n")
    for name, value in rule.get("counts", {}).items():
        counters.append(f"counter {name}\n")
        actions.append(f"  {name} += ${value.strip('{}')}\n")
    pattern = rule["match"].replace("/", r"\/")
    return "".join([*counters, f"/{pattern}/ {{\n", *actions, "}\n"])


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


def _write_json(log: Path, n_lines: int) -> None:
    some = random.Random(1)
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    with log.open("w") as stream:
        for i in range(n_lines):
            line = {
                "time": f"2026-11-25T{i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02}+00:00",
                "address": f"10.0.{some.randrange(256)}.{i % 256}",
                "host": "www.example.org",
                "method": some.choice(["GET", "POST", "HEAD"]),
                "path": f"/path/{some.randrange(10_000)}",
                "status": some.choice([200, 200, 200, 304, 404, 500]),
                "bytes": some.randrange(100_000),
                "seconds": some.randrange(1000) / 1000,
                "referrer": "https://example.org/",
                "agent": agent,
            }
            stream.write(json.dumps(line) + "\n")
