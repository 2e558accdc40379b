"""The configurations in docs/examples/mtail count what mtail counts by its example programs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests import mtail
from tests.conftest import ROOT, needs_debian
from tests.fixtures import Run
from tests.servers import Server

LOGS = ROOT / "tests" / "mtail_logs"
CONFIGURATIONS = {path.stem: path for path in sorted((ROOT / "docs" / "examples" / "mtail").glob("*.yml"))}

#: Programs without counters: one is empty, the other has a gauge.
WITHOUT_COUNTERS = {"nocode", "timer"}

#: Counters of seconds between two lines, which are sessions in ours.
DURATIONS = {
    "rsyncd": ("connection-time_total", "connection_time"),
    "vsftpd": ("session_time", "session_time"),
}

#: Programs that expect syslog, whose dates may also be those of RFC 3339. mtail's programs do not read these.
SYSLOG = ("dhcpd", "ntpd", "postfix")


def test_configurations_count_what_mtail_counts(server: Server, run: Run, tmp_path: Path) -> None:
    needs_debian("mtail", "mtail")
    programs = {path.stem for path in mtail.EXAMPLES.glob("*.mtail")}
    assert programs == CONFIGURATIONS.keys() | WITHOUT_COUNTERS
    assert not any(mtail.counts_of(_program(name), LOGS / f"{name}.log") for name in WITHOUT_COUNTERS)
    counted = _count(server, run, tmp_path)
    expected = {name: _expected(name, counted[name]) for name in CONFIGURATIONS}
    assert all(expected.values())
    assert {name: counted[name] for name in CONFIGURATIONS} == expected
    assert {name: counted[f"{name}_rfc_3339"] for name in SYSLOG} == {name: counted[name] for name in SYSLOG}


def _count(server: Server, run: Run, folder: Path) -> dict[str, dict[str, int]]:
    """Counts the logs by all configurations in one process, each in a group of the name of its program."""
    groups: dict[str, Any] = {}
    tails = []
    for name, path in CONFIGURATIONS.items():
        config = yaml.safe_load(path.read_text())
        (group,) = config["groups"].values()
        for entry in config["tail"]:
            log = shutil.copy(LOGS / entry["file"], folder)
            groups[name] = group
            tails.append(entry | {"file": str(log), "group": name})
            if name in SYSLOG:
                groups[f"{name}_rfc_3339"] = group
                log = folder / f"{name}_rfc_3339.log"
                log.write_text(_with_rfc_3339(LOGS / entry["file"]))
                tails.append(entry | {"file": str(log), "group": f"{name}_rfc_3339"})
    path = folder / "ecl.yml"
    path.write_text(json.dumps({"redis": server.config, "groups": groups, "tail": tails}))
    done = run("ecl", "tail", "--from", "start", "--once", path)
    assert (done.returncode, done.stderr) == (0, "")
    return {name: _read(server, name) for name in groups}


def _with_rfc_3339(log: Path) -> str:
    return re.sub(r"^Mar +\d+ ([\d:]+) ", r"2026-03-03T\1.123456+00:00 ", log.read_text(), flags=re.MULTILINE)


def _read(server: Server, group: str) -> dict[str, int]:
    """Returns the counts of a group, without those of lines that were not counted."""
    prefix = f"{group}:5m:cur:"
    with server.client as client:
        keys = {key: key.removeprefix(prefix) for key in client.scan_iter(f"{prefix}*")}
        return {event: int(client.get(key)) for key, event in keys.items() if not event.startswith("@")}


def _expected(name: str, counted: dict[str, int]) -> dict[str, float]:
    """Returns the counts of mtail, with its seconds as milliseconds, and our number of sessions."""
    config = yaml.safe_load(CONFIGURATIONS[name].read_text())
    counts = mtail.counts_of(_program(name), *(LOGS / entry["file"] for entry in config["tail"]))
    if name in DURATIONS:
        metric, event = DURATIONS[name]
        counts |= {f"{event}:ms": 1000 * counts.pop(metric), event: counted[event]}
    return counts


def _program(name: str) -> Path:
    return mtail.EXAMPLES / f"{name}.mtail"
