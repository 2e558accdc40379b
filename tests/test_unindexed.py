"""Counters that version 1.1 has made, which are in no index: when they are looked for, and what is found."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from event_count_logger import EventCountLoggerMaster
from event_count_logger.config import Config, GroupConfig, from_dicts
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log
from event_count_logger.service import unindexed_counters
from event_count_logger.service.unindexed_counters import UnindexedCounters
from event_count_logger.store import Store, index_counters
from event_count_logger.store.migration import Migration
from tests.groups import group_of
from tests.servers import Server, wait_until

FIVE_M, ONE_H = Interval.parse("5m"), Interval.parse("1h")
GROUP = GroupConfig("g", (FIVE_M, ONE_H), ("declared",), auto_declare_events=True)
SPEC: dict[str, Any] = {"events": ["declared"], "intervals": ["5m", "1h"], "auto_declare_events": True}


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Looks:
    """The looks at a server, with a clock that is set by hand."""

    def __init__(self, server: Server, **groups: Any) -> None:
        self.config: Config = from_dicts(groups or {"g": SPEC}, server.config)
        self.store = Store(self.config.redis)
        self.clock = Clock()
        self.counters = UnindexedCounters(self.store, Log("EventCountLogger"), self.clock)
        self._server = server

    def before_rotation(self) -> None:
        for group in self.config.groups.values():
            self.counters.index_before_rotation(self.config, group, group.intervals[0])

    @property
    def n(self) -> int:
        """Number of SCAN requests."""
        with self._server.client as client:
            return int(client.info("commandstats").get("cmdstat_scan", {"calls": 0})["calls"])


@pytest.fixture
def looks(server: Server) -> Iterator[Callable[..., Looks]]:
    made: list[Looks] = []

    def make(**groups: Any) -> Looks:
        with server.client as client:
            client.config_resetstat()
        made.append(Looks(server, **groups))
        return made[-1]

    yield make
    for each in made:
        each.store.close()


def test_counters_of_both_halves_are_indexed_and_no_other_keys(any_server: Server, store: Store) -> None:
    with any_server.client as client:
        client.mset({"g:5m:cur:x": 1, "g:1h:cur:x": 1, "g:5m:last:y": 861, "g:5m:cur:a:b č": -2})
        client.mset({"g:5m:cur:declared": 1, "g:5m:cur:word": "word", "g:7m:cur:x": 1, "other:5m:cur:x": 1})
        client.mset({"g:5m:cur:a\nb": 1, "g:5m:cur:" + 513 * "x": 1, b"g:5m:cur:\xff": 1, "g:5m:cur:@ts": 1})
        client.lpush("g:5m:cur:list", "1")
        client.sadd("g:5m:cur:@events", "indexed")
        client.set("g:5m:cur:indexed", 1)
        assert sum(index_counters(store.client, [GROUP])) == 4
        assert client.smembers("g:5m:cur:@events") == {"indexed", "x", "a:b č"}
        assert client.smembers("g:5m:last:@events") == {"y"}
        assert client.smembers("g:1h:cur:@events") == {"x"}
        assert client.exists("g:7m:cur:@events", "other:5m:cur:@events") == 0
        assert sum(index_counters(store.client, [GROUP])) == 0


def test_many_counters_of_several_groups_are_found(any_server: Server, store: Store) -> None:
    other = group_of("other.2", [ONE_H], auto_declare_events=True)
    with any_server.client as client:
        client.mset({f"g:5m:cur:e{n}": n for n in range(2500)})
        client.mset({f"other.2:1h:cur:e{n}": n for n in range(2500)})
        client.mset({f"foreign:{n}": n for n in range(2500)})
        assert sum(index_counters(store.client, [GROUP, other])) == 5000
        assert client.scard("g:5m:cur:@events") == client.scard("other.2:1h:cur:@events") == 2500


def test_master_includes_new_counters_in_the_interval_that_ends(server: Server) -> None:
    master = EventCountLoggerMaster({"g": SPEC}, server.config)
    master.rotate_due()
    with server.client as client:
        client.set("g:5m:cur:@ts", int(client.time()[0]) - 600)
        client.incr("g:5m:cur:new", 7)
        client.set("g:5m:last:frozen", 861)
        master.rotate_due()
        assert client.mget("g:5m:last:new", "g:5m:cur:new", "g:5m:last:frozen") == ["7", None, None]


def test_groups_that_1_1_cannot_count_in_cost_nothing(looks: Callable[..., Looks]) -> None:
    made = looks(
        declared={"events": ["a"], "intervals": ["5m"]},
        hashed={**SPEC, "layout": "hash"},
        split={**SPEC, "shards": 2},
    )
    made.counters.index(made.config)
    made.before_rotation()
    assert made.n == 0


def test_one_scan_serves_all_rotations_of_a_boundary(looks: Callable[..., Looks]) -> None:
    made = looks(g=SPEC, other=SPEC)
    made.before_rotation()
    made.before_rotation()
    assert made.n == 1
    made.counters.index(made.config)
    assert made.n == 2


def test_scans_become_rare_an_hour_after_the_last_find(server: Server, looks: Callable[..., Looks]) -> None:
    made = looks()
    assert made.counters.next_scan_s == 10
    made.clock.now += 3601
    assert made.counters.next_scan_s == 600
    made.before_rotation()
    assert made.n == 0
    with server.client as client:
        client.incr("g:5m:cur:late")
    made.counters.index(made.config)
    assert made.counters.next_scan_s == 10
    made.clock.now += 3599
    made.counters.index(made.config)
    assert made.counters.next_scan_s == 10
    made.clock.now += 2
    assert made.counters.next_scan_s == 600


def test_slow_scan_is_rare_and_no_rotation_waits_for_it(
    looks: Callable[..., Looks], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = looks()

    def slow_search(*arguments: Any) -> Iterator[int]:
        for n in index_counters(*arguments):
            made.clock.now += 0.6
            yield n

    monkeypatch.setattr(unindexed_counters, "index_counters", slow_search)
    made.before_rotation()
    assert made.n == 1
    assert made.counters.next_scan_s == pytest.approx(60)
    made.clock.now += 100
    made.before_rotation()
    assert made.n == 1
    monkeypatch.setattr(unindexed_counters, "index_counters", index_counters)
    made.counters.index(made.config)
    made.before_rotation()
    assert (made.n, made.counters.next_scan_s) == (2, 10)


def test_rotation_soon_after_a_scan_does_not_scan_again(
    looks: Callable[..., Looks], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = looks(g={**SPEC, "intervals": ["0.1s"]})

    def search_for_a_while(*arguments: Any) -> Iterator[int]:
        made.clock.now += 0.4
        yield from index_counters(*arguments)

    monkeypatch.setattr(unindexed_counters, "index_counters", search_for_a_while)
    made.counters.index(made.config)
    (interval,) = made.config.group("g").intervals
    began = made.store.client.now()
    wait_until(lambda: interval.start_of(made.store.client.now()) > began, what="the next boundary")
    made.clock.now += 3.9
    made.before_rotation()
    assert made.n == 1
    made.clock.now += 0.2
    made.before_rotation()
    assert made.n == 2


def test_missing_permission_for_scan_is_logged_once(
    server: Server, looks: Callable[..., Looks], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "EventCountLogger")  # other tests may have set another one
    with server.client as client:
        client.execute_command("ACL", "SETUSER", "ecl", "on", ">SECRET", "~*", "+@all", "-scan")
    made = looks()
    user = {**server.config, "username": "ecl", "password": "SECRET"}
    made.store = Store(from_dicts({"g": SPEC}, user).redis)
    made.counters = UnindexedCounters(made.store, Log("EventCountLogger"), made.clock)
    for _ in range(3):
        made.counters.index(made.config)
    (message,) = (record.getMessage() for record in caplog.records)
    assert message.startswith("Counters of event-count-logger 1.1 are not searched: Redis rejects")
    with server.client as client:
        client.execute_command("ACL", "DELUSER", "ecl")


def test_found_counters_are_logged_once(
    server: Server, looks: Callable[..., Looks], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "EventCountLogger")  # other tests may have set another one
    made = looks()
    for n in range(3):
        with server.client as client:
            client.incr(f"g:5m:cur:e{n}")
        made.counters.index(made.config)
    assert [record.getMessage() for record in caplog.records] == [
        "event-count-logger 1.1 counts undeclared events; rotated from now on: 1 counter"
    ]


def test_index_key_of_wrong_type_leaves_other_counters_indexed(any_server: Server, store: Store) -> None:
    with any_server.client as client:
        client.mset({"g:5m:cur:x": 1, "g:1h:cur:x": 1, "g:5m:cur:@events": "foreign"})
        assert sum(index_counters(store.client, [GROUP])) == 1
        assert client.smembers("g:1h:cur:@events") == {"x"}


def test_migration_moves_what_1_1_has_counted(any_server: Server, store: Store) -> None:
    with any_server.client as client:
        client.mset({"g:5m:cur:x": 3, "g:5m:last:x": 4})
        assert Migration(store.client, GROUP, "hash").run() == []
        assert (client.hgetall("g:5m:cur"), client.hgetall("g:5m:last")) == ({"x": "3"}, {"x": "4"})
        assert client.exists("g:5m:cur:x", "g:5m:last:x") == 0
