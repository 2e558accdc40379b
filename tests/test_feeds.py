"""Finished intervals for Graphite, InfluxDB and Zabbix, taken by the real programs."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from event_count_logger.config import from_dicts
from event_count_logger.reading.reader import Snapshot
from event_count_logger.render import graphite, influx, zabbix
from event_count_logger.render.escaping import percent_encoded
from tests.conftest import needs_debian
from tests.days import DAY_S, Days
from tests.fixtures import Run, Start, Write
from tests.servers import Server, free_port, wait_until

GROUPS: dict[str, Any] = {
    "web": {"events": ["ok", "error"], "intervals": ["24h", "48h"]},
    "http": {"auto_declare_events": True, "intervals": ["24h"]},
    "bare": {"events": ["a"], "intervals": ["24h"], "history": 0},
    "secret": {"events": ["a"], "intervals": ["24h"], "hidden": True},
}

#: The largest count, and event IDs that mean something in one of the formats.
LARGEST = 2**63 - 1
AWKWARD = [
    "a b",
    "a.b",
    "a%2Eb",
    "a,b=c",
    "a;b=c",
    "back\\",
    "\\,",
    "100%",
    "é雪",
    '"q"',
    "#",
    "[x]",
    "\udcff",
]
AWKWARD += ["x" * 512, "y" * 199 + "é", "/etc/../.."]
COUNTS = {"ok": LARGEST, **{event_id: number for number, event_id in enumerate(AWKWARD, 1)}}


#: Events whose tag in InfluxDB differs.
IN_INFLUX = {
    "back\\": "back%5C",
    "\\,": "%5C,",
    "100%": "100%25",
    "a%2Eb": "a%252Eb",
    "\udcff": "%FF",
}


@pytest.fixture
def days(server: Server) -> Iterator[Days]:
    days = Days(from_dicts(GROUPS, server.config))
    yield days
    days.close()


@pytest.fixture
def file(server: Server, config_file: Write) -> Path:
    return config_file({"redis": server.config, "groups": GROUPS})


def snapshot(counts: dict[str, int], start: float | None = 1795521600, interval: str = "5m") -> Snapshot:
    return Snapshot("web", interval, "last", start, 1795521900, counts, 1795521900, 0)


# Formats


@pytest.mark.parametrize(
    ("render", "text"),
    [
        (graphite.render, "ecl.web.0%2E5h.a%20b 3 1795521600\necl.web.0%2E5h.ok 0 1795521600\n"),
        (
            influx.render,
            "ecl,event=a\\ b,group=web,interval=0.5h count=3i 1795521600000000000\n"
            "ecl,event=ok,group=web,interval=0.5h count=0i 1795521600000000000\n",
        ),
        (
            zabbix.render,
            "- ecl.count[web,0.5h,a%20b] 1795521600 3\n- ecl.count[web,0.5h,ok] 1795521600 0\n",
        ),
    ],
)
def test_line_has_names_count_and_start_of_the_interval(render: Callable[[Snapshot], str], text: str) -> None:
    assert render(snapshot({"ok": 0, "a b": 3}, interval="0.5h")) == text
    assert render(snapshot({"ok": 1}, start=None)) == ""


@pytest.mark.parametrize("render", [graphite.render, influx.render, zabbix.render])
def test_different_events_have_different_lines_of_printable_text(render: Callable[[Snapshot], str]) -> None:
    lines = render(snapshot(dict.fromkeys([*COUNTS, "a\nb", "\x1b[0m", "a\\nb"], 1))).splitlines()
    assert len(set(lines)) == len(COUNTS) + 3
    assert all(line.isprintable() for line in lines)


def test_fractions_of_seconds_are_kept_where_the_format_has_them() -> None:
    short = snapshot({"ok": 1}, start=1795521600.1)
    assert graphite.render(short) == "ecl.web.5m.ok 1 1795521600.1\n"
    assert influx.render(short).endswith(" 1795521600100000000\n")
    assert zabbix.render(short) == "- ecl.count[web,5m,ok] 1795521600 1\n"


def test_long_event_keeps_its_beginning_and_gets_a_hash() -> None:
    assert percent_encoded("x" * 200) == "x" * 200
    assert re.fullmatch("x{160}%_[0-9a-f]{32}", percent_encoded("x" * 201))
    assert percent_encoded("x" * 201) != percent_encoded("x" * 202)


# The command


def test_last_intervals_of_all_groups_except_hidden_ones_are_printed(
    run: Run, file: Path, days: Days
) -> None:
    for group, counts in (("web", {"ok": 5}), ("http", {"404": 2}), ("secret", {"a": 1})):
        days.finish(group, counts)
    done = run("ecl_reader", file, "--format", "graphite", "--strict")
    start = days.start(1)
    assert done.stdout == (
        f"ecl.web.24h.error 0 {start}\necl.web.24h.ok 5 {start}\necl.http.24h.404 2 {start}\n"
    )
    assert "'48h' of group 'web'" in done.stderr
    assert "group 'bare': nothing counted yet" in done.stderr
    assert done.returncode == 4
    one = run("ecl_reader", file, "-g", "web", "-i", "24h", "--format", "influx", "--strict")
    assert (one.returncode, one.stderr) == (0, "")
    assert one.stdout.endswith(f"ecl,event=ok,group=web,interval=24h count=5i {start}000000000\n")


def test_interval_with_unknown_start_is_left_out_with_a_warning(
    run: Run, file: Path, days: Days, server: Server
) -> None:
    days.finish("web", {"ok": 5})
    with server.client as client:
        client.delete("web:24h:last:@ts")  # as a master of version 1.1 leaves it
    done = run("ecl_reader", file, "-g", "web", "-i", "24h", "--format", "graphite")
    assert (done.returncode, done.stdout) == (0, "")
    assert "start unknown (ended by a master of version 1.1), so not printed" in done.stderr


def test_history_of_all_groups_leaves_out_those_without(run: Run, file: Path, days: Days) -> None:
    for n in (3, 2, 1):
        days.finish("http", {"404": n}, n)
    done = run("ecl_reader", file, "--format", "zabbix", "--history", 2)
    assert done.stdout == "".join(f"- ecl.count[http,24h,404] {days.start(n)} {n}\n" for n in (2, 1))
    assert "WARNING: group 'bare' keeps no history of interval '24h' ('history: 0'" in done.stderr


def test_followed_groups_are_printed_in_one_feed(
    start: Start, file: Path, days: Days, tmp_path: Path
) -> None:
    output = tmp_path / "feed"
    days.finish("web", {"ok": 5}, 5)
    with output.open("w") as out:
        arguments = ("--follow", "--after", "0", "--format", "influx")
        process = start(
            "ecl_reader", file, *arguments, stdout=out, env={**os.environ, "PYTHONUNBUFFERED": ""}
        )
    wait_until(lambda: output.read_text().count("\n") == 2, what="the interval of the history is printed")
    days.finish("http", {"404": 4}, 4)
    wait_until(lambda: output.read_text().count("\n") == 3, what="the interval of the other group")
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=20)[1]
    assert process.returncode == 0
    assert errors.count("\n") == 1  # of the group without history
    assert re.findall(r"event=(\w+),group=(\w+),\S+ count=(\d+)i (\d+)0{9}\n", output.read_text()) == [
        ("error", "web", "0", str(days.start(5))),
        ("ok", "web", "5", str(days.start(5))),
        ("404", "http", "4", str(days.start(4))),
    ]


def test_discovery_lists_known_events_with_keys_and_names(run: Run, file: Path, days: Days) -> None:
    days.count("http", {"a b": 1})
    rows = json.loads(run("ecl_reader", file, "--format", "zabbix-discovery").stdout)
    assert [tuple(row.values()) for row in rows] == [
        *(("web", interval, event, event) for interval in ("24h", "48h") for event in ("ok", "error")),
        ("http", "24h", "a%20b", "a b"),
        ("bare", "24h", "a", "a"),
    ]
    assert list(rows[0]) == ["{#GROUP}", "{#INTERVAL}", "{#EVENT}", "{#NAME}"]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ("--format graphite --rate", 2, "--rate cannot be used with --format graphite"),
        ("--format influx -g web --current", 2, "--current cannot be used with --format influx"),
        ("--format zabbix --totals", 2, "--totals cannot be used with --format zabbix"),
        ("--format zabbix -i 24h", 2, "--interval can only be used with --group"),
        ("--format zabbix-discovery --follow", 2, "--follow cannot be used with --format zabbix-discovery"),
        (
            "--format influx --follow --after 1-1",
            2,
            "--after: a position belongs to one interval of one group",
        ),
        ("--format influx --follow --after x", 2, "--after: 'x' is not a position"),
        ("--format influx -g bare --follow", 1, "group 'bare' keeps no history"),
        ("--format influx -g web -i 5m", 1, "Interval '5m' not configured for this group."),
    ],
)
def test_unfitting_option_is_an_error(run: Run, file: Path, options: str, status: int, message: str) -> None:
    done = run("ecl_reader", file, *options.split())
    assert (done.returncode, done.stdout) == (status, "")
    assert f"ERROR: {message}" in done.stderr


def test_follow_without_any_history_is_an_error(run: Run, server: Server, config_file: Write) -> None:
    file = config_file({"redis": server.config, "groups": {"bare": GROUPS["bare"]}})
    done = run("ecl_reader", file, "--format", "graphite", "--follow")
    assert (done.returncode, done.stdout) == (1, "")
    assert "ERROR: no group to print: none keeps a history" in done.stderr


# The real programs


@pytest.fixture
def fed(run: Run, file: Path, days: Days) -> Callable[[str], str]:
    """Returns what the command prints in a format, of yesterday's awkward events."""
    days.finish("http", COUNTS)

    def fed(chosen_format: str) -> str:
        done = run("ecl_reader", file, "--format", chosen_format, "-g", "http", PYTHONIOENCODING="utf-8")
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return fed


def send(port: int, text: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(text.encode())


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


CARBON = """\
[cache]
STORAGE_DIR = {directory}
LOCAL_DATA_DIR = {directory}/data
LOG_DIR = {directory}
PID_DIR = {directory}
CONF_DIR = {directory}
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {port}
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = {query_port}
PICKLE_RECEIVER_PORT = 0
MAX_CREATES_PER_MINUTE = inf
USER =
"""


def test_carbon_stores_each_event_in_its_interval(
    start: Start, days: Days, fed: Callable[[str], str], tmp_path: Path
) -> None:
    needs_debian("graphite-carbon", "carbon-cache")
    port = free_port()
    (tmp_path / "carbon.conf").write_text(
        CARBON.format(directory=tmp_path, port=port, query_port=free_port())
    )
    (tmp_path / "storage-schemas.conf").write_text("[ecl]\npattern = ^ecl\\.\nretentions = 1d:30d\n")
    (tmp_path / "storage-aggregation.conf").write_text("")
    with (tmp_path / "log").open("w") as log:
        start(
            "carbon-cache",
            f"--config={tmp_path / 'carbon.conf'}",
            "--nodaemon",
            "start",
            stdout=log,
            stderr=log,
        )
    wait_until(lambda: listens(port), what="carbon listens")
    send(port, fed("graphite"))
    stored = tmp_path / "data" / "ecl" / "http" / "24h"
    wait_until(lambda: stored.exists() and len(list(stored.iterdir())) == len(COUNTS), what="all are stored")
    for event_id in ("ok", "a b", "a.b", "\udcff"):
        path = stored / (percent_encoded(event_id).replace(".", "%2E") + ".wsp")
        assert fetched(path, days.start(1)) == float(COUNTS[event_id])


def fetched(path: Path, time_s: int) -> float:
    """Returns the value that whisper has stored for a period, as soon as there is one."""
    span = (f"--from={time_s - 1}", f"--until={time_s + DAY_S - 1}")

    def value() -> str:
        done = subprocess.run(["whisper-fetch", *span, str(path)], capture_output=True, text=True)
        return dict(line.split() for line in done.stdout.splitlines()).get(str(time_s), "None")

    wait_until(lambda: value() != "None", what=f"{path} has a value")
    return float(value())


INFLUX = """\
reporting-disabled = true
bind-address = "127.0.0.1:{backup_port}"
[meta]
  dir = "{directory}/meta"
[data]
  dir = "{directory}/data"
  wal-dir = "{directory}/wal"
[http]
  bind-address = "127.0.0.1:{port}"
[monitor]
  store-enabled = false
"""


def test_influxdb_stores_each_event_with_its_start(
    start: Start, days: Days, fed: Callable[[str], str], tmp_path: Path
) -> None:
    needs_debian("influxdb", "influxd")
    port = free_port()
    config = tmp_path / "influx.toml"
    config.write_text(INFLUX.format(directory=tmp_path, port=port, backup_port=free_port()))
    start("influxd", "run", "-config", config, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(path: str, data: bytes | None = None, **query: str) -> Any:
        url = f"http://127.0.0.1:{port}/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, data, timeout=20) as response:
            return json.loads(response.read() or "null")

    wait_until(lambda: listens(port), what="InfluxDB listens")
    ask("query", b"", q="CREATE DATABASE ecl")
    ask("write", fed("influx").encode(), db="ecl")
    found = ask("query", db="ecl", epoch="s", q='SELECT count, event, "group", interval FROM ecl')
    rows = found["results"][0]["series"][0]["values"]
    stored = {event: count for _, count, event, *_ in rows}
    assert {tuple(row[3:]) for row in rows} == {("http", "24h")}
    assert {row[0] for row in rows} == {days.start(1)}
    assert stored == {IN_INFLUX.get(event_id, event_id): count for event_id, count in COUNTS.items()}


class Trapper:
    """A server that answers one request of zabbix_sender as Zabbix does."""

    def __init__(self) -> None:
        self.data: list[dict[str, Any]] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self) -> None:
        connection, _ = self._socket.accept()
        with connection, connection.makefile("rwb") as stream:
            head = stream.read(13)  # "ZBXD", flags, length, reserved
            self.data = json.loads(stream.read(int.from_bytes(head[5:9], "little")))["data"]
            answer = b'{"response":"success","info":"processed: 1; failed: 0; total: 1; seconds spent: 0"}'
            stream.write(b"ZBXD\x01" + len(answer).to_bytes(8, "little") + answer)

    def close(self) -> None:
        self._thread.join(20)
        self._socket.close()


def test_zabbix_sender_reads_each_event(days: Days, fed: Callable[[str], str]) -> None:
    needs_debian("zabbix-agent", "zabbix_sender")
    text = fed("zabbix")
    trapper = Trapper()
    command = ["zabbix_sender", "-z", "127.0.0.1", "-p", str(trapper.port), "-s", "host", "-T", "-i", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    trapper.close()
    assert done.returncode == 0, done.stdout + done.stderr
    assert {each["key"]: int(each["value"]) for each in trapper.data} == {
        f"ecl.count[http,24h,{percent_encoded(event_id)}]": count for event_id, count in COUNTS.items()
    }
    assert {(each["host"], each["clock"]) for each in trapper.data} == {("host", days.start(1))}
