"""Reading the history by time: ranges, sums, what they cover and what is missing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import math
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest

from event_count_logger.cli.reader import reader as reader_command
from event_count_logger.config import GroupConfig, History, Layout, RedisConfig, from_file
from event_count_logger.intervals import Interval
from event_count_logger.reading import steps
from event_count_logger.reading.group_reader import AsyncGroupReader, GroupReader
from event_count_logger.reading.range_sum import RangeSum
from event_count_logger.reading.reader import Reader
from event_count_logger.reading.times import Range, parse_range, parse_time
from event_count_logger.store import HistoryEntry, Store
from event_count_logger.web import queries as web_queries
from tests import groups
from tests.fixtures import Write
from tests.servers import Server

TEN_S = Interval.parse("10s")

#: In the future: an ID of the history that Redis makes by its own clock is then that of a clock set back.
BEGIN = 4_100_000_000
GROUP = GroupConfig("g", (TEN_S,), ("a",), auto_declare_events=True, history=History.of(20))
NOW = 1_796_000_000.5


class Past:
    """Counts and rotations at given times; `at` is a number of intervals since the beginning."""

    def __init__(self, store: Store, group: GroupConfig = GROUP) -> None:
        self.store, self.reader = store, Reader(store)
        self.group = replace(group, layout=groups.layout)
        self._n_commits = 0

    def count(self, at: float, shard: int = 0, **batch: int) -> None:
        self._n_commits += 1
        source = f"source {self._n_commits}"
        self.store.commits.commit(self.group.shard(shard), source, 0, 1, batch, BEGIN + 10 * at)

    def rotate(self, at: float, shard: int = 0) -> None:
        interval = self.group.intervals[0]
        self.store.rotation.rotate(self.group.shard(shard), interval, BEGIN + 10 * at)

    def finish(self, *ends: float) -> None:
        """Count and rotate, so that intervals end at these times."""
        self.rotate(0)
        for number, at in enumerate(ends):
            self.count(at - 0.5, a=10**number)
            self.rotate(at)

    def between(self, since: float, until: float) -> list[HistoryEntry]:
        found = self.store.reads.between(self.group, TEN_S, BEGIN + 10 * since, BEGIN + 10 * until)
        return list(found)

    def sum(self, since: float = -math.inf, until: float = math.inf) -> RangeSum:
        wanted = Range(*(BEGIN + 10 * at for at in (since, until)))
        return self.reader.sum(self.group, TEN_S, wanted)


@pytest.fixture
def store(server: Server, layout: Layout) -> Iterator[Store]:
    with contextlib.closing(Store(RedisConfig(**server.config), timeout_s=30)) as store:
        yield store


@pytest.fixture
def past(store: Store) -> Past:
    return Past(store)


def counts(entries: list[HistoryEntry]) -> list[int]:
    return [one.counts["a"] for one in entries]


def gaps(found: RangeSum) -> list[tuple[float, float]]:
    return [((start - BEGIN) / 10, (end - BEGIN) / 10) for start, end in found.missing]


# times


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0, 0),
        (1_795_000_000.25, 1_795_000_000.25),
        ("1795000000", 1_795_000_000),
        ("1795000000.5", 1_795_000_000.5),
        ("2h", NOW - 7200),
        ("1.5D", NOW - 129_600),
        ("1y", NOW - 365 * 86_400),
        ("9999y", 0),  # all times
        (f"{'9' * 400}h", 0),
        ("9999-12-31T23:59-23:59", 253_402_387_080),
        ("2026-11-30", 1_795_996_800),
        (" 2026-11-30T12:00Z ", 1_796_040_000),
        ("2026-11-30 12:00", 1_796_040_000),
        ("2026-11-30T12:00:00.25+01:30", 1_796_034_600.25),
        ("2026-11-30T12:00:00-01:00", 1_796_043_600),
        (datetime(2026, 11, 30, 12, tzinfo=timezone.utc), 1_796_040_000),
        (datetime(2026, 11, 30, 12, tzinfo=timezone(timedelta(hours=1))), 1_796_036_400),
    ],
)
def test_time_is_a_number_a_datetime_or_a_text(given: str | float | datetime, expected: float) -> None:
    assert parse_time(given, lambda: NOW) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "'' is not a time"),
        ("yesterday", "'yesterday' is not a time (use Unix seconds, a length of time"),
        ("2 h", "'2 h' is not a time"),
        ("-2h", "'-2h' is not a time"),
        ("2026-13-01", "'2026-13-01' is not a time: month must be in 1..12"),
        ("2026-11-30T25:00", "'2026-11-30T25:00' is not a time: hour must be in 0..23"),
        ("2026-11-30T12:00+1", "'2026-11-30T12:00+1' is not a time"),
        ("2026-11", "'2026-11' is not a time"),
        (1_795_000_000_000, "1795000000000 is beyond 1e12 (use Unix seconds, not milliseconds)"),
        ("1795000000000", "'1795000000000' is beyond 1e12"),
        (f"{'9' * 400}", "is beyond 1e12"),
        (10**400, "is beyond 1e12"),
        (-1, "-1 is before 1970"),
        ("1969-12-31T23:59", "'1969-12-31T23:59' is before 1970"),
        ("0001-01-01T00:00+23:59", "is before 1970"),
        (datetime.min.replace(tzinfo=timezone.utc), "is before 1970"),
        ("2026-11-30T12:00+99:99", "is not a time (use Unix seconds"),
        (math.nan, "nan is not a time"),
        (True, "True is not a time"),
        (None, "None is not a time"),
        (datetime(2026, 11, 30), "has no time zone"),
    ],
)
def test_invalid_time_is_named_in_the_error(given: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_time(given, lambda: NOW)
    assert message in str(caught.value)


def test_error_of_a_range_names_the_end() -> None:
    with pytest.raises(ValueError, match="^until: 'x' is not a time"):
        parse_range(0, "x", lambda: NOW)
    with pytest.raises(ValueError, match="^since: '1h' is after until: '2h'$"):
        parse_range("1h", "2h", lambda: NOW)
    assert parse_range(5, 5, lambda: NOW) == (5, 5)


# ranges


def test_interval_belongs_to_the_range_of_its_start(past: Past) -> None:
    past.finish(1, 2, 4, 5)  # one interval from 2 to 4
    assert counts(past.between(0, 5)) == [1, 10, 100, 1000]
    assert counts(past.between(1, 4)) == [10, 100]
    assert counts(past.between(0.1, 1)) == []
    assert counts(past.between(2, 3)) == [100]  # ends after the range
    assert counts(past.between(3, 4)) == []  # began before the range
    assert counts(past.between(-100, 1)) == [1]


def test_newest_intervals_of_a_range_are_read(past: Past) -> None:
    past.finish(1, 2, 3, 4)
    reader = GroupReader(past.group, past.store)
    found = reader.history(n=2, until=BEGIN + 30)
    assert [snapshot.counts["a"] for snapshot in found] == [10, 100]
    assert reader.history(n=0, since=0) == []
    assert len(reader.history(since=BEGIN + 10)) == 3
    assert reader.history() == reader.history(since=0)


def test_clock_that_was_set_back_loses_no_interval(past: Past) -> None:
    past.finish(1, 1000, 1001)
    past.store.rotation.rotate(past.group, TEN_S, BEGIN + 30)  # starts again in the past
    for at in (4, 5):
        past.count(at - 0.5, a=at)
        past.rotate(at)
    assert counts(past.between(3, 5)) == [4, 5]
    assert counts(past.between(0, 5)) == [1, 10, 4, 5]
    assert past.sum(3, 5).counts["a"] == 9


def test_sum_has_all_intervals_after_the_clock_was_set_back(past: Past) -> None:
    past.finish(*range(1, 13))
    past.rotate(3)  # starts again at 3: the history has the times from 3 to 12
    for at in (4, 5, 6):
        past.count(at - 0.5, a=at)
        past.rotate(at)
    whole = sum(10**number for number in range(12)) + 15
    assert past.sum().counts["a"] == past.sum(0).counts["a"] == past.sum(0, 99).counts["a"] == whole
    assert counts(past.between(3, 5)) == [1000, 10_000, 4, 5]
    assert past.sum(3, 5).missing == past.sum().missing == ()


def test_reply_with_history_is_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(RedisConfig(**server.config))
    sizes = []
    with server.client as client:
        for number in range(700):  # intervals of few events, then of many
            events = [f"event {n}" for n in range(1 if number < 300 else 1500)]
            entry = {
                "start": number,
                "end": number + 1,
                "events": json.dumps(events),
                "counts": [1] * len(events),
            }
            client.xadd(
                "g:1s:@history", entry | {"counts": json.dumps(entry["counts"])}, f"{1000 * (number + 1)}-1"
            )
    ask = store.client.ask

    def observed(*words: str, key: str) -> Any:
        reply = ask(*words, key=key)
        sizes.append(sum(len(word) for _, fields in reply for word in fields))
        return reply

    monkeypatch.setattr(store.client, "ask", observed)
    group = GroupConfig("g", (Interval.parse("1s"),), auto_declare_events=True)
    assert len(list(store.reads.between(group, group.intervals[0], 0, math.inf))) == 700
    largest = 1500 * 20
    assert max(sizes) < 256 * largest
    assert sum(size > 2**20 for size in sizes) <= 1
    store.close()


# sums


def test_sum_has_counts_span_and_nothing_missing(past: Past) -> None:
    past.finish(1, 2, 3)
    past.count(3.5, a=5, b=1)
    found = past.sum(1, 3)
    assert (found.counts, found.n_intervals) == ({"a": 110}, 2)
    assert (found.start, found.end, found.covered_s) == (BEGIN + 10, BEGIN + 30, 20)
    assert (found.missing, found.complete) == ((), True)
    assert found.rates == {"a": 5.5}
    assert (found.since, found.until) == (BEGIN + 10, BEGIN + 30)


def test_sum_of_all_ends_with_the_last_interval(past: Past) -> None:
    past.finish(1, 2, 3)
    past.count(3.5, a=5)
    found = past.sum()
    assert (found.counts, found.since, found.until) == ({"a": 111}, None, None)
    assert (found.start, found.end, found.missing) == (BEGIN, BEGIN + 30, ())
    assert past.sum(0, 99).missing == ()  # the current interval is not missing


def test_sum_without_an_interval_covers_nothing(past: Past) -> None:
    assert past.sum(0, 5).missing == ()  # nothing has begun
    past.finish(1, 2)
    found = past.sum(2, 9)
    assert (found.start, found.end, found.n_intervals) == (None, None, 0)
    assert (found.counts, found.rates, found.covered_s, found.missing) == ({"a": 0}, {}, 0, ())


def test_missing_time_is_exact(past: Past) -> None:
    past.finish(1, 2, 3, 4, 5, 6)
    key = "g:10s:@history"
    entries = past.store.client.ask("XRANGE", key, "-", "+", key=key)
    for number in (0, 2, 5):
        past.store.client.ask("XDEL", key, entries[number][0].decode(), key=key)
    assert gaps(past.sum(0.5, 6)) == [(2, 3), (5, 6)]
    assert gaps(past.sum(-3, 5.1)) == [(-3, 1), (2, 3), (5, 6)]
    assert gaps(past.sum(2, 3)) == [(2, 3)]
    assert gaps(past.sum()) == [(2, 3), (5, 6)]  # the history may begin anywhere


def test_sum_of_parts_of_a_second_has_no_gap(store: Store) -> None:
    past = Past(store, replace(GROUP, intervals=(Interval.parse("0.3s"),)))
    for number in range(12):
        past.rotate(0.03 * number)
    interval = past.group.intervals[0]
    untils = [BEGIN + 0.01 + 0.3 * number for number in range(9)]
    found = [past.reader.sum(past.group, interval, Range(BEGIN + 0.01, until)) for until in untils]
    assert [one.missing for one in found] == [()] * 9
    assert found[-1].n_intervals == 8


def test_interval_that_began_before_the_range_leaves_a_gap(past: Past) -> None:
    past.finish(1, 4, 5)
    assert gaps(past.sum(2, 5)) == [(2, 4)]
    found = past.sum(1, 2)
    assert (found.end, found.covered_s, found.missing) == (BEGIN + 40, 30, ())


def test_sum_of_a_group_in_weeks_begins_on_monday(store: Store) -> None:
    week = Interval.parse("1w")
    past = Past(store, replace(GROUP, intervals=(week,)))
    monday = 4_100_284_800
    at = (monday - BEGIN) / 10
    for number in range(3):
        past.count(at + number * 60_480, a=1)
        past.rotate(at + number * 60_480)
    found = past.reader.sum(past.group, week, Range(monday - 1, monday + 1))
    assert (found.start, found.end, found.counts["a"]) == (monday, monday + 604_800, 2)
    assert found.missing == ()
    (current,) = past.reader.read(past.group, week, "cur")
    assert current.start == monday + 2 * 604_800


def test_async_reader_returns_the_same_sum(past: Past) -> None:
    past.finish(1, 2)
    reader = GroupReader(past.group, past.store)
    found = asyncio.run(AsyncGroupReader(reader).sum(since=BEGIN, until=BEGIN + 15))
    assert found == reader.sum("10s", since=BEGIN, until=BEGIN + 15)
    assert found.counts == {"a": 11}


def test_range_that_does_not_fit_into_a_response_is_rejected(
    past: Past, config_file: Write, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.finish(1, 2, 3)
    settings = {"events": ["a"], "intervals": ["10s"], "layout": groups.layout}
    config = from_file(config_file({"redis": server.config, "groups": {"g": settings}}))

    def found(**selection: Any) -> list[int]:
        queries = web_queries.Queries(config, past.store)
        answer = asyncio.run(queries.counts(config.group("g"), TEN_S, web_queries.Selection(**selection)))
        counted: list[int] = json.loads(answer.body)["history"]["counts"].get("a", [])
        return counted

    assert found(since="0") == [1, 10, 100]
    monkeypatch.setattr(steps, "MOST_COUNTS", 2)
    with pytest.raises(ValueError, match="^since, until: the range has more than 10,000 intervals or 2 "):
        found(since="0")
    assert found() == found(n=9) == found(n=9, since="0") == [10, 100]  # as many as fit
    assert found(n=1, since="0") == [100]
    assert found(n=0, since="0") == []
    past.count(3.5, **{f"e{number}": 1 for number in range(9)})
    past.rotate(4)  # an interval with more counts than fit, and then one with few
    past.rotate(5)
    assert found() == found(n=9, since="0") == [0]
    monkeypatch.setattr(steps, "MOST_INTERVALS", 1)
    with pytest.raises(ValueError, match="more than 1 intervals"):
        found(since="0")


# any history


def _operations(past: Past, chance: random.Random) -> None:
    """Count and rotate at random times, some of them late, each shard on its own."""
    at = 0.0
    for _ in range(40):
        at += chance.choice([0.2, 0.5, 1, 1, 1, 3])
        for shard in range(past.group.n_shards):
            if chance.random() < 0.7:
                past.count(at, shard, a=chance.randrange(100), **{chance.choice("bc"): 1})
            if chance.random() < 0.7:
                past.rotate(at, shard)


@pytest.mark.parametrize("n_shards", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_ranges_of_any_history_agree_with_all_of_it(store: Store, seed: int, n_shards: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    past = Past(store, replace(GROUP, n_shards=n_shards, history=History.of(chance.choice([3, 9, 50]))))
    _operations(past, chance)
    held = store.reads.history(past.group, TEN_S, 1000)
    assert past.between(-math.inf, math.inf) == held
    start = store.reads.start(past.group, TEN_S)
    for _ in range(30):
        since, until = sorted(chance.choice([chance.uniform(-5, 60), chance.randrange(60)]) for _ in "ab")
        inside = [one for one in held if since <= (one.start - BEGIN) / 10 < until]
        assert past.between(since, until) == inside
        found = past.sum(since, until)
        assert found.n_intervals == len(inside)
        assert found.counts["a"] == sum(one.counts.get("a", 0) for one in inside)
        assert set(_seconds(found.missing)) == _lacking(since, until, start, inside)
        middle = chance.uniform(since, until)
        assert past.between(since, middle) + past.between(middle, until) == inside


def _seconds(spans: tuple[tuple[float, float], ...]) -> Iterator[int]:
    for start, end in spans:
        yield from range(round(start), round(end))


def _lacking(since: float, until: float, start: float | None, inside: list[HistoryEntry]) -> set[int]:
    """Returns the seconds that a sum lacks, by the definition of the time expected."""
    if start is None:
        return set()
    first, last = (BEGIN + 10 * math.ceil(at) for at in (since, until))
    expected = set(range(first, min(last, round(start))))
    return expected - set(_seconds(tuple((one.start, one.end) for one in inside)))


# ecl_reader


class Result(NamedTuple):
    """Exit status and output of a command."""

    exit_code: int
    stdout: str
    stderr: str


@pytest.fixture
def command(
    past: Past,
    config_file: Write,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Result]:
    """Runs ecl_reader in this process, with a group of the intervals 0-1, 1-2, 2-4 and the current one."""
    past.finish(1, 2, 4)
    settings: dict[str, Any] = {"events": ["a"], "intervals": ["10s"], "layout": groups.layout}
    of_groups = {"g": settings, "other": settings | {"history": 0}}
    path = config_file({"redis": server.config, "groups": of_groups})

    def run(options: str, group: str = "-g g") -> Result:
        at = {f"at{number}": str(BEGIN + 10 * number) for number in range(9)}
        words = f"ecl_reader {path} {group} {options}".format(**at).split()
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            reader_command.main()
        gc.unfreeze()
        return Result(int(end.value.code or 0), *(text.replace("\r", "") for text in capsys.readouterr()))

    return run


def test_command_prints_intervals_of_a_range(command: Callable[..., Result]) -> None:
    done = command("--since {at1} --until {at4} --format csv")
    assert done.stdout.splitlines()[1:] == [
        f"{BEGIN + 10},{BEGIN + 20},a,10",
        f"{BEGIN + 20},{BEGIN + 40},a,100",
    ]
    assert (done.exit_code, done.stderr) == (0, "")
    assert "a,100" in command("--history 1 --until {at4} --format csv").stdout.splitlines()[1]
    assert len(json.loads(command("--until 2200-01-01 --json").stdout)) == 3


def test_command_prints_ranges_of_all_groups_for_monitoring(command: Callable[..., Result]) -> None:
    done = command("--since {at1} --until {at2} --format graphite", group="")
    assert done.stdout == f"ecl.g.10s.a 10 {BEGIN + 10}\n"
    assert "group 'other' keeps no history of interval '10s'" in done.stderr
    assert len(command("--since {at1} --format influx").stdout.splitlines()) == 2


def test_command_prints_the_sum_of_a_range(command: Callable[..., Result]) -> None:
    done = command("--since {at1} --until {at4} --sum --strict")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "a:110\n", "")
    assert command("--since {at0} --until {at4} --sum --rate").stdout == "a:2.775\n"
    assert json.loads(command("--since {at0} --until {at4} --sum --rate --json").stdout) == {
        "group": "g",
        "interval": "10s",
        "since": BEGIN,
        "until": BEGIN + 40,
        "start": BEGIN,
        "end": BEGIN + 40,
        "n_intervals": 3,
        "covered_s": 40,
        "missing": [],
        "counts": {"a": 111},
        "rates": {"a": 2.775},
    }
    assert command("--since {at1} --until {at3} --sum --format csv").stdout.splitlines() == [
        "since,until,start,end,covered_s,missing_s,n_intervals,event,count",
        f"{BEGIN + 10},{BEGIN + 30},{BEGIN + 10},{BEGIN + 40},30,0,2,a,110",
    ]


def test_command_warns_of_what_is_missing_in_a_sum(command: Callable[..., Result]) -> None:
    done = command("--since {at3} --until {at4} --sum --strict")
    assert (done.exit_code, done.stdout) == (4, "a:0\n")
    assert done.stderr == "WARNING: interval '10s' of group 'g': no finished interval begins in the range\n"
    done = command(f"--since {BEGIN - 100} --until {{at1}} --sum")
    assert (done.exit_code, done.stdout) == (0, "a:1\n")
    gap = "2099-12-03T16:51:40Z to 2099-12-03T16:53:20Z"
    assert done.stderr == (
        f"WARNING: interval '10s' of group 'g': 1m 40s of the range missing in the history: {gap}\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--since 2h --current", "--since can only be used with --history, --sum, not with --current"),
        ("--until 2h --follow", "--until can only be used with --history, --sum, not with --follow"),
        ("--sum --totals", "--sum and --totals exclude each other"),
        ("--since yesterday", "--since: 'yesterday' is not a time (use Unix seconds, a length of time"),
        ("--since 1h --until 2h", "--since: '1h' is after until: '2h'"),
        ("--sum --format influx", "--sum cannot be used with --format influx"),
        ("--since 1h --format openmetrics", "--since cannot be used with --format openmetrics"),
    ],
)
def test_wrong_range_is_a_usage_error(command: Callable[..., Result], options: str, message: str) -> None:
    done = command(options)
    assert done.exit_code == 2
    assert message in done.stderr
