"""Counts of mtail, which the tests compare with those of `ecl tail`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

#: The example programs that Debian's package contains.
EXAMPLES = Path("/usr/share/doc/mtail/examples")

COUNTER, HISTOGRAM = 1, 5


def counts_of(program: Path, *logs: Path) -> dict[str, float]:
    """Reads logs with a program. Returns its counters and histograms as events `METRIC:LABEL:LABEL`.

    A histogram is the event of all values, and `METRIC:LABEL:le:BOUND` for the values up to each bound.
    Values of 0 are left out. Values of gauges and texts are no counts.
    """
    # Port 0 and --logtostderr: mtail serves its metrics and writes log files, even with --one_shot.
    options = ["--one_shot", "--logtostderr", "--address", "127.0.0.1", "--port", "0"]
    names = [option for log in logs for option in ("--logs", str(log))]
    command = ["mtail", *options, "--progs", str(program), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    # With status 0, mtail ignores programs that it cannot compile, and logs that do not exist.
    assert f"Loaded program {program.name}" in done.stderr, done.stderr
    for log in logs:
        assert f"Tailing {log}" in done.stderr, done.stderr
    metrics = [metric for several in json.loads(done.stdout or "{}").values() for metric in several]
    counts: dict[str, float] = {}
    for metric in metrics:
        for datum in metric.get("LabelValues") or []:
            event = ":".join([metric["Name"], *(datum.get("Labels") or [])])
            if metric["Kind"] == COUNTER:
                counts[event] = datum["Value"]["Value"]
            elif metric["Kind"] == HISTOGRAM:
                counts.update(_buckets(event, datum["Value"]))
    return {event: n for event, n in counts.items() if n}


def _buckets(event: str, value: dict[str, Any]) -> dict[str, float]:
    """Returns cumulative buckets. A bucket of mtail has only the values above the bound before it."""
    buckets = {float(bound): n for bound, n in value["Buckets"].items()}
    # The first bucket of mtail begins above 0: values of 0 are in the count, but in no bucket.
    zeros = value["Count"] - sum(buckets.values())
    counts = {event: value["Count"]}
    for bound in buckets:
        if bound < float("inf"):
            counts[f"{event}:le:{bound:.15g}"] = zeros + sum(n for at, n in buckets.items() if at <= bound)
    return counts
