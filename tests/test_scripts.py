"""Every outcome of every Lua script, on every kind of server, looking at every key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from event_count_logger import keys
from event_count_logger.config import GroupConfig, History, SessionsConfig
from event_count_logger.errors import Rejected, Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.store import Commit, MasterInfo, RejectedKey, Rotation, SessionAction, Store
from event_count_logger.store.node import Node
from tests.conftest import only_keys
from tests.groups import group_of
from tests.servers import Server

pytestmark = pytest.mark.usefixtures("layout")

FIVE_S, ONE_M = Interval.parse("5s"), Interval.parse("1m")
BOTH = (FIVE_S, ONE_M)
NOW = 1_700_000_013.25
LARGEST = 2**63 - 1


def commit(store: Store, prev: int, next: int, batch: dict[str, int], **options: Any) -> Commit:
    group = group_of("g", options.pop("intervals", BOTH), totals=False)
    return store.commits.commit(group, "src", prev, next, batch, options.pop("now", NOW))


@only_keys
def test_batch_is_added_to_every_interval(store: Store, any_server: Server) -> None:
    assert commit(store, 0, 1, {"a": 2, "b:c": 1}) == Commit("applied", "")
    assert any_server.everything() == {
        "g:@sources": {"src": "1"},
        "g:5s:cur:@ts": "1700000010",
        "g:5s:cur:@events": {"a", "b:c"},
        "g:5s:cur:a": "2",
        "g:5s:cur:b:c": "1",
        "g:1m:cur:@ts": "1699999980",
        "g:1m:cur:@events": {"a", "b:c"},
        "g:1m:cur:a": "2",
        "g:1m:cur:b:c": "1",
    }


def test_same_batch_sent_twice_is_counted_once(store: Store, any_server: Server) -> None:
    commit(store, 0, 1, {"a": 2})
    before = any_server.everything()
    assert commit(store, 0, 1, {"a": 2}) == Commit("duplicate", "1")
    assert any_server.everything() == before


def test_batch_from_another_position_is_a_conflict_and_changes_nothing(
    store: Store, any_server: Server
) -> None:
    commit(store, 0, 5, {"a": 2})
    before = any_server.everything()
    assert commit(store, 3, 4, {"a": 2}) == Commit("conflict", "5")
    assert any_server.everything() == before


def test_commit_returns_the_stored_position(store: Store) -> None:
    assert commit(store, 0, 1, {"a": 1}).stored == ""
    assert commit(store, 1, 2, {"a": 1}).stored == "1"


def test_empty_batch_moves_the_position_and_nothing_else(store: Store, any_server: Server) -> None:
    commit(store, 0, 1, {})
    assert any_server.everything() == {"g:@sources": {"src": "1"}}


def test_existing_start_is_kept(store: Store, any_server: Server) -> None:
    commit(store, 0, 1, {"a": 1})
    commit(store, 1, 2, {"a": 1}, now=NOW + 100)
    assert any_server.client.get("g:5s:cur:@ts") == "1700000010"


def test_counts_above_2_to_the_53_are_exact(store: Store, any_server: Server) -> None:
    commit(store, 0, 1, {"a": 2**53 + 1})
    commit(store, 1, 2, {"a": 2**60 + 3})
    assert any_server.counts("g", "5s", "cur") == {"a": 2**53 + 1 + 2**60 + 3}


def test_position_may_be_any_string(store: Store, any_server: Server) -> None:
    here, there = 'a file "x", line 1', "\u00e9\n2"
    assert store.commits.commit(group_of("g", BOTH), "src", "", here, {"a": 1}, NOW) == Commit("applied", "")
    assert store.commits.commit(group_of("g", BOTH), "src", here, there, {"a": 1}, NOW) == Commit(
        "applied", here
    )
    assert store.commits.commit(group_of("g", BOTH), "src", here, there, {"a": 1}, NOW) == Commit(
        "duplicate", there
    )
    assert store.sources.position(group_of("g"), "src") == there
    assert store.sources.position(group_of("g"), "other") == ""
    assert any_server.counts("g", "5s", "cur") == {"a": 2}


def requests() -> GroupConfig:
    return group_of("g", BOTH)


def test_request_with_the_same_key_and_content_is_counted_once(store: Store, any_server: Server) -> None:
    first = store.commits.commit_request(requests(), "key", "content", {"a": 3}, keep_s=60, now=NOW)
    again = store.commits.commit_request(requests(), "key", "content", {"a": 3}, keep_s=60, now=NOW)
    assert (first.outcome, again.outcome) == ("applied", "duplicate")
    assert any_server.counts("g", "5s", "cur") == {"a": 3}


def test_request_with_the_same_key_and_other_content_is_a_conflict(store: Store, any_server: Server) -> None:
    store.commits.commit_request(requests(), "key", "content", {"a": 3}, keep_s=60, now=NOW)
    before = any_server.everything()
    other = store.commits.commit_request(requests(), "key", "other", {"a": 4}, keep_s=60, now=NOW)
    assert other == Commit("conflict", "content")
    assert any_server.everything() == before


def test_request_is_forgotten_in_time_and_is_no_source(store: Store, any_server: Server) -> None:
    store.commits.commit_request(requests(), "key", "content", {"a": 3}, keep_s=60, now=NOW)
    assert 50_000 < any_server.client.pttl("g:@request:key") <= 60_000
    assert not any_server.client.exists("g:@sources")


@only_keys
def test_rejected_request_is_not_remembered(store: Store, any_server: Server) -> None:
    any_server.client.set("g:5s:cur:a", "x")
    before = any_server.everything()
    assert (
        store.commits.commit_request(requests(), "key", "content", {"a": 3}, keep_s=60, now=NOW).outcome
        == "refused"
    )
    assert any_server.everything() == before


def sessions() -> GroupConfig:
    return group_of("g", BOTH, auto_declare_events=True, sessions=SessionsConfig())


ACTIONS = (
    SessionAction("s1", "dash", "start", NOW - 10),
    SessionAction("s2", "dash", "heartbeat", NOW - 9),
    SessionAction("s1", "dash", "heartbeat", NOW),
)


def test_sessions_are_counted_once_with_the_batch_and_the_position(store: Store, any_server: Server) -> None:
    batch = {"dash": 2**60 + 1, "a": 1}
    first = store.commits.commit_actions(sessions(), ACTIONS, "src", 0, 1, batch, NOW)
    before = any_server.everything()
    again = store.commits.commit_actions(sessions(), ACTIONS, "src", 0, 1, batch, NOW)
    assert (first.outcome, again.outcome) == ("applied", "duplicate")
    assert any_server.everything() == before
    for interval in BOTH:
        counts = any_server.counts("g", interval.name, "cur")
        assert counts == {"dash": 2**60 + 3, "dash:ms": 10_000, "a": 1}


@only_keys
def test_rejected_batch_leaves_sessions_unchanged(store: Store, any_server: Server) -> None:
    store.commits.commit_actions(sessions(), ACTIONS[:1], "src", 0, 1, now=NOW)
    any_server.client.set("g:1m:cur:dash:ms", "x")
    before = any_server.everything()
    answer = store.commits.commit_actions(sessions(), ACTIONS[1:], "src", 1, 2, {"a": 1}, now=NOW)
    assert [refusal.key for refusal in answer.refusals] == ["g:1m:cur:dash:ms"]
    assert any_server.everything() == before


def test_actions_from_another_position_change_nothing(store: Store, any_server: Server) -> None:
    store.commits.commit(group_of("g", BOTH), "src", 0, 5, {"a": 2}, NOW)
    before = any_server.everything()
    assert store.commits.commit_actions(sessions(), ACTIONS, "src", 3, 4, now=NOW) == Commit("conflict", "5")
    assert any_server.everything() == before


def test_thousands_of_actions_and_events_are_counted_at_once(store: Store, any_server: Server) -> None:
    actions = [SessionAction(f"s{number}", "dash", "start", NOW) for number in range(3000)]
    batch = {f"event {number}": 1 for number in range(9000)}
    answer = store.commits.commit_actions(sessions(), actions, "src", 0, 1, batch, now=NOW)
    assert answer.outcome == "applied"
    assert any_server.counts("g", "1m", "cur") == {**batch, "dash": 3000}


def test_sessions_that_add_nothing_leave_no_counter_behind(store: Store, any_server: Server) -> None:
    action = SessionAction("s1", "dash", "heartbeat", NOW)
    store.commits.commit_actions(sessions(), [action], now=NOW)
    assert any_server.counts("g", "5s", "cur") == {"dash": 1}
    store.commits.commit_actions(sessions(), [action], now=NOW)
    assert any_server.counts("g", "5s", "cur") == {"dash": 1}


OBSTACLES: dict[str, tuple[Callable[[redis.Redis], object], str]] = {
    "a list": (lambda client: client.rpush("g:1m:cur:b", "x"), "g:1m:cur:b"),
    "no integer": (lambda client: client.set("g:1m:cur:b", "x"), "g:1m:cur:b"),
    "the largest integer": (lambda client: client.set("g:1m:cur:b", LARGEST), "g:1m:cur:b"),
}


@only_keys
@pytest.mark.parametrize("name", OBSTACLES)
def test_one_bad_key_rejects_the_whole_batch_and_is_named(
    name: str, store: Store, any_server: Server
) -> None:
    put, key = OBSTACLES[name]
    commit(store, 0, 1, {"a": 1})
    put(any_server.client)
    before = any_server.everything()
    answer = commit(store, 1, 2, {"a": 5, "b": 1, "new": 7})
    assert answer.outcome == "refused"
    assert [(refusal.event_id, refusal.key) for refusal in answer.refusals] == [("b", key)]
    assert any_server.everything() == before


@only_keys
def test_all_bad_keys_are_named_at_once(store: Store, any_server: Server) -> None:
    any_server.client.mset({"g:5s:cur:a": "x", "g:1m:cur:b": "y"})
    before = any_server.everything()
    answer = commit(store, 0, 1, {"a": 1, "b": 1, "c": 1})
    assert [refusal.key for refusal in answer.refusals] == ["g:5s:cur:a", "g:1m:cur:b"]
    assert any_server.everything() == before


@only_keys
def test_event_counted_without_the_index_is_added_to_it(store: Store, any_server: Server) -> None:
    any_server.client.set("g:5s:cur:a", 5)
    commit(store, 0, 1, {"a": 2}, intervals=[FIVE_S])
    assert any_server.counts("g", "5s", "cur") == {"a": 7}
    assert any_server.client.smembers("g:5s:cur:@events") == {"a"}


@only_keys
def test_rejected_batch_leaves_counts_of_another_program(store: Store, any_server: Server) -> None:
    any_server.client.mset({"g:5s:cur:a": 5, "g:5s:cur:b": "x"})
    before = any_server.everything()
    assert commit(store, 0, 1, {"a": 2, "b": 1}).outcome == "refused"
    assert any_server.everything() == before


@only_keys
def test_rejected_huge_counts_leave_counts_of_another_program(store: Store, any_server: Server) -> None:
    any_server.client.mset({"g:5s:cur:a": 5, "g:5s:cur:b": "x"})
    before = any_server.everything()
    assert commit(store, 0, 1, {"a": 2**60, "b": 1}).outcome == "refused"
    assert any_server.everything() == before


@only_keys
def test_rejected_batch_of_thousands_of_events_changes_nothing(store: Store, any_server: Server) -> None:
    commit(store, 0, 1, {f"event {number}": 1 for number in range(0, 3000, 7)})
    any_server.client.set("g:1m:cur:event 2998", "x")
    before = any_server.everything()
    batch = {f"event {number}": number + 1 for number in range(3000)}
    answer = commit(store, 1, 2, batch)
    assert [refusal.event_id for refusal in answer.refusals] == ["event 2998"]
    assert any_server.everything() == before


@only_keys
@pytest.mark.parametrize("key", ["g:@sources", "g:1m:cur:@events"])
def test_bad_key_that_concerns_all_events_names_none(key: str, store: Store, any_server: Server) -> None:
    any_server.client.set(key, "x")
    before = any_server.everything()
    answer = commit(store, 0, 1, {"a": 1})
    assert {(refusal.event_id, refusal.key) for refusal in answer.refusals} == {("", key)}
    assert any_server.everything() == before


def test_server_out_of_memory_rejects_the_batch_and_changes_nothing(own_server: Server) -> None:
    from event_count_logger.config import RedisConfig

    store = Store(RedisConfig(**own_server.config))
    commit(store, 0, 1, {"a": 1})
    before = own_server.everything()
    own_server.client.config_set("maxmemory", 1)
    (refusal,) = commit(store, 1, 2, {"a": 1, "b": 1}).refusals
    assert (refusal.event_id, refusal.key, refusal.reason[:3]) == ("", "g:@sources", "OOM")
    own_server.client.config_set("maxmemory", 0)
    assert own_server.everything() == before
    store.close()


def test_server_that_became_a_replica_is_unavailable(store: Store, any_server: Server) -> None:
    commit(store, 0, 1, {"a": 1})
    any_server.client.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(Unavailable, match="read-only replica"):
            commit(store, 1, 2, {"a": 1})
        with pytest.raises(Unavailable, match="read-only replica"):
            store.rotation.rotate(group_of("g", BOTH), FIVE_S, NOW + 60)
    finally:
        any_server.client.replicaof("NO", "ONE")
    assert commit(store, 1, 2, {"a": 1}).outcome == "applied"


@pytest.mark.parametrize("write", ["commit", "touch", "note_master", "rotate"])
def test_reads_from_a_replica_leave_it_unavailable_until_a_write(
    write: str, store: Store, any_server: Server
) -> None:
    group = group_of("g", BOTH)
    commit(store, 0, 1, {"a": 1})

    def write_something() -> None:
        if write == "commit":
            commit(store, 1, 2, {"a": 1})
        elif write == "touch":
            store.sources.touch(group, "src")
        elif write == "note_master":
            store.masters.record([group], MasterInfo("host", 1, "1", 0.0))
        else:
            assert store.rotation.rotate(group, FIVE_S, NOW + 60).outcome == "rotated"

    any_server.client.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(Unavailable, match="read-only replica"):
            write_something()
        assert store.sources.position(group, "src") == "1"
        store.client.server_time(group)
        assert store.client.is_unavailable(group)
    finally:
        any_server.client.replicaof("NO", "ONE")
    assert store.sources.position(group, "src") == "1"
    assert store.client.is_unavailable(group)
    write_something()
    assert not store.client.is_unavailable(group)


def test_value_that_is_no_count_counts_nothing(store: Store, any_server: Server) -> None:
    any_server.client.set("g:5s:cur:a", "x")
    any_server.client.hset("g:5s:cur", "a", "x")
    assert store.reads.count(group_of("g", BOTH), "5s", "cur", "a") == 0


def test_batch_of_thousands_of_events_fits(store: Store, any_server: Server) -> None:
    batch = {f"event {number}": number + 1 for number in range(12_000)}
    assert commit(store, 0, 1, batch).outcome == "applied"
    assert any_server.counts("g", "1m", "cur") == batch


def test_scripts_are_sent_again_to_a_server_that_has_forgotten_them(store: Store, any_server: Server) -> None:
    commit(store, 0, 1, {"a": 1})
    any_server.client.script_flush()
    commit(store, 1, 2, {"a": 1})
    assert any_server.counts("g", "5s", "cur") == {"a": 2}


def test_server_clock_is_used_and_learned_without_one(store: Store, any_server: Server) -> None:
    store.commits.commit(group_of("g", BOTH), "src", 0, 1, {"a": 1})
    start = float(any_server.text("g:5s:cur:@ts"))
    assert start == FIVE_S.start_of(store.client.server_time()) or start == FIVE_S.start_of(
        store.client.server_time() - 5
    )
    assert abs(store.client.clock_offset_s) < 0.5


# rotate


def rotate(store: Store, now: float, declared: tuple[str, ...] = ("a", "b")) -> Rotation:
    return store.rotation.rotate(
        group_of("g", [FIVE_S], events=declared, history=History.of(0), totals=False), FIVE_S, now
    )


def test_without_a_running_interval_one_is_started(store: Store, any_server: Server) -> None:
    assert rotate(store, NOW) == Rotation("started", 1.75)
    assert any_server.everything() == {"g:5s:cur:@ts": "1700000010", "g:5s:@finished": "0"}


def test_rotation_before_the_boundary_only_waits(store: Store, any_server: Server) -> None:
    commit(store, 0, 1, {"a": 2}, intervals=[FIVE_S])
    before = any_server.everything()
    assert not store.rotation.has_rotated(group_of("g", [FIVE_S]), FIVE_S)
    for _ in range(2):
        assert rotate(store, 1_700_000_014.999) == Rotation("waiting", 0.001)
        assert any_server.everything() == before | {"g:5s:@finished": "0"}
    assert store.rotation.has_rotated(group_of("g", [FIVE_S]), FIVE_S)


@only_keys
def test_at_the_boundary_cur_becomes_last(store: Store, any_server: Server) -> None:
    commit(store, 0, 1, {"a": 2, "dynamic": 3}, intervals=[FIVE_S])
    assert rotate(store, 1_700_000_015) == Rotation("rotated", 5.0, 1_700_000_010.0, 1_700_000_015.0)
    assert any_server.everything() == {
        "g:@sources": {"src": "1"},
        "g:5s:@finished": "1",
        "g:5s:cur:@ts": "1700000015",
        "g:5s:cur:@events": {"a", "b"},
        "g:5s:cur:a": "0",
        "g:5s:cur:b": "0",
        "g:5s:last:@ts": "1700000010",
        "g:5s:last:@events": {"a", "b", "dynamic"},
        "g:5s:last:a": "2",
        "g:5s:last:b": "0",
        "g:5s:last:dynamic": "3",
    }


@only_keys
def test_undeclared_event_not_logged_for_an_interval_has_no_counter(store: Store, any_server: Server) -> None:
    commit(store, 0, 1, {"dynamic": 3}, intervals=[FIVE_S])
    rotate(store, 1_700_000_015)
    rotate(store, 1_700_000_020)
    assert any_server.counts("g", "5s", "last") == {"a": 0, "b": 0}
    assert any_server.client.smembers("g:5s:last:@events") == {"a", "b"}


def test_second_master_changes_nothing(store: Store, any_server: Server) -> None:
    commit(store, 0, 1, {"a": 2}, intervals=[FIVE_S])
    rotate(store, 1_700_000_015)
    before = any_server.everything()
    assert rotate(store, 1_700_000_015).outcome == "waiting"
    assert any_server.everything() == before


def test_missed_intervals_are_merged_with_their_true_span(store: Store) -> None:
    commit(store, 0, 1, {"a": 2}, intervals=[FIVE_S])
    rotation = rotate(store, 1_700_000_031)
    assert (rotation.start, rotation.end, rotation.until_next_s) == (1_700_000_010, 1_700_000_030, 4.0)


def test_start_in_the_future_is_put_right_without_losing_counts(store: Store, any_server: Server) -> None:
    commit(store, 0, 1, {"a": 2}, intervals=[FIVE_S], now=NOW + 1_000_000)
    assert rotate(store, NOW).outcome == "restarted"
    assert any_server.client.get("g:5s:cur:@ts") == "1700000010"
    assert any_server.counts("g", "5s", "cur") == {"a": 2}


def test_clock_that_steps_back_a_little_only_waits(store: Store) -> None:
    commit(store, 0, 1, {"a": 2}, intervals=[FIVE_S])
    assert rotate(store, 1_700_000_009.5) == Rotation("waiting", 5.5)


@only_keys
def test_event_that_appears_during_rotation_stays_in_current_interval(
    store: Store, any_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(store, 0, 1, {"a": 1}, intervals=[FIVE_S])
    run = store.client.run

    def run_late(name: str, *rest: Any) -> Any:
        if name == "rotate":
            commit(store, 1, 2, {"a": 1, "late": 1}, intervals=[FIVE_S])
        return run(name, *rest)

    monkeypatch.setattr(store.client, "run", run_late)
    rotate(store, 1_700_000_015)
    assert any_server.counts("g", "5s", "last") == {"a": 2, "b": 0}
    assert any_server.counts("g", "5s", "cur") == {"a": 0, "b": 0, "late": 1}
    assert any_server.client.smembers("g:5s:cur:@events") == {"a", "b", "late"}


@only_keys
def test_index_replaced_during_rotation_rejects_it_without_changes(
    store: Store, any_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(store, 0, 1, {"a": 1}, intervals=[FIVE_S])
    run = store.client.run

    def run_late(name: str, *rest: Any) -> Any:
        any_server.client.set("g:5s:cur:@events", "x")
        return run(name, *rest)

    monkeypatch.setattr(store.client, "run", run_late)
    with pytest.raises(Rejected, match="WRONGTYPE"):
        rotate(store, 1_700_000_015)
    assert any_server.counts("g", "5s", "cur") == {"a": 1}
    assert any_server.counts("g", "5s", "last") == {}


@only_keys
def test_overtaken_master_reads_the_interval_again(
    store: Store, any_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(store, 0, 1, {"early": 1}, intervals=[FIVE_S])
    run = store.client.run
    overtaken: list[str] = []

    def run_late(name: str, *rest: Any) -> Any:
        if name == "rotate" and not overtaken:
            overtaken.append(name)
            commit(store, 1, 2, {"late": 5}, intervals=[FIVE_S])
            rotate(store, 1_700_000_015)
        return run(name, *rest)

    monkeypatch.setattr(store.client, "run", run_late)
    assert rotate(store, 1_700_000_020).outcome == "rotated"
    assert any_server.counts("g", "5s", "last") == {"a": 0, "b": 0}, "and nothing without an index is left"


@only_keys
def test_missing_permission_rejects_the_commit_without_changes(own_server: Server) -> None:
    from event_count_logger.config import from_dicts

    rules: dict[str, Any] = {"enabled": True, "nopass": True, "keys": ["*"]}
    own_server.client.acl_setuser("u", **rules, commands=["+@all", "-sadd"])
    store = Store(from_dicts({}, {**own_server.config, "username": "u", "password": ""}).redis)
    assert {refusal.key for refusal in commit(store, 0, 1, {"a": 1}).refusals} == {
        "g:5s:cur:@events",
        "g:1m:cur:@events",
    }
    assert own_server.everything() == {}
    own_server.client.acl_setuser("u", **rules, commands=["+sadd"])
    assert commit(store, 0, 1, {"a": 1}).outcome == "applied"
    store.close()


def test_answer_to_another_request_is_not_taken(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(store, 0, 1, {"a": 1})
    monkeypatch.setattr("event_count_logger.store.connection.Connection.is_stale", lambda connection: False)
    assert isinstance(store.client.route, Node)
    store.client.route._idle[-1][1].send_command("PING")  # type: ignore[no-untyped-call]  # of redis-py
    with pytest.raises(Unavailable, match="it answered another request"):
        commit(store, 1, 2, {"a": 1})
    assert commit(store, 1, 2, {"a": 1}).outcome in ("applied", "duplicate")


@only_keys
def test_counter_of_another_type_is_left_unchanged_and_named(store: Store, any_server: Server) -> None:
    commit(store, 0, 1, {"a": 1, "dynamic": 1}, intervals=[FIVE_S])
    any_server.client.delete("g:5s:cur:a", "g:5s:cur:dynamic")
    any_server.client.rpush("g:5s:cur:a", "x")
    any_server.client.set("g:5s:cur:dynamic", "x")
    assert rotate(store, 1_700_000_015).obstacles == ("g:5s:cur:a", "g:5s:cur:dynamic")
    assert any_server.client.lrange("g:5s:cur:a", 0, -1) == ["x"]
    assert any_server.client.get("g:5s:cur:dynamic") == "x"
    assert any_server.counts("g", "5s", "last") == {"b": 0}


@only_keys
@pytest.mark.parametrize("key", ["g:5s:cur:@events", "g:5s:last:@events", "g:5s:cur:@ts"])
def test_start_of_another_type_rejects_the_rotation_without_changes(
    key: str, store: Store, any_server: Server
) -> None:
    commit(store, 0, 1, {"a": 1}, intervals=[FIVE_S])
    any_server.client.delete(key)
    any_server.client.rpush(key, "x")
    before = any_server.everything()
    with pytest.raises(Rejected, match="WRONGTYPE"):
        rotate(store, 1_700_000_015)
    assert any_server.everything() == before


def test_large_counts_are_moved_exactly(store: Store, any_server: Server) -> None:
    commit(store, 0, 1, {"a": LARGEST}, intervals=[FIVE_S])
    rotate(store, 1_700_000_015)
    assert any_server.counts("g", "5s", "last")["a"] == LARGEST


def test_thousands_of_events_are_rotated(store: Store, any_server: Server) -> None:
    batch = {f"e{number}": number + 1 for number in range(12_000)}
    declared = tuple(f"e{number}" for number in range(6_000))
    commit(store, 0, 1, batch, intervals=[FIVE_S])
    rotate(store, 1_700_000_015, declared)
    assert any_server.counts("g", "5s", "last") == batch
    assert sum(any_server.counts("g", "5s", "cur").values()) == 0


@only_keys
def test_server_out_of_memory_still_rotates(own_server: Server) -> None:
    from event_count_logger.config import RedisConfig

    store = Store(RedisConfig(**own_server.config))
    commit(store, 0, 1, {"a": 1}, intervals=[FIVE_S])
    own_server.client.config_set("maxmemory", 1)
    assert rotate(store, 1_700_000_015).outcome == "rotated"
    assert own_server.counts("g", "5s", "last") == {"a": 1, "b": 0}
    store.close()


def test_interval_of_fractional_seconds_keeps_its_milliseconds(store: Store, any_server: Server) -> None:
    short = Interval.parse("0.3s")
    store.commits.commit(group_of("g", [short]), "src", 0, 1, {"a": 1}, 1_700_000_000.25)
    assert any_server.client.get("g:0.3s:cur:@ts") == "1700000000.100"
    rotation = store.rotation.rotate(group_of("g", [short], events=("a",)), short, 1_700_000_000.75)
    assert (rotation.start, rotation.end) == (1_700_000_000.1, 1_700_000_000.7)


# read


@only_keys
def test_both_halves_are_read_in_one_snapshot(store: Store) -> None:
    commit(store, 0, 1, {"a": 2, "dynamic": 3}, intervals=[FIVE_S])
    rotate(store, 1_700_000_015)
    commit(store, 1, 2, {"a": 5}, intervals=[FIVE_S])
    reading = store.reads.read(group_of("g", events=("a", "b")), FIVE_S, ("last", "cur"), 1_700_000_016)
    assert (reading.now, reading.last_start, reading.current_start) == (
        1_700_000_016,
        1_700_000_010,
        1_700_000_015,
    )
    assert reading.counts == {"last": {"a": 2, "b": 0, "dynamic": 3}, "cur": {"a": 5, "b": 0}}


def test_missing_counter_has_no_count(store: Store) -> None:
    reading = store.reads.read(group_of("g", events=("a",)), FIVE_S, ("last", "cur"), NOW)
    assert (reading.last_start, reading.current_start, reading.counts) == (
        None,
        None,
        {"last": {}, "cur": {}},
    )


def test_undeclared_events_follow_the_declared_ones_by_name(store: Store) -> None:
    commit(store, 0, 1, {"y": 1, "x": 1, "b": 1, "a": 1}, intervals=[FIVE_S])
    assert list(store.reads.read(group_of("g", events=("b", "a")), FIVE_S, ("cur",), NOW).counts["cur"]) == [
        "b",
        "a",
        "x",
        "y",
    ]


def test_thousands_of_counts_are_read(store: Store) -> None:
    batch = {f"e{number:05}": number for number in range(12_000)}
    commit(store, 0, 1, batch, intervals=[FIVE_S])
    assert store.reads.read(group_of("g", events=()), FIVE_S, ("cur",), NOW).counts["cur"] == batch


@only_keys
def test_event_id_that_is_not_utf8_in_redis_is_read_and_rotated(store: Store, any_server: Server) -> None:
    commit(store, 0, 1, {"a": 1}, intervals=[FIVE_S])
    any_server.client.sadd("g:5s:cur:@events", b"\xff")
    any_server.client.set(b"g:5s:cur:\xff", 7)
    assert store.reads.read(group_of("g", events=("a",)), FIVE_S, ("cur",), NOW).counts["cur"] == {
        "a": 1,
        "\udcff": 7,
    }
    rotate(store, 1_700_000_015)
    assert (
        store.reads.read(group_of("g", events=("a",)), FIVE_S, ("last",), NOW).counts["last"]["\udcff"] == 7
    )


# errors


def test_unreachable_server_is_named_without_the_password() -> None:
    from event_count_logger.config import from_dicts
    from tests.servers import free_port

    url = f"redis://user:hunter2@127.0.0.1:{free_port()}/0?client_name=me"
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        Store(from_dicts({}, {"url": url}).redis).servers.ping()
    assert "hunter2" not in str(caught.value)


def test_wrong_password_is_named(own_server: Server) -> None:
    from event_count_logger.config import from_dicts

    own_server.client.config_set("requirepass", "right")
    with pytest.raises(Unavailable, match="(?i)password|auth"):
        Store(from_dicts({}, {**own_server.config, "password": "wrong"}).redis).servers.ping()


def test_probing_leaves_nothing_behind_and_finds_nothing_wrong(store: Store, any_server: Server) -> None:
    assert store.servers.probe(group_of("g")) == []
    assert any_server.everything() == {}


def test_retiring_a_source_forgets_its_position(store: Store, any_server: Server) -> None:
    commit(store, 0, 1, {})
    store.sources.retire(group_of("g"), "src")
    assert any_server.everything() == {}


@only_keys
def test_rejection_names_event_key_and_reason(store: Store, any_server: Server) -> None:
    any_server.client.set("g:5s:cur:a", "x")
    reason = "ERR value is not an integer or out of range"
    assert commit(store, 0, 1, {"a": 1}).refusals == (RejectedKey("a", "g:5s:cur:a", reason),)


P, Q = keys.process("0" * 32, 0), keys.process("f" * 32, 12)
HOUR_S = 3600
LASTING = GroupConfig("g", BOTH, source_ttl=16 * HOUR_S)


def sweep(store: Store, until_h: float, since_h: float = 0) -> int:
    """Every two hours, as often as it has to be, and not so often that it does nothing."""
    hours = [since_h + 2 * step for step in range(int((until_h - since_h) / 2) + 1)]
    return sum(store.sources.prune(LASTING, NOW + hour * HOUR_S) for hour in hours)


def test_process_without_commits_for_source_ttl_is_pruned(store: Store, any_server: Server) -> None:
    any_server.client.hset("g:@sources", mapping={P: "5"})
    assert sweep(store, 16) == 0
    assert any_server.everything() == {
        "g:@sources": {P: "5"},
        "g:@sources_seen": {P: f"{int(NOW)} 5", "": f"{int(NOW) + 16 * HOUR_S}"},
    }
    assert store.sources.prune(LASTING, NOW + 18 * HOUR_S) == 1
    store.sources.prune(LASTING, NOW + 20 * HOUR_S)
    assert any_server.everything() == {}


def test_process_that_has_committed_or_sent_a_heartbeat_is_kept(store: Store, any_server: Server) -> None:
    any_server.client.hset("g:@sources", mapping={P: "5", Q: "1"})
    sweep(store, 14)
    any_server.client.hset("g:@sources", P, "6")
    store.sources.touch(LASTING, Q, NOW + 14 * HOUR_S)
    assert sweep(store, 30, since_h=16) == 0
    assert any_server.client.hgetall("g:@sources") == {P: "6", Q: "1"}
    assert sweep(store, 34, since_h=32) == 2


def test_source_that_is_no_process_is_never_pruned(store: Store, any_server: Server) -> None:
    sources: dict[Any, Any] = {
        "tail:host:/var/log/x": "[1]",
        "s": "1",
        "0" * 32: "1",
        "0" * 32 + ".0": "1",
        "": "1",
    }
    any_server.client.hset("g:@sources", mapping=sources)
    sweep(store, 100)
    assert any_server.everything() == {"g:@sources": sources}


def test_retired_process_leaves_no_trace(store: Store, any_server: Server) -> None:
    any_server.client.hset("g:@sources", mapping={P: "5", Q: "1"})
    sweep(store, 2)
    store.sources.retire(LASTING, P)
    sweep(store, 4, since_h=4)
    assert set(any_server.client.hgetall("g:@sources_seen")) == {Q, ""}


def test_source_without_a_position_cannot_send_a_heartbeat(store: Store, any_server: Server) -> None:
    store.sources.touch(LASTING, P, NOW)
    assert any_server.everything() == {}


def test_after_a_long_time_without_pruning_all_count_as_seen(store: Store, any_server: Server) -> None:
    """Redis or all masters were down: processes may have been unable to send heartbeats."""
    any_server.client.hset("g:@sources", mapping={P: "5"})
    sweep(store, 14)
    assert sweep(store, 36, since_h=20) == 0
    assert sweep(store, 38, since_h=38) == 1


def test_clock_set_back_does_not_age_sources(store: Store, any_server: Server) -> None:
    any_server.client.hset("g:@sources", mapping={P: "5"})
    store.sources.prune(LASTING, NOW + 1000 * HOUR_S)
    assert sweep(store, 16) == 0
    assert any_server.client.hget("g:@sources_seen", P) == f"{int(NOW)} 5"


def test_pruning_again_too_soon_does_nothing(store: Store, any_server: Server) -> None:
    any_server.client.hset("g:@sources", mapping={P: "5"})
    store.sources.prune(LASTING, NOW)
    before = any_server.everything()
    any_server.client.hset("g:@sources", mapping={P: "6"})
    store.sources.prune(LASTING, NOW + 3590)
    assert any_server.everything()["g:@sources_seen"] == before["g:@sources_seen"]


def test_thousands_of_processes_are_pruned_in_pages(store: Store, any_server: Server) -> None:
    sources: dict[Any, Any] = {keys.process(f"{number:032x}", 0): "1" for number in range(2000)}
    any_server.client.hset("g:@sources", mapping={**sources, "s": "1"})
    sweep(store, 16)
    assert store.sources.prune(LASTING, NOW + 18 * HOUR_S) == 2000
    assert any_server.client.hgetall("g:@sources") == {"s": "1"}
