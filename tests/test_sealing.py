"""Shards that are rotated each on its own, and readers that look at one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from event_count_logger.keys import Half
from event_count_logger.store import HistoryEntry, HistoryPosition, Reading
from event_count_logger.store.shard_merge import (
    Part,
    joined,
    n_finished_before,
    reconciled,
    sealed,
    shared_boundaries,
)
from tests.sharding import LENGTH, Shard, ended


def part(start: float, *finished: HistoryEntry, is_all: bool = False) -> Part:
    return Part(start, finished, is_all)


def reading(start: float | None, last_start: float | None = None, **counts: int) -> Reading:
    position = None if start is None or last_start is None else HistoryPosition(round(start * 1000), 3)
    counted: dict[Half, dict[str, int]] = {"cur": counts, "last": {"l": 1}}
    return Reading(start or 0, start, last_start, "", counted, {}, position)


def spans(parts: list[Part]) -> list[tuple[float, float, dict[str, int]]]:
    return [(one.start, one.end, dict(one.counts)) for one in sealed(parts)]


def test_interval_that_all_shards_have_finished_is_added() -> None:
    parts = [part(20, ended(10, 20, a=1)), part(20, ended(10, 20, a=2, b=3))]
    assert spans(parts) == [(10, 20, {"a": 3, "b": 3})]
    assert sealed(parts)[0].position == HistoryPosition(20_000)


def test_interval_that_one_shard_has_not_finished_is_not_sealed() -> None:
    parts = [part(20, ended(0, 10, a=1), ended(10, 20, a=9)), part(10, ended(0, 10, a=2))]
    assert spans(parts) == [(0, 10, {"a": 3})]


def test_intervals_merged_in_one_shard_are_merged_in_all() -> None:
    parts = [part(30, ended(0, 10, a=1), ended(10, 20, a=2), ended(20, 30, a=4)), part(30, ended(0, 30, a=8))]
    assert spans(parts) == [(0, 30, {"a": 15})]


def test_no_sealed_interval_is_partial() -> None:
    parts = [part(30, ended(0, 10, a=1), ended(10, 30, a=2)), part(30, ended(0, 20, a=4), ended(20, 30, a=8))]
    assert spans(parts) == [(0, 30, {"a": 15})]
    held_from_10 = part(30, ended(10, 30, a=2))
    assert spans([held_from_10, parts[1]]) == []


def test_shard_that_began_later_has_counted_nothing_before() -> None:
    parts = [part(30, ended(0, 10, a=1), ended(10, 20, a=2), ended(20, 30, a=4)), part(20, is_all=True)]
    assert spans(parts) == [(0, 10, {"a": 1}), (10, 20, {"a": 2})]


def test_interval_no_longer_in_the_history_is_not_counted_as_empty() -> None:
    parts = [part(30, ended(0, 10, a=1), ended(10, 20, a=2), ended(20, 30, a=4)), part(20)]
    assert spans(parts) == []


def test_shard_that_has_not_begun_may_still_begin_anywhere() -> None:
    parts = [part(20, ended(10, 20, a=1)), Part(None)]
    assert spans(parts) == []
    assert shared_boundaries(parts) == []


def test_interval_finished_after_the_start_was_read_is_left_out() -> None:
    held = [ended(0, 10), ended(10, 20)]
    assert Part.of(10, held) == part(10, held[0])
    assert Part.of(0, held) == part(0)
    assert Part.of(0, [ended(0, 10, number=1)]) == part(0, is_all=True)
    assert Part.of(10, []) == part(10, is_all=True)
    assert Part.of(None, held) == Part(None)


def test_interval_ended_by_a_clock_ahead_counts_where_it_began() -> None:
    held = [ended(0, 10, 1, a=1), ended(10, 50, 2, a=2), ended(50, 60, 3, a=4), ended(20, 30, 4, a=8)]
    other = [ended(at, at + 10, a=100) for at in range(0, 60, 10)]
    set_back = [Part.of(30, held), Part.of(60, other)]
    assert spans(set_back) == [(0, 10, {"a": 101}), (10, 20, {"a": 102}), (20, 30, {"a": 108})]
    late = [Part.of(30, [*held, ended(30, 60, 5, a=16)]), Part.of(60, other)]
    assert spans(late) == spans(set_back), "its boundary at 50 says nothing of what it counts until then"
    later = [ended(30, 40, 5), ended(40, 50, 6, a=16), ended(50, 60, 7, a=32)]
    found = spans([Part.of(60, [*held, *later]), Part.of(60, other)])
    assert found[:3] == spans(set_back)
    assert found[4:] == [(40, 50, {"a": 116}), (50, 60, {"a": 136})]


def test_readings_of_the_same_intervals_are_added() -> None:
    found = joined([reading(20, 10, b=1, a=1), reading(20, 10, c=1, a=2)], ["c"])
    assert found
    assert list(found.counts["cur"].items()) == [("c", 1), ("a", 3), ("b", 1)]
    assert (found.counts["last"], found.last_position) == ({"l": 2}, HistoryPosition(20_000))
    assert joined([reading(None), reading(None)], []) is not None
    assert joined([reading(20, 10), reading(10, 0)], []) is None


def test_readings_of_different_intervals_add_up_since_the_last_sealed() -> None:
    readings = [reading(20, 10, a=1), reading(10, 0, a=2)]
    parts = [part(20, ended(0, 10, l=4), ended(10, 20, a=8)), part(10, ended(0, 10, l=16))]
    found = reconciled(readings, parts, [])
    assert (found.last_start, found.current_start, found.now) == (0, 10, 20)
    assert found.counts == {"cur": {"a": 11}, "last": {"l": 20}}
    assert found.last_position == HistoryPosition(10_000)


def test_no_interval_is_finished_without_a_shared_boundary() -> None:
    found = reconciled(
        [reading(90, 80, a=1), reading(10, 0, a=2)], [part(90, ended(80, 90, a=4)), part(10)], []
    )
    assert (found.last_start, found.current_start, found.last_position) == (None, 10, None)
    assert found.counts == {"cur": {"a": 7}, "last": {}}


def test_number_of_finished_intervals_is_that_of_the_shard_with_most() -> None:
    parts = [part(30, ended(0, 10, 4), ended(10, 20, 5), ended(20, 30, 6)), part(30, ended(0, 20, 9))]
    assert [n_finished_before(parts, start) for start in (0, 20, 30)] == [8, 5, 0]


class World:
    """Some shards, and the intervals returned to readers."""

    def __init__(self, n_shards: int, n_held: int) -> None:
        self.now = 1000
        self.shards = [Shard(n_held) for _ in range(n_shards)]
        self.returned: dict[tuple[float, float], int] = {}

    def look(self, n: int) -> Iterator[None]:
        """Asks for one thing of one shard at a time; anything may happen where it yields."""
        readings, parts, counted = [], [], []
        for shard in self.shards:
            yield
            readings.append(reading(shard.start, None, a=shard.running))
            counted.append(shard.counted)
        for shard, read in zip(self.shards, readings, strict=True):
            yield
            parts.append(Part.of(read.current_start, shard.held(n)))
        self.check(readings, parts, counted)

    def check(self, readings: list[Reading], parts: list[Part], counted: list[int]) -> None:
        for one in sealed(parts):
            self.check_sealed(one)
        shared = shared_boundaries(parts)
        if shared:
            running = reconciled(readings, parts, []).counts["cur"]["a"]
            before = sum(shard.counted_until(shared[-1]) for shard in self.shards)
            assert running == sum(counted) - before

    def check_sealed(self, one: HistoryEntry) -> None:
        expected = sum(shard.counted_until(one.end) - shard.counted_until(one.start) for shard in self.shards)
        assert one.counts.get("a", 0) == expected
        for start, end in self.returned:
            assert (start, end) == (one.start, one.end) or one.end <= start or end <= one.start
        assert self.returned.setdefault((one.start, one.end), expected) == expected


WHICH = st.integers(0, 2)
ACTIONS = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from([1, 3, 10, 25])),
    st.tuples(st.just("count"), WHICH),
    st.tuples(st.just("rotate"), WHICH),
    st.tuples(st.just("rotate all"), WHICH),
    st.tuples(st.just("look"), st.sampled_from([1, 2, 4, 100])),
)


@settings(max_examples=300, deadline=None, print_blob=True)
@given(n_held=st.sampled_from([2, 3, 100]), actions=st.lists(ACTIONS, min_size=30, max_size=100))
def test_sealed_interval_is_whole_and_unchanged_in_any_order(
    n_held: int, actions: list[tuple[str, int]]
) -> None:
    world = World(3, n_held)
    looks: list[Iterator[None]] = []
    for at, (action, argument) in enumerate(actions):
        if action == "pass":
            world.now += argument
        elif action == "count":
            world.shards[argument].count(world.now, 1 << at % 60)
        elif action == "look":
            looks.append(world.look(argument))
        for shard in world.shards:
            if action == "rotate all" or (action == "rotate" and shard is world.shards[argument]):
                shard.rotate(world.now)
        looks = [look for look in looks if next(look, "over") is None]
    for look in looks:
        list(look)


@settings(max_examples=100, deadline=None, print_blob=True)
@given(actions=st.lists(ACTIONS, min_size=20, max_size=80))
def test_sealed_intervals_add_up_to_all_counts(actions: list[tuple[str, int]]) -> None:
    world = World(3, 1000)
    for action, argument in actions:
        if action == "pass":
            world.now += argument
        elif action == "count":
            world.shards[argument].count(world.now, 1)
        elif action == "rotate":
            world.shards[argument].rotate(world.now)
    world.now += LENGTH
    for shard in world.shards:
        shard.rotate(world.now)
    found = sealed([Part.of(shard.start, shard.held(1000)) for shard in world.shards])
    assert all(one.end == next_one.start for one, next_one in pairwise(found))
    total = sum((Counter(one.counts) for one in found), Counter())
    assert total["a"] == sum(shard.counted for shard in world.shards)
