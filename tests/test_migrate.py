"""ecl migrate: nothing is lost and nothing is counted twice, wherever it is cut off."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from event_count_logger.config import GroupConfig, History, Layout, RedisConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.reader import Reader
from event_count_logger.store import Store
from event_count_logger.store.migration import Migration
from tests.fixtures import Make, Run, Start, Write
from tests.servers import Server, wait_until

FIVE_S, ONE_M = Interval.parse("5s"), Interval.parse("1m")
START = 1_700_000_040
BATCH = {f"e{number}": number for number in range(600)} | {"declared": 2**54 + 1, "é ü:x": 3}
GROUP = GroupConfig(
    "g", (FIVE_S, ONE_M), ("declared", "never"), auto_declare_events=True, history=History.of(4)
)

Other = pytest.mark.parametrize(("before", "after"), [("keys", "hash"), ("hash", "keys")])


def fill(store: Store, group: GroupConfig) -> None:
    """Intervals of 5 seconds, of which one is twice as long, and one of a minute; and running counts."""
    for at in range(15):
        batch = {**BATCH, f"only {at}": at + 1}
        store.commits.commit(group, "src", at, at + 1, batch, START + 5 * at)
        if at != 7:
            store.rotation.rotate(group, FIVE_S, START + 5 * (at + 1) if at < 14 else START + 5 * at)
        store.rotation.rotate(group, ONE_M, START + 5 * at)


def seen(store: Store, group: GroupConfig) -> dict[str, Any]:
    """Everything that readers can know."""
    reader = Reader(store)
    found: dict[str, Any] = {"totals": group.totals and reader.totals(group, START + 75).counts}
    for interval in group.intervals:
        halves = reader.read(group, interval, "last", "cur", now=START + 75)
        found[interval.name] = [*halves, *reader.history(group, interval)]
    return found


@Other
def test_readings_are_unchanged_by_migration_and_counting_goes_on(
    store: Store, any_server: Server, before: Layout, after: Layout
) -> None:
    old, new = replace(GROUP, layout=before), replace(GROUP, layout=after)
    fill(store, old)
    expected = seen(store, old)
    assert Migration(store.client, old, after).run() == []
    assert seen(store, new) == expected
    assert not store.keyspace.foreign_keys(new, FIVE_S)
    again = any_server.everything()
    assert Migration(store.client, old, after).run() == []
    assert any_server.everything() == again
    assert store.commits.commit(new, "src", 14, 15, BATCH, START + 75).outcome == "duplicate"
    for at in range(15, 19):
        store.commits.commit(new, "src", at, at + 1, BATCH, START + 5 * at)
        store.rotation.rotate(new, FIVE_S, START + 5 * (at + 1))
    assert Reader(store).totals(new).counts["declared"] == 19 * BATCH["declared"]
    left = [key for key in any_server.everything() if key.startswith("g:5s:@history:17")]
    assert len(left) == (3 if after == "hash" else 0)


@Other
def test_migration_there_and_back_changes_nothing(
    store: Store, any_server: Server, before: Layout, after: Layout
) -> None:
    old = replace(GROUP, layout=before)
    fill(store, old)
    expected, keys = seen(store, old), any_server.everything()
    Migration(store.client, GROUP, after).run()
    Migration(store.client, GROUP, before).run()
    assert seen(store, old) == expected
    # Where there are hashes, the counts of the newest interval in the history may be there twice.
    either = {key for key in any_server.everything().keys() ^ keys.keys() if "@history" not in key}
    assert not either


@Other
def test_migration_killed_anywhere_and_repeated_is_exact(
    server: Server, before: Layout, after: Layout
) -> None:
    old, new = replace(GROUP, layout=before), replace(GROUP, layout=after)
    store = Store(RedisConfig(**server.config))
    for step in range(1, 300, 7):
        server.client.flushall()
        fill(store, old)
        expected = seen(store, old)
        for again in range(2):
            was_killed = _killed_at(step + again, server, old, after)
        Migration(store.client, old, after).run()
        assert seen(store, new) == expected, f"killed at request {step}"
        if not was_killed:
            break
    assert step > 14, "there were too few requests for this to mean anything"
    store.close()


@Other
def test_interrupted_migration_can_be_undone(server: Server, before: Layout, after: Layout) -> None:
    old = replace(GROUP, layout=before)
    store = Store(RedisConfig(**server.config))
    fill(store, old)
    expected = seen(store, old)
    assert _killed_at(9, server, old, after)
    Migration(store.client, old, before).run()
    assert seen(store, old) == expected
    store.close()


def _killed_at(step: int, server: Server, group: GroupConfig, to: Layout) -> bool:
    """Returns whether a process was killed at its request of that number."""
    pid = os.fork()
    if not pid:
        store = Store(RedisConfig(**server.config))
        exchange, sent = store.client.route.exchange, iter(range(1, 10_000))

        def cut_off(requests: Sequence[bytes], key: str, connect: bool) -> list[Any]:
            answer = exchange(requests, key, connect)
            if next(sent) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        store.client.route.exchange = cut_off  # type: ignore[method-assign]
        try:
            Migration(store.client, group, to).run()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def test_counts_of_another_version_without_an_index_are_moved(store: Store, any_server: Server) -> None:
    any_server.client.mset({"g:5s:cur:declared": 5, "g:5s:cur:@ts": START, "g:5s:last:declared": 7})
    Migration(store.client, GROUP, "hash").run()
    assert any_server.client.hgetall("g:5s:cur") == {"declared": "5"}
    assert any_server.client.hgetall("g:5s:last") == {"declared": "7"}
    assert any_server.client.hgetall("g:@totals") == {"declared": "5"}


def test_counter_of_another_type_is_left_and_named(store: Store, any_server: Server) -> None:
    fill(store, GROUP)
    any_server.client.set("g:5s:cur:e1", "x")
    assert Migration(store.client, GROUP, "hash").run() == ["g:5s:cur:e1"]
    assert any_server.client.get("g:5s:cur:e1") == "x"


@pytest.mark.parametrize(("there", "to"), [("keys", "hash"), ("hash", "keys")])
def test_full_memory_ends_migration_which_goes_on_later(
    own_server: Server, config_file: Write, run: Run, there: str, to: str
) -> None:
    groups = {"g": {"intervals": ["24h"], "events": ["a"], "layout": there, "totals": False}}
    path = config_file({"redis": own_server.config, "groups": groups})
    assert run("ecl", "log_event", path, "g", "a").returncode == 0
    own_server.client.config_set("maxmemory", 1)
    full = run("ecl", "migrate", path, "g", "--to", to, "--yes")
    assert full.returncode == 3
    assert "something else" not in full.stderr
    assert "'maxmemory'" in full.stderr and "script" not in full.stderr
    own_server.client.config_set("maxmemory", 0)
    assert run("ecl", "migrate", path, "g", "--to", to, "--yes").returncode == 0
    assert own_server.counts("g", "24h", "cur") == {"a": 1}


def test_command_prints_its_plan_and_asks(server: Server, config_file: Write, run: Run) -> None:
    path = config_file({"redis": server.config, "groups": {"g": {"intervals": ["5s"], "events": ["a"]}}})
    assert run("ecl", "log_event", path, "g", "a").returncode == 0
    dry = run("ecl", "migrate", path, "g", "--to", "hash", "--dry-run")
    plan = "g, 5s: current interval 1 event, last interval 0 events, history 0 intervals\n"
    assert (dry.returncode, dry.stdout) == (0, plan)
    for answer in ("n\n", "\n", ""):
        refused = run("ecl", "migrate", path, "g", "--to", "hash", input=answer)
        assert (refused.returncode, refused.stdout) == (1, plan)
        assert refused.stderr.startswith("Move this to the layout 'hash'? [y/N]: ")
        assert refused.stderr.splitlines()[-1].endswith("ERROR: nothing was moved")
        assert len(refused.stderr.splitlines()) <= 2
    assert server.client.get("g:5s:cur:a") == "1"
    done = run("ecl", "migrate", path, "g", "--to", "hash", "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"g is moved; set its 'layout: hash' in {path} before it is used again\n")
    assert server.client.hgetall("g:5s:cur") == {"a": "1"}
    assert run("ecl", "migrate", path, "other", "--to", "hash").returncode == 1


def test_migration_beside_a_master_is_refused(
    server: Server, config_file: Write, run: Run, start: Start
) -> None:
    path = config_file({"redis": server.config, "groups": {"g": {"intervals": ["1h"], "events": ["a"]}}})
    master = start("ecl_master", path)
    wait_until(lambda: server.client.exists("g:@masters"))
    refused = run("ecl", "migrate", path, "g", "--to", "hash", "--yes")
    assert refused.returncode == 2
    assert f"group 'g' is in use by a master (host {os.uname().nodename}, pid {master.pid})" in refused.stderr


@pytest.mark.parametrize("shards", [1, 2])
def test_migration_beside_a_counting_process_is_refused(
    shards: int,
    server: Server,
    config_file: Write,
    run: Run,
    logger: Make,
) -> None:
    settings = {"intervals": ["1h"], "events": ["a"], "sync_interval": 60, "shards": shards}
    groups = {"g": settings, "other": settings}
    path = config_file({"redis": server.config, "groups": groups})
    ecl = logger(groups, server.config)
    ecl["g"].log("a")
    refused = run("ecl", "migrate", path, "g", "--to", "hash", "--yes")
    assert refused.returncode == 2
    assert (
        f"group 'g' is in use by process {os.getpid()}: stop all processes that count in the group"
        in refused.stderr
    )
    assert run("ecl", "migrate", path, "other", "--to", "hash", "--yes").returncode == 0


class CutOff(Exception):
    pass


class CutOffStore(Store):
    """Raises at one of its requests, before it is sent; all earlier ones are done."""

    n_left = -1

    def __init__(self, config: RedisConfig) -> None:
        super().__init__(config)
        exchange = self.client.route.exchange

        def cut_off(requests: Sequence[bytes], key: str, connect: bool) -> list[Any]:
            if self.n_left == 0:
                raise CutOff
            self.n_left -= 1
            return exchange(requests, key, connect)

        self.client.route.exchange = cut_off  # type: ignore[method-assign]

    def migrate(self, group: GroupConfig, to: Layout, n_requests: int = -1) -> bool:
        """Returns whether the migration was completed."""
        self.n_left = n_requests
        with suppress(CutOff):
            assert Migration(self.client, group, to).run() == []
            return True
        self.n_left = -1
        return False


@Other
def test_interrupted_migrations_in_both_directions_are_exact(
    server: Server, chance: random.Random, monkeypatch: pytest.MonkeyPatch, before: Layout, after: Layout
) -> None:
    monkeypatch.setattr("event_count_logger.store.migration._CHUNK", 1)
    old = GroupConfig("g", (FIVE_S,), auto_declare_events=True, layout=before)
    store = CutOffStore(RedisConfig(**server.config))
    server.client.flushall()
    for at, now in enumerate((START + 1000, START + 1005, START, START + 10)):  # a clock that was ahead
        store.commits.commit(old, "src", at, at + 1, {"a": at + 1, f"b{at}": 1}, now)
        store.rotation.rotate(old, FIVE_S, now + 5)
    store.commits.commit(old, "src", 4, 5, {"a": 5, "c": 1}, START + 15)
    expected, begin_anew = seen(store, old), server.remember()
    assert len(expected["5s"]) == 2 + 3, "the last one, the running one, and those in the history"
    n_first = 0
    while not store.migrate(old, after, n_first):
        for n_second in (0, *chance.sample(range(1, 60), 12)):
            begin_anew()
            store.migrate(old, after, n_first)
            store.migrate(old, before, n_second)
            for to in (chance.choice([before, after]), before, after):
                assert store.migrate(old, to)
                assert seen(store, replace(old, layout=to)) == expected, (n_first, n_second, to)
        begin_anew()
        n_first += 1
    assert n_first > 20
    store.close()
