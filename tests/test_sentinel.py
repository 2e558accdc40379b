"""Sentinels say which server is the master now; who counts and who reads finds the new one without help."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from event_count_logger import EventCountLogger, Unavailable
from event_count_logger.config import from_dicts
from event_count_logger.store import Store
from tests.conftest import needs_debian
from tests.fixtures import Make, Start
from tests.servers import Sentinel, SentinelSetup, Server, free_port, role, wait_until
from tests.test_node import parsers

PROGRAMS = Path(__file__).parent / "programs"
GROUPS: dict[str, Any] = {
    "direct": {"auto_declare_events": True, "intervals": ["1h"]},
    "cached": {"auto_declare_events": True, "intervals": ["1h"], "sync_interval": 0.2},
}

#: How often the primary is killed.
KILLS = int(os.environ.get("ECL_FAILOVERS", "1"))


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[SentinelSetup]:
    needs_debian("redis-server", "redis-server")
    setup = SentinelSetup(tmp_path)
    yield setup
    setup.close()


def counted(server: Server) -> dict[str, int]:
    return {name: server.counts(name, "1h", "cur").get("a", 0) for name in GROUPS}


def test_workers_find_the_new_master(setup: SentinelSetup, start: Start) -> None:
    program = [sys.executable, PROGRAMS / "many_groups.py", json.dumps(GROUPS), json.dumps(setup.config)]
    workers = [start(*program, stdin=subprocess.PIPE) for _ in range(4)]
    first = setup.primary()
    wait_until(lambda: all(counted(first).values()))
    before = counted(first)
    first.kill()
    wait_until(lambda: setup.primary() is not first, 60, "there is a new master")
    wait_until(
        lambda: all(counted(setup.primary())[name] > before[name] for name in GROUPS),
        timeout_s=60,
        what="the new master counts",
    )
    logged = dict.fromkeys(GROUPS, 0)
    for worker in workers:
        out, err = worker.communicate("", timeout=60)
        assert worker.returncode == 0, err
        logged = {name: logged[name] + json.loads(out)[name] for name in GROUPS}
    after = counted(setup.primary())
    assert all(before[name] < after[name] <= logged[name] for name in GROUPS)


def test_asking_sentinels_leaves_no_garbage(setup: SentinelSetup) -> None:
    with EventCountLogger(GROUPS, setup.config) as logger, setup.primary().client as client:
        client.ping()
        logger["direct"].log("a")
        gc.collect()
        before = parsers()
        gc.disable()
        try:
            for _ in range(20):
                client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                logger["direct"].log("a")
            assert parsers() <= before + 2, "but for a connection of the background thread"
        finally:
            gc.enable()


def workers(start: Start, setup: SentinelSetup, durability: str) -> list[subprocess.Popen[str]]:
    groups = {name: {**spec, "durability": durability} for name, spec in GROUPS.items()}
    redis = {**setup.config, "socket_timeout": 1}
    program = [sys.executable, PROGRAMS / "many_groups.py", json.dumps(groups), json.dumps(redis)]
    return [start(*program, stdin=subprocess.PIPE) for _ in range(4)]


def replace_primary(setup: SentinelSetup) -> None:
    """Kill it, wait until another one counts, and let it follow that one."""
    dead = setup.primary()
    dead.kill()
    wait_until(lambda: setup.primary() is not dead, timeout_s=60, what="there is a new master")
    before = counted(setup.primary())
    dead.start()
    wait_until(setup.is_whole, timeout_s=60, what="all follow the new master")
    wait_until(lambda: all(counted(setup.primary())[name] > before[name] for name in GROUPS), timeout_s=60)


def logged_by(processes: list[subprocess.Popen[str]]) -> dict[str, int]:
    logged = dict.fromkeys(GROUPS, 0)
    for process in processes:
        out, err = process.communicate("", timeout=60)
        assert process.returncode == 0, err
        logged = {name: logged[name] + json.loads(out)[name] for name in GROUPS}
    return logged


@pytest.mark.timeout(240 * KILLS)
def test_confirmed_counts_are_exact_although_primaries_are_killed(setup: SentinelSetup, start: Start) -> None:
    processes = workers(start, setup, "replicas")
    wait_until(lambda: all(counted(setup.primary()).values()))
    for _ in range(KILLS):
        replace_primary(setup)
    assert logged_by(processes) == counted(setup.primary())


@pytest.mark.timeout(240 * KILLS)
def test_counts_lost_with_a_primary_are_logged_and_counted(setup: SentinelSetup, start: Start) -> None:
    processes = workers(start, setup, "memory")

    def all_count_on(before: dict[str, int]) -> bool:
        return all(counted(setup.primary())[name] > before[name] for name in GROUPS)

    wait_until(lambda: all(counted(setup.primary()).values()))
    for _ in range(KILLS):
        for replica in (server for server in setup.servers if server is not setup.primary()):
            with replica.client as client:
                client.replicaof("127.0.0.1", free_port())  # what comes now is only on the primary
        wait_until(partial(all_count_on, counted(setup.primary())))
        replace_primary(setup)
    logged, primary = logged_by(processes), setup.primary()
    for name in GROUPS:
        counts = primary.counts(name, "1h", "cur")
        assert 2 * logged[name] - counts["a"] - counts["b"] == counts.get("@lost", 0) > 0


def test_master_without_replicas_is_logged_once_and_counts_are_kept(
    setup: SentinelSetup, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    ecl = logger(GROUPS, setup.config)
    first = setup.primary()
    ecl["direct"].log("a")
    with first.client as client:
        client.config_set("min-replicas-to-write", 3)
        ecl["direct"].log("a")
        wait_until(lambda: "NOREPLICAS" in caplog.text)
        client.config_set("min-replicas-to-write", 0)
    wait_until(lambda: counted(first)["direct"] == 2)
    ecl.close()
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1, caplog.text


def test_master_that_only_this_process_reaches_is_dropped_at_once(setup: SentinelSetup, logger: Make) -> None:
    direct = {**GROUPS["direct"], "durability": "replicas"}
    ecl = logger({**GROUPS, "direct": direct}, setup.config)
    first = setup.primary()
    ecl["direct"].log("a")
    with first.client as client:
        client.execute_command("ACL SETUSER", "default", "-ping")  # so that it is dead for the sentinels
    wait_until(lambda: setup.primary() is not first, 60, "there is a new master")
    ecl["direct"].log("a")
    wait_until(lambda: counted(setup.primary())["direct"] == 2)
    assert role(first)[0] == "master", "it does not know of any other"


def test_connections_follow_a_master_that_hands_over(setup: SentinelSetup, logger: Make) -> None:
    ecl = logger(GROUPS, setup.config)
    first = setup.primary()
    for server in setup.servers:
        with server.client as client:
            # Else the one before takes counts until a sentinel tells it, some seconds later, and loses them.
            client.config_set("min-replicas-to-write", 1)
    ecl["direct"].log("a")
    with first.client as client:
        wait_until(lambda: client.wait(2, 100) == 2, what="the replicas have it")
    setup.fail_over()
    wait_until(lambda: setup.primary() is not first, 60, "there is a new master")
    ecl["direct"].log("a")
    wait_until(lambda: counted(setup.primary())["direct"] == 2)


def test_sentinel_with_older_epoch_is_not_followed(
    tmp_path: Path, server: Server, own_server: Server
) -> None:
    """The two sentinels do not know each other, and one has seen another failover."""
    with Sentinel(tmp_path, server, epoch=7) as behind, Sentinel(tmp_path, own_server, epoch=8) as up_to_date:
        nodes = [f"127.0.0.1:{sentinel.port}" for sentinel in (behind, up_to_date)]
        store = Store(from_dicts({}, {"sentinel": {"nodes": nodes, "service": "ecl"}}).redis)

        def port() -> int:
            store.close()
            (location,) = store.servers.settings()
            return int(location.partition("/")[0].rpartition(":")[2])

        wait_until(lambda: port() == own_server.port, what="the new master is known")
        assert {port() for _ in range(20)} == {own_server.port}
        up_to_date.stop()
        assert port() == server.port, "what is named by the only one that is left"
        store.close()


def test_service_unknown_to_the_sentinels_is_named(setup: SentinelSetup) -> None:
    known = setup.config["sentinel"]
    sentinel = {"nodes": known["nodes"][:1], "service": "other"}
    store = Store(from_dicts({}, {"sentinel": sentinel}).redis)
    with pytest.raises(Unavailable, match=r"'other' of sentinels .* the master \(.* does not know it\)"):
        store.servers.ping()


def test_sentinels_that_do_not_answer_are_named() -> None:
    closed = f"127.0.0.1:{free_port()}"
    store = Store(from_dicts({}, {"sentinel": {"nodes": [closed], "service": "ecl"}}).redis)
    expected = f"'ecl' of sentinels {closed} cannot be reached: none of them names the master"
    with pytest.raises(Unavailable, match=expected):
        store.servers.ping()
