"""Acknowledged counts are as durable as configured; counts that a server has lost are logged."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from event_count_logger import EventCountLogger, keys
from event_count_logger.config import Config, GroupConfig, RedisConfig, SessionsConfig, from_dicts
from event_count_logger.errors import ConfigError, NotDurable, Unavailable, Unconfirmed
from event_count_logger.groups.redis_group import RedisEventGroup
from event_count_logger.intervals import Interval
from event_count_logger.reading.server_checks import examine
from event_count_logger.store import Commit, SessionAction, Store
from tests.conftest import needs_debian
from tests.fixtures import Make, Run, Start, Write
from tests.groups import event_group
from tests.servers import BINARIES, Proxy, Server, free_port, wait_until

HOUR = (Interval.parse("1h"),)


class Replicated:
    """A primary with replicas, and a proxy that leads to whichever is the primary now."""

    def __init__(self, kind: str, directory: Path, n_replicas: int = 2) -> None:
        self.kind = kind
        self.directory = directory
        self.servers: list[Server] = []
        self.primary = self._start()
        self.replicas = [self._start(self.primary) for _ in range(n_replicas)]
        self.proxy = Proxy(self.primary)
        self.wait_for_replicas(n_replicas)

    def _start(self, primary: Server | None = None) -> Server:
        directory = self.directory / str(len(self.servers))
        directory.mkdir()
        of = ("--replicaof", "127.0.0.1", str(primary.port)) if primary else ()
        self.servers.append(Server(self.kind, directory, "--repl-diskless-sync-delay", "0", *of))
        return self.servers[-1]

    def wait_for_replicas(self, n: int) -> None:
        """Until so many are online, and have begun to confirm."""
        with self.primary.client as client:
            client.set("@ready", "")
            wait_until(lambda: client.wait(n, 100) >= n and len(self.role()[2]) == n, what="replicas follow")
            client.delete("@ready")

    def role(self) -> Any:
        with self.primary.client as client:
            return client.execute_command("ROLE")

    def is_on_disk(self, server: Server) -> bool:
        """Returns whether it would start with its append-only file, rewritten as it becomes a replica."""
        with server.client as client:
            info = client.info("persistence")
        return not (info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"] or info["loading"])

    def fail_over(self, to: Server) -> None:
        """The primary dies, and a replica takes its place."""
        self.primary.kill()
        others = [server for server in self.replicas if server is not to]
        with to.client as client:
            client.replicaof("NO", "ONE")
        for other in others:
            other.go_on()
            with other.client as client:
                client.replicaof("127.0.0.1", to.port)
        self.primary, self.replicas = to, others
        self.proxy.server = to

    def close(self) -> None:
        self.proxy.close()
        for server in self.servers:
            server.kill()


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[Callable[..., Replicated]]:
    made: list[Replicated] = []

    def make(kind: str, n_replicas: int = 2) -> Replicated:
        if kind == "redis":
            needs_debian("redis-server", "redis-server")
        directory = tmp_path / f"set{len(made)}"
        directory.mkdir()
        made.append(Replicated(kind, directory, n_replicas))
        return made[-1]

    yield make
    for each in made:
        each.close()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def group_on(logger: Make, redis: dict[str, Any], timeout_s: float = 4, **settings: Any) -> RedisEventGroup:
    spec = {"auto_declare_events": True, "intervals": ["1h"], **settings}
    group = logger({"g": spec}, {**redis, "socket_timeout": timeout_s})["g"]
    assert isinstance(group, RedisEventGroup)
    return group


@pytest.mark.parametrize("kind", sorted(BINARIES))
def test_stopped_replica_delays_acknowledgement_without_double_counts(
    kind: str,
    replicated: Callable[..., Replicated],
    logger: Make,
    caplog: pytest.LogCaptureFixture,
) -> None:
    servers = replicated(kind)
    group = group_on(logger, servers.primary.config, durability="replicas")
    group.log("a")
    assert not group.local.has_unsent()
    servers.replicas[1].stall()
    group.log("a", 2)
    assert group.local.unsent() == {"a": 2}, "the other replica alone is not enough"
    assert servers.primary.counts("g", "1h", "cur") == {"a": 3}
    before = time.monotonic()
    for _ in range(1000):
        group.log("a", 4)
    assert time.monotonic() - before < 60, "no sender waits for a server that is known to be unavailable"
    servers.replicas[1].go_on()
    wait_until(group.sync)
    for server in (servers.primary, *servers.replicas):
        assert server.counts("g", "1h", "cur") == {"a": 4003}
    (warning,) = warnings(caplog)
    assert "is not confirmed by 1 of 2 replicas within" in warning


REQUEST = GroupConfig("g", HOUR, durability="replicas", sessions=SessionsConfig())
WAYS: dict[str, Callable[[Store], Commit]] = {
    "commit": lambda store: store.commits.commit(REQUEST, "src", 0, 1, {"a": 3}),
    "request": lambda store: store.commits.commit_request(REQUEST, "key", "content", {"a": 3}, 60),
    "actions": lambda store: store.commits.commit_actions(
        REQUEST, [SessionAction("s", "a", "start", 1_700_000_000)], "src", 0, 1, {"a": 2}
    ),
}


@pytest.mark.parametrize("kind", sorted(BINARIES))
@pytest.mark.parametrize("way", WAYS)
def test_batch_counted_before_is_confirmed_like_a_new_one(
    way: str, kind: str, replicated: Callable[..., Replicated]
) -> None:
    servers, commit = replicated(kind, 1), WAYS[way]
    config = RedisConfig(**servers.primary.config)
    servers.replicas[0].stall()
    for _ in range(2):  # WAIT waits for what its own connection has written
        store = Store(config, timeout_s=2)
        with pytest.raises(Unconfirmed, match="by 1 of 1 replica within"):
            commit(store)
        store.close()
    servers.replicas[0].go_on()
    store = Store(config, timeout_s=30)  # on a busy machine, a replica goes on late
    assert commit(store).outcome == "duplicate"
    store.close()
    assert servers.replicas[0].counts("g", "1h", "cur")["a"] == 3


def test_without_any_replica_nothing_is_confirmed(server: Server) -> None:
    store = Store(RedisConfig(**server.config), timeout_s=4)
    with pytest.raises(Unconfirmed, match="by a replica: none is online"):
        WAYS["commit"](store)
    store.close()


def test_replica_that_joins_later_is_waited_for_too(replicated: Callable[..., Replicated]) -> None:
    servers = replicated("valkey", 1)
    store = Store(RedisConfig(**servers.primary.config), timeout_s=4)
    assert WAYS["commit"](store).outcome == "applied"
    second = servers._start(servers.primary)
    servers.wait_for_replicas(2)
    second.stall()
    for _ in range(2):
        with pytest.raises(Unconfirmed, match="1 of 2 replicas"):
            store.commits.commit(REQUEST, "src", 1, 2, {"a": 1})
    second.kill()
    wait_until(lambda: len(servers.role()[2]) == 1)
    assert store.commits.commit(REQUEST, "src", 1, 2, {"a": 1}).outcome == "duplicate"
    store.close()


@pytest.mark.parametrize("kind", sorted(BINARIES))
@pytest.mark.parametrize(("prev", "next"), [(0, 1), (1, 2), (7, 8)], ids=["counted", "new", "elsewhere"])
def test_replica_does_not_answer_in_place_of_its_primary(
    prev: int, next: int, kind: str, replicated: Callable[..., Replicated]
) -> None:
    """It may lack what the primary has confirmed, or have what the primary has never seen."""
    servers, group = replicated(kind, 1), replace(REQUEST, durability="memory")
    primary, replica = (Store(RedisConfig(**at.config)) for at in (servers.primary, servers.replicas[0]))
    assert primary.commits.commit(group, "src", 0, 1, {"a": 3}).outcome == "applied"
    servers.wait_for_replicas(1)
    with pytest.raises(Unavailable, match="read-only replica"):
        replica.commits.commit(group, "src", prev, next, {"a": 3})
    for store in (primary, replica):
        store.close()


ON_DISK = GroupConfig("g", HOUR, durability="fsync")


def test_batch_not_on_disk_is_not_acknowledged_and_counted_once(
    own_server: Server,
) -> None:
    """The server of a test leaves it to the system when it writes to the disk."""
    store = Store(RedisConfig(**own_server.config), timeout_s=4)
    for _ in range(2):
        with pytest.raises(Unconfirmed, match="is not confirmed by its disk"):
            store.commits.commit(ON_DISK, "src", 0, 1, {"a": 1})
    own_server.client.config_set("appendfsync", "always")
    assert store.commits.commit(ON_DISK, "src", 0, 1, {"a": 1}).outcome == "duplicate"
    assert own_server.counts("g", "1h", "cur") == {"a": 1}
    store.close()


def test_server_that_writes_to_the_disk_at_once_confirms_at_once(own_server: Server) -> None:
    own_server.client.config_set("appendfsync", "always")
    store = Store(RedisConfig(**own_server.config))
    assert store.commits.commit(ON_DISK, "src", 0, 1, {"a": 1}).outcome == "applied"
    store.close()


class EverySecond:
    """Lets a server write to its disk once a second and no sooner, as Redis does with `appendfsync everysec`.

    The bundled Valkey does so sooner with that setting.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        with self._server.client as client:
            while not self._end.wait(1):
                client.config_set("appendfsync", "always")
                client.config_set("appendfsync", "no")

    def close(self) -> None:
        self._end.set()
        self._thread.join()


@pytest.fixture(params=sorted(BINARIES))
def every_second(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that writes to its disk once a second: Redis itself where it is 7.2 or later."""
    if request.param == "redis":
        needs_debian("redis-server", "redis-server")
    server = Server(request.param, tmp_path)
    try:
        if request.param == "valkey":
            ticking = EverySecond(server)
            yield server
            ticking.close()
        elif "waitaof" not in server.client.command():
            pytest.skip("this Redis cannot wait for its disk")
        else:
            server.client.config_set("appendfsync", "everysec")
            yield server
    finally:
        server.kill()


def test_each_direct_log_is_confirmed_by_a_disk_written_each_second(
    every_second: Server, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    group = group_on(logger, every_second.config, timeout_s=20, durability="fsync")
    for _ in range(3):
        group.log("a")
        assert not group.local.has_unsent()
    assert warnings(caplog) == []


def test_log_waits_for_the_commit_of_another_thread(every_second: Server, logger: Make) -> None:
    group = group_on(logger, every_second.config, timeout_s=20, durability="fsync")

    def log(event: str) -> bool:
        group.log(event)
        return event not in group.local.unsent()

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(log, "abcdef"))


def test_check_of_a_disk_written_each_second_finds_nothing(
    every_second: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("event_count_logger.store.durability._FSYNC_S", 20.0)  # of a busy machine
    config = from_dicts(
        {"g": {"events": ["a"], "intervals": ["1h"], "durability": "fsync"}},
        {**every_second.config, "socket_timeout": 1},
    )
    store = Store(config.redis)
    for number in range(3):
        store.commits.commit(ON_DISK, "src", number, number + 1, {"a": 1})
        every_second.client.set("of another program", number)
        assert store.commits.durability_fault(config.group("g")) is None
    store.close()


def test_demoted_primary_is_dropped_without_unconfirmed_warning(
    own_server: Server,
) -> None:
    store = Store(RedisConfig(**own_server.config), timeout_s=20)
    with own_server.client as client, ThreadPoolExecutor() as pool:
        commit = pool.submit(store.commits.commit, ON_DISK, "src", 0, 1, {"a": 1})
        wait_until(lambda: client.info("clients")["blocked_clients"], what="it waits for the disk")
        client.replicaof("127.0.0.1", free_port())
        with pytest.raises(Unavailable, match="UNBLOCKED"):
            commit.result()
    store.close()


def test_loss_is_logged_also_when_durability_cannot_be_kept(
    own_server: Server, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    own_server.client.config_set("appendfsync", "always")
    group = group_on(logger, own_server.config, durability="fsync")
    group.log("a", 3)
    assert not group.local.has_unsent()
    own_server.client.config_set("appendonly", "no")
    own_server.client.flushall()
    group.log("a", 4)
    assert group.local.unsent() == {"a": 4, "@lost": 3}
    lost, cannot = warnings(caplog)
    assert "with 3 counts of group 'g' (counted as @lost)" in lost
    assert "'durability: fsync' cannot be kept" in cannot


def _without_appendonly(kind: str, server: Server) -> None:
    if kind == "valkey":
        server.client.config_set("appendonly", "no")


@pytest.mark.parametrize("kind", sorted(BINARIES))
def test_server_without_durability_is_named_and_counts_are_kept(
    kind: str, tmp_path: Path, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """The bundled Valkey without an append-only file; and Redis before 7.2, if that is what there is."""
    if kind == "redis":
        needs_debian("redis-server", "redis-server")
    server = Server(kind, tmp_path)
    try:
        _without_appendonly(kind, server)
        if kind == "redis" and "waitaof" in server.client.command():
            pytest.skip("this Redis can wait for its disk")
        group = group_on(logger, server.config, durability="fsync")
        for _ in range(3):
            group.log("a")
        assert group.local.has_unsent()
        (warning,) = warnings(caplog)
        assert "'durability: fsync' cannot be kept (key g:@sources): " in warning
        assert "Redis 7.2 or Valkey, with appendonly yes" in warning
        assert warning.endswith("; the batch is in Redis, and further counts are kept until it is confirmed")
        assert server.counts("g", "1h", "cur") == {"a": 1}
        config = from_dicts(
            {"g": {"events": ["a"], "intervals": ["1h"], "durability": "fsync"}}, server.config
        )
        store = Store(config.redis)
        assert any("'durability: fsync' cannot be kept" in problem for problem in examine(config, store))
        with pytest.raises(NotDurable) as caught:
            store.commits.commit(ON_DISK, "src", 0, 1, {"a": 1})
        assert (caught.value.applied, caught.value.retry) == ("yes", "later")
        store.close()
    finally:
        server.kill()


def test_check_reports_missing_replicas_and_nothing_else(
    replicated: Callable[..., Replicated],
) -> None:
    servers = replicated("valkey", 1)

    def problems(server: Server, durability: str) -> str:
        spec = {"events": ["a"], "intervals": ["1h"], "durability": durability}
        config = from_dicts({"g": spec}, {**server.config, "socket_timeout": 4})
        store = Store(config.redis)
        try:
            return "\n".join(examine(config, store))
        finally:
            store.close()

    assert "confirmed" not in problems(servers.primary, "replicas")
    assert "durability" not in problems(servers.primary, "fsync")
    servers.replicas[0].kill()
    wait_until(lambda: not servers.role()[2])
    assert "group 'g': Commit to Redis at" in problems(servers.primary, "replicas")
    assert "confirmed" not in problems(servers.primary, "memory")


@pytest.mark.parametrize("round", range(3))
def test_counts_confirmed_by_replicas_survive_any_failover(
    round: int,
    replicated: Callable[..., Replicated],
    logger: Make,
    chance: random.Random,
    caplog: pytest.LogCaptureFixture,
) -> None:
    servers = replicated(chance.choice(sorted(BINARIES)))
    group = group_on(logger, servers.proxy.config, durability="replicas", sync_interval=0.01)
    stop, logged = threading.Event(), [0]
    for replica in servers.replicas:
        wait_until(partial(servers.is_on_disk, replica))

    def work() -> None:
        while not stop.is_set():
            group.log("a")
            logged[0] += 1
            time.sleep(0.0002)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        time.sleep(chance.uniform(0.2, 0.5))
        chosen = chance.choice(servers.replicas)
        is_behind = chance.random() < 0.7
        if is_behind:
            chosen.stall()  # what it lacks when it takes over was not confirmed
            time.sleep(chance.uniform(0.1, 0.5))
        servers.primary.kill()
        if is_behind:
            chosen.kill()  # also what is on its way is gone; not before, or the other one would be enough
            chosen.start()
        servers.fail_over(chosen)
        time.sleep(0.3)
    finally:
        stop.set()
        worker.join()
    wait_until(group.sync, what="all is confirmed by the new primary")
    assert servers.primary.counts("g", "1h", "cur") == {"a": logged[0]}
    assert not [text for text in warnings(caplog) if "lost data" in text]


def test_ending_process_logs_a_loss_although_its_connection_breaks(
    replicated: Callable[..., Replicated], logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    servers = replicated("valkey", 0)
    groups = {"g": {"auto_declare_events": True, "intervals": ["1h"]}}
    events = logger(groups, {**servers.proxy.config, "socket_timeout": 2})
    events["g"].log("a", 5)
    forget = servers.primary.remember()
    events["g"].log("a", 7)
    forget()
    servers.proxy.about, servers.proxy.lose_replies = b"HGET", 1
    events.close()
    assert servers.proxy.lost == 1
    assert servers.primary.counts("g", "1h", "cur") == {"a": 5, "@lost": 7}
    assert "has lost data: 1 confirmed batch, with 7 counts" in caplog.text


@pytest.mark.parametrize("settings", [{}, {"sync_interval": 0.005}], ids=["direct", "cached"])
@pytest.mark.parametrize("kind", sorted(BINARIES))
@pytest.mark.parametrize("is_ending", [False, True], ids=["goes on", "ends"])
def test_counts_lost_by_failover_are_logged_once_and_counted(
    is_ending: bool,
    kind: str,
    settings: dict[str, Any],
    replicated: Callable[..., Replicated],
    logger: Make,
    chance: random.Random,
    caplog: pytest.LogCaptureFixture,
) -> None:
    servers = replicated(kind, 1)
    groups = {"g": {"auto_declare_events": True, "intervals": ["1h"], **settings}}
    events = logger(groups, {**servers.proxy.config, "socket_timeout": 2})
    group = events["g"]

    def log_some(at_least: int) -> int:
        counts = [chance.randrange(1, 100) for _ in range(chance.randrange(at_least, 200))]
        for count in counts:
            group.log(chance.choice("abc"), count)
            if chance.random() < 0.05:
                group.sync()
        assert group.sync()
        return sum(counts)

    (replica,) = servers.replicas
    logged = log_some(0)  # sometimes the replica has never heard of this process
    with replica.client as client:
        client.replicaof("127.0.0.1", 1)  # from here on it is cut off, without having seen all, perhaps
    logged += log_some(1)
    servers.fail_over(replica)
    if is_ending:
        events.close()
    else:
        logged += log_some(1)
    counted = replica.counts("g", "1h", "cur")
    lost = counted.pop("@lost", 0)
    assert lost == logged - sum(counted.values())
    if lost:
        (loss,) = [text for text in warnings(caplog) if "lost data" in text]
        assert f", with {lost:,} counts of group 'g' (counted as @lost)" in loss


@pytest.mark.parametrize("value", ["disk", "", True, 1])
def test_durability_that_does_not_exist_is_a_problem(value: object) -> None:
    with pytest.raises(ConfigError, match="is not 'memory', 'fsync' or 'replicas'"):
        from_dicts({"g": {"intervals": ["1h"], "durability": value}})


def settings_of(config: Config) -> list[tuple[str, float]]:
    return [(group.durability, group.source_ttl) for group in config.groups.values()]


def test_settings_stand_in_a_group_or_beside_all() -> None:
    groups = {"one": {"intervals": ["1h"]}, "two": {"intervals": ["1h"], "durability": "memory"}}
    day, week = 24 * 3600, 7 * 24 * 3600
    assert settings_of(from_dicts(groups)) == [("memory", week), ("memory", week)]
    assert settings_of(from_dicts(groups, durability="fsync", source_ttl="24h")) == [
        ("fsync", day),
        ("memory", day),
    ]
    with pytest.raises(ConfigError, match="source_ttl: '5m' is less than 10m"):
        from_dicts(groups, source_ttl="5m")


def test_idle_process_sends_heartbeats(server: Server, logger: Make) -> None:
    groups: dict[str, Any] = {
        "direct": {"intervals": ["1h"]},
        "cached": {"intervals": ["1h"], "sync_interval": 3600},
    }
    config = from_dicts(
        {name: {**spec, "auto_declare_events": True} for name, spec in groups.items()}, server.config
    )
    lasting = {name: replace(group, source_ttl=0.8) for name, group in config.groups.items()}
    with EventCountLogger.from_config(replace(config, groups=lasting)) as events:
        for name in groups:
            group = events[name]
            group.log("a")
            assert group.sync()
        for name in groups:
            seen, source = f"{name}:@sources_seen", event_group(events, name).local.cells.source
            for _ in range(2):  # and again
                wait_until(partial(server.client.hget, seen, source))
                server.client.hdel(seen, source)


def test_process_with_unconfirmed_counts_sends_heartbeats(own_server: Server) -> None:
    """It is forgotten otherwise while it repeats a batch, which is then counted a second time."""
    spec = {"auto_declare_events": True, "intervals": ["1h"], "durability": "fsync"}
    config = from_dicts({"g": spec}, {**own_server.config, "socket_timeout": 0.2})
    lasting = {"g": replace(config.group("g"), source_ttl=0.8)}
    with EventCountLogger.from_config(replace(config, groups=lasting)) as events:
        group = events["g"]
        assert isinstance(group, RedisEventGroup)
        group.log("a")
        for _ in range(2):
            wait_until(lambda: own_server.client.hget("g:@sources_seen", group.local.cells.source))
            own_server.client.delete("g:@sources_seen")
        assert group.local.has_unsent()
        own_server.client.config_set("appendfsync", "always")


def test_master_prunes_processes_that_have_ended(
    server: Server, start: Start, config_file: Write, run: Run
) -> None:
    source = keys.process("0" * 32, 0)
    file = config_file({"redis": server.config, "groups": {"g": {"intervals": ["1h"]}}})
    server.client.hset("g:@sources", source, "7")
    start("ecl_master", file)
    wait_until(lambda: server.client.hget("g:@sources_seen", source))
    seen = server.client.hget("g:@sources_seen", source)
    assert isinstance(seen, str)
    seen_at, position = seen.split()
    assert position == "7"
    day = 24 * 3600
    config = from_dicts({"g": {"intervals": ["1h"]}}, server.config)
    store, now = Store(config.redis), int(seen_at)
    removed = [store.sources.prune(config.group("g"), now + days * day - 1) for days in range(1, 9)]
    assert removed == [0, 0, 0, 0, 0, 0, 0, 1]
    store.close()
