from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from event_count_logger.alerts.overview import Overview, Row, in_order
from event_count_logger.alerts.status import AlertStatus
from event_count_logger.config import AlertRule, GroupConfig, History, RedisConfig, Threshold, from_dicts
from event_count_logger.intervals import Interval
from event_count_logger.logs import counted
from event_count_logger.reading.group_rates import GroupRates
from event_count_logger.reading.overview import Change, Trend
from event_count_logger.reading.overview_reader import Current, GroupFigures, Last
from event_count_logger.reading.reader import Reader, Snapshot
from event_count_logger.render import top as render
from event_count_logger.render import top_keys
from event_count_logger.render.event_table import bar
from event_count_logger.render.phrases import duration, printable
from event_count_logger.store import Store
from event_count_logger.top.sample import Comparison, Listing, Sample, Target
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
    "fast": {"events": ["tick"], "intervals": ["3s"]},
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


def columns(lines: list[str], event: str) -> list[str]:
    """Returns the words of the row of an event; no words if it is not on the screen."""
    return next((line.split() for line in lines if line.startswith(f" {event} ")), [])


def first_words(lines: list[str]) -> list[str]:
    """Returns the first word of each line that has one."""
    return [line.split()[0] for line in lines if line.strip()]


# on a terminal


def test_numbers_on_screen_equal_redis(terminal: Open, file: Path, days: Days) -> None:
    days.count("web", {"ok": 86_400, "error": 43_200}, days_ago=1)
    days.rotate(WEB)
    days.count("web", {"ok": 1_234})
    top = terminal(file, "web")
    top.shows(
        lambda lines: (
            columns(lines, "ok")[:5] == ["ok", "1.00", "86,400", "1,234", "87,634"]
            and " ".join(lines[0].split()) == "Web site (web) · 24h in time, no master heartbeat"
            and "rates are of the last one (1d)" in lines[1]
        )
    )
    top.sees("error", "0.50", "43,200", "0", "43,200")
    days.count("web", {"error": 5})
    top.sees("error", "0.50", "43,200", "5", "43,205")
    top.press("q")
    assert top.ended() == 0


def test_unfinished_interval_is_not_shown_as_0(terminal: Open, file: Path, days: Days) -> None:
    top = terminal(file, "web")
    top.sees("nothing counted yet")
    top.shows(lambda lines: columns(lines, "ok")[1:5] == ["-", "-", "-", "0"])
    days.count("web", {"ok": 3})
    top.sees("none has finished yet")
    top.shows(lambda lines: columns(lines, "ok")[2:5] == ["-", "3", "3"])


def test_rotation_moves_counts_and_missing_master_is_shown(
    terminal: Open, start: Start, days: Days, file: Path
) -> None:
    master = start("ecl_master", file)
    top = terminal(file, "fast", "-d", "0.1", "--sort", "event")
    wait_until(lambda: top.lines[0].endswith(" in time"), what="the master has a heartbeat")
    top.sees("change against the interval before")  # from then on, there is a column of changes
    fast = days.config.group("fast")
    wait_until(lambda: days.store.client.server_time() % 3 < 0.3, what="an interval has just begun")
    days.store.commits.commit(fast, "test", 0, 1, {"tick": 1})  # the screen shows it before the interval ends
    top.shows(lambda lines: columns(lines, "tick")[2:3] == ["1"])
    top.shows(lambda lines: columns(lines, "tick")[2:3] == ["0"] and "1" in columns(lines, "tick")[4:])
    master.send_signal(signal.SIGTERM)
    top.sees("STALE: overdue by", "no master heartbeat")


def test_screen_recovers_after_redis_restart(terminal: Open, own_server: Server, config_file: Write) -> None:
    file = config_file({"redis": own_server.config, "groups": GROUPS})
    store = Store(RedisConfig(**own_server.config))
    store.commits.commit(group_of("web", [DAY]), "test", 0, 1, {"ok": 7})
    top = terminal(file, "web", "-d", "0.1")
    top.sees("ok", "7")
    own_server.kill()
    top.sees("old: Redis at 127.0.0.1")
    top.shows(lambda lines: "7" in columns(lines, "ok"))
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
    lines = top.sees("http", "24h", "5", "no master heartbeat")
    assert "secret" not in "".join(lines)
    top.press("Down", "Enter")
    top.sees("http · 24h")
    top.press("Tab")
    top.sees("fast · 3s")
    top.press("Tab", "i")
    top.sees("Web site (web) · 48h")
    top.press("g")
    top.sees("all groups")
    top.press("C-c")
    assert top.ended() == 0


def test_keys_filter_sort_and_scroll_events(terminal: Open, file: Path, days: Days) -> None:
    days.count("http", {f"event-{number:03}": number for number in range(300)} | {"404": 1000})
    top = terminal(file, "http", "--sort", "current")
    top.sees("1 to 20 of 301 events")
    top.shows(lambda lines: first_words(lines[3:6]) == ["not", "event-299", "event-298"])
    top.press("r", "End")
    top.sees("282 to 301 of 301 events")
    top.shows(lambda lines: "not found" in lines[22])
    top.press("/", "N", "o", "t", "Enter")
    top.sees("1 event with 'Not'")
    top.press("/", "BSpace", "BSpace", "BSpace", "1", "0", "Enter")
    top.sees("13 events with '10'")
    top.press("Escape", "r", "<", "<", "<", "<")
    top.sees("event ▲")
    top.press("PPage", "Home", "PPage")
    top.sees("1 to 20 of 301 events")
    top.shows(lambda lines: lines[4].startswith(" event-000"))


def test_unusual_events_fit_any_window(terminal: Open, file: Path, days: Days) -> None:
    days.count("http", HOSTILE)
    top = terminal(file, "http", "--sort", "current")
    begins = ["日本語日本語", "éééééé", "[red]t", r"\x1b[3"]
    top.shows(lambda lines: [word[:6] for word in first_words(lines[3:7])] == begins)
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
    wait_until(lambda: server.client.exists("g:0.2s:last:@ts"), what="the master has begun")
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
    lines = render.screen(view, Answer(view.target, found), sorted_events(view, found), size, 0.0)
    return [line.plain for line in lines]


def listed(*rows: Row, width: int = 100, height: int = 10) -> list[str]:
    """Returns the lines of the list of groups."""
    answer = Answer(None, Listing(Overview(1000.0, in_order(rows)), 0.0))
    return [line.plain for line in render.screen(View(), answer, [], render.Size(width, height), 0.0)]


FIGURES = GroupFigures(1000.0, None, None, None, Trend(), 0, True, True, None)


def row(name: str, firing: Sequence[AlertStatus] = (), **changes: Any) -> Row:
    return Row(GroupConfig(name, (DAY,)), replace(FIGURES, **changes), firing)


@pytest.mark.parametrize(
    ("n_without", "state"),
    [(0, ""), (1, "no master heartbeat of 1 group"), (2, "no master heartbeat")],
)
def test_list_shows_number_of_groups_without_master(n_without: int, state: str) -> None:
    rows = [row("web", has_master=n_without < 1), row("api", has_master=n_without < 2)]
    assert listed(*rows)[0].removeprefix(" all groups ").strip() == state


RULE = AlertRule("errors", "shop", ("error",), above=Threshold(10), severity="critical")


def test_list_shows_problems_first_with_their_reasons() -> None:
    growth = Change("day", 142, 100)
    rows = [
        row("calm", last=Last(0, 1, 142), current=Current(1, 7), change=growth, trend=Trend(0, (1, None, 7))),
        row("late", overdue_s=200, current=Current(1, 0)),
        replace(row("broken"), figures=None),
        row("shop", [AlertStatus(RULE, "24h", "firing", 12, since=280.0)], current=Current(1, 2)),
    ]
    lines = listed(*rows)
    assert lines[1].strip() == "4 groups · 3 with problems"
    assert lines[2].split() == ["group", "interval", "trend", "last", "change", "current", "state"]
    assert [line.split(maxsplit=1)[0] for line in lines[3:7]] == ["shop", "late", "broken", "calm"]
    assert lines[3].endswith("CRITICAL errors: 12, above 10, for 12m")
    assert lines[4].endswith("STALE: overdue by 3m 20s")
    assert lines[5].endswith("unavailable: Redis rejects the read")
    assert lines[6].split() == ["calm", "24h", "▂", "▇", "142", "+42%", "7", "in", "time"]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_narrow_list_keeps_names_changes_and_states(width: int) -> None:
    rows = [
        row("a group with a long name" * number, last=Last(0, 1, 10**9), change=Change("day", 3, 2))
        for number in (1, 3)
    ]
    for line in listed(*rows, width=width)[3:5]:
        assert line.startswith(" a group")
        assert "+50%" in line
        assert line.endswith("nothing counted yet") or (width == 40 and " nothing coun" in line)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_first_lines_of_a_narrow_window_end_with_a_word(width: int) -> None:
    target = Target(replace(HTTP, title="Requests of all customers of the shop"), DAY)
    found = sample({"ok": 1}, has_master=False)
    late = replace(found, current=replace(found.current, overdue_s=200))
    title, times, *_ = drawn(View(target), late, width, 10)
    words = "Requests of all customers of the shop … STALE: overdue by 3m 20s no master heartbeat"
    assert set(title.replace(",", "").split()) <= set(words.split())
    assert "STALE: overdue by 3m 20s" in title
    assert ("no master heartbeat" in title) == (width == 80)
    assert title.strip().startswith("Requests of")
    assert times.startswith(" 1 event · current 1m 40s of 1d")
    assert times.endswith(("1d", "(1d)"))


def test_chosen_group_stays_chosen_when_the_order_changes() -> None:
    frame = Frame(FRAME.targets, rows=2, page=20, listed=["http", "web"])
    view = press(View(), "down", frame)
    assert view.chosen == "web"
    after = replace(frame, listed=["web", "http"])
    assert press(view, "enter", after).target == FRAME.targets[1]
    assert press(press(view, "down", after), "enter", after).target == FRAME.targets[0]


@pytest.mark.parametrize(
    "view", [View(), View(Target(HTTP, DAY)), View(Target(HTTP, DAY), search="x" * 99, typing=True)]
)
@pytest.mark.parametrize("width", [16, 40, 60, 80, 200])
def test_line_of_keys_is_never_cut(view: View, width: int) -> None:
    line = top_keys.footer(view, 20, width).plain
    assert cell_len(line) <= width
    assert "…" not in line or view.typing
    if view.typing:
        assert "xxx▏" in line
    else:
        assert line.startswith(" q quit")
        assert line.endswith("? help")
    if width == 200 and view.target and not view.typing:
        assert all(f" {key}" in line for key in top_keys._OF_GROUP)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_help_shows_all_keys_and_columns_until_a_key(width: int) -> None:
    view = press(View(Target(HTTP, DAY)), "?", FRAME)
    lines = drawn(view, sample({"ok": 1}), width, 50)
    text = " ".join(" ".join(line.split()) for line in lines)
    for word in ("Tab", "PgDn", "Ctrl-C", "filter", "rate/s", "change", "trend", "alerts that fire"):
        assert word in text
    assert all(cell_len(line) <= width and "…" not in line for line in lines)
    for key in ("q", "x", "?", "enter"):
        assert press(view, key, replace(FRAME, rows=50, page=50)) == View(Target(HTTP, DAY))
    assert press(view, "ctrl-c", FRAME).has_quit
    assert press(View(Target(HTTP, DAY), typing=True), "?", FRAME).search == "?"


def test_help_of_a_low_window_has_pages() -> None:
    begin = View(Target(HTTP, DAY))
    view, frame = replace(begin, help_page=1), replace(FRAME, rows=len(top_keys.help_lines(40)), page=6)
    text = ""
    while view.help_page:
        *lines, keys = drawn(view, sample({}), 40, 6 + render.FIXED_LINES)
        text += " ".join(" ".join(line.split()) for line in lines)
        is_last = "come first" in text
        assert keys == (" any key leaves the help" if is_last else " any key: next page  q leave")
        assert press(view, "q", frame) == begin
        view = press(view, "down", frame)
    assert "choose a group" in text
    assert f"page {text.count('help, page')} of {text.count('help, page')}" in text


@pytest.mark.parametrize("n_rows", [6, 99])
@pytest.mark.parametrize("width", [8, 18, 20, 30])
def test_keys_of_the_help_fit_into_a_narrow_window(n_rows: int, width: int) -> None:
    keys = top_keys.footer(View(help_page=1), n_rows, width).plain
    assert len(keys) <= width
    assert "leave" in keys


def test_change_column_compares_and_sorts_by_size() -> None:
    comparison = Comparison(
        "day", {"up": 100, "down": 100, "same": 5}, {"up": 142, "down": 10, "same": 5, "new": 99}
    )
    found = sample({"up": 142, "down": 10, "same": 5, "new": 99}, comparison=comparison)
    lines = drawn(View(Target(HTTP, DAY), "change"), found, 100, 10)
    assert "change against yesterday" in lines[1]
    cells = [line.split() for line in lines[3:7]]
    assert [(cell[0], cell[3]) for cell in cells] == [
        ("new", "new"),
        ("down", "-90%"),
        ("up", "+42%"),
        ("same", "0%"),
    ]
    assert lines[2].split()[3:5] == ["change", "▼"]


def test_names_that_look_alike_are_shown_with_their_invisible_characters() -> None:
    names = ["web", "we\u200bb", "\u202ebew", "we\u3164b", "we\u2800b"]
    lines = listed(*(row(name) for name in names))
    assert sorted(line.split()[0] for line in lines[3:8]) == sorted(
        ["web", r"we\u200bb", r"\u202ebew", r"we\u3164b", r"we\u2800b"]
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
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


@pytest.mark.parametrize("height", range(3, 12))
def test_small_list_keeps_a_row_and_the_keys(height: int) -> None:
    firing = [AlertStatus(RULE, "24h", "firing", 12, since=280.0)]
    answer = Answer(None, Listing(Overview(1000.0, in_order([row("shop", firing)])), 0.0))
    size = render.Size(80, height).with_alerts(answer)
    lines = [line.plain for line in render.screen(View(), answer, [], size, 0.0)]
    assert len(lines) == height
    assert lines[0].startswith(" all groups")
    assert columns(lines, "shop")
    assert lines[-1].startswith(" q quit")
    assert any("state" in line for line in lines) == (height > 3)
    assert any("1 group" in line for line in lines) == (height > 4)
    assert any("CRITICAL errors: shop" in line for line in lines) == (height > 5)


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


def test_buckets_of_a_histogram_are_in_no_row_or_sum() -> None:
    found = sample({"r": 3, "r:le:0.5": 1, "r:le:1": 2, "alone:le:1": 4})
    lines = drawn(View(Target(HTTP, DAY), "last"), found, 100, 7)
    assert [line.split()[0] for line in lines[3:5]] == ["alone:le:1", "r"]
    assert lines[5].strip() == ""


def test_event_with_the_ending_of_session_times_is_plain_without_sessions() -> None:
    lines = drawn(View(Target(HTTP, DAY)), sample({"plain:ms": 7}), 100, 7)
    assert lines[3].split()[:3] == ["plain:ms", "<0.01", "7"]


def test_event_missing_in_last_interval_shows_0() -> None:
    found = sample({"new": 5})
    found = replace(found, last=replace(found.last, counts={}))
    assert drawn(View(Target(HTTP, DAY)), found, 100, 10)[3].split()[:5] == ["new", "0", "0", "5", "5"]
    found = replace(found, last=replace(found.last, start=None, end=None))
    assert drawn(View(Target(HTTP, DAY)), found, 100, 10)[3].split()[:5] == ["new", "0.05", "-", "5", "5"]


FRAME = Frame([Target(HTTP, DAY), Target(WEB, DAY)], rows=50, page=20, listed=["http", "web"])


@pytest.mark.parametrize(
    ("keys", "changed"),
    [
        (["down", "down", "up"], {"first": 1}),
        (["up"], {"first": 0}),
        (["end", "down"], {"first": 30}),
        (["page down", "home"], {"first": 0}),
        ([">", ">", ">"], {"sort": "current"}),
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
