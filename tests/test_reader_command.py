"""ecl_reader: formats, rates, history, totals, metrics and --follow. test_commands.py has the rest."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from event_count_logger.config import from_dicts
from tests.conftest import BIN
from tests.days import DAY_S, Days
from tests.fixtures import Make, Run, Start, Write
from tests.servers import Server, wait_until

#: An environment in which Python buffers standard output.
BUFFERED = {**os.environ, "PYTHONUNBUFFERED": ""}

GROUPS = {
    "web": {"events": ["ok", "error"], "intervals": ["24h"]},
    "http": {"auto_declare_events": True, "intervals": ["24h"], "hidden": True},
    "short": {"auto_declare_events": True, "intervals": ["24h"], "history": 2},
    "bare": {"events": ["a"], "intervals": ["24h"], "history": 0, "totals": False},
}


@pytest.fixture
def days(own_server: Server) -> Iterator[Days]:
    days = Days(from_dicts(GROUPS, own_server.config))
    yield days
    days.close()


@pytest.fixture
def file(own_server: Server, config_file: Write) -> Path:
    return config_file({"redis": own_server.config, "groups": GROUPS})


def utc(days: Days, days_ago: int) -> str:
    return datetime.fromtimestamp(days.start(days_ago), timezone.utc).strftime("%Y-%m-%dT00:00:00Z")


# Formats


def test_csv_has_header_and_one_row_per_event(start: Start, file: Path, days: Days) -> None:
    days.finish("web", {"ok": 54}, 1)
    days.count("web", {"error": 2}, 0)
    both = start("ecl_reader", file, "-g", "web", "--both", "--format", "csv", text=False)
    last, today = days.start(1), days.start(0)
    assert both.communicate(timeout=60) == (
        f"start,end,event,count\r\n{last},{today},error,0\r\n{last},{today},ok,54\r\n"
        f"{today},,error,2\r\n{today},,ok,0\r\n".encode(),
        b"",
    )


def test_csv_quotes_special_event_ids(run: Run, file: Path, days: Days) -> None:
    hostile = {'say "hi", twice': 1, "a,b": 2, "=1+1": 3, "é": 4}
    days.finish("http", hostile, 1)
    done = run("ecl_reader", file, "-g", "http", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["event"]: int(row["count"]) for row in rows} == hostile


def test_csv_before_first_interval_has_no_rows(run: Run, file: Path, days: Days) -> None:
    days.count("web", {"ok": 1}, 0)
    done = run("ecl_reader", file, "-g", "web", "--format", "csv")
    assert done.stdout == "start,end,event,count\n"
    assert done.stderr == "WARNING: interval '24h' of group 'web': no interval has finished yet\n"


def test_format_json_equals_json_option(run: Run, file: Path, days: Days) -> None:
    days.finish("web", {"ok": 54}, 1)
    short, long = (
        json.loads(run("ecl_reader", file, "-g", "web", *options).stdout)
        for options in (["--json"], ["--format", "json"])
    )
    assert short.keys() == long.keys()
    assert short["counts"] == long["counts"] == {"error": 0, "ok": 54}


def test_warnings_go_to_standard_error_only(start: Start, file: Path, days: Days) -> None:
    days.finish("web", {"ok": 1}, 3)
    closed = start("sh", "-c", 'exec "$0" "$@" 2>&-', BIN / "ecl_reader", file, "-g", "web")
    assert closed.communicate(timeout=60)[0] == "error:0\nok:1\n"


# Rates


def test_rates_use_true_length_of_interval(run: Run, file: Path, days: Days) -> None:
    days.finish("web", {"ok": 5 * DAY_S}, 1)
    assert run("ecl_reader", file, "-g", "web", "--rate").stdout == "error:0.0\nok:5.0\n"


def test_rate_of_merged_intervals_spans_both(run: Run, file: Path, days: Days) -> None:
    days.count("web", {"ok": DAY_S}, 2)
    days.finish("web", {"ok": 2 * DAY_S}, 1)
    found = json.loads(run("ecl_reader", file, "-g", "web", "--rate", "--json").stdout)
    assert (found["counts"]["ok"], found["rates"]) == (3 * DAY_S, {"error": 0.0, "ok": 1.5})
    rows = run("ecl_reader", file, "-g", "web", "--rate", "--format", "csv").stdout.splitlines()
    assert rows[0] == "start,end,event,count,rate"
    assert rows[2] == f"{days.start(2)},{days.start(0)},ok,{3 * DAY_S},1.5"


def test_interval_of_unknown_length_has_no_rate(run: Run, file: Path, days: Days, own_server: Server) -> None:
    days.finish("web", {"ok": 5}, 1)
    with own_server.client as client:
        client.delete("web:24h:last:@ts")  # as a master of an older version leaves it
    done = run("ecl_reader", file, "-g", "web", "--rate")
    assert done.stdout == ""
    assert done.stderr == (
        "WARNING: interval '24h' of group 'web': "
        "length unknown (ended by a master of version 1.1), so no rates\n"
    )


# History and totals


def test_history_is_printed_oldest_first(run: Run, file: Path, days: Days) -> None:
    for days_ago in (3, 2, 1):
        days.finish("web", {"ok": days_ago}, days_ago)
    done = run("ecl_reader", file, "-g", "web", "--history", 2)
    older, newer = (f"{utc(days, days_ago)} to {utc(days, days_ago - 1)}:" for days_ago in (2, 1))
    assert done.stdout == f"{older}\nerror:0\nok:2\n{newer}\nerror:0\nok:1\n"
    found = json.loads(run("ecl_reader", file, "-g", "web", "--history", 9, "--json").stdout)
    assert [each["counts"]["ok"] for each in found] == [3, 2, 1]
    assert [each["end"] for each in found] == [days.start(n) for n in (2, 1, 0)]
    rows = run("ecl_reader", file, "-g", "web", "--history", 3, "--format", "csv").stdout.splitlines()
    assert [row.rpartition(",")[2] for row in rows if ",ok," in row] == ["3", "2", "1"]


def test_history_with_overdue_rotation_is_stale(run: Run, file: Path, days: Days) -> None:
    days.finish("web", {"ok": 1}, 3)
    done = run("ecl_reader", file, "-g", "web", "--history", 2, "--strict")
    assert done.returncode == 4
    assert done.stderr.startswith("WARNING: interval '24h' of group 'web': stale, the rotation is ")


def test_totals_are_all_time_totals(run: Run, file: Path, days: Days) -> None:
    days.finish("web", {"ok": 10}, 2)
    days.finish("web", {"ok": 10}, 1)
    days.count("web", {"ok": 1, "error": 1}, 0)
    assert run("ecl_reader", file, "-g", "web", "--totals").stdout == "error:1\nok:21\n"
    found = json.loads(run("ecl_reader", file, "-g", "web", "--totals", "--json").stdout)
    assert found.keys() == {"group", "server_time", "counts"}
    assert (found["group"], found["counts"]) == ("web", {"error": 1, "ok": 21})
    done = run("ecl_reader", file, "-g", "web", "--totals", "--format", "csv")
    assert done.stdout == "event,total\nerror,1\nok,21\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--history", "1"],
            "group 'bare' keeps no history of interval '24h' ('history: 0' in its configuration)",
        ),
        (["--follow"], "group 'bare' keeps no history of interval '24h' ('history: 0' in its configuration)"),
        (["--totals"], "group 'bare' keeps no totals ('totals: false' in its configuration)"),
    ],
)
def test_group_without_history_or_totals_fails_to_print_them(
    run: Run, file: Path, options: list[str], message: str
) -> None:
    done = run("ecl_reader", file, "-g", "bare", *options)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"ERROR: {message}\n")


# Metrics


def groups_in(page: str) -> set[str]:
    return {
        sample.labels["group"]
        for family in parse_openmetrics(page)
        for sample in family.samples
        if "group" in sample.labels
    }


def test_metrics_cover_all_groups_except_hidden_ones(run: Run, file: Path, days: Days) -> None:
    days.finish("web", {"ok": 54}, 1)
    done = run("ecl_reader", file, "--format", "openmetrics")
    assert (done.returncode, done.stderr) == (0, "")
    assert groups_in(done.stdout) == {"web", "short", "bare"}
    assert 'ecl_last_interval_events{group="web",interval="24h",event="ok"} 54\n' in done.stdout


def test_metrics_of_hidden_group_are_printed_if_named(run: Run, file: Path, days: Days) -> None:
    days.count("http", {"a": 1}, 0)
    assert groups_in(run("ecl_reader", file, "-g", "http", "--format", "openmetrics").stdout) == {"http"}
    older = run("ecl_reader", file, "-g", "http", "--format", "prometheus").stdout
    assert 'ecl_events_total{group="http",event="a"} 1\n' in older
    assert "# EOF" not in older


def test_munin_format_covers_all_groups_except_hidden_ones(run: Run, file: Path, days: Days) -> None:
    days.finish("web", {"ok": 54}, 1)
    done = run("ecl_reader", file, "--format", "munin")
    assert "multigraph ecl_web_24h\nok.value 54\n" in done.stdout
    assert "http" not in done.stdout
    of_group = run("ecl_reader", file, "-g", "web", "-i", "24h", "--format", "munin")
    assert "ok.value 54\n" in of_group.stdout
    assert "multigraph" not in of_group.stdout
    assert run("ecl_reader", file, "-g", "http", "--format", "munin").returncode == 0


def test_metrics_without_redis_show_ecl_up_0_and_exit_with_3(
    run: Run, file: Path, days: Days, own_server: Server
) -> None:
    own_server.kill()
    done = run("ecl_reader", file, "--format", "openmetrics")
    assert done.returncode == 3
    assert "\necl_up 0\n" in done.stdout
    assert groups_in(done.stdout) == set()
    assert done.stderr.startswith("ERROR: Redis at ")
    assert done.stderr.count("\n") == 1


# Conflicting options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("-g web --current --totals", "--current and --totals exclude each other"),
        ("-g web --history 2 --follow", "--history and --follow exclude each other"),
        ("-g web --history 0", "0 is not in the range x>=1"),
        ("-g web --after 0", "--after can only be used with --follow, not with --last"),
        (
            "-g web --totals --rate",
            "--rate can only be used with --last, --current, --both, --history, --sum, --follow, "
            "not with --totals",
        ),
        (
            "-g web --follow --strict",
            "--strict can only be used with --last, --current, --both, --history, --sum, not with --follow",
        ),
        (
            "-g web --totals -i 24h",
            "--interval can only be used with --last, --current, --both, --history, --sum, --follow, "
            "not with --totals",
        ),
        ("-g web --json --format csv", "--json cannot be used with --format csv"),
        (
            "-g web --format xml",
            "'xml' is not one of 'text', 'json', 'csv', 'graphite', 'influx', 'zabbix', "
            "'zabbix-discovery', 'munin', 'openmetrics', 'prometheus'",
        ),
        ("--format openmetrics --totals", "--totals cannot be used with --format openmetrics"),
        ("--format munin --interval 5m", "--interval can only be used with --group"),
        ("-g web --format munin --rate", "--rate cannot be used with --format munin"),
        ("--format prometheus --rate", "--rate cannot be used with --format prometheus"),
        ("--format csv", "Missing option '-g' / '--group'"),
        (
            "-g web --follow --after x",
            "--after: 'x' is not a position (expected <milliseconds>-<number>), nor Unix seconds",
        ),
    ],
)
def test_conflicting_options_are_usage_errors(run: Run, file: Path, options: str, message: str) -> None:
    done = run("ecl_reader", file, *options.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


# --follow


@dataclass
class Following:
    """A running `ecl_reader --follow`."""

    process: subprocess.Popen[str]
    output: Path
    errors: Path

    def lines(self, n: int) -> list[str]:
        """Wait for n lines of output, and return the output."""
        wait_until(lambda: self.output.read_text().count("\n") >= n, what=f"{n} lines are printed")
        return self.output.read_text().splitlines()

    def objects(self, n: int) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines(n)]

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def follow(start: Start, file: Path, tmp_path: Path) -> Callable[..., Following]:
    def follow(*options: object) -> Following:
        output, errors = tmp_path / f"out-{len(os.listdir(tmp_path))}", tmp_path / "err"
        with output.open("w") as out, errors.open("w") as err:
            process = start("ecl_reader", file, "--follow", *options, stdout=out, stderr=err, env=BUFFERED)
        return Following(process, output, errors)

    return follow


def test_follow_prints_each_interval_as_it_finishes(follow: Callable[..., Following], days: Days) -> None:
    days.finish("web", {"ok": 5}, 5)
    following = follow("-g", "web", "--after", 0, "--json")
    assert following.objects(1)[0]["counts"] == {"error": 0, "ok": 5}
    days.finish("web", {"ok": 4}, 4)
    days.finish("web", {"error": 3}, 3)
    found = following.objects(3)
    assert [each["start"] for each in found] == [days.start(n) for n in (5, 4, 3)]
    assert [each["counts"] for each in found[1:]] == [{"error": 0, "ok": 4}, {"error": 3, "ok": 0}]
    assert [each["position"] for each in found] == [
        f"{days.start(n) * 1000}-{number}" for n, number in ((4, 1), (3, 2), (2, 3))
    ]
    assert not any(each["missed"] for each in found)


def test_follow_without_after_starts_at_next_interval(
    follow: Callable[..., Following], days: Days, own_server: Server
) -> None:
    days.finish("web", {"ok": 5}, 5)
    following = follow("-g", "web")
    with own_server.client as client:
        wait_until(lambda: client.info("commandstats").get("cmdstat_xrange"), what="the command waits")
    days.finish("web", {"ok": 4}, 4)
    assert following.lines(3) == [f"{utc(days, 4)} to {utc(days, 3)}:", "error:0", "ok:4"]


def test_restarted_follow_continues_at_its_position(follow: Callable[..., Following], days: Days) -> None:
    days.finish("web", {"ok": 6}, 6)
    days.finish("web", {"ok": 5}, 5)
    first = follow("-g", "web", "--after", 0, "--json")
    position = first.objects(2)[1]["position"]
    assert first.end() == 0
    days.finish("web", {"ok": 4}, 4)
    second = follow("-g", "web", "--after", position, "--json")
    assert [(each["counts"]["ok"], each["missed"]) for each in second.objects(1)] == [(4, 0)]
    assert second.end() == 0
    assert len(second.output.read_text().splitlines()) == 1


def test_follow_warns_of_dropped_intervals(follow: Callable[..., Following], days: Days) -> None:
    days.finish("short", {"a": 6}, 6)
    position = f"{days.start(5) * 1000}-1"
    for days_ago in (5, 4, 3, 2):
        days.finish("short", {"a": days_ago}, days_ago)
    following = follow("-g", "short", "--after", position, "--json")
    assert [(each["counts"]["a"], each["missed"]) for each in following.objects(2)] == [(3, 2), (2, 0)]
    assert following.errors.read_text() == (
        "WARNING: interval '24h' of group 'short': 2 intervals before this one are gone from the history\n"
    )


def test_follow_warns_of_one_dropped_interval_in_singular(
    follow: Callable[..., Following], days: Days
) -> None:
    for days_ago in (6, 5, 4, 3):
        days.finish("short", {"a": days_ago}, days_ago)
    following = follow("-g", "short", "--after", f"{days.start(5) * 1000}-1", "--json")
    assert [each["missed"] for each in following.objects(2)] == [1, 0]
    assert following.errors.read_text().endswith(": 1 interval before this one is gone from the history\n")


def test_followed_csv_has_one_header(follow: Callable[..., Following], days: Days) -> None:
    days.finish("web", {"ok": DAY_S}, 5)
    following = follow("-g", "web", "--after", 0, "--format", "csv", "--rate")
    following.lines(3)
    days.finish("web", {"ok": 2 * DAY_S}, 4)
    assert [row for row in following.lines(5) if ",error," not in row] == [
        "start,end,event,count,rate",
        f"{days.start(5)},{days.start(4)},ok,{DAY_S},1.0",
        f"{days.start(4)},{days.start(3)},ok,{2 * DAY_S},2.0",
    ]


def test_follow_continues_after_server_restart(
    follow: Callable[..., Following], days: Days, own_server: Server
) -> None:
    days.finish("web", {"ok": 5}, 5)
    following = follow("-g", "web", "--after", 0, "--json")
    following.objects(1)
    own_server.kill()
    wait_until(lambda: "cannot be reached" in following.errors.read_text())
    own_server.start()
    days.finish("web", {"ok": 4}, 4)
    assert [(each["counts"]["ok"], each["missed"]) for each in following.objects(2)] == [(5, 0), (4, 0)]
    assert following.errors.read_text().splitlines()[-1].endswith(" is back")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_follow(follow: Callable[..., Following], days: Days, number: int) -> None:
    days.finish("web", {"ok": 5}, 5)
    following = follow("-g", "web", "--after", 0, "--json")
    following.objects(1)
    assert following.end(number) == 0
    assert following.errors.read_text() == ""


def test_closed_output_ends_follow(start: Start, file: Path, days: Days) -> None:
    days.finish("web", {"ok": 5}, 5)
    following = start("ecl_reader", file, "-g", "web", "--follow", "--after", 0, "--json", env=BUFFERED)
    assert following.stdout and following.stderr
    assert json.loads(following.stdout.readline())["counts"]["ok"] == 5
    following.stdout.close()
    assert following.wait(60) == 0  # no further interval finishes
    assert following.stderr.read() == ""


def test_follow_prints_every_count_once(
    start: Start,
    run: Run,
    own_server: Server,
    config_file: Write,
    logger: Make,
    tmp_path: Path,
) -> None:
    groups = {"fast": {"auto_declare_events": True, "intervals": ["0.2s"], "sync_interval": 0.05}}
    path = config_file({"redis": own_server.config, "groups": groups})
    output = tmp_path / "out"
    with output.open("w") as out:
        command = ("ecl_reader", path, "-g", "fast", "--follow", "--after", 0, "--json")
        start(*command, stdout=out, stderr=subprocess.DEVNULL)
    start("ecl_master", path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    group = logger(groups, own_server.config)["fast"]

    def followed() -> int:
        lines = output.read_text().splitlines(keepends=True)
        complete = [json.loads(line) for line in lines if line.endswith("\n")]
        assert not any(each["missed"] for each in complete)
        return sum(each["counts"].get("a", 0) for each in complete)

    group.log("a", 1)
    wait_until(lambda: followed() == 1)
    own_server.kill()
    group.log("a", 10)
    own_server.start()
    wait_until(lambda: followed() == 11)
    group.log("a", 100)
    wait_until(lambda: followed() == 111)
