"""Intervals that processes count in and no master ends, because configurations differ."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from event_count_logger.config import Config, GroupConfig, RedisConfig, SessionsConfig, from_dicts
from event_count_logger.errors import NotYet
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log
from event_count_logger.reading.unrotated import UnrotatedWatch, find_unrotated
from event_count_logger.store import MasterInfo, SessionAction, Store
from tests.fixtures import Run, Start, Write
from tests.groups import group_of
from tests.servers import Server, wait_until

TWO_S, SIXTY_S, ONE_M, ONE_H = map(Interval.parse, ("2s", "60s", "1m", "1h"))
MASTER = MasterInfo("web1", 1, "2.0.0", 1_700_000_000.0)

WARNING = (
    "Group 'g', interval '60s': processes count in it, and no master ends it: this configuration has 1m, 1h"
)


def count(store: Store, group: GroupConfig, source: str = "s") -> None:
    assert store.commits.commit(group, source, "", 1, {"e": 1}).outcome == "applied"


def names(store: Store, group: GroupConfig) -> list[tuple[str, str]]:
    return [(each.part, each.interval) for each in find_unrotated(group, store)]


def age(server: Server, key: str, interval: str, by_s: int) -> None:
    """Set the time of the last count in an interval to some seconds ago."""
    with server.client as client:
        client.hset(key, interval, int(client.time()[0]) - by_s)


def test_unrotated_interval_is_named_by_master_check_and_status(
    server: Server, config_file: Write, start: Start, run: Run
) -> None:
    groups = {"g": {"events": ["e"], "intervals": ["1m", "1h"]}}
    ours = config_file({"redis": server.config, "groups": groups})
    theirs = config_file(
        {"redis": server.config, "groups": {"g": {**groups["g"], "intervals": ["60s"]}}}, "w.yml"
    )
    master = start("ecl_master", ours)
    wait_until(lambda: server.client.exists("g:1h:cur:@ts"), what="the master begins the intervals")
    assert run("ecl", "check", ours).returncode == 0
    assert run("ecl", "status", ours).returncode == 0

    assert run("ecl", "log_event", theirs, "g", "e").returncode == 0
    assert master.stderr
    lines = iter(master.stderr.readline, "")
    # On a busy machine, a rotation may be late.
    assert next(line for line in lines if " late, " not in line).rstrip().endswith(WARNING)
    problem = WARNING[1:].replace("this configuration has", "running masters have")
    checked = run("ecl", "check", ours)
    assert (checked.returncode, checked.stdout.count(problem)) == (1, 1)
    status = run("ecl", "status", ours)
    assert status.returncode == 4
    assert status.stdout.splitlines()[-1] == (
        "UNROTATED: processes count in intervals that no master ends: "
        "interval '60s' of group 'g' (see ecl check); 1 master, 2 intervals in time"
    )
    found = json.loads(run("ecl", "status", "--json", ours).stdout)
    assert (found["state"], found["hidden_unrotated"]) == ("unrotated", 0)
    assert [(each["group"], each["interval"]) for each in found["unrotated"]] == [("g", "60s")]


@pytest.mark.parametrize("layout", ["keys", "hash"], indirect=True)
def test_every_way_to_count_records_its_intervals(layout: str, any_server: Server, store: Store) -> None:
    ways: dict[str, Callable[[GroupConfig], object]] = {
        "commits": lambda group: store.commits.commit(group, "s", "", 1, {"e": 1}),
        "requests": lambda group: store.commits.commit_request(group, "k", "c", {"e": 1}, 60),
        "sessions": lambda group: store.commits.commit_actions(
            group, [SessionAction("id", "e", "start", 1e9)]
        ),
    }
    for name, commit in ways.items():
        theirs = group_of(name, [SIXTY_S], sessions=SessionsConfig())
        commit(theirs)
        assert names(store, replace(theirs, intervals=(ONE_M,))) == [(name, "60s")]
        assert names(store, theirs) == []


@pytest.mark.parametrize("durability", ["fsync", "replicas"])
def test_durable_commit_is_confirmed_with_its_interval_record(durability: str, own_server: Server) -> None:
    with own_server.client as client:
        client.config_set("appendfsync", "always")
    store = Store(RedisConfig(**own_server.config))
    group = group_of("g", [SIXTY_S], durability=durability)
    if durability == "fsync":
        count(store, group)
    else:
        with pytest.raises(NotYet, match="not confirmed by a replica: none is online"):
            count(store, group)
    assert list(store.shard_reads.counted_in(group)) == ["60s"]
    store.close()


def test_each_shard_is_checked(any_server: Server, store: Store) -> None:
    ours = group_of("g", [ONE_M], n_shards=3, key_prefix="{g}")
    count(store, replace(ours.shard(2), intervals=(SIXTY_S,)))
    assert names(store, ours) == [("g#2", "60s")]


def test_another_number_of_shards_is_named(any_server: Server, store: Store) -> None:
    whole = group_of("g", [ONE_M], key_prefix="{g}")
    count(store, replace(whole, n_shards=2).shard(1))
    assert names(store, replace(whole, n_shards=2)) == []
    assert names(store, whole) == [("g#1", "1m")]
    count(store, replace(whole, n_shards=2).shard(0))
    assert names(store, whole) == [("g#0", "1m"), ("g#1", "1m")]
    count(store, whole)
    assert names(store, replace(whole, n_shards=2)) == [("g", "1m")]
    (found,) = find_unrotated(replace(whole, n_shards=2), store)
    assert found.reason == "this configuration has 'shards: 2'"


@pytest.mark.parametrize(("n_own", "last"), [(1, 7), (2, 9), (4, 11)])
def test_eight_shards_beyond_the_configured_ones_are_checked(n_own: int, last: int, store: Store) -> None:
    ours, theirs = (group_of("g", [ONE_M], n_shards=number) for number in (n_own, 16))
    count(store, theirs.shard(last + 1))
    assert names(store, ours) == []
    count(store, theirs.shard(last))
    assert names(store, ours) == [(f"g#{last}", "1m")]


def test_shards_that_a_running_master_lacks_are_named_for_workers(store: Store) -> None:
    workers = group_of("g", [ONE_M], n_shards=4)
    for number in range(4):
        count(store, workers.shard(number))
    store.masters.record([replace(workers, n_shards=2)], MASTER)
    found = list(find_unrotated(workers, store))
    assert [each.part for each in found] == ["g#2", "g#3"]
    assert {each.reason for each in found} == {"running masters have 'shards: 2'"}
    store.masters.record_stop([replace(workers, n_shards=2)], MASTER)
    assert names(store, workers) == []
    store.masters.record([replace(workers, n_shards=1)], MASTER)
    assert names(store, workers) == [(f"g#{number}", "1m") for number in range(4)]
    store.masters.record([workers], replace(MASTER, pid=2))
    assert names(store, workers) == []
    assert names(store, replace(workers, n_shards=1)) == []


def test_first_interval_is_not_named_while_a_master_lists_it(store: Store) -> None:
    theirs, ours = group_of("g", [TWO_S, ONE_H]), group_of("g", [TWO_S])
    count(store, theirs)
    store.masters.record([ours], replace(MASTER, pid=2))
    assert names(store, ours) == [("g", "1h")]
    (found,) = find_unrotated(theirs, store)
    assert (found.interval, found.reason) == ("1h", "running masters have 2s")
    store.masters.record([theirs], MASTER)
    assert names(store, ours) == names(store, theirs) == []
    store.masters.record_stop([theirs], MASTER)
    assert names(store, ours) == [("g", "1h")]


def test_master_before_first_heartbeat_does_not_name_its_intervals(store: Store) -> None:
    ours = group_of("g", [ONE_H])
    count(store, ours)
    store.masters.record([group_of("g", [ONE_M])], MASTER)
    assert names(store, ours) == [("g", "1h")]
    assert list(find_unrotated(ours, store, is_master=True)) == []


def test_started_interval_is_not_named_before_its_end(any_server: Server, store: Store) -> None:
    before, after = group_of("g", [ONE_H]), group_of("g", [ONE_M])
    count(store, before)
    assert names(store, after) == [("g", "1h")]
    assert store.rotation.rotate(before, ONE_H).outcome == "waiting"
    assert names(store, after) == []
    with any_server.client as client:
        client.set("g:1h:cur:@ts", int(client.time()[0]) - 7200)
    assert names(store, after) == [("g", "1h")]


@pytest.mark.parametrize(
    ("masters", "cause"),
    [
        ([], "start ecl_master"),
        (["1m"], "configurations differ: running masters have 1m"),
        (["1m", "1h"], "see the log of the master"),
    ],
)
def test_check_names_reason_of_overdue_rotation(
    masters: list[str], cause: str, server: Server, run: Run, config_file: Write
) -> None:
    groups = {"g": {"events": ["e"], "intervals": ["1h"]}}
    file = config_file({"redis": server.config, "groups": groups})
    store = Store(from_dicts(groups, server.config).redis)
    count(store, group_of("g", [ONE_H]))
    with server.client as client:
        client.set("g:1h:cur:@ts", int(client.time()[0]) - 7200)
    if masters:
        store.masters.record([group_of("g", list(map(Interval.parse, masters)))], MASTER)
    store.close()
    (line,) = [line for line in run("ecl", "check", file).stdout.splitlines() if " s overdue: " in line]
    assert line.endswith(f"overdue: {cause}")


def test_interval_ended_by_another_master_is_not_named(any_server: Server, store: Store) -> None:
    theirs, ours = group_of("g", [ONE_H]), group_of("g", [ONE_M])
    count(store, theirs)
    assert names(store, ours) == [("g", "1h")]
    now = store.client.server_time(theirs)
    with any_server.client as client:
        client.set("g:1h:cur:@ts", int(now) - 2 * 3600)
    assert store.rotation.rotate(theirs, ONE_H).outcome == "rotated"
    assert names(store, ours) == []
    with any_server.client as client:
        client.set("g:1h:cur:@ts", int(now) - 2 * 3600)
    assert names(store, ours) == [("g", "1h")]


def test_unused_interval_is_not_named(any_server: Server, store: Store) -> None:
    before, after = group_of("g", [ONE_M, ONE_H]), group_of("g", [ONE_M])
    count(store, before)
    now = int(store.client.server_time(before))
    with any_server.client as client:
        client.set("g:1h:cur:@ts", now - 7200)
        assert store.rotation.rotate(before, ONE_H).outcome == "rotated"
        client.set("g:1h:cur:@ts", now - 3600 - 300)  # its end is due up to 5 minutes ago
    overdue_s = int(store.client.server_time(before) - ONE_H.end_of(now - 3600 - 300))
    age(any_server, "g:@intervals", "1h", overdue_s + 60)
    assert names(store, after) == []
    age(any_server, "g:@intervals", "1h", overdue_s - 60)
    assert names(store, after) == [("g", "1h")]


def test_interval_is_named_until_65_minutes_after_its_last_count(any_server: Server, store: Store) -> None:
    ours, theirs = group_of("g", [ONE_M]), group_of("g", [SIXTY_S])
    count(store, theirs)
    age(any_server, "g:@intervals", "60s", 64 * 60)
    assert names(store, ours) == [("g", "60s")]
    age(any_server, "g:@intervals", "60s", 66 * 60)
    assert names(store, ours) == []
    count(store, ours, "other")
    with any_server.client as client:
        assert client.hkeys("g:@intervals") == ["1m"]


def test_intervals_are_recorded_by_one_commit_per_minute(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, group = Store(RedisConfig(**server.config)), group_of("g", [ONE_M, ONE_H])

    def n_evals() -> int:
        with server.client as client:
            return int(client.info("commandstats").get("cmdstat_eval", {"calls": 0})["calls"])

    with server.client as client:
        client.config_resetstat()
    count(store, group, "s0")
    before = n_evals()  # the scripts of the commit and of the interval record
    for i in range(1, 50):
        count(store, group, f"s{i}")
    assert n_evals() == before
    now = time.time()
    monkeypatch.setattr("event_count_logger.store.commits.time.time", lambda: now + 61)
    count(store, group, "s50")
    assert n_evals() == before + 1
    count(store, replace(group, intervals=(SIXTY_S,)), "s51")
    assert n_evals() == before + 2
    store.close()


def test_intervals_key_of_unexpected_type_does_not_stop_counts(
    server: Server, run: Run, config_file: Write
) -> None:
    file = config_file({"redis": server.config, "groups": {"g": {"events": ["e"], "intervals": ["1h"]}}})
    with server.client as client:
        client.set("g:@intervals", "foreign")
    assert run("ecl", "log_event", file, "g", "e").returncode == 0
    assert server.counts("g", "1h", "cur") == {"e": 1}
    assert run("ecl", "master", file, "--once").returncode == 0
    checked = run("ecl", "check", file)
    assert checked.stdout.count("g:@intervals") == 1
    assert (
        "key g:@intervals has an unexpected type (string, expected hash): rename or delete it"
        in checked.stdout
    )


def test_master_warns_once_and_logs_the_end(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    def config(*intervals: str) -> Config:
        return from_dicts({"g": {"events": ["e"], "intervals": list(intervals)}}, server.config)

    caplog.set_level(logging.INFO, "EventCountLogger")  # other tests may have set another level
    store = Store(config("1m").redis)
    watch = UnrotatedWatch(store, Log("EventCountLogger"))
    count(store, group_of("g", [SIXTY_S]))
    for _ in range(3):
        watch.look(config("1m", "1h"))
    assert [record.getMessage() for record in caplog.records] == [WARNING]
    assert caplog.records[0].levelno == logging.WARNING
    caplog.clear()
    for _ in range(3):
        watch.look(config("60s", "1h"))
    assert [record.getMessage() for record in caplog.records] == [
        "Group 'g', interval '60s': rotated, or no longer counted in"
    ]
    store.close()


def test_outage_does_not_end_a_warning(own_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    config = from_dicts({"g": {"events": ["e"], "intervals": ["1m", "1h"]}}, own_server.config)
    store = Store(config.redis)
    watch = UnrotatedWatch(store, Log("EventCountLogger"))
    count(store, group_of("g", [SIXTY_S]))
    watch.look(config)
    own_server.kill()
    watch.look(config)
    own_server.start()
    watch.look(config)
    assert [record.getMessage() for record in caplog.records] == [WARNING]
    store.close()


def test_unrotated_interval_of_hidden_group_is_counted_unnamed(
    server: Server, run: Run, config_file: Write
) -> None:
    groups: dict[str, Any] = {"secret": {"events": ["e"], "intervals": ["1h"], "hidden": True}}
    file = config_file({"redis": server.config, "groups": groups})
    store = Store(from_dicts(groups, server.config).redis)
    count(store, group_of("secret", [SIXTY_S]))
    status = run("ecl", "status", file)
    assert status.returncode == 4
    assert "1 hidden interval" in status.stdout and "secret" not in status.stdout
    store.close()
