"""A primary, two replicas, and three sentinels that replace it when it is gone: the bundled Valkey."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import redis

from soak_parts.servers import Server, wait_until

SERVICE = "ecl"

#: Seconds. Sentinels that found the machine too busy to trust their clocks do nothing for 30 of them
#: (redis.io/docs/latest/operate/oss_and_stack/management/sentinel, "TILT mode").
WHOLE_S = 300

_SERVERS, _SENTINELS, _QUORUM = 3, 3, 2


class Node(Server):
    """One server or sentinel, always on the same port and with the same file."""

    def __init__(self, folder: Path, settings: dict[str, object], *options: str) -> None:
        folder.mkdir(parents=True)
        self.port = _free_port()
        file = folder / "conf"
        settings = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": folder,
            "logfile": folder / "log",
            **settings,
        }
        file.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        super().__init__([str(file), *options], subprocess.Popen, port=self.port)
        self.start()

    def role(self) -> list[object]:
        """What ROLE says; an empty list from one that does not answer."""
        with suppress(redis.RedisError):
            return list(self.client.execute_command("ROLE"))
        return []


class Replicated:
    """The servers and their sentinels."""

    def __init__(self, folder: Path) -> None:
        self.nodes: list[Node] = []
        self.sentinels: list[Node] = []
        # What is confirmed is on all of them, so that any may be promoted; see docs/durability.md.
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
        self.wait_until_whole()

    @property
    def config(self) -> dict[str, object]:
        """The section `redis` of a configuration."""
        nodes = [f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels]
        return {"sentinel": {"nodes": nodes, "service": SERVICE}, "socket_timeout": 1}

    def primary(self) -> Node | None:
        """The one that all sentinels name, if all its replicas follow it and it knows itself to be it."""
        ports = set(self._named())
        found = [node for node in self.nodes if {node.port} == ports]
        if not found:
            return None
        role = found[0].role()
        in_sync = [
            node
            for node in self.nodes
            if node.role()[:4] == ["slave", "127.0.0.1", found[0].port, "connected"]
        ]
        whole = role[:1] == ["master"] and len(in_sync) == _SERVERS - 1
        return found[0] if whole else None

    def _named(self) -> Iterator[int]:
        for sentinel in self.sentinels:
            with suppress(redis.RedisError):
                yield int(sentinel.client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def wait_until_whole(self) -> Node:
        """Until nothing that was confirmed is on one server only."""
        wait_until(lambda: self.primary() is not None, "all servers follow one primary", WHOLE_S)
        primary = self.primary()
        return primary or self.wait_until_whole()

    def kill_all(self) -> None:
        for node in (*self.sentinels, *self.nodes):
            node.process.kill()
            node.process.wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
