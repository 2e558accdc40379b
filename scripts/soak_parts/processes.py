"""The server, the masters and the workers of scripts/soak --one-server."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from server_process import Valkey, options, wait_until

from soak_parts.groups import GROUPS

#: The working directory of `python -m soak_parts...`.
_SCRIPTS = Path(__file__).resolve().parent.parent

_START_TIMEOUT_S, _END_TIMEOUT_S = 60, 10


class Processes:
    """All processes of one round. They are in one process group, so that no child process is left behind."""

    def __init__(self, folder: Path, memory_file: Path, seed: int) -> None:
        """Starts the proxy, which leads the group. When this process ends, the proxy kills the group."""
        self._started: list[subprocess.Popen[bytes]] = []
        self._memory_file = memory_file
        # Each worker and each of its child processes inherits the other end: the pipe ends with the last one.
        self._workers_end, self._held_by_workers = os.pipe()
        self._takes_workers = True
        self.log_file = folder / "log"
        self._log = self.log_file.open("ab")
        port_file, self.socket = folder / "port", folder / "valkey.sock"
        self.server = self._server(folder)
        self._proxy = subprocess.Popen(
            [sys.executable, "-m", "soak_parts.proxy", memory_file, port_file, self.socket, str(seed)],
            cwd=_SCRIPTS,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            process_group=0,
        )
        wait_until(port_file.exists, _START_TIMEOUT_S, "the proxy listens")
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

    def start_worker(
        self, config_file: Path, number: int, seconds: float, seed: float
    ) -> subprocess.Popen[bytes]:
        """Start a worker with everything that it can do."""
        command = (sys.executable, "-m", "soak_parts.worker", config_file, self._memory_file, number)
        kinds = ("--threads", 3, "--visitors", 1, "--forks", "--pause-s", 0.005)
        given = ("--seconds", seconds, "--seed", seed, "--groups", *GROUPS)
        return self.start(*command, *kinds, *given, holding=(self._held_by_workers,))

    def wait_for_workers(self, timeout_s: float) -> bool:
        """Returns True if all workers and their child processes have ended. No worker can start any more."""
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
        """Yields processes that neither succeeded nor were killed."""
        # SIGTERM: it came before the process had set its handler.
        expected = (None, 0, -signal.SIGKILL, -signal.SIGTERM)
        for process in self._started:
            if process.poll() not in expected:
                yield f"process {process.pid} ended with status {process.returncode}: {process.args!r}"

    def _server(self, folder: Path) -> Valkey:
        """A server on a unix socket, which writes each command to the disk before it replies."""
        settings = {
            "port": 0,
            "unixsocket": self.socket,
            "dir": folder,
            "appendonly": "yes",
            "appendfsync": "always",
            "auto-aof-rewrite-percentage": 0,  # all commands stay in the files
            "save": "",
            "logfile": folder / "server.log",
        }
        address = {"unix_socket_path": str(self.socket)}
        return Valkey(options(settings), address, lambda command: self.start(*command))
