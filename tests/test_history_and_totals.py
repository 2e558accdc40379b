"""What a rotation leaves behind besides the last interval: every outcome, on every kind of server."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from event_count_logger.config import GroupConfig
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
GROUP = GroupConfig("g", (FIVE_S,), ("a",), auto_declare_events=True, history=3, expire_after=20.0)
OF_BOTH = replace(GROUP, intervals=(ONE_M, FIVE_S))


class Counting:
    """Counts batches, and ends intervals, at moments that the test names: `at` is the number of 5 seconds."""

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


@pytest.fixture
def counting(store: Store) -> Counting:
    return Counting(store)


# history


@only_keys
def test_each_finished_interval_is_one_entry(counting: Counting, any_server: Server) -> None:
    counting.count(0, a=2, x=3)
    counting.rotate(1)
    assert any_server.client.xrange("g:5s:@history") == [
        (
            "1700000015000-1",
            {"start": "1700000010", "end": "1700000015", "events": '["a","x"]', "counts": "[2,3]"},
        )
    ]
    assert any_server.client.get("g:5s:@finished") == "1"


def test_the_history_holds_the_newest_intervals_oldest_first(counting: Counting) -> None:
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


def test_merged_intervals_are_one_entry_with_its_true_span(counting: Counting) -> None:
    counting.count(0, a=1)
    counting.rotate(4.2)
    (only,) = counting.reader.history(counting.group, FIVE_S)
    assert (only.start, only.end, only.span_s, only.rates) == (START, START + 20, 20, {"a": 0.05})


def test_without_history_there_is_none_and_an_old_one_is_deleted(
    counting: Counting, any_server: Server
) -> None:
    counting.count(0, a=1)
    counting.rotate(1)
    counting.group = replace(GROUP, history=0)
    counting.rotate(2)
    assert not any_server.client.exists("g:5s:@history")
    assert any_server.client.get("g:5s:@finished") == "2"


@only_keys
def test_any_event_id_and_any_count_comes_back_out_of_the_history(
    counting: Counting, any_server: Server
) -> None:
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


def test_thousands_of_events_are_held_and_read(counting: Counting) -> None:
    batch = {f"e{number:05}": number for number in range(12_000)}
    for at in range(3):
        counting.count(at, **batch)
        counting.rotate(at + 1)
    assert [one.counts for one in counting.reader.history(counting.group, FIVE_S)] == [{"a": 0, **batch}] * 3


def test_an_interval_without_events_is_held_too(store: Store) -> None:
    counting = Counting(store, replace(GROUP, events=()))
    counting.rotate(0)
    counting.rotate(1)
    (held,) = counting.reader.history(counting.group, FIVE_S)
    assert held.counts == {}


def test_after_a_clock_that_was_ahead_the_history_goes_on(counting: Counting) -> None:
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
def test_the_last_interval_is_read_from_its_keys_when_another_program_has_ended_it(
    counting: Counting, any_server: Server
) -> None:
    counting.count(0, a=1)
    counting.rotate(1)
    any_server.client.mset({"g:5s:cur:@ts": START + 10, "g:5s:last:a": 9})
    (last,) = counting.reader.read(counting.group, FIVE_S, "last", now=START + 11)
    assert last.counts == {"a": 9}


# totals


def test_a_total_is_what_is_stored_and_what_is_running(counting: Counting, any_server: Server) -> None:
    counting.count(0, a=2, x=1)
    assert counting.totals() == {"a": 2, "x": 1}
    counting.rotate(1)
    counting.count(1, a=5)
    stored = {"keys": {"a": "2", "x": "1"}, "hash": {"a": "7", "x": "1"}}
    assert any_server.client.hgetall("g:@totals") == stored[groups.layout]
    assert counting.totals() == {"a": 7, "x": 1}


def test_only_one_interval_adds_to_the_totals(store: Store, any_server: Server) -> None:
    counting = Counting(store, OF_BOTH)
    for at in range(24):
        counting.count(at, a=1, x=1)
        counting.rotate(at + 1)
        counting.rotate(at + 1, ONE_M)
        assert counting.totals() == {"a": at + 1, "x": at + 1}
    assert any_server.client.get("g:@totals_interval") == {"keys": "5s", "hash": None}[groups.layout]


def test_totals_go_on_when_the_interval_that_added_to_them_is_gone_from_the_configuration(
    store: Store, any_server: Server
) -> None:
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


def test_a_shorter_interval_that_is_new_leaves_the_totals_as_they_are(store: Store) -> None:
    counting = Counting(store, replace(GROUP, intervals=(ONE_M,)))
    counting.count(0, a=1)
    counting.rotate(12, ONE_M)
    counting.group = OF_BOTH
    counting.count(12, a=10)
    counting.rotate(13)
    assert counting.totals() == {"a": 11}


def test_an_event_that_is_not_used_leaves_the_totals_when_it_has_expired(
    counting: Counting, any_server: Server
) -> None:
    counting.count(0, a=1, x=1, y=1)
    counting.rotate(1)
    for at in range(1, 5):
        counting.count(at, y=1)
        counting.rotate(at + 1)
        assert counting.totals() == {"a": 1, "x": 1, "y": 1 + at}, at
    counting.rotate(6)  # 25 seconds after the end of the interval in which x was counted
    assert counting.totals() == {"a": 1, "y": 5}
    counting.rotate(20)
    assert counting.totals() == {"a": 1}
    assert not any_server.client.exists("g:@idle")


def test_an_event_that_comes_back_keeps_its_total(counting: Counting) -> None:
    counting.count(0, x=1)
    counting.rotate(1)
    counting.rotate(4)
    counting.count(4, x=1)
    counting.rotate(7)
    counting.rotate(8)
    counting.rotate(10)
    assert counting.totals()["x"] == 2


def test_an_event_that_is_declared_no_more_expires(store: Store) -> None:
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


def test_totals_that_come_down_below_2_to_the_53_are_exact(counting: Counting) -> None:
    counting.count(0, a=2**53 + 1, x=-2)  # as version 1 may count
    counting.rotate(1)
    counting.count(1, a=-2, x=2**53 + 1)
    counting.rotate(2)
    assert counting.totals() == {"a": 2**53 - 1, "x": 2**53 - 1}


def test_without_totals_there_are_none_and_old_ones_are_deleted(
    counting: Counting, any_server: Server
) -> None:
    counting.count(0, a=1, x=1)
    counting.rotate(1)
    counting.rotate(2)
    counting.group = replace(GROUP, totals=False)
    counting.rotate(3)
    assert not any_server.client.exists("g:@totals", "g:@idle", "g:@totals_interval")


def test_thousands_of_totals_are_read(counting: Counting) -> None:
    batch = {f"e{number:05}": number + 1 for number in range(12_000)}
    counting.count(0, **batch)
    counting.rotate(1)
    counting.count(1, **batch)
    assert counting.totals() == {"a": 0} | {event: 2 * count for event, count in batch.items()}


@pytest.mark.parametrize("event", ["counts", "all", "many", "totals"])
def test_no_name_of_an_event_is_taken_for_something_else(counting: Counting, event: str) -> None:
    counting.count(0, **{event: 3})
    counting.rotate(1)
    assert counting.totals() == {"a": 0, event: 3}
    counting.count(1, **{event: 1})
    assert counting.totals() == {"a": 0, event: 4}


def test_an_interval_that_is_added_before_the_first_one_has_finished_changes_no_total(store: Store) -> None:
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


def test_however_many_events_come_and_go_they_expire(counting: Counting, any_server: Server) -> None:
    for at in range(8):
        counting.count(at, **{f"{at}-{number}": 1 for number in range(1_500)})
        counting.rotate(at + 1)
    counting.rotate(9)
    assert any_server.client.hlen("g:@totals") == 1_500 * 4  # those of the last 20 seconds


# what is in the way


@only_keys
@pytest.mark.parametrize(
    "key", ["g:5s:@history", "g:5s:@finished", "g:@totals", "g:@idle", "g:@totals_interval"]
)
def test_a_key_of_another_type_in_the_way_is_told_and_stops_no_rotation(
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
def test_what_keeps_totals_from_being_read_is_named(counting: Counting, any_server: Server, key: str) -> None:
    any_server.client.lpush(key, "x")
    with pytest.raises(Rejected, match=f"{key}: WRONGTYPE"):
        counting.totals()


@only_keys
def test_an_interval_of_the_totals_that_is_none_is_named(counting: Counting, any_server: Server) -> None:
    any_server.client.set("g:@totals_interval", "x")
    with pytest.raises(Rejected, match="key g:@totals_interval.*'x' is not an interval"):
        counting.totals()


@only_keys
def test_a_last_entry_that_is_not_ours_is_named(counting: Counting, any_server: Server) -> None:
    counting.count(0, a=1)
    counting.rotate(1)
    start, end = (any_server.client.get(f"g:5s:{half}:@ts") for half in ("last", "cur"))
    fields = {"start": start, "end": end, "events": "[", "counts": "x"}
    any_server.client.xadd("g:5s:@history", fields)
    with pytest.raises(Rejected, match="key g:5s:@history.*newest entry cannot be read"):
        counting.reader.read(counting.group, FIVE_S, "last")


@only_keys
def test_a_total_that_is_full_is_told_and_left_alone(counting: Counting, any_server: Server) -> None:
    any_server.client.hset("g:@totals", mapping={"a": 2**63 - 1, "x": 1})
    counting.count(0, a=2, x=3)
    assert counting.rotate(1).obstacles == ("g:@totals",)
    assert any_server.client.hgetall("g:@totals") == {"a": str(2**63 - 1), "x": "4"}


@pytest.mark.parametrize("totals", [True, False])
def test_events_that_exporters_report_were_seen_and_have_not_expired(store: Store, totals: bool) -> None:
    counting = Counting(store, replace(GROUP, totals=totals))
    counting.count(0, x=1)
    counting.rotate(1)
    counting.rotate(2)
    assert counting.reader.known_events(counting.group) == ["a", "x"]
