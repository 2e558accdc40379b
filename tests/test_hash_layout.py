"""Groups with `layout: hash`: their keys, and keys of another type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from event_count_logger.config import GroupConfig, History, RedisConfig, SessionsConfig, from_dicts
from event_count_logger.errors import ConfigError, Rejected, Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.reading.reader import Reader
from event_count_logger.store import Commit, RejectedKey, SessionAction, Store
from event_count_logger.store.layouts import HashLayout
from tests.fixtures import Run, Write
from tests.groups import group_of
from tests.servers import Server

FIVE_S, ONE_M = Interval.parse("5s"), Interval.parse("1m")
NOW = 1_700_000_013.25
LARGEST = 2**63 - 1
SETTINGS: dict[str, Any] = {"layout": "hash", "events": ("a", "b"), "auto_declare_events": True}
GROUP = group_of("g", [FIVE_S], **SETTINGS)
OF_BOTH = group_of("g", [FIVE_S, ONE_M], **SETTINGS, sessions=SessionsConfig())


def commit(
    store: Store, prev: int, batch: dict[str, int], group: GroupConfig = GROUP, now: float = NOW
) -> Commit:
    return store.commits.commit(group, "src", prev, prev + 1, batch, now)


def test_batch_is_added_to_each_hash_and_the_totals(store: Store, any_server: Server) -> None:
    assert commit(store, 0, {"a": 2, "b:c": 1}, OF_BOTH) == Commit("applied", "")
    assert any_server.everything() == {
        "g:@sources": {"src": "1"},
        "g:5s:cur": {"a": "2", "b:c": "1"},
        "g:5s:cur:@ts": "1700000010",
        "g:1m:cur": {"a": "2", "b:c": "1"},
        "g:1m:cur:@ts": "1699999980",
        "g:@totals": {"a": "2", "b:c": "1"},
        "g:@created": {"a": "1700000013.250", "b:c": "1700000013.250"},
    }


def test_rotations_rename_and_the_history_keeps_hashes(store: Store, any_server: Server) -> None:
    group = group_of("g", [FIVE_S], **SETTINGS, history=History.of(2))
    for at in range(4):
        commit(store, at, {"a": at + 1}, group, NOW + 5 * at)
        store.rotation.rotate(group, FIVE_S, 1_700_000_015 + 5 * at)
    assert any_server.everything() == {
        "g:@sources": {"src": "4"},
        "g:@totals": {"a": "10"},
        "g:@created": {"a": "1700000013.250"},
        "g:5s:@finished": "4",
        "g:5s:cur:@ts": "1700000030",
        "g:5s:last": {"a": "4"},
        "g:5s:last:@ts": "1700000025",
        "g:5s:@history": [
            ("1700000025000-3", {"start": "1700000020", "end": "1700000025", "number": "3"}),
            ("1700000030000-4", {"start": "1700000025", "end": "1700000030", "number": "4"}),
        ],
        "g:5s:@history:1700000025000-3": {"a": "3"},
        "g:5s:@history:last": "1700000030000-4",
    }


@pytest.mark.parametrize("shorter", [3, 1, 0])
def test_history_that_is_made_shorter_leaves_no_hash_behind(
    store: Store, any_server: Server, shorter: int
) -> None:
    for at, history in enumerate([9, 9, 9, 9, 9, 0, 9, 9, 9, 9, shorter]):
        group = group_of("g", [FIVE_S], **SETTINGS, history=History.of(history))
        commit(store, at, {"a": at + 1}, group, NOW + 5 * at)
        store.rotation.rotate(group, FIVE_S, 1_700_000_015 + 5 * at)
    hashes = {key for key in any_server.everything() if key.startswith("g:5s:@history:17")}
    assert {int(key.partition("-")[2]) for key in hashes} == ({9, 10} if shorter == 3 else set())
    counts = [one.counts["a"] for one in Reader(store).history(group, FIVE_S)]
    assert counts == [9, 10, 11][3 - shorter :]


OBSTACLES: dict[str, tuple[Callable[[Any], object], str, str]] = {
    "a list": (lambda client: client.rpush("g:1m:cur", "x"), "", "g:1m:cur"),
    "a list for the totals": (lambda client: client.rpush("g:@totals", "x"), "", "g:@totals"),
    "no integer": (lambda client: client.hset("g:1m:cur", "b", "x"), "b", "g:1m:cur"),
    "the largest integer": (lambda client: client.hset("g:1m:cur", "b", LARGEST), "b", "g:1m:cur"),
    "the largest total": (lambda client: client.hset("g:@totals", "b", LARGEST), "b", "g:@totals"),
    "positions that are none": (lambda client: client.set("g:@sources", "x"), "", "g:@sources"),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_one_bad_count_rejects_the_whole_batch_and_is_named(
    name: str, store: Store, any_server: Server
) -> None:
    put, event_id, key = OBSTACLES[name]
    any_server.client.hset("g:5s:cur", mapping={"zero": 0, "huge": 2**60 + 1})
    put(any_server.client)
    before = any_server.everything()
    batch = {"a": 5, "b": 1, "new": 7, "zero": 1, "huge": 2**60}
    answer = commit(store, 0, batch, OF_BOTH)
    assert {(refusal.event_id, refusal.key) for refusal in answer.refusals} == {(event_id, key)}
    assert any_server.everything() == before


def test_rejected_batch_with_sessions_changes_nothing(store: Store, any_server: Server) -> None:
    commit(store, 0, {f"event {number}": 1 for number in range(0, 3000, 7)}, OF_BOTH)
    any_server.client.hset("g:1m:cur", "event 2998", "x")
    before = any_server.everything()
    batch = {f"event {number}": number + 1 for number in range(3000)} | {"dash": 1}
    actions = [SessionAction("s1", "dash", "start", NOW)]
    answer = store.commits.commit_actions(OF_BOTH, actions, "src", 1, 2, batch, NOW)
    assert [refusal.event_id for refusal in answer.refusals] == ["event 2998"]
    assert any_server.everything() == before


def test_missing_permission_rejects_the_commit_without_changes(own_server: Server) -> None:
    rules: dict[str, Any] = {"enabled": True, "nopass": True, "keys": ["*"]}
    own_server.client.acl_setuser("u", **rules, commands=["+@all", "-hincrby"])
    store = Store(RedisConfig(**own_server.config, options={"username": "u", "password": ""}))
    assert {refusal.key for refusal in commit(store, 0, {"a": 1}).refusals} == {"g:5s:cur", "g:@totals"}
    assert own_server.everything() == {}
    store.close()


def test_rejection_names_event_key_and_reason(store: Store, any_server: Server) -> None:
    any_server.client.hset("g:5s:cur", "a", "x")
    assert commit(store, 0, {"a": 1}).refusals == (
        RejectedKey("a", "g:5s:cur", "ERR hash value is not an integer"),
    )


@pytest.mark.parametrize("key", ["g:5s:cur", "g:5s:last", "g:5s:cur:@ts"])
def test_start_of_another_type_rejects_the_rotation_without_changes(
    key: str, store: Store, any_server: Server
) -> None:
    commit(store, 0, {"a": 1})
    any_server.client.delete(key)
    any_server.client.rpush(key, "x")
    before = any_server.everything()
    with pytest.raises(Rejected, match="WRONGTYPE"):
        store.rotation.rotate(GROUP, FIVE_S, 1_700_000_015)
    assert any_server.everything() == before


@pytest.mark.parametrize("key", ["g:5s:@history", "g:5s:@finished", "g:@idle"])
def test_key_of_another_type_is_reported_and_rotation_goes_on(
    store: Store, any_server: Server, key: str
) -> None:
    any_server.client.lpush(key, "x")
    commit(store, 0, {"a": 2, "x": 3})
    rotation = store.rotation.rotate(GROUP, FIVE_S, 1_700_000_015)
    assert (rotation.outcome, key in rotation.obstacles) == ("rotated", True)
    assert any_server.counts("g", "5s", "last") == {"a": 2, "x": 3}
    assert any_server.client.lrange(key, 0, -1) == ["x"]


def test_overtaken_master_reads_the_interval_again(
    store: Store, any_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(store, 0, {"early": 1})
    look = HashLayout._noted
    overtaken: list[bool] = []

    def look_late(self: HashLayout, *arguments: Any) -> Any:
        found = look(self, *arguments)
        if not overtaken:
            overtaken.append(True)
            commit(store, 1, {"late": 5})
            store.rotation.rotate(GROUP, FIVE_S, 1_700_000_015)
        return found

    monkeypatch.setattr(HashLayout, "_noted", look_late)
    assert store.rotation.rotate(GROUP, FIVE_S, 1_700_000_020).outcome == "rotated"
    history = Reader(store).history(GROUP, FIVE_S)
    assert [one.counts for one in history] == [{"a": 0, "b": 0, "early": 1, "late": 5}, {"a": 0, "b": 0}]


def test_server_out_of_memory_still_rotates(own_server: Server) -> None:
    store = Store(RedisConfig(**own_server.config))
    commit(store, 0, {"a": 1})
    own_server.client.config_set("maxmemory", 1)
    assert store.rotation.rotate(GROUP, FIVE_S, 1_700_000_015).outcome == "rotated"
    own_server.client.config_set("maxmemory", 0)
    assert own_server.counts("g", "5s", "last") == {"a": 1}
    store.close()


def test_any_event_id_and_count_survives_in_history(store: Store, any_server: Server) -> None:
    batch = {'"\\/': 1, "é\U0001f600": 2, "a b:c,": 2**63 - 1}
    commit(store, 0, batch)
    any_server.client.hset("g:5s:cur", b"\xff\n", 7)
    any_server.client.hset("g:5s:cur", "none", "x")
    store.rotation.rotate(GROUP, FIVE_S, 1_700_000_015)
    expected = {"a": 0, "b": 0, **batch, "\udcff\n": 7}
    (held,) = Reader(store).history(GROUP, FIVE_S)
    (last,) = Reader(store).read(GROUP, FIVE_S, "last", now=NOW + 5)
    assert held.counts == last.counts == expected


def test_read_in_pages_restarts_when_an_interval_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = {f"e{number:05}": 1 for number in range(12_000)}
    commit(store, 0, batch)
    store.rotation.rotate(GROUP, FIVE_S, 1_700_000_015)
    commit(store, 1, dict.fromkeys(batch, 2), now=NOW + 5)
    scan = HashLayout._scan
    scanned: list[str] = []

    def rotate_after_the_first_scan(self: HashLayout, key: str) -> Any:
        found = scan(self, key)
        if not scanned:
            store.rotation.rotate(GROUP, FIVE_S, 1_700_000_020)
        scanned.append(key)
        return found

    monkeypatch.setattr(HashLayout, "_scan", rotate_after_the_first_scan)
    (last,) = Reader(store).read(GROUP, FIVE_S, "last", now=1_700_000_021)
    assert last.counts == {"a": 0, "b": 0, **dict.fromkeys(batch, 2)}
    assert last.start == 1_700_000_015
    assert len(scanned) == 2


def test_interval_that_ends_faster_than_it_can_be_read_is_an_error(
    store: Store, any_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(store, 0, {f"e{number:05}": 1 for number in range(12_000)})
    scan = HashLayout._scan

    def with_another_start(self: HashLayout, key: str) -> Any:
        any_server.client.incr("g:5s:cur:@ts")
        return scan(self, key)

    monkeypatch.setattr(HashLayout, "_scan", with_another_start)
    with pytest.raises(Unavailable, match="interval '5s' of group 'g' ends faster than it can be read"):
        Reader(store).read(GROUP, FIVE_S, "cur", now=NOW)


def test_interval_removed_from_the_history_during_read_is_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = group_of("g", [FIVE_S], **SETTINGS, history=History.of(2))
    for at in range(2):
        commit(store, at, {"a": at + 1}, group, NOW + 5 * at)
        store.rotation.rotate(group, FIVE_S, 1_700_000_015 + 5 * at)
    finished = HashLayout.finished
    asked: list[bool] = []

    def rotate_first(self: HashLayout, *arguments: Any) -> Any:
        if not asked:
            store.rotation.rotate(group, FIVE_S, 1_700_000_025)
        asked.append(True)
        return finished(self, *arguments)

    monkeypatch.setattr(HashLayout, "finished", rotate_first)
    assert [one.counts["a"] for one in Reader(store).history(group, FIVE_S)] == [2]


def test_finished_intervals_of_any_size_are_read(store: Store, any_server: Server) -> None:
    sizes = [6_000, 6_000, 12_000, 0, 5, 4_000]
    for at, n_events in enumerate(sizes):
        commit(store, at, {f"e{number}": at + 1 for number in range(n_events)}, now=NOW + 5 * at)
        store.rotation.rotate(GROUP, FIVE_S, 1_700_000_015 + 5 * at)
    found = store.reads.history(GROUP, FIVE_S, 10)
    assert [len(one.counts) for one in found] == sizes
    assert [{*one.counts.values()} for one in found] == [{1}, {2}, {3}, set(), {5}, {6}]


def count_and_rotate(store: Store, numbers: range, group: GroupConfig = GROUP) -> None:
    """In interval `n` since NOW, `a` is logged `n + 1` times."""
    for at in numbers:
        commit(store, at, {"a": at + 1}, group, NOW + 5 * at)
        store.rotation.rotate(group, FIVE_S, 1_700_000_015 + 5 * at)


def counts_in_history(store: Store, group: GroupConfig = GROUP) -> list[int]:
    return [one.counts["a"] for one in Reader(store).history(group, FIVE_S)]


@pytest.mark.parametrize("entry_id", ["*", "1-1"])
def test_foreign_entry_in_the_history_leaves_other_counts(
    store: Store, any_server: Server, entry_id: str
) -> None:
    group = replace(GROUP, history=History.of(3))
    any_server.client.xadd("g:5s:@history", {"x": "y"}, id="1-0")
    count_and_rotate(store, range(3), group)
    assert any_server.client.xlen("g:5s:@history") == 3
    if entry_id == "*":
        foreign = any_server.client.xadd("g:5s:@history", {"x": "y"})
        with pytest.raises(Rejected, match=f"entry {foreign!s} of the history cannot be read"):
            Reader(store).history(group, FIVE_S)
        any_server.client.xdel("g:5s:@history", foreign)
    count_and_rotate(store, range(3, 5), group)
    assert counts_in_history(store, group) == [3, 4, 5]


@pytest.mark.parametrize("wrong", [False, True])
def test_lost_number_of_finished_intervals_mixes_no_counts(
    store: Store, any_server: Server, wrong: bool
) -> None:
    count_and_rotate(store, range(3))
    any_server.client.delete("g:5s:@finished")
    if wrong:
        any_server.client.lpush("g:5s:@finished", "x")
        count_and_rotate(store, range(3, 4))  # which cannot be noted
        any_server.client.delete("g:5s:@finished")
    count_and_rotate(store, range(4 if wrong else 3, 7))
    assert counts_in_history(store) == [1, 2, 3, 5, 6, 7] if wrong else [*range(1, 8)]


def test_interval_of_an_empty_history_that_is_deleted_is_not_kept(store: Store, any_server: Server) -> None:
    count_and_rotate(store, range(3))
    any_server.client.delete("g:5s:@history")
    count_and_rotate(store, range(3, 5))
    assert counts_in_history(store) == [4, 5]
    assert not any_server.client.exists("g:5s:@history:1700000025000-3")


@pytest.mark.parametrize(("before", "after"), [("keys", "hash"), ("hash", "keys")])
def test_interval_counted_by_the_other_layout_is_not_read_as_empty(
    store: Store, before: Any, after: Any
) -> None:
    count_and_rotate(store, range(3), replace(GROUP, layout=before))
    group = replace(GROUP, layout=after)
    with pytest.raises(Rejected, match="was counted with another layout .ecl migrate moves it."):
        Reader(store).read(group, FIVE_S, "last")
    assert Reader(store).read(group, FIVE_S, "cur")[0].counts == {"a": 0, "b": 0}
    with pytest.raises(Rejected, match="of the history cannot be read"):
        Reader(store).history(group, FIVE_S)
    count_and_rotate(store, range(3, 6), group)
    (last,) = Reader(store).read(group, FIVE_S, "last")
    assert last.counts["a"] == 6


def test_totals_expire_silently_on_a_server_out_of_memory(own_server: Server) -> None:
    store = Store(RedisConfig(**own_server.config))
    group = replace(GROUP, events=(), expire_after=20.0)
    count_and_rotate(store, range(1), group)
    own_server.client.config_set("maxmemory", 1)
    rotations = [store.rotation.rotate(group, FIVE_S, 1_700_000_015 + 5 * at) for at in range(1, 8)]
    own_server.client.config_set("maxmemory", 0)
    assert {rotation.obstacles for rotation in rotations} == {()}
    assert own_server.client.hgetall("g:@totals") == {}
    store.close()


def test_counters_of_version_1_without_an_index_are_noticed(store: Store, any_server: Server) -> None:
    any_server.client.incr("g:5s:cur:a")
    many = replace(GROUP, events=(*(f"e{number}" for number in range(2_500)), "a"))
    assert store.keyspace.foreign_keys(many, FIVE_S) == ["g:5s:cur:a"]
    assert store.keyspace.foreign_keys(GROUP, FIVE_S) == ["g:5s:cur:a"]
    for at in (NOW, NOW + 1, NOW + 10):  # also when another master has done it
        assert store.rotation.rotate(GROUP, FIVE_S, at).obstacles == ("g:5s:cur:a",)


def test_unknown_layout_is_a_problem() -> None:
    with pytest.raises(ConfigError, match="groups.g.layout: 'list' is not 'keys' or 'hash'"):
        from_dicts({"g": {"intervals": ["5s"], "layout": "list"}}, {})


def test_event_declared_meanwhile_restarts_its_idle_time(store: Store, any_server: Server) -> None:
    undeclared = group_of("g", [FIVE_S], layout="hash", expire_after=20.0)
    commit(store, 0, {"a": 1}, undeclared)
    for at in range(1, 9):
        declared = replace(undeclared, events=("a",))
        store.rotation.rotate(declared if 3 < at < 7 else undeclared, FIVE_S, 1_700_000_010 + 5 * at)
    assert any_server.client.hgetall("g:@totals") == {"a": "1"}
    store.rotation.rotate(undeclared, FIVE_S, 1_700_000_010 + 5 * 12)
    assert any_server.client.hgetall("g:@totals") == {}


@pytest.mark.parametrize(("ours", "theirs"), [("keys", "hash"), ("hash", "keys")])
def test_counts_of_another_layout_are_reported_by_master_and_check(
    server: Server,
    config_file: Write,
    run: Run,
    ours: Any,
    theirs: Any,
) -> None:
    store = Store(RedisConfig(**server.config))
    commit(store, 0, {"a": 1}, group_of("g", [FIVE_S], layout=ours))
    commit(store, 1, {"a": 1}, group_of("g", [FIVE_S], layout=theirs))
    key = {"hash": "g:5s:cur", "keys": "g:5s:cur:@events"}[theirs]
    path = config_file({"redis": server.config, "groups": {"g": {"intervals": ["5s"], "layout": ours}}})
    assert f"key {key} belongs to another layout than '{ours}'" in run("ecl", "check", path).stdout
    assert key in store.rotation.rotate(group_of("g", [FIVE_S], layout=ours), FIVE_S, 1_700_000_015).obstacles
    store.close()
