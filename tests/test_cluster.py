"""A cluster: each group is on one node, wherever that is now, and is counted exactly once."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from event_count_logger import EventCountLogger, Unavailable
from event_count_logger.alerts.overview_reader import OverviewReader
from event_count_logger.config import RedisConfig, from_dicts
from event_count_logger.counting.recovery import Recovery
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log
from event_count_logger.reading.scrape import Scraper
from event_count_logger.store import HistoryPosition, Store
from tests.conftest import needs_debian
from tests.counting_workers import EVENTS, CountingWorkers
from tests.fixtures import Make, Run, Start, Write
from tests.groups import event_group, group_of
from tests.servers import Cluster, Server, wait_until
from tests.test_acl import CLUSTER, ONE_SERVER

PROGRAMS = Path(__file__).parent / "programs"


_GROUP = {"auto_declare_events": True, "intervals": ["1h"]}
#: Half of them send at once.
GROUPS: dict[str, Any] = {
    f"g{number}": _GROUP if number % 2 else {**_GROUP, "sync_interval": 0.2} for number in range(20)
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    needs_debian("redis-server", "redis-server")
    needs_debian("redis-tools", "redis-cli")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(made: Cluster) -> Cluster:
    """Empty and whole, whatever the tests before have done to it."""
    for node in made.nodes:
        if node.process is None:
            node.start()
    wait_until(made.is_whole, what="the cluster is whole")
    made.clear()
    return made


@pytest.fixture
def store(cluster: Cluster) -> Iterator[Store]:
    store = Store(from_dicts({}, cluster.config).redis)
    yield store
    store.close()


@pytest.fixture
def failover(cluster: Cluster) -> Iterator[None]:
    """In this test, replicas take the part of masters that do not answer."""
    with cluster.replaces_masters():
        yield


def on(cluster: Cluster, node: Server) -> list[str]:
    """The groups that a node has."""
    return [name for name in GROUPS if cluster.master_of(f"{{{name}}}") is node]


def counted(cluster: Cluster, event: str = "a") -> dict[str, int]:
    return {name: cluster.counts(f"{{{name}}}", "1h", "cur").get(event, 0) for name in GROUPS}


def has_unsent(ecl: EventCountLogger, groups: Iterable[str]) -> bool:
    """Returns whether any of the groups holds counts that Redis has not confirmed."""
    return any(event_group(ecl, name).local.has_unsent() for name in groups)


def is_unavailable(ecl: EventCountLogger, group: str) -> bool:
    return ecl._store.client.is_unavailable(event_group(ecl, group).local.config)


def workers(
    start: Start, config: dict[str, Any], number: int = 8, groups: dict[str, Any] = GROUPS
) -> list[subprocess.Popen[str]]:
    arguments = [json.dumps(groups), json.dumps(config)]
    program = [sys.executable, PROGRAMS / "many_groups.py", *arguments]
    return [start(*program, stdin=subprocess.PIPE) for _ in range(number)]


def logged(processes: list[subprocess.Popen[str]]) -> Counter[str]:
    for process in processes:
        assert process.stdin
        process.stdin.close()
        process.stdin = None
    total = Counter[str]()
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        total += Counter(json.loads(out))
    return total


def recover(redis: dict[str, Any]) -> None:
    """Returns the counts that processes could not send before they ended."""
    config = from_dicts(GROUPS, redis)
    store = Store(config.redis)
    wait_until(lambda: not list(Recovery(config, store, Log("test")).run()), what="all is recovered")
    store.close()


def test_8_processes_are_exact_while_slots_move_between_nodes(
    cluster: Cluster, start: Start, chance: random.Random
) -> None:
    processes = workers(start, cluster.config)
    wait_until(lambda: all(counted(cluster).values()), what="all groups are counted")
    moved = [cluster.master_of(f"{{g{number}}}") for number in range(6)]
    for _ in range(4):
        for number, home in enumerate(moved):
            others = [node for node in cluster.masters() if node is not cluster.master_of(f"{{g{number}}}")]
            cluster.move(f"{{g{number}}}", home if home in others else chance.choice(others))
    total = logged(processes)
    recover(cluster.config)
    assert counted(cluster) == dict(total)
    assert counted(cluster, "b") == dict(total)


def test_dead_node_is_replaced_by_its_replica_without_double_counts(
    cluster: Cluster, failover: None, start: Start
) -> None:
    dead = cluster.master_of("{g0}")
    affected = on(cluster, dead)
    processes = workers(start, cluster.config, 4)
    wait_until(lambda: all(counted(cluster).values()), what="all groups are counted")
    before = counted(cluster)
    dead.kill()
    wait_until(
        lambda: (
            len(cluster.masters()) == 3 and all(counted(cluster)[name] > before[name] for name in affected)
        ),
        what="the groups of the dead node are counted by its replica",
    )
    total = logged(processes)
    recover(cluster.config)
    after = counted(cluster)
    assert {name: after[name] for name in GROUPS if name not in affected} == {
        name: total[name] for name in GROUPS if name not in affected
    }
    assert all(before[name] < after[name] <= total[name] for name in affected)


def test_confirmed_counts_are_exact_despite_moved_slot_and_failover(
    cluster: Cluster, failover: None, start: Start
) -> None:
    sure = {**cluster.config, "socket_timeout": 1}
    durable = {name: {**spec, "durability": "replicas"} for name, spec in GROUPS.items()}
    processes = workers(start, sure, groups=durable)
    wait_until(lambda: all(counted(cluster).values()), what="all groups are counted")
    home, dead = cluster.master_of("{g0}"), cluster.master_of("{g1}")
    other = next(node for node in cluster.masters() if node not in (home, dead))
    cluster.move("{g0}", other)
    dead.kill()
    wait_until(lambda: len(cluster.masters()) == 3, what="its replica takes over")
    dead.start()
    wait_until(cluster.is_whole, what="it follows its replica")
    cluster.move("{g0}", home)
    before = counted(cluster)
    wait_until(lambda: all(counted(cluster)[name] > before[name] for name in GROUPS), what="all go on")
    total = logged(processes)
    recover(sure)
    assert counted(cluster) == dict(total)
    assert counted(cluster, "b") == dict(total)


def test_dead_node_delays_only_its_own_groups_and_is_logged_once(
    cluster: Cluster, failover: None, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    ecl = logger(GROUPS, cluster.config)
    for name in GROUPS:
        ecl[name].log("a")
    dead = cluster.master_of("{g1}")
    theirs, others = on(cluster, dead), [name for name in GROUPS if name not in on(cluster, dead)]
    dead.stall()
    try:
        wait_until(lambda: ecl["g1"].log("a") or is_unavailable(ecl, "g1"), what="it is noticed")
        assert not any(is_unavailable(ecl, name) for name in others)
        for name in others:
            ecl[name].log("a")
        direct = [name for name in others if "sync_interval" not in GROUPS[name]]
        assert not has_unsent(ecl, direct), "log() has returned too soon"
        wait_until(lambda: not has_unsent(ecl, others))
    finally:
        dead.go_on()
    about = [record.message for record in caplog.records if "cannot be reached" in record.message]
    assert len([message for message in about if f":{dead.port} " in message]) == 1, about
    wait_until(cluster.is_whole, what="it follows, should it have been replaced")
    wait_until(lambda: not has_unsent(ecl, theirs))

    def counts() -> dict[str, int] | None:
        with suppress(redis.exceptions.MovedError):  # a replica takes its place just now
            return counted(cluster)
        return None

    found = wait_until(counts)
    assert [found[name] for name in others] == [2] * len(others)
    assert [name for name in theirs if found[name] < 1] == []


def test_silent_node_delays_other_groups_for_one_request_only(cluster: Cluster, logger: Make) -> None:
    groups = {f"g{number}": {**_GROUP, "sync_interval": 0.1} for number in range(60)}
    ecl = logger(groups, {**cluster.config, "socket_timeout": 1})
    silent = cluster.master_of("{g0}")
    others = [name for name in groups if cluster.master_of(f"{{{name}}}") is not silent]
    assert len(groups) - len(others) >= 8
    for name in groups:
        ecl[name].log("a")
    wait_until(lambda: not has_unsent(ecl, groups), what="all is sent")
    silent.stall()
    try:
        for name in groups:
            ecl[name].log("a")
        wait_until(lambda: is_unavailable(ecl, "g0"), what="it is noticed")
        for _ in range(3):
            for name in groups:
                ecl[name].log("a")
            wait_until(lambda: not has_unsent(ecl, others), 7, what="the others are sent")
    finally:
        silent.go_on()
    wait_until(lambda: not has_unsent(ecl, groups), what="all is sent")


def test_threads_that_begin_at_the_same_time_all_find_the_nodes(cluster: Cluster) -> None:
    group = group_of("g", key_prefix="{g}")
    failed: list[Unavailable] = []

    def ask(store: Store, together: threading.Barrier) -> None:
        together.wait()
        try:
            store.client.server_time(group)
        except Unavailable as error:
            failed.append(error)

    for _ in range(10):
        store, together = Store(from_dicts({}, cluster.config).redis), threading.Barrier(8)
        threads = [threading.Thread(target=ask, args=(store, together)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store.close()
    assert failed == []


def test_threads_may_look_for_nodes_while_others_find_new_ones(cluster: Cluster) -> None:
    first = cluster.nodes[0].port
    store = Store(RedisConfig(cluster=True, nodes=(("127.0.0.1", first),)))
    failed, until, before = list[Exception](), time.monotonic() + 2, sys.getswitchinterval()

    def look(step: Callable[[], object]) -> None:
        try:
            while time.monotonic() < until:
                step()
        except Exception as error:  # noqa: BLE001
            failed.append(error)

    find = store.client.route._node_at  # type: ignore[attr-defined]
    steps = [
        store.servers.ping,
        store.servers.ping,
        store.servers.ping,
        lambda: [find(("127.0.0.1", n.port)) for n in cluster.nodes],
    ]
    threads = [threading.Thread(target=look, args=(step,)) for step in steps]
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
        store.close()
    assert failed == []


def test_only_the_node_of_a_group_is_asked_about_its_processes(cluster: Cluster, store: Store) -> None:
    for number in range(20):
        group = group_of(f"g{number}", key_prefix=f"{{g{number}}}")
        store.commits.commit(group, "s", 0, 1, {})
        before = {node.port: _n_times(node) for node in cluster.masters()}
        store.sources.touch(group, "s")
        asked = [node.port for node in cluster.masters() if _n_times(node) > before[node.port]]
        assert asked == [cluster.master_of(group.prefix).port]


def test_follower_asks_only_the_nodes_of_its_group(cluster: Cluster, store: Store) -> None:
    (interval,) = group_of("g", [Interval.parse("1h")]).intervals
    first = cluster.master_of("{265b}")
    assert redis.crc.key_slot(b"265b") == 0
    group = next(
        group
        for group in (group_of(f"g{number}", [interval], n_shards=2) for number in range(100))
        if first not in [cluster.master_of(shard.prefix) for shard in group.shards]
    )
    before = _n_times(first)
    store.reads.finished_after(group, interval, HistoryPosition(0))
    assert _n_times(first) == before


def _n_times(node: Server) -> int:
    with node.client as client:
        return int(client.info("commandstats").get("cmdstat_time", {"calls": 0})["calls"])


@contextmanager
def half_moved(cluster: Cluster, key: str) -> Iterator[None]:
    """The slot of a key is on its way to another node, which has that key already and no other one."""
    source, slot = cluster.master_of(key), redis.crc.key_slot(key.encode())
    target = next(node for node in cluster.masters() if node is not source)
    with source.client as there, target.client as here:
        ids = [str(client.cluster("MYID")) for client in (there, here)]
        here.cluster("SETSLOT", slot, "IMPORTING", ids[0])
        there.cluster("SETSLOT", slot, "MIGRATING", ids[1])
        there.execute_command("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        yield
        some = there.cluster("GETKEYSINSLOT", slot, 100)
        there.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *some)
        for client in (here, there):
            client.cluster("SETSLOT", slot, "NODE", ids[1])


@contextmanager
def nobody_has(cluster: Cluster, key: str) -> Iterator[None]:
    """The slot of a key belongs to no node."""
    owner, slot = cluster.master_of(key), redis.crc.key_slot(key.encode())

    def knowing() -> list[int]:
        found = []
        for node in cluster.nodes:
            with node.client as client:
                ranges = client.execute_command("CLUSTER SLOTS")
                found += [node.port for first, last, *_ in ranges if first <= slot <= last]
        return found

    for node in cluster.nodes:
        with node.client as client:
            client.cluster("DELSLOTS", slot)
    try:
        wait_until(lambda: not knowing(), what="all know that no node has it")
        yield
    finally:
        with owner.client as client:
            client.cluster("ADDSLOTS", slot)
        wait_until(lambda: len(knowing()) == len(cluster.nodes), what="all know who has it")


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (half_moved, "its slot is being moved, and some keys are on another node than 127.0.0.1:"),
        (nobody_has, "no node has its slot"),
    ],
)
def test_unserved_slot_is_logged_once_and_counted_when_served(
    trouble: Callable[..., Any],
    message: str,
    cluster: Cluster,
    logger: Make,
    run: Run,
    config_file: Write,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = next(name for name in GROUPS if cluster.master_of(f"{{{name}}}") is cluster.master_of("{a}"))
    settings = {"intervals": ["24h"], "events": ["x", "y"]}
    groups = {"a": {**settings, "sync_limit": 2}, other: settings}
    assert cluster.master_of("{a}") is cluster.master_of(f"{{{other}}}")
    ecl, config = logger(groups, cluster.config), from_dicts(groups, cluster.config)
    file = config_file({"redis": cluster.config, "groups": groups})
    ecl["a"].log("x", 2)
    ecl[other].log("x")
    wait_until(lambda: not has_unsent(ecl, ["a"]), what="it is counted")
    with trouble(cluster, "{a}:24h:cur:x"):
        ecl["a"].log("y", 2)
        wait_until(lambda: message in caplog.text, what="it is logged")
        ecl[other].log("x")
        assert not has_unsent(ecl, [other])
        check = run("ecl", "check", file)
        assert check.returncode == 1
        assert message in check.stdout
        scrape = Scraper(config.shown_groups, ecl._store).scrape()
        assert ([each.group for each in scrape.groups], scrape.up) == ([other], True)
        time.sleep(1.5)
        assert event_group(ecl, "a").local.unsent() == {"y": 2}
        assert caplog.text.count(message) == 1
    wait_until(lambda: not has_unsent(ecl, ["a"]), what="it is counted soon")
    wait_until(lambda: "Redis accepts the counts of group 'a' again" in caplog.text, what="it is logged")
    assert cluster.counts("{a}", "24h", "cur") == {"x": 2, "y": 2}


def test_group_of_an_unserved_slot_is_unavailable_in_the_overview(cluster: Cluster) -> None:
    config = from_dicts({"a": _GROUP, "b": {**_GROUP, "shards": 2}}, cluster.config)
    store = Store(config.redis)
    for group in config.groups.values():
        store.commits.commit(group.shard(0), "s", 0, 1, {"x": 3})
        for shard in group.shards:
            store.rotation.rotate(shard, group.intervals[0])
    reader = OverviewReader(config, store, n_threads=2)

    def found() -> dict[str, int | None]:
        rows = reader.read().rows
        currents = {row.group.name: row.figures.current if row.figures else None for row in rows}
        return {name: current.sum if current else None for name, current in currents.items()}

    wait_until(lambda: found() == {"a": 3, "b": 3}, what="all nodes answer")
    with nobody_has(cluster, config.groups["a"].prefix):
        wait_until(lambda: found() == {"a": None, "b": 3}, what="only the slot of a group is missing")
    store.close()


def test_master_logs_an_unserved_slot_once(cluster: Cluster, start: Start, config_file: Write) -> None:
    groups = {"a": {"intervals": ["0.5s"], "events": ["x"]}}
    master = start("ecl_master", config_file({"redis": cluster.config, "groups": groups}))
    key = "{a}:0.5s:cur:x"
    wait_until(lambda: cluster.client.exists(key), what="it rotates")
    with half_moved(cluster, key):
        time.sleep(2)

    def start_of_interval() -> float:
        value = cluster.client.get("{a}:0.5s:cur:@ts")
        assert isinstance(value, str)
        return float(value)

    wait_until(lambda: start_of_interval() > time.time() - 0.6, what="it goes on")
    master.terminate()
    _, log = master.communicate(timeout=60)
    assert log.count("Group 'a', interval '0.5s': not rotated: The cluster does not serve key {a}:") == 1


def test_one_node_is_enough_to_find_the_others(cluster: Cluster, logger: Make) -> None:
    for node in cluster.nodes:
        first = {"cluster": True, "host": "127.0.0.1", "port": node.port}
        logger({"g": _GROUP}, first)["g"].log("a")
    assert cluster.counts("{g}", "1h", "cur") == {"a": 6}
    with pytest.raises(Unavailable, match="cluster 127.0.0.1:1 cannot be reached: none of"):
        Store(RedisConfig(cluster=True, nodes=(("127.0.0.1", 1),))).servers.ping()


def test_key_of_a_moving_slot_is_found(cluster: Cluster, store: Store) -> None:
    group = group_of("g", key_prefix="{g}")
    source = cluster.master_of("{g}")
    target = next(node for node in cluster.masters() if node is not source)
    slot = redis.crc.key_slot(b"g")
    key = "{g}:1h:cur:a"
    with source.client as there, target.client as here:
        there.set(key, 7)
        assert store.reads.count(group, "1h", "cur", "a") == 7
        here.cluster("SETSLOT", slot, "IMPORTING", str(there.cluster("MYID")))
        there.cluster("SETSLOT", slot, "MIGRATING", str(here.cluster("MYID")))
        there.execute_command("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        assert store.reads.count(group, "1h", "cur", "a") == 7, "the old node sends it on"
        for client in (here, there):
            client.cluster("SETSLOT", slot, "STABLE")


def test_commit_without_connection_asks_no_node_for_slots(cluster: Cluster, store: Store) -> None:
    from event_count_logger.errors import NotConnected

    group = group_of("g", [Interval.parse("1h")], key_prefix="{g}")
    with pytest.raises(NotConnected):
        store.commits.commit(group, "s", 0, 1, {"a": 1}, connect=False)
    assert cluster.everything() == {}
    store.commits.commit(group, "s", 0, 1, {"a": 1})
    assert store.commits.commit(group, "s", 1, 2, {"a": 1}, connect=False).outcome == "applied"


def test_forked_process_connects_to_the_cluster_for_itself(
    cluster: Cluster, start: Start, config_file: Write, run: Run
) -> None:
    events = {"events": EVENTS, "auto_declare_events": True}
    groups = {"direct": {**_GROUP, **events}, "cached": {**_GROUP, **events, "sync_interval": 0.2}}
    path = config_file({"redis": cluster.config, "groups": groups})
    workers = CountingWorkers(start, path, 1, 2, "--threads", 2, "--forks")
    workers.wait()
    assert run("ecl", "recover", path).returncode == 0
    for name in groups:
        workers.check(name, cluster.counts(f"{{{name}}}", "1h", "cur"))


def test_all_commands_work_with_a_cluster(cluster: Cluster, run: Run, config_file: Write) -> None:
    groups = {f"g{number}": {"events": ["a"], "intervals": ["24h"]} for number in range(6)}
    file = config_file({"redis": cluster.config, "groups": groups})
    assert run("ecl", "master", file, "--once").returncode == 0
    for name in groups:
        assert run("ecl", "log_event", file, name, "a").returncode == 0
    assert [run("ecl", "reader", file, "-g", name, "--current").stdout for name in groups] == ["a:1\n"] * 6
    assert run("ecl", "recover", file).returncode == 0
    check = run("ecl", "check", file)
    assert check.returncode == 0, check.stdout
    nodes = check.stdout.splitlines()[:3]
    assert [re.search("(Redis|Valkey) [0-9]", line) is not None for line in nodes] == [True] * 3
    status = run("ecl", "status", file)
    assert status.returncode == 0, status.stderr
    munin = run("ecl", "munin", "ecl_all", ECL_CONFIG=str(file))
    assert munin.returncode == 0, munin.stderr


def test_user_of_the_document_may_do_what_a_cluster_needs(
    cluster: Cluster, run: Run, config_file: Write
) -> None:
    groups = {name: {"events": ["a"], "intervals": ["24h"]} for name in ("web", "http")}
    redis = {**cluster.config, "username": "ecl", "password": "SECRET"}
    file = config_file({"redis": redis, "groups": groups})

    def allow(*more: str) -> None:
        for node in cluster.nodes:
            with node.client as client:
                client.execute_command(*ONE_SERVER)
                client.execute_command(*CLUSTER, *more)

    allow()
    for command in (
        ["ecl_master", "--once", file],
        ["ecl_log_event", file, "web", "a"],
        ["ecl", "check", file],
    ):
        done = run(*command)
        assert done.returncode == 0, (done.stdout, done.stderr)
    for missing, named in (("asking", "asking"), ("cluster", r"cluster(\|slots)?")):
        allow(f"-{missing}")
        done = run("ecl", "check", file)
        assert done.returncode == 1
        assert re.search(rf"permission.*\b{named}\b", done.stdout, re.IGNORECASE), done.stdout


def test_check_names_the_node_that_is_set_up_wrongly(cluster: Cluster, run: Run, config_file: Write) -> None:
    file = config_file({"redis": cluster.config, "groups": {}})
    wrong = cluster.masters()[1]
    with wrong.client as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            done = run("ecl", "check", file)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert f"127.0.0.1:{wrong.port}: maxmemory-policy is 'allkeys-lru'" in done.stdout
    assert done.stdout.count("maxmemory-policy") == 1


def test_purge_deletes_exactly_the_keys_of_a_group_on_all_nodes(
    cluster: Cluster, run: Run, config_file: Write
) -> None:
    settings = {"events": ["a{b}", "c"], "intervals": ["1h", "24h"]}
    groups = {"g": {**settings, "shards": 7}, "one": settings, "other": settings}
    before = config_file({"redis": cluster.config, "groups": groups})
    assert run("ecl_master", "--once", before).returncode == 0
    for name in groups:
        assert run("ecl_log_event", before, name, "a{b}").returncode == 0
    assert len({cluster.master_of(f"{{g#{number}}}").port for number in range(7)}) > 1
    mine = {name: [key for key in _all_keys(cluster) if _is_of(key, name)] for name in groups}
    after = config_file({"redis": cluster.config, "groups": {"other": settings}}, "after.yml")
    done = run("ecl", "purge", after, "other", "--yes")
    assert (done.returncode, "is in use" in done.stderr) == (1, True)
    for name in ("g", "one"):
        assert f"{len(mine[name])} keys" in run("ecl", "purge", after, name, "--dry-run").stdout
        done = run("ecl", "purge", after, name, "--yes")
        assert (done.returncode, done.stdout) == (0, f"deleted {len(mine[name])} keys of group '{name}'\n")
    assert set(_all_keys(cluster)) == set(mine["other"])


def _all_keys(cluster: Cluster) -> list[str]:
    return [key for node in cluster.masters() for key in node.client.scan_iter()]


def _is_of(key: str, group: str) -> bool:
    return key.startswith((f"{{{group}}}:", f"{{{group}#"))
