"""History and totals after rotations, on every kind of server and in both layouts."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from event_count_logger.config import GroupConfig, History
from event_count_logger.errors import Rejected
from event_count_logger.intervals import Interval
from event_count_logger.reading.reader import Reader
from event_count_logger.store import HistoryPosition, Rotation, Store
from tests import groups
from tests.conftest import only_keys
from tests.servers import Server

pytestmark = pytest.mark.usefixtures("layout")

FIVE_S, ONE_M = Interval.parse("5s"), Interval.parse("1m")
START = 1_700_000_010
GROUP = GroupConfig(
    "g", (FIVE_S,), ("a",), auto_declare_events=True, history=History.of(3), expire_after=20.0
)
OF_BOTH = replace(GROUP, intervals=(ONE_M, FIVE_S))


class Counting:
    """A group with explicit times of commits and rotations: `at` is a number of intervals of 5 seconds."""

    def __init__(self, store: Store, group: GroupConfig = GROUP) -> None:
        self.store = store
        self.group = group
        self.reader = Reader(store)
        self._positions = itertools.count()

    @property
    def group(self) -> GroupConfig:
        return self._group

    @group.setter
    def group(self, group: GroupConfig) -> None:
        self._group = replace(group, layout=groups.layout)

    def count(self, at: float, **batch: int) -> None:
        position = next(self._positions)
        self.store.commits.commit(self.group, "src", position, position + 1, batch, START + 5 * at)

    def rotate(self, at: float, interval: Interval = FIVE_S) -> Rotation:
        return self.store.rotation.rotate(self.group, interval, START + 5 * at)

    def totals(self) -> dict[str, int]:
        return dict(self.reader.totals(self.group).counts)

    def began(self) -> dict[str, float]:
        return self.reader.totals_and_created(self.group)[1]


@pytest.fixture
def counting(store: Store) -> Counting:
    return Counting(store)


# history


@only_keys
def test_each_finished_interval_is_one_history_entry(counting: Counting, any_server: Server) -> None:
    counting.count(0, a=2, x=3)
    counting.rotate(1)
    assert any_server.client.xrange("g:5s:@history") == [
        (
            "1700000015000-1",
            {"start": "1700000010", "end": "1700000015", "events": '["a","x"]', "counts": "[2,3]"},
        )
    ]
    assert any_server.client.get("g:5s:@finished") == "1"


def test_history_keeps_newest_intervals_oldest_first(counting: Counting) -> None:
    for at in range(5):
        counting.count(at, a=at)
        counting.rotate(at + 1)
    held = counting.reader.history(counting.group, FIVE_S)
    assert [(one.start, one.end, dict(one.counts), one.position) for one in held] == [
        (START + 10, START + 15, {"a": 2}, "1700000025000-3"),
        (START + 15, START + 20, {"a": 3}, "1700000030000-4"),
        (START + 20, START + 25, {"a": 4}, "1700000035000-5"),
    ]
    assert counting.reader.history(counting.group, FIVE_S, 1) == held[-1:]
    assert counting.reader.history(counting.group, FIVE_S, 0) == []


def test_merged_intervals_are_one_entry_with_true_span(counting: Counting) -> None:
    counting.count(0, a=1)
    counting.rotate(4.2)
    (only,) = counting.reader.history(counting.group, FIVE_S)
    assert (only.start, only.end, only.span_s, only.rates) == (START, START + 20, 20, {"a": 0.05})


def test_disabled_history_is_deleted(counting: Counting, any_server: Server) -> None:
    counting.count(0, a=1)
    counting.rotate(1)
    counting.group = replace(GROUP, history=History.of(0))
    counting.rotate(2)
    assert not any_server.client.exists("g:5s:@history")
    assert any_server.client.get("g:5s:@finished") == "2"


@only_keys
def test_any_event_id_and_count_survives_in_history(counting: Counting, any_server: Server) -> None:
    batch = {'"\\/': 1, "é\U0001f600": 2, "a b:c,": 2**63 - 1, "": 0}
    del batch[""]
    counting.count(0, **batch)
    any_server.client.sadd("g:5s:cur:@events", b"\xff\n")
    any_server.client.set(b"g:5s:cur:\xff\n", 7)
    counting.rotate(1)
    (held,) = counting.reader.history(counting.group, FIVE_S)
    assert held.counts == {"a": 0, **batch, "\udcff\n": 7}
    (last,) = counting.reader.read(counting.group, FIVE_S, "last", now=START + 6)
    assert last.counts == held.counts


def test_history_stores_thousands_of_events(counting: Counting) -> None:
    batch = {f"e{number:05}": number for number in range(12_000)}
    for at in range(3):
        counting.count(at, **batch)
        counting.rotate(at + 1)
    assert [one.counts for one in counting.reader.history(counting.group, FIVE_S)] == [{"a": 0, **batch}] * 3


def test_empty_interval_is_a_history_entry(store: Store) -> None:
    counting = Counting(store, replace(GROUP, events=()))
    counting.rotate(0)
    counting.rotate(1)
    (held,) = counting.reader.history(counting.group, FIVE_S)
    assert held.counts == {}


def test_history_continues_after_clock_was_ahead(counting: Counting) -> None:
    counting.count(1000, a=1)
    counting.rotate(1001)
    counting.rotate(0)
    counting.count(0, a=2)
    counting.rotate(1)
    held = counting.reader.history(counting.group, FIVE_S)
    assert [(one.start, one.counts["a"]) for one in held] == [(START + 5000, 1), (START, 2)]
    positions = [HistoryPosition.parse(one.position or "") for one in held]
    assert positions == sorted(positions)


@only_keys
def test_interval_ended_by_another_program_is_read_from_its_keys(
    counting: Counting, any_server: Server
) -> None:
    counting.count(0, a=1)
    counting.rotate(1)
    any_server.client.mset({"g:5s:cur:@ts": START + 10, "g:5s:last:a": 9})
    (last,) = counting.reader.read(counting.group, FIVE_S, "last", now=START + 11)
    assert last.counts == {"a": 9}


# totals


def test_total_includes_current_interval(counting: Counting, any_server: Server) -> None:
    counting.count(0, a=2, x=1)
    assert counting.totals() == {"a": 2, "x": 1}
    counting.rotate(1)
    counting.count(1, a=5)
    stored = {"keys": {"a": "2", "x": "1"}, "hash": {"a": "7", "x": "1"}}
    assert any_server.client.hgetall("g:@totals") == stored[groups.layout]
    assert counting.totals() == {"a": 7, "x": 1}


def test_only_one_interval_feeds_the_totals(store: Store, any_server: Server) -> None:
    counting = Counting(store, OF_BOTH)
    for at in range(24):
        counting.count(at, a=1, x=1)
        counting.rotate(at + 1)
        counting.rotate(at + 1, ONE_M)
        assert counting.totals() == {"a": at + 1, "x": at + 1}
        for interval in (FIVE_S, ONE_M):
            last, current, totals = counting.reader.read_with_totals(counting.group, interval)
            now = last.now
            read = counting.reader.read(counting.group, interval, "last", "cur", now=now)
            assert read == (last, current)
            assert totals and totals.counts == {"a": at + 1, "x": at + 1}
    assert any_server.client.get("g:@totals_interval") == {"keys": "5s", "hash": None}[groups.layout]


def test_totals_continue_after_their_interval_is_removed(store: Store, any_server: Server) -> None:
    counting = Counting(store, OF_BOTH)
    counting.count(0, a=1, x=1, y=1)
    counting.rotate(1)
    counting.count(1, a=10, x=10)
    counting.group = replace(GROUP, intervals=(ONE_M,))
    counting.rotate(1, ONE_M)
    assert counting.totals() == {"a": 11, "x": 11, "y": 1}
    assert any_server.client.get("g:@totals_interval") == {"keys": "1m", "hash": None}[groups.layout]
    counting.count(2, a=100)
    counting.rotate(12, ONE_M)
    assert counting.totals() == {"a": 111, "x": 11, "y": 1}


def test_new_shorter_interval_leaves_totals_unchanged(store: Store) -> None:
    counting = Counting(store, replace(GROUP, intervals=(ONE_M,)))
    counting.count(0, a=1)
    counting.rotate(12, ONE_M)
    counting.group = OF_BOTH
    counting.count(12, a=10)
    counting.rotate(13)
    assert counting.totals() == {"a": 11}


def test_expired_event_is_dropped_from_totals(counting: Counting, any_server: Server) -> None:
    counting.count(0, a=1, x=1, y=1)
    counting.rotate(1)
    for at in range(1, 5):
        counting.count(at, y=1)
        counting.rotate(at + 1)
        assert counting.totals() == {"a": 1, "x": 1, "y": 1 + at}, at
    counting.rotate(6)  # 25 seconds after the end of the interval with x
    assert counting.totals() == {"a": 1, "y": 5}
    counting.rotate(20)
    assert counting.totals() == {"a": 1}
    assert not any_server.client.exists("g:@idle")
    assert any_server.client.hkeys("g:@created") == ["a"]


def test_event_that_returns_in_time_keeps_its_total(counting: Counting) -> None:
    counting.count(0, x=1)
    counting.rotate(1)
    counting.rotate(4)
    counting.count(4, x=1)
    counting.rotate(7)
    counting.rotate(8)
    counting.rotate(10)
    assert counting.totals()["x"] == 2


def test_event_no_longer_declared_expires(store: Store) -> None:
    counting = Counting(store)
    counting.count(0, a=1)
    counting.rotate(1)
    counting.group = replace(GROUP, events=())
    counting.rotate(2)
    counting.rotate(3)
    assert counting.totals() == {"a": 1}
    counting.rotate(8)
    assert counting.totals() == {}


def test_totals_above_2_to_the_53_are_exact(counting: Counting) -> None:
    counting.count(0, a=2**53 - 1, x=2**60 + 1)
    counting.rotate(1)
    counting.count(1, a=3, x=3)
    counting.rotate(2)
    assert counting.totals() == {"a": 2**53 + 2, "x": 2**60 + 4}


def test_totals_falling_below_2_to_the_53_are_exact(counting: Counting) -> None:
    counting.count(0, a=2**53 + 1, x=-2)  # a negative count, as version 1 allows
    counting.rotate(1)
    counting.count(1, a=-2, x=2**53 + 1)
    counting.rotate(2)
    assert counting.totals() == {"a": 2**53 - 1, "x": 2**53 - 1}


def test_disabled_totals_are_deleted(counting: Counting, any_server: Server) -> None:
    counting.count(0, a=1, x=1)
    counting.rotate(1)
    counting.rotate(2)
    counting.group = replace(GROUP, totals=False)
    counting.rotate(3)
    assert not any_server.client.exists("g:@totals", "g:@idle", "g:@totals_interval", "g:@created")


def test_thousands_of_totals_are_read(counting: Counting) -> None:
    batch = {f"e{number:05}": number + 1 for number in range(12_000)}
    counting.count(0, **batch)
    counting.rotate(1)
    counting.count(1, **batch)
    assert counting.totals() == {"a": 0} | {event: 2 * count for event, count in batch.items()}


@pytest.mark.parametrize("event", ["counts", "all", "many", "totals"])
def test_event_named_like_internal_field_is_counted(counting: Counting, event: str) -> None:
    counting.count(0, **{event: 3})
    counting.rotate(1)
    assert counting.totals() == {"a": 0, event: 3}
    counting.count(1, **{event: 1})
    assert counting.totals() == {"a": 0, event: 4}


def test_interval_added_before_first_rotation_changes_no_total(store: Store) -> None:
    counting = Counting(store, replace(GROUP, intervals=(ONE_M,)))
    counting.rotate(0, ONE_M)
    counting.count(0, a=7)
    counting.rotate(1, ONE_M)
    counting.group = OF_BOTH
    assert counting.totals() == {"a": 7}
    counting.rotate(1)
    counting.count(1, a=1)
    counting.rotate(2)
    assert counting.totals() == {"a": 8}


def test_any_number_of_idle_events_expires(counting: Counting, any_server: Server) -> None:
    for at in range(8):
        counting.count(at, **{f"{at}-{number}": 1 for number in range(1_500)})
        counting.rotate(at + 1)
    counting.rotate(9)
    assert any_server.client.hlen("g:@totals") == 1_500 * 4  # the events of the last 20 seconds


# times at which totals began


def test_new_total_began_with_its_first_count(counting: Counting) -> None:
    counting.rotate(0)
    counting.count(0.05, x=150, y=2)
    assert counting.began() == {"x": START + 0.25, "y": START + 0.25}
    counting.count(0.5, x=1)
    counting.rotate(1)
    counting.count(1.5, x=1, z=1)
    assert counting.began() == {"x": START + 0.25, "y": START + 0.25, "z": START + 7.5}


def test_total_of_event_that_returns_after_expiry_began_anew(counting: Counting) -> None:
    counting.count(0, x=1)
    counting.rotate(1)
    counting.count(4, x=1)
    assert counting.began() == {"x": START}
    counting.rotate(5)
    counting.rotate(11)
    assert counting.began() == {}
    counting.count(12, x=1)
    assert counting.began() == {"x": START + 60}


def test_total_from_before_the_times_has_none(counting: Counting, any_server: Server) -> None:
    counting.count(0, x=1, y=1)
    any_server.client.delete("g:@created")
    counting.count(0.1, x=1)
    counting.rotate(1)
    counting.count(1, x=1)
    counting.rotate(4)
    counting.count(4, y=1)
    assert counting.totals() == {"a": 0, "x": 3, "y": 2}
    assert counting.began() == {}


@only_keys
def test_counter_of_version_1_has_no_time(counting: Counting, any_server: Server) -> None:
    any_server.client.incrby("g:5s:cur:x", 7)
    counting.count(0, x=1)
    assert counting.totals() == {"a": 0, "x": 8}
    assert counting.began() == {}


def test_total_of_declared_group_has_no_time(store: Store, any_server: Server) -> None:
    counting = Counting(store, replace(GROUP, auto_declare_events=False))
    counting.count(0, a=1)
    assert counting.began() == {}
    assert not any_server.client.exists("g:@created")


def test_time_after_the_reading_is_left_out(counting: Counting, any_server: Server) -> None:
    counting.count(0, x=1)
    any_server.client.hset("g:@created", "x", "99999999999")
    assert counting.began() == {}


def test_key_of_times_of_unexpected_type_stops_no_count(counting: Counting, any_server: Server) -> None:
    any_server.client.lpush("g:@created", "x")
    counting.count(0, x=3)
    counting.rotate(1)
    counting.rotate(20)
    counting.count(20, x=2)
    assert counting.totals() == {"a": 0, "x": 2}
    with pytest.raises(Rejected, match="key g:@created.*WRONGTYPE"):
        counting.began()


# keys of unexpected types


@only_keys
@pytest.mark.parametrize(
    "key", ["g:5s:@history", "g:5s:@finished", "g:@totals", "g:@idle", "g:@totals_interval"]
)
def test_key_of_unexpected_type_is_logged_and_rotation_continues(
    counting: Counting, any_server: Server, key: str
) -> None:
    any_server.client.lpush(key, "x")
    counting.count(0, a=2, x=3)
    rotation = counting.rotate(1)
    assert rotation.outcome == "rotated"
    assert key in rotation.obstacles
    assert any_server.counts("g", "5s", "last") == {"a": 2, "x": 3}
    assert any_server.client.lrange(key, 0, -1) == ["x"]
    (last,) = counting.reader.read(counting.group, FIVE_S, "last", now=START + 6)
    assert last.counts == {"a": 2, "x": 3}


@only_keys
@pytest.mark.parametrize("key", ["g:@totals", "g:@totals_interval"])
def test_key_that_blocks_reading_totals_is_named(counting: Counting, any_server: Server, key: str) -> None:
    any_server.client.lpush(key, "x")
    with pytest.raises(Rejected, match=f"{key}: WRONGTYPE"):
        counting.totals()


@only_keys
def test_invalid_totals_interval_is_named(counting: Counting, any_server: Server) -> None:
    any_server.client.set("g:@totals_interval", "x")
    with pytest.raises(Rejected, match="key g:@totals_interval.*'x' is not an interval"):
        counting.totals()


@only_keys
def test_foreign_last_entry_is_named(counting: Counting, any_server: Server) -> None:
    counting.count(0, a=1)
    counting.rotate(1)
    start, end = (any_server.text(f"g:5s:{half}:@ts") for half in ("last", "cur"))
    fields: dict[Any, Any] = {"start": start, "end": end, "events": "[", "counts": "x"}
    any_server.client.xadd("g:5s:@history", fields)
    with pytest.raises(Rejected, match="key g:5s:@history.*newest entry cannot be read"):
        counting.reader.read(counting.group, FIVE_S, "last")


@only_keys
def test_overflowing_total_is_logged_and_kept(counting: Counting, any_server: Server) -> None:
    any_server.client.hset("g:@totals", mapping={"a": 2**63 - 1, "x": 1})
    counting.count(0, a=2, x=3)
    assert counting.rotate(1).obstacles == ("g:@totals",)
    assert any_server.client.hgetall("g:@totals") == {"a": str(2**63 - 1), "x": "4"}


@pytest.mark.parametrize("totals", [True, False])
def test_known_events_exclude_expired_ones(store: Store, totals: bool) -> None:
    counting = Counting(store, replace(GROUP, totals=totals))
    counting.count(0, x=1)
    counting.rotate(1)
    counting.rotate(2)
    assert counting.reader.known_events(counting.group) == ["a", "x"]


@only_keys
def test_much_shorter_history_is_trimmed_in_steps(counting: Counting, any_server: Server) -> None:
    key = "g:5s:@history"
    counting.rotate(0)
    with any_server.client.pipeline(transaction=False) as pipeline:
        for number in range(10_100):
            pipeline.xadd(key, {"start": "0"}, f"{number + 1}-1")
        pipeline.execute()
    counting.rotate(1)
    assert any_server.client.xlen(key) == 101
    counting.rotate(2)
    assert any_server.client.xlen(key) == 3
