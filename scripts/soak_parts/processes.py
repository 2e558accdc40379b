"""The server, the masters and the workers of scripts/soak --one-server."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from soak_parts.servers import Server, wait_until

#: Where `python -m soak_parts...` is run.
_SCRIPTS = Path(__file__).resolve().parent.parent

_END_TIMEOUT_S = 10


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
        port_file, self.socket = folder / "port", folder / "valkey.sock"
        self.server = self._server(folder)
        self._proxy = subprocess.Popen(
            [sys.executable, "-m", "soak_parts.proxy", page_file, port_file, self.socket, str(seed)],
            cwd=_SCRIPTS,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            process_group=0,
        )
        wait_until(port_file.exists, "the proxy listens")
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

    def _server(self, folder: Path) -> Server:
        """On a unix socket; what it has confirmed is on the disk."""
        settings = {
            "port": 0,
            "unixsocket": self.socket,
            "dir": folder,
            "appendonly": "yes",
            "appendfsync": "always",
            "auto-aof-rewrite-percentage": 0,  # all commands stay there to be read
            "save": "",
            "logfile": folder / "server.log",
        }
        words = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
        return Server(words, lambda command: self.start(*command), unix_socket_path=str(self.socket))
