"""Groups that are split into shards: counted, rotated, read and followed as one."""

from __future__ import annotations

import json
import math
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from event_count_logger import EventCountLogger, NotConfigured, Snapshot
from event_count_logger.config import GroupConfig, History, from_dicts, from_file
from event_count_logger.counting import spool_file
from event_count_logger.counting.spool_file import SpoolReader
from event_count_logger.groups.redis_group import RedisEventGroup
from event_count_logger.intervals import Interval
from event_count_logger.reading.follow import Follower
from event_count_logger.reading.group_reader import GroupReader
from event_count_logger.reading.reader import Reader
from event_count_logger.reading.scrape import Scraper
from event_count_logger.sources.http_requests import count_once
from event_count_logger.store import MasterInfo, Store
from event_count_logger.store.reads import Reads
from tests.conftest import ROOT
from tests.days import let_midnight_pass
from tests.fixtures import Make, Run, Start, Write
from tests.servers import Server, wait_until
from tests.sharding import LENGTH, Shard

TEN_S = Interval.parse("10s")
BEGIN = 1_700_000_010
GROUP = GroupConfig("g", (TEN_S,), ("a",), auto_declare_events=True, history=History.of(4), n_shards=3)
ALL = (0, 1, 2)


class Split:
    """A split group at times that a test names: `at` is the number of intervals since the beginning."""

    def __init__(self, store: Store, group: GroupConfig = GROUP) -> None:
        self.store, self.group = store, group
        self.reader = Reader(store)
        self._n_commits = 0
        self.rotate(0)

    def count(self, at: float, shard: int, **batch: int) -> None:
        self._n_commits += 1
        source, now = f"source {self._n_commits}", BEGIN + LENGTH * at
        self.store.commits.commit(self.group.shard(shard), source, 0, 1, batch, now)

    def rotate(self, at: float, *shards: int) -> None:
        for shard in shards or range(self.group.n_shards):
            self.store.rotation.rotate(self.group.shard(shard), self.group.intervals[0], BEGIN + LENGTH * at)

    def read(self, at: float) -> tuple[Snapshot, Snapshot]:
        last, current = self.reader.read(self.group, TEN_S, "last", "cur", now=BEGIN + LENGTH * at)
        return last, current

    def began(self) -> dict[str, float]:
        return self.reader.totals_and_created(self.group)[1]

    def follower(self, after: str | float | None = None) -> Follower:
        return Follower(self.store, self.group, TEN_S, after)


@pytest.fixture
def split(store: Store) -> Split:
    return Split(store)


def span(snapshot: Snapshot) -> tuple[float | None, float | None]:
    """In intervals since the beginning."""
    start, end = (
        None if time is None else (time - BEGIN) / LENGTH for time in (snapshot.start, snapshot.end)
    )
    return start, end


def steps(follower: Follower) -> list[tuple[Any, int, int]]:
    """Returns the next interval of a follower: its time, its count, and the intervals missed before it."""
    found = []
    while snapshot := follower.step()[0]:
        found.append((span(snapshot), snapshot.counts["a"], snapshot.missed))
    return found


# reading


def test_each_shard_has_its_keys_under_a_hash_tag_of_its_own(split: Split, any_server: Server) -> None:
    split.count(0, 2, a=3)
    assert any_server.client.get("{g#2}:10s:cur:a") == "3"
    assert any_server.client.exists("{g#0}:10s:cur:@ts", "{g#1}:10s:cur:@ts", "{g#2}:@sources") == 3
    assert all(key.startswith("{g#") for key in any_server.everything())


def test_counts_of_shards_are_added(split: Split) -> None:
    for shard in ALL:
        split.count(0, shard, a=10**shard, **{f"e{2 - shard}": 1})
    split.rotate(1)
    split.count(1, 1, b=5)
    last, current = split.read(1.5)
    assert list(last.counts.items()) == [("a", 111), ("e0", 1), ("e1", 1), ("e2", 1)]
    assert (span(last), last.overdue_s, last.position) == ((0, 1), 0, f"{(BEGIN + 10) * 1000}-0")
    assert (span(current), dict(current.counts)) == ((1, None), {"a": 0, "b": 5})


@pytest.mark.parametrize("rotated", [[0], [2], [0, 1], [1, 2]])
def test_shards_rotated_before_others_do_not_change_the_reading(split: Split, rotated: list[int]) -> None:
    for shard in ALL:
        split.count(0, shard, a=1)
    split.rotate(1)
    for shard in ALL:
        split.count(1, shard, a=10)
    split.rotate(2, *rotated)
    for shard in rotated:
        split.count(2, shard, a=100)
    last, current = split.read(2.1)
    assert (span(last), last.counts, last.overdue_s) == ((0, 1), {"a": 3}, 1)
    assert (span(current), current.counts) == ((1, None), {"a": 30 + 100 * len(rotated)})
    assert [span(one) for one in split.reader.history(GROUP, TEN_S)] == [(0, 1)]
    split.rotate(2)
    last, current = split.read(2.1)
    assert (span(last), last.counts, last.overdue_s) == ((1, 2), {"a": 30}, 0)
    assert (span(current), current.counts) == ((2, None), {"a": 100 * len(rotated)})


def test_nothing_is_finished_before_each_shard_has_finished(split: Split) -> None:
    split.count(0, 0, a=1)
    split.rotate(1, 0)
    last, current = split.read(1.1)
    assert (last.empty, current.counts) == (True, {"a": 1})


def test_intervals_merged_in_one_shard_are_merged_in_all(split: Split) -> None:
    for at in range(3):
        split.count(at, 0, a=1)
        split.count(at, 1, a=10)
        split.rotate(at + 1, 0)
    split.rotate(3)
    last, _ = split.read(3.1)
    assert (span(last), last.counts) == ((0, 3), {"a": 33})
    assert [(span(one), dict(one.counts)) for one in split.reader.history(GROUP, TEN_S)] == [
        ((0, 3), {"a": 33})
    ]


def test_shard_behind_by_more_than_the_history_finishes_nothing(split: Split) -> None:
    for at in range(8):
        split.count(at, 0, a=1)
        split.rotate(at + 1, 0, 1)
    last, current = split.read(8)
    assert (last.empty, last.stale, current.overdue_s) == (True, True, 70)
    split.rotate(8)
    assert split.read(8.1)[0].overdue_s == 0
    split.count(8, 0, a=5)
    split.rotate(9)
    assert (span(split.read(9)[0]), split.read(9)[0].counts) == ((8, 9), {"a": 5})
    assert split.reader.totals(GROUP).counts == {"a": 13}


def test_range_is_empty_before_each_shard_has_begun(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(3):
        split.rotate(at)
    group = replace(split.group, n_shards=4)
    assert len(list(split.store.reads.between(split.group, TEN_S, 0, math.inf))) == 2
    monkeypatch.delattr(Reads, "after")  # the history is not searched
    assert list(split.store.reads.between(group, TEN_S, 0, math.inf)) == []


def test_clock_of_one_shard_set_back_leaves_no_count_out(store: Store) -> None:
    split = Split(store, replace(GROUP, history=History.of(50)))
    for at in range(3):
        for shard in ALL:
            split.count(at, shard, a=10**shard)
        if at == 1:
            split.rotate(300, 0)
            split.count(300, 0, a=1000)
        split.rotate(at + 1)
    last, current = split.read(3.1)
    assert (span(last), last.counts, last.overdue_s) == ((2, 3), {"a": 1111}, 0)
    held = [(span(one), one.counts["a"]) for one in split.reader.history(split.group, TEN_S)]
    assert held == [((0, 1), 111), ((1, 2), 111), ((2, 3), 1111)]
    assert steps(split.follower(0)) == [(when, count, 0) for when, count in held]
    assert split.reader.totals(split.group).counts == {"a": 1333}


def later_than_the_server() -> float:
    """A time in the future of the server's own clock, too, which IDs in the history may follow."""
    return (time.time() - BEGIN) // LENGTH + 10


def test_whatever_clocks_do_each_count_is_in_one_sealed_interval(store: Store, chance: random.Random) -> None:
    split = Split(store, replace(GROUP, history=History.of(1000)))
    now, logged = later_than_the_server(), 0
    for _ in range(150):
        now += chance.choice([0, 0.1, 0.5, 1])
        ahead = chance.choice([0, 0, 0, 2, 30, 300])
        if chance.random() < 0.5:
            split.count(now, chance.choice(ALL), a=1)
            logged += 1
        else:
            split.rotate(now + ahead, chance.choice(ALL))
    now += 1000  # beyond what the clocks were ahead
    for at in (now, now + 1):
        split.rotate(at)
    held = split.reader.history(split.group, TEN_S)
    assert all(one.end == next_one.start for one, next_one in pairwise(held))
    assert sum(one.counts["a"] for one in held) == logged == split.reader.totals(split.group).counts["a"]


def test_history_has_the_requested_or_kept_number_of_intervals(split: Split) -> None:
    for at in range(6):
        split.count(at, at % 3, a=at)
        split.rotate(at + 1)
    held = [(span(one), one.counts["a"]) for one in split.reader.history(GROUP, TEN_S)]
    assert held == [((2, 3), 2), ((3, 4), 3), ((4, 5), 4), ((5, 6), 5)]
    assert [span(one) for one in split.reader.history(GROUP, TEN_S, 1)] == [(5, 6)]
    assert split.reader.history(GROUP, TEN_S, 0) == []


def test_added_shards_leave_earlier_intervals_unchanged(split: Split) -> None:
    split.count(0, 0, a=1)
    split.rotate(1)
    split.group = replace(GROUP, n_shards=5)
    split.rotate(1)
    split.count(1, 4, a=2)
    split.rotate(2)
    held = split.reader.history(split.group, TEN_S)
    assert [(span(one), one.counts["a"]) for one in held] == [((0, 1), 1), ((1, 2), 2)]


def test_count_of_one_event_is_that_of_the_whole_reading(split: Split) -> None:
    for shard in ALL:
        split.count(0, shard, a=1)
    split.rotate(1)
    split.rotate(2, 0)
    count = split.reader.count
    assert (count(GROUP, "10s", "last", "a"), count(GROUP, "10s", "cur", "a")) == (3, 0)
    assert (count(GROUP, "10s", "last", "b"), count(GROUP, "1h", "last", "a")) == (0, 0)


def test_total_began_with_the_first_count_in_any_shard(split: Split) -> None:
    split.count(0.2, 1, x=1, y=1)
    split.count(0.1, 2, x=1, z=1)
    split.rotate(1)
    split.count(1, 2, y=1)
    assert split.began() == {"x": BEGIN + 1, "y": BEGIN + 2, "z": BEGIN + 1}


def test_total_without_time_in_one_shard_has_no_time(split: Split, any_server: Server) -> None:
    split.count(0, 1, x=1, y=1)
    any_server.client.hdel("{g#1}:@created", "x")
    split.count(0.1, 2, x=1, y=1)
    assert split.began() == {"y": BEGIN}


def test_totals_never_fall_while_shards_are_rotated(split: Split) -> None:
    for shard in ALL:
        split.count(0, shard, a=1, b=shard)
    for shard in ALL:
        split.rotate(1, shard)
        assert split.reader.totals(GROUP).counts == {"a": 3, "b": 3}
    assert split.reader.known_events(replace(GROUP, totals=False)) == ["a", "b"]


def test_sources_are_of_all_shards_and_a_master_is_recorded_once(split: Split, any_server: Server) -> None:
    for shard in ALL:
        split.count(0, shard, a=1)
    assert split.store.sources.count(GROUP) == 3
    master = MasterInfo("web1", 1, "2", 0.0)
    split.store.masters.record([GROUP], master)
    assert [found.id for found in split.store.masters.of(GROUP)] == [master.id]
    assert any_server.client.keys("*masters") == ["{g#0}:@masters"]
    split.store.masters.record_stop([GROUP], master)
    assert [(found.stopped, found.alive) for found in split.store.masters.of(GROUP)] == [(True, False)]


# following


def test_each_sealed_interval_comes_once(split: Split) -> None:
    follower = split.follower()
    assert steps(follower) == []
    for at in range(3):
        split.count(at, at % 3, a=at + 1)
        split.rotate(at + 1, 0)
        assert steps(follower) == []
        split.rotate(at + 1)
        assert steps(follower) == [((at, at + 1), at + 1, 0)]
    split.rotate(5, 1)
    split.rotate(6)
    assert steps(follower) == [((3, 6), 0, 0)]


def test_positions_are_times_and_show_removed_intervals(split: Split) -> None:
    position = split.follower().step() and split.store.reads.newest_position(GROUP, TEN_S)
    assert str(position) == GroupReader(GROUP, split.store).position() == f"{BEGIN * 1000}-0"
    for at in range(6):
        split.count(at, at % 3, a=at)
        split.rotate(at + 1)
    assert steps(split.follower(str(position)))[0] == ((2, 3), 2, 2)
    assert steps(split.follower(0))[0] == ((2, 3), 2, 2)
    assert steps(split.follower(BEGIN + 10))[0] == ((2, 3), 2, 1)
    assert steps(split.follower(BEGIN + 45)) == [((4, 5), 4, 0), ((5, 6), 5, 0)]
    (newest,) = split.reader.history(GROUP, TEN_S, 1)
    assert newest.position == GroupReader(GROUP, split.store).position()
    assert steps(split.follower(newest.position)) == []


def test_no_interval_is_finished_before_all_shards_have_begun(store: Store) -> None:
    group = replace(GROUP, name="h")
    reader = GroupReader(group, store)
    for shard in group.shards:
        assert reader.position() == "0-0"
        assert Follower(store, group, TEN_S, None).step()[0] is None
        store.rotation.rotate(shard, TEN_S, BEGIN)
    assert reader.position() == f"{BEGIN * 1000}-0"


def test_interval_that_ends_after_a_time_is_returned_whole(split: Split) -> None:
    for at in range(4):
        split.count(at, 0, a=1)
        split.count(at, 1, a=10)
        split.rotate(at + 1, 0)
    split.rotate(4)
    assert steps(split.follower(BEGIN + 35)) == [((0, 4), 44, 0)]


@pytest.mark.parametrize("n_held", [2, 1000])
def test_in_any_order_each_sealed_interval_is_read_and_followed_whole(
    n_held: int, store: Store, chance: random.Random
) -> None:
    split = Split(store, replace(GROUP, history=History.of(n_held)))
    model = [Shard(n_held) for _ in ALL]
    now, sealed, follower = 0.0, list[Snapshot](), split.follower(0)
    for shard in model:
        shard.rotate(BEGIN)
    for _ in range(300):
        which, action = chance.choice(ALL), chance.random()
        now += chance.choice([0, 0, 0.1, 0.5, 1])
        if action < 0.4:
            split.count(now, which, a=1)
            model[which].count(int(BEGIN + LENGTH * now), 1)
        elif action < 0.8:
            some = [which] if action < 0.55 else ALL
            split.rotate(now, *some)
            for number in some:
                model[number].rotate(int(BEGIN + LENGTH * now))
        if chance.random() < 0.3:
            while found := follower.step()[0]:
                assert found.start is not None and found.end is not None
                before = sealed[-1].end if sealed else BEGIN
                assert before is not None
                n_gone = (found.start - before) / LENGTH
                assert found.missed <= n_gone
                assert found.missed or not n_gone
                until = [shard.counted_until(found.end) - shard.counted_until(found.start) for shard in model]
                assert found.counts["a"] == sum(until)
                sealed.append(found)
            last, current = split.read(now)
            if sealed and not last.empty:
                assert (last.start, last.end, last.counts) == (
                    sealed[-1].start,
                    sealed[-1].end,
                    sealed[-1].counts,
                )
                until = [shard.counted_until(last.end or 0) for shard in model]
                assert sum(until) + current.counts["a"] == sum(shard.counted for shard in model)
    assert sealed
    if n_held == 1000:
        assert sum(one.missed for one in sealed) == 0


# counting


def settings(**more: Any) -> dict[str, Any]:
    return {"auto_declare_events": True, "intervals": ["0.5s", "1h"], "history": 1000, "shards": 4, **more}


def test_each_process_counts_in_a_shard_of_its_own_choice(server: Server) -> None:
    loggers = [EventCountLogger({"g": settings(spool=False)}, server.config) for _ in range(32)]
    groups = [logger["g"] for logger in loggers]
    prefixes = {group.local.config.prefix for group in groups if isinstance(group, RedisEventGroup)}
    assert len(prefixes) > 1
    assert prefixes <= {"{g#0}", "{g#1}", "{g#2}", "{g#3}"}


def test_process_reads_what_it_has_counted(server: Server, logger: Make) -> None:
    group = logger({"g": settings(intervals=["24h"], sync_interval=60)}, server.config)["g"]
    assert isinstance(group, RedisEventGroup)
    group.declare_event_id("a")
    group.log("a", 5)
    assert group.get_current_counts("a") == {"24h": 5}
    assert group.get_counts("24h", current=True) == {"a": 5}
    with pytest.raises(NotConfigured, match="no sessions"):
        group.session("s", "a")


def test_sources_that_have_a_name_stay_in_their_shard(server: Server) -> None:
    config = from_dicts({"g": settings()}, server.config)
    for _ in range(2):
        with EventCountLogger.from_config(config) as logger:
            group = logger["g"]
            assert isinstance(group, RedisEventGroup)
            assert group.consume("numbers", [(at, "n", 1) for at in range(1, 11)]) == "10"
            for key in ("k1", "k2", "k3"):
                assert count_once(logger._store, config.groups["g"], key, {"r": 1})
            assert logger.reader("g").totals().counts == {"n": 10, "r": 3}


def test_source_stays_in_its_shard_when_there_are_more_of_them(server: Server) -> None:
    sources = [f"stream {number}" for number in range(10)]
    for shards in (4, 5, 7):
        with EventCountLogger({"g": settings(shards=shards)}, server.config) as logger:
            group = logger["g"]
            assert isinstance(group, RedisEventGroup)
            for source in sources:
                group.consume(source, [(at, "n", 1) for at in range(1, 11)])
            assert logger.reader("g").totals().counts == {"n": 100}


KILLED = """
import os, signal, sys
from event_count_logger import EventCountLogger
groups = [EventCountLogger.from_file(sys.argv[1])["g"] for _ in range(3)]
for group in groups:
    group.log("a", 7)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_recovered_counts_go_to_the_shard_named_in_the_file(
    server: Server, config_file: Write, run: Run, spool_dir: Path
) -> None:
    plain = {"intervals": ["24h"], "sync_interval": 3600}
    path = config_file({"redis": server.config, "groups": {"g": settings(**plain)}})
    assert subprocess.run([sys.executable, "-c", KILLED, path]).returncode == -signal.SIGKILL
    left = Counter[str]()
    for file in spool_file.find(spool_dir):
        with SpoolReader(file) as window:
            left[window.contents().description.prefix] += 7
    assert left.total() == 21
    other = config_file({"redis": server.config, "groups": {"g": settings(**plain, shards=2)}}, "other.yml")
    assert run("ecl", "recover", other).returncode == 0
    assert {prefix: server.counts(prefix, "24h", "cur")["a"] for prefix in left} == left


def test_workers_a_master_and_a_follower_agree_to_the_last_count(
    any_server: Server, start: Start, config_file: Write, run: Run
) -> None:
    path = config_file({"redis": any_server.config, "groups": {"g": settings(sync_interval=0.1)}})
    config = from_file(path)
    master = start("ecl_master", "-v", path)
    store = Store(config.redis)
    reader, half_a_second = GroupReader(config.groups["g"], store), config.groups["g"].intervals[0]
    starts = [partial(store.reads.start, shard, half_a_second) for shard in config.groups["g"].shards]
    wait_until(lambda: None not in [start() for start in starts], what="all shards begin")
    follower = reader.follower("0.5s", reader.position("0.5s"))
    program = ROOT / "tests" / "programs" / "log_times.py"
    workers = [start(sys.executable, program, path, 2) for _ in range(4)]
    snapshots: list[Snapshot] = []

    def follow() -> int:
        snapshot, wait_s = follower.step()
        if snapshot:
            snapshots.append(snapshot)
        else:
            time.sleep(min(wait_s, 0.05))
        return sum(one.counts.get("e", 0) for one in snapshots)

    wait_until(lambda: follow() >= 0 and all(worker.poll() is not None for worker in workers))
    logged = sum(len(json.loads(worker.communicate()[0])) for worker in workers)
    wait_until(lambda: follow() == logged, what="all is finished")
    assert all(one.end == next_one.start for one, next_one in pairwise(snapshots))
    assert sum(one.missed for one in snapshots) == 0
    assert {(one.start, one.end): one.counts for one in snapshots}.items() <= {
        (one.start, one.end): one.counts for one in reader.history("0.5s")
    }.items()
    (metrics,) = Scraper(config.shown_groups, store).scrape().groups
    assert metrics.totals and metrics.totals.counts == {"e": logged}
    assert metrics.n_masters == 1
    # On a busy machine, an interval may be late at the first look.
    in_time = "OK: 1 master, 2 intervals in time"
    wait_until(lambda: run("ecl", "status", path).stdout.splitlines()[-1] == in_time, what=in_time)
    assert run("ecl", "check", path).returncode in (0, 1)
    master.terminate()
    _, log = master.communicate(timeout=60)
    rotations = [line.partition("Group")[2] for line in log.splitlines() if "'0.5s': rotated" in line]
    assert len(rotations) == len(set(rotations)) >= 4 * len(snapshots)
    assert {f"Group 'g#{shard}'" in log for shard in range(4)} == {True}
    store.close()


# commands


@pytest.fixture
def alike(store: Store, any_server: Server, config_file: Write) -> Iterator[Path]:
    """A group that is split and one that is not, which have counted the same."""
    plain = {
        "events": ["ok"],
        "auto_declare_events": True,
        "intervals": ["24h"],
        "labels": {"ok": "all well"},
    }
    groups = {"plain": plain, "split": {**plain, "shards": 3}}
    path = config_file({"redis": any_server.config, "groups": groups})
    config = from_file(path)
    (day,) = config.groups["plain"].intervals
    let_midnight_pass(store)
    now = store.client.server_time()
    for days_ago in (2, 1, 0):
        for group in config.groups.values():
            for number in range(3):
                shard, at = group.shard(number), now - 86_400 * days_ago
                store.rotation.rotate(shard, day, at)
                batch = {"ok": 10**number, f"e{number}": 1}
                store.commits.commit(shard, f"source {number}", 2 - days_ago, 3 - days_ago, batch, at)
    yield path


@pytest.mark.parametrize(
    "command",
    [
        ["ecl_reader", "FILE", "-g", "GROUP"],
        ["ecl_reader", "FILE", "-g", "GROUP", "--both"],
        ["ecl_reader", "FILE", "-g", "GROUP", "--history", "5", "--format", "csv"],
        ["ecl_reader", "FILE", "-g", "GROUP", "--totals", "--format", "json"],
        ["ecl", "munin", "ecl_GROUP", "--config", "FILE"],
        ["ecl", "top", "FILE", "GROUP", "-c", "2", "-d", "0.1"],
    ],
    ids=" ".join,
)
def test_commands_print_the_same_for_split_and_whole_groups(
    alike: Path, run: Run, command: list[str]
) -> None:
    printed = []
    for group in ("plain", "split"):
        done = run(*(word.replace("FILE", str(alike)).replace("GROUP", group) for word in command))
        assert (done.returncode, done.stderr) == (0, "")
        lines = [line for line in done.stdout.splitlines() if '"server_time"' not in line]
        printed.append([line.replace(group, "G") for line in lines])
    assert printed[0]
    assert printed[0] == printed[1]


def test_metrics_are_the_same_for_split_and_whole_groups(alike: Path, run: Run) -> None:
    lines = run("ecl_reader", alike, "--format", "openmetrics").stdout.splitlines()
    of_plain, of_split = ([line for line in lines if f'"{group}"' in line] for group in ("plain", "split"))
    assert of_plain
    assert [line.replace('"plain"', '"split"') for line in of_plain] == of_split


def test_check_names_shards_without_a_master_among_others(
    server: Server, run: Run, config_file: Write
) -> None:
    def file(shards: int) -> Path:
        group = {"events": ["a"], "intervals": ["24h"], "shards": shards}
        return config_file({"redis": server.config, "groups": {"g": group}}, f"{shards}.yml")

    assert run("ecl_master", "--once", file(2)).returncode == 0
    assert "no master yet" not in run("ecl", "check", file(2)).stdout
    printed = run("ecl", "check", file(4)).stdout
    assert "2 intervals have no master yet" in printed
    assert printed.splitlines()[-2].endswith("group 'g#2', interval '24h'; group 'g#3', interval '24h'")
    last_line = run("ecl", "status", file(4)).stdout.splitlines()[-1]
    assert last_line.startswith("NOT STARTED: 1 of 1 interval has no master yet")
    assert run("ecl_master", "--once", file(4)).returncode == 0
    assert "no master yet" not in run("ecl", "check", file(4)).stdout
    assert run("ecl", "status", file(4)).returncode == 0


def test_migrate_prints_the_contents_of_each_shard(alike: Path, run: Run) -> None:
    done = run("ecl", "migrate", alike, "split", "--to", "hash", "--dry-run")
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        f"split#{number}, 24h" for number in range(3)
    ]
