from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from event_count_logger.config import GroupConfig, History, RedisConfig, from_dicts
from event_count_logger.intervals import Interval
from event_count_logger.logs import counted
from event_count_logger.reading.group_rates import GroupRates
from event_count_logger.reading.reader import Reader, Snapshot
from event_count_logger.render import top as render
from event_count_logger.render.event_table import bar
from event_count_logger.render.phrases import duration, printable
from event_count_logger.store import Store
from event_count_logger.top.sample import Overview, Sample, Target
from event_count_logger.top.view import COLUMNS, Frame, View, press, sorted_events
from event_count_logger.top.watcher import Answer
from tests.conftest import BIN, needs_debian
from tests.days import DAY, Days
from tests.fixtures import Run, Start, Write
from tests.groups import group_of
from tests.servers import Server, wait_until
from tests.terminal import Terminal

Open = Callable[..., Terminal]

#: An interval that ends in no test.

HOSTILE = {"[red]tag[/red]": 3, "\x1b[31mred": 2, "日本語" * 20: 9, "é" * 200: 4}

GROUPS: dict[str, Any] = {
    "web": {"events": ["ok", "error"], "intervals": ["24h", "48h"], "title": "Web site"},
    "http": {"auto_declare_events": True, "intervals": ["24h"], "labels": {"404": "not found"}},
    "fast": {"events": ["tick"], "intervals": ["1s"]},
    "secret": {"events": ["a"], "intervals": ["24h"], "hidden": True},
}


@pytest.fixture
def file(server: Server, config_file: Write) -> Path:
    return config_file({"redis": server.config, "groups": GROUPS})


@pytest.fixture
def days(server: Server) -> Iterator[Days]:
    days = Days(from_dicts(GROUPS, server.config))
    yield days
    days.close()


WEB = GroupConfig("web", (DAY,), ("ok", "error"))
HTTP = GroupConfig("http", (DAY,), auto_declare_events=True)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Open]:
    """Run `ecl top` in a terminal."""
    needs_debian("tmux", "tmux")
    opened: list[Terminal] = []

    def open_(*arguments: object, **environment: str) -> Terminal:
        settings = [f"{name}={value}" for name, value in environment.items()]
        opened.append(Terminal(tmp_path, "env", *settings, BIN / "ecl", "top", *arguments))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


# on a terminal


def test_numbers_on_screen_equal_redis(terminal: Open, file: Path, days: Days) -> None:
    days.count("web", {"ok": 86_400, "error": 43_200}, days_ago=1)
    days.rotate(WEB)
    days.count("web", {"ok": 1_234})
    top = terminal(file, "web")
    lines = top.sees("ok", "1.00", "86,400", "1,234", "87,634")
    assert lines[0].split() == [
        "Web",
        "site",
        "(web)",
        "·",
        "24h",
        "in",
        "time,",
        "no",
        "master",
        "heartbeat",
    ]
    assert "rates are of the last one (1d)" in lines[1]
    top.sees("error", "0.50", "43,200", "0", "43,200")
    days.count("web", {"error": 5})
    top.sees("error", "0.50", "43,200", "5", "43,205")
    top.press("q")
    assert top.ended() == 0


def test_unfinished_interval_is_not_shown_as_0(terminal: Open, file: Path, days: Days) -> None:
    top = terminal(file, "web")
    lines = top.sees("nothing counted yet")
    assert [line.split()[1:5] for line in lines if line.startswith(" ok")] == [["-", "-", "-", "0"]]
    days.count("web", {"ok": 3})
    lines = top.sees("none has finished yet")
    assert [line.split()[2:5] for line in lines if line.startswith(" ok")] == [["-", "3", "3"]]


def test_rotation_moves_counts_and_missing_master_is_shown(
    terminal: Open, start: Start, run: Run, file: Path
) -> None:
    master = start("ecl_master", file)
    top = terminal(file, "fast", "-d", "0.1", "--sort", "event")
    wait_until(lambda: top.lines[0].endswith(" in time"), what="the master has a heartbeat")
    assert run("ecl_log_event", file, "fast", "tick").returncode == 0
    top.sees("tick", "1.00", " 1 ", " 0 ")
    top.sees("tick", " 0 ", " 0 ", " 1 ")
    master.send_signal(signal.SIGTERM)
    top.sees("STALE: overdue by", "no master heartbeat")


def test_screen_recovers_after_redis_restart(terminal: Open, own_server: Server, config_file: Write) -> None:
    file = config_file({"redis": own_server.config, "groups": GROUPS})
    store = Store(RedisConfig(**own_server.config))
    store.commits.commit(group_of("web", [DAY]), "test", 0, 1, {"ok": 7})
    top = terminal(file, "web", "-d", "0.1")
    top.sees("ok", "7")
    own_server.kill()
    lines = top.sees("old: Redis at 127.0.0.1")
    assert any(line.startswith(" ok") and " 7 " in line for line in lines)
    top.press("/", "e", "r", "r")  # keys still work
    top.sees("1 event with 'err'")
    top.press("Escape")
    own_server.start()
    top.sees("in time")
    store.commits.commit(group_of("web", [DAY]), "test", 1, 2, {"ok": 1})
    top.sees("ok", "8")
    store.close()


def test_keys_work_while_redis_stalls(terminal: Open, own_server: Server, config_file: Write) -> None:
    file = config_file({"redis": {**own_server.config, "socket_timeout": 30}, "groups": GROUPS})
    top = terminal(file, "web", "-d", "0.1")
    top.sees("nothing counted yet")
    own_server.stall()
    try:
        top.sees("old: Redis is slow")
        top.press("q")
        assert top.ended() == 0
    finally:
        own_server.go_on()


def test_keys_choose_group_and_interval(terminal: Open, file: Path, days: Days) -> None:
    days.count("http", {"200": 5})
    top = terminal(file)
    assert "secret" not in "".join(top.sees("Web site", "24h"))
    top.sees("http", "24h", "5", "in time")
    top.press("Down", "Down", "Enter")
    top.sees("http · 24h")
    top.press("Tab")
    top.sees("fast · 1s")
    top.press("Tab", "i")
    top.sees("Web site (web) · 48h")
    top.press("g")
    top.sees("all groups")
    top.press("C-c")
    assert top.ended() == 0


def test_keys_filter_sort_and_scroll_events(terminal: Open, file: Path, days: Days) -> None:
    days.count("http", {f"event-{number:03}": number for number in range(300)} | {"404": 1000})
    top = terminal(file, "http", "--sort", "current")
    assert [line.split()[0] for line in top.sees("1 to 20 of 301 events")[3:6]] == [
        "not",
        "event-299",
        "event-298",
    ]
    top.press("r", "End")
    assert "not found" in top.sees("282 to 301 of 301 events")[22]
    top.press("/", "N", "o", "t", "Enter")
    top.sees("1 event with 'Not'")
    top.press("/", "BSpace", "BSpace", "BSpace", "1", "0", "Enter")
    top.sees("13 events with '10'")
    top.press("Escape", "r", "<", "<", "<")
    top.sees("event ▲")
    top.press("PPage", "Home", "PPage")
    assert top.sees("1 to 20 of 301 events")[4].startswith(" event-000")


def test_unusual_events_fit_any_window(terminal: Open, file: Path, days: Days) -> None:
    days.count("http", HOSTILE)
    top = terminal(file, "http", "--sort", "current")
    lines = top.sees("[red]tag[/red]", " 3 ")
    assert [line.split()[0][:6] for line in lines[3:7]] == ["日本語日本語", "éééééé", "[red]t", r"\x1b[3"]
    for width, height, begin in ((30, 6, " http · 24h "), (5, 2, " htt…"), (1, 1, "…"), (200, 50, " http")):
        top.resize(width, height)
        top.sees(begin)
    top.sees("[red]tag[/red]")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_restores_the_terminal(terminal: Open, file: Path, number: signal.Signals) -> None:
    top = terminal(file, "web")
    top.sees("Web site")
    os.kill(top.pid, number)
    assert top.ended() == 0


def test_closed_window_ends_top(terminal: Open, file: Path) -> None:
    top = terminal(file, "web")
    top.sees("Web site")
    pid = top.pid
    top.close()
    wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_top_ends_after_given_number_of_reads(terminal: Open, file: Path) -> None:
    assert terminal(file, "web", "-c", "2", "-d", "0.1").ended() == 0


# without a terminal

#: Python code that hides the package rich.
NO_RICH = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "rich":
            raise ModuleNotFoundError("No module named 'rich'", name=name)
sys.meta_path.insert(0, Finder())
"""


class Rows:
    """The rows that a program prints, and their sums by column."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        self._lines = process.stdout
        self._header: list[str] = []
        self.sums: dict[str, int] = {}

    def next(self) -> dict[str, str]:
        """Returns the next row, without any headers before it."""
        while not re.fullmatch(r"[-?0-9 ]+", line := self._lines.readline().rstrip("\n")):
            self._header = line.split()
        row = dict(zip(self._header, line.split(), strict=True))
        for name, count in row.items():
            self.sums[name] = self.sums.get(name, 0) + (int(count) if count.isdecimal() else 0)
        return row


@pytest.mark.parametrize("totals", [True, False])
def test_rows_sum_to_all_counts_across_rotations(
    start: Start, server: Server, config_file: Write, totals: bool
) -> None:
    group = {"events": ["a", "b"], "auto_declare_events": True, "intervals": ["0.2s"], "totals": totals}
    file = config_file(json.dumps({"redis": server.config, "groups": {"g": group}}))
    start("ecl_master", file)
    wait_until(lambda: "g:0.2s:last:@ts" in server.everything(), what="the master has begun")
    rows = Rows(start("ecl", "top", file, "g", "-d", "0.05"))
    assert rows.next() == {"a": "0", "b": "0"}
    store = Store(RedisConfig(**server.config))
    for number in range(1000):
        store.commits.commit(
            group_of("g", [Interval.parse("0.2s")]), "test", number, number + 1, {"a": 1, "late": 2}
        )
        time.sleep(0.001)
    store.close()
    wait_until(lambda: rows.next() and rows.sums["a"] >= 1000, what="all counts are printed")
    assert rows.next() == {"a": "0", "b": "0", "late": "0"}
    assert rows.sums == {"a": 1000, "b": 0, "late": 2000}


def test_row_after_redis_outage_includes_missed_counts(
    start: Start, own_server: Server, config_file: Write
) -> None:
    file = config_file({"redis": own_server.config, "groups": GROUPS})
    rows = Rows(start("ecl", "top", file, "web", "-d", "0.1"))
    assert rows.next() == {"ok": "0", "error": "0"}
    own_server.kill()
    wait_until(lambda: rows.next() == {"ok": "-", "error": "-"})
    own_server.start()
    store = Store(RedisConfig(**own_server.config))
    store.commits.commit(group_of("web", [DAY]), "test", 0, 1, {"ok": 5})
    store.close()
    wait_until(lambda: rows.next() == {"ok": "5", "error": "0"})
    assert rows.next() == {"ok": "0", "error": "0"}


def test_row_of_group_without_events_shows_placeholder(run: Run, file: Path) -> None:
    done = run("ecl", "top", file, "http", "-c", "2", "-d", "0.01")
    assert done.stdout.splitlines() == ["(no event yet)", *["             -"] * 2]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["secret"], 1, "group 'secret' is hidden ('hidden: true' in its configuration)"),
        (["nothing"], 1, "Group 'nothing' not found in configuration (configured: web, http, fast)"),
        (["web", "-i", "1h"], 1, "group 'web' has no interval '1h' (configured: 24h, 48h)"),
        ([], 2, "expected GROUP, one of: web, http, fast"),
        (["-i", "24h"], 2, "--interval can only be used with GROUP"),
        (["web", "24h"], 2, "expected CONFIG [GROUP], not 3 arguments"),
        (["web", "-d", "0"], 2, "SECONDS and COUNT must be above 0"),
        (["web", "-c", "0"], 2, "SECONDS and COUNT must be above 0"),
    ],
)
def test_wrong_target_is_reported_in_one_line(
    run: Run, file: Path, arguments: list[str], status: int, message: str
) -> None:
    done = run("ecl", "top", file, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"ERROR: {message}\n")


@pytest.mark.parametrize(
    ("arguments", "named"), [("", True), ("web", True), ("FILE web", False), ("FILE web", True)]
)
def test_ecl_config_in_environment_replaces_omitted_argument(
    run: Run, file: Path, arguments: str, named: bool
) -> None:
    words = [str(file) if word == "FILE" else word for word in arguments.split()]
    done = run("ecl", "top", "-c", "1", *words, ECL_CONFIG=str(file) if named else "missing.yml")
    if words:
        assert (done.returncode, done.stdout.split()) == (0, ["ok", "error", "0", "0"])
    else:
        assert done.stderr == "ERROR: expected GROUP, one of: web, http, fast\n"


def test_dumb_terminal_gets_rows(terminal: Open, file: Path) -> None:
    top = terminal(file, "web", "-c", "1", TERM="dumb")
    top.sees("ok", "error")
    assert top.ended() == 0


@pytest.mark.parametrize(
    ("groups", "message"),
    [({"secret": GROUPS["secret"]}, "all groups are hidden"), ({}, "the configuration has no groups")],
)
def test_configuration_without_shown_groups_is_an_error(
    run: Run, server: Server, config_file: Write, groups: dict[str, Any], message: str
) -> None:
    done = run("ecl", "top", config_file({"redis": server.config, "groups": groups}))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert message in done.stderr


def test_rich_is_required_only_on_a_terminal(
    run: Run, terminal: Open, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_RICH)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run("ecl", "top", file, "web", "-c", "1").stdout.split() == ["ok", "error", "0", "0"]
    top = terminal(file, "web")
    top.sees("ERROR: ecl top needs rich on a terminal: install the extra 'top': pip install '.[top]'")
    assert top.ended() == 2


@pytest.mark.parametrize(
    ("history", "added"), [(60, {"ok": 4, "error": 0}), (0, {"ok": None, "error": None})]
)
def test_intervals_missing_in_history_make_a_row_unknown(
    days: Days, history: int, added: dict[str, int | None]
) -> None:
    group = replace(WEB, totals=False, history=History.of(history))
    rates = GroupRates(Reader(days.store), group, DAY)
    days.count("web", {"ok": 5}, days_ago=3)
    assert rates.next() == {"ok": 5, "error": 0}
    days.count("web", {"ok": 1}, days_ago=3)
    for days_ago in (2, 1, 0):
        days.rotate(group, days_ago)
        days.count("web", {"ok": 1}, days_ago)
    assert rates.next() == added
    days.count("web", {"ok": 2})
    assert rates.next() == {"ok": 2, "error": 0}


def test_counts_lost_by_redis_are_unknown_in_a_row(server: Server, days: Days) -> None:
    rates = GroupRates(Reader(days.store), WEB, DAY)
    days.count("web", {"ok": 5})
    rates.next()
    with server.client as client:
        client.flushall()
    assert rates.next() == {"ok": None, "error": 0}
    assert rates.next() == {"ok": 0, "error": 0}


# the screen


def sample(counts: dict[str, int], **changed: Any) -> Sample:
    last = Snapshot("http", "24h", "last", 0.0, 86_400.0, counts, 86_500.0, 0)
    current = Snapshot("http", "24h", "cur", 86_400.0, None, counts, 86_500.0, 0)
    parts = {
        "last": last,
        "current": current,
        "totals": counts,
        "trend": [last.rates] * 3,
        "open_sessions": None,
    }
    return Sample(**{**parts, "has_master": True, "read_at": 0.0, **changed})


def drawn(view: View, found: Sample, width: int, height: int) -> list[str]:
    size = render.Size(width, height)
    assert view.target
    lines = render.screen(
        view, Answer(view.target, found), sorted_events(view, found), [view.target], size, 0.0
    )
    return [line.plain for line in lines]


@pytest.mark.parametrize(
    ("n_without", "state"),
    [(0, ""), (1, "no master heartbeat of 1 group"), (2, "no master heartbeat")],
)
def test_list_shows_number_of_groups_without_master(n_without: int, state: str) -> None:
    pairs = [
        (
            Snapshot(name, "24h", "last", 0.0, 86_400.0, {}, 86_500.0, 0),
            Snapshot(name, "24h", "cur", 86_400.0, None, {}, 86_500.0, 0),
        )
        for name in ("web", "api")
    ]
    targets = [
        Target(group, group.intervals[0])
        for group in from_dicts({name: {"intervals": ["24h"]} for name in ("web", "api")}).groups.values()
    ]
    answer = Answer(None, Overview(pairs, n_without, 0.0))
    title = render.screen(View(), answer, [], targets, render.Size(100, 10), 0.0)[0].plain
    assert title.removeprefix(" all groups ").strip() == state


@given(
    st.dictionaries(st.text(min_size=1), st.integers(0, 2**64), max_size=30),
    st.sampled_from(COLUMNS),
    st.integers(1, 150),
    st.integers(1, 40),
)
def test_every_screen_fits_its_window(counts: dict[str, int], sort: str, width: int, height: int) -> None:
    lines = drawn(View(Target(HTTP, DAY), sort), sample(counts), width, height)
    assert len(lines) == height
    assert all(cell_len(line) <= width and line.isprintable() for line in lines)


def test_bar_length_is_proportional() -> None:
    assert [bar(part, 2) for part in (0, 0.001, 0.25, 0.5, 1)] == ["", "╸", "╸", "━", "━━"]


def test_small_value_never_looks_like_0() -> None:
    lines = drawn(View(Target(HTTP, DAY)), sample({"once": 1, "never": 0}), 100, 10)
    assert lines[3].split()[:5] == ["once", "<0.01", "1", "1", "1"]
    assert lines[4].split()[:5] == ["never", "0", "0", "0", "0"]


VISITS = from_dicts({"visits": {"auto_declare_events": True, "intervals": ["24h"], "sessions": {}}}).group(
    "visits"
)


def test_milliseconds_of_sessions_are_in_no_row_bar_or_sum() -> None:
    target = Target(VISITS, DAY)
    found = sample({"shop": 3, "blog": 1, "shop:ms": 200_000, "blog:ms": 40_000}, open_sessions=2)
    lines = drawn(View(target, "last"), found, 100, 7)
    assert "2 open, mean length 1m" in lines[1]
    assert [line.split()[0] for line in lines[3:5]] == ["shop", "blog"]
    assert lines[5].strip() == ""
    assert lines[3].count("━") > 3 * lines[4].count("━") - 3 > 10
    overview = Overview([(found.last, found.current)], 0, 0.0)
    listed = render.screen(View(), Answer(None, overview), [], [target], render.Size(100, 5), 0.0)
    assert listed[3].plain.split()[2:5] == ["<0.01", "4", "4"]


def test_buckets_of_a_histogram_are_in_no_row_or_sum() -> None:
    found = sample({"r": 3, "r:le:0.5": 1, "r:le:1": 2, "alone:le:1": 4})
    lines = drawn(View(Target(HTTP, DAY), "last"), found, 100, 7)
    assert [line.split()[0] for line in lines[3:5]] == ["alone:le:1", "r"]
    assert lines[5].strip() == ""
    overview = Overview([(found.last, found.current)], 0, 0.0)
    listed = render.screen(View(), Answer(None, overview), [], [Target(HTTP, DAY)], render.Size(100, 5), 0.0)
    assert listed[3].plain.split()[3:5] == ["7", "7"]


def test_event_with_the_ending_of_session_times_is_plain_without_sessions() -> None:
    lines = drawn(View(Target(HTTP, DAY)), sample({"plain:ms": 7}), 100, 7)
    assert lines[3].split()[:3] == ["plain:ms", "<0.01", "7"]


def test_event_missing_in_last_interval_shows_0() -> None:
    found = sample({"new": 5})
    found = replace(found, last=replace(found.last, counts={}))
    assert drawn(View(Target(HTTP, DAY)), found, 100, 10)[3].split()[:5] == ["new", "0", "0", "5", "5"]
    found = replace(found, last=replace(found.last, start=None, end=None))
    assert drawn(View(Target(HTTP, DAY)), found, 100, 10)[3].split()[:5] == ["new", "0.05", "-", "5", "5"]


FRAME = Frame([Target(HTTP, DAY), Target(WEB, DAY)], rows=50, page=20)


@pytest.mark.parametrize(
    ("keys", "changed"),
    [
        (["down", "down", "up"], {"first": 1}),
        (["up"], {"first": 0}),
        (["end", "down"], {"first": 30}),
        (["page down", "home"], {"first": 0}),
        ([">", ">"], {"sort": "current"}),
        (["<", "<"], {"sort": "total"}),
        (["/", "q", "r", "backspace", "enter"], {"search": "q"}),
        (["/", "q", "escape"], {}),
        (["/", "q", "ctrl-c"], {"search": "q", "typing": True, "has_quit": True}),
        (["tab"], {"target": FRAME.targets[1]}),
        (["g", "down", "enter"], {"target": FRAME.targets[1]}),
        (["g", "end", "page down", "enter"], {"target": FRAME.targets[1]}),
        (["z", "\x1b[99~", "f13"], {}),
        (["q"], {"has_quit": True}),
    ],
)
def test_key_changes_the_view(keys: list[str], changed: dict[str, Any]) -> None:
    begin = view = View(FRAME.targets[0])
    for key in keys:
        view = press(view, key, FRAME)
    assert view == replace(begin, **changed)


def test_values_are_formatted_for_people() -> None:
    seconds = (0, 0.25, 9.96, 59.6, 61, 3600, 90_061)
    assert [duration(each) for each in seconds] == ["0s", "0.2s", "10s", "1m", "1m 1s", "1h", "1d 1h"]
    assert printable("a\x1b[31m\u202eé\ud800") == r"a\x1b[31m\u202eé\ud800"
    assert [counted(each, "event") for each in (0, 1, 1000)] == ["0 events", "1 event", "1,000 events"]
