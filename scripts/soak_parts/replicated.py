"""A primary with two replicas, and three sentinels that promote a replica when the primary is down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import redis
from server_process import Valkey, free_port, role, wait_until

SERVICE = "ecl"

#: Seconds. On a busy machine sentinels enter the TILT mode, in which they do nothing for 30 s
#: (redis.io/docs/latest/operate/oss_and_stack/management/sentinel).
REPLICATED_S = 300

_SERVERS, _SENTINELS, _QUORUM = 3, 3, 2


class Node(Valkey):
    """One server or sentinel, which keeps its port and its configuration file."""

    def __init__(self, folder: Path, settings: dict[str, object], *options: str) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        file = folder / "conf"
        settings = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": folder,
            "logfile": folder / "log",
            **settings,
        }
        file.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        super().__init__([str(file), *options], {"port": self.port})
        self.start()


class Replicated:
    """The servers and their sentinels."""

    def __init__(self, folder: Path) -> None:
        self.nodes: list[Node] = []
        self.sentinels: list[Node] = []
        # Confirmed writes are on all servers, so that any may be promoted; see docs/durability.md.
        safe = {"min-replicas-to-write": _SERVERS - 1}
        persistent: dict[str, object] = {"appendonly": "yes", "appendfsync": "no", "save": '""', **safe}
        for number in range(_SERVERS):
            replica = {"replicaof": f"127.0.0.1 {self.nodes[0].port}"} if self.nodes else {}
            self.nodes.append(Node(folder / f"server{number}", persistent | replica))
        watched = f"{SERVICE} 127.0.0.1 {self.nodes[0].port} {_QUORUM}"
        for number in range(_SENTINELS):
            self.sentinels.append(
                Node(folder / f"sentinel{number}", {"sentinel monitor": watched}, "--sentinel")
            )
        for sentinel in self.sentinels:
            for name, value in (("down-after-milliseconds", 1000), ("failover-timeout", 4000)):
                sentinel.client.execute_command("SENTINEL", "SET", SERVICE, name, value)
        self.wait_until_replicated()

    @property
    def config(self) -> dict[str, object]:
        """The section `redis` of a configuration."""
        nodes = [f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels]
        return {"sentinel": {"nodes": nodes, "service": SERVICE}, "socket_timeout": 1}

    def primary(self) -> Node | None:
        """Returns the server that all sentinels name; None if it is no primary, or lacks a replica."""
        ports = set(self._named())
        found = [node for node in self.nodes if {node.port} == ports]
        if not found or role(found[0].client)[:1] != ["master"]:
            return None
        following = ["slave", "127.0.0.1", found[0].port, "connected"]
        n_replicas = sum(role(node.client)[:4] == following for node in self.nodes)
        return found[0] if n_replicas == _SERVERS - 1 else None

    def _named(self) -> Iterator[int]:
        for sentinel in self.sentinels:
            with suppress(redis.RedisError):
                yield int(sentinel.client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def wait_until_replicated(self) -> Node:
        """Wait until all servers follow one primary, and return it."""
        primary: Node = wait_until(self.primary, REPLICATED_S, "all servers follow one primary")
        return primary

    def kill_all(self) -> None:
        for node in (*self.sentinels, *self.nodes):
            node.kill()
