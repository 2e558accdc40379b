"""The server of the benchmark, and its worker processes, each of which uses one library."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server_process import Valkey, free_port, options

from event_count_logger.service.embedded_server import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
WORKER = ROOT / "scripts" / "bench_worker.py"

#: The folder of event-count-logger 1.1.
PREVIOUS = Path(sys.prefix) / "event-count-logger-1.1"

#: The folder of temporary files: in memory, without the delays of a disk.
FOLDERS = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

#: Shorter times are not measured. The slow log also has the commands in a script: recording all of them would
#: take longer than the commands.
SHORTEST_BLOCKED_MS = 0.1


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Block signals until the end of the block, so that each process that was started is also stopped."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, as the workers: Ctrl-C reaches this process alone."""
    with uninterrupted():
        return subprocess.Popen(command, start_new_session=True, env={**os.environ, **ENVIRONMENT})


class Server(Valkey):
    """A Valkey server on a loopback port, without persistence."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        settings = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": folder,
            "appendonly": "no",
            "save": "",
            "logfile": folder / "server.log",
            "slowlog-log-slower-than": -1,
            "slowlog-max-len": 100_000,
        }
        super().__init__(options(settings), {"port": self.port}, _start, timeout_s=60)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Stop the server (SIGSTOP) in the block."""
        self.stall()
        try:
            yield
        finally:
            self.resume()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Kill the server, and start it after the block without data."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def restart(self) -> None:
        """Kill the server, and start it without data."""
        self.kill()
        self.start()

    def empty(self) -> None:
        """Delete all data, and wait until its memory is free: measurements of memory would include it."""
        self.client.execute_command("FLUSHALL", "SYNC")
        while self.client.info("memory")["lazyfree_pending_objects"]:
            time.sleep(0.01)

    @contextmanager
    def on_one_core(self) -> Iterator[None]:
        """Let the server and the processes that are started in the block share a core."""
        assert self.process
        cores = os.sched_getaffinity(0)
        pids = (0, self.process.pid)
        for pid in pids:
            os.sched_setaffinity(pid, {min(cores)})
        try:
            yield
        finally:
            for pid in pids:
                os.sched_setaffinity(pid, cores)

    @contextmanager
    def blocked_ms(self) -> Iterator[list[float]]:
        """Add to the list the time for which the longest request in the block kept the server from others."""
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
        # After the block: it frees thousands of pieces, which malloc sorts during the next requests.
        self.client.slowlog_reset()
        # The slow log has the commands of a transaction, but not EXEC.
        transactions = self.client.info("commandstats").get("cmdstat_exec", {"usec_per_call": 0})
        longest.append(max([*commands, transactions["usec_per_call"]]) / 1000)


class Missing(Exception):
    """A library cannot be measured on this machine. The message has the reason."""


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
        """Wait until the process answers requests.

        Raises:
            Missing: The library cannot be imported.
        """
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
        """Kill the process. Its unsent counts are not needed."""
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
    """Sizes and times of all measurements. `sizes` are numbers of events: few, many, very many.

    `starts` are the runs of each command in the section `startup`.
    """

    processes: int = 3
    repeats: int = 7
    sample_ms: float = 20
    sizes: tuple[int, int, int] = (100, 10_000, 100_000)
    idle_s: float = 5
    calls_s: float = 3
    latencies: int = 500
    starts: int = 21


QUICK = Effort(
    processes=1,
    repeats=1,
    sample_ms=1,
    sizes=(10, 100, 1_000),
    idle_s=0.5,
    calls_s=0.1,
    latencies=10,
    starts=1,
)


class Bench:
    """The server, and settings that all sections share.

    Attributes:
        missing: Reasons for libraries that are not measured.
    """

    def __init__(self, effort: Effort, server: Server, folder: Path) -> None:
        self.effort = effort
        self.server = server
        self.folder = folder
        self.missing: dict[str, str] = {}

    @contextmanager
    def workers(self, kinds: Sequence[str]) -> Iterator[dict[str, Worker]]:
        """Start a process for each library that can be imported."""
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
        """Returns the implementation of this library that applications use on this machine."""
        return "native" if "native" in workers else "pure"

    @contextmanager
    def worker(self, kind: str) -> Iterator[Worker | None]:
        """Start a process for one library. Gives None if it cannot be imported."""
        with self.workers([kind]) as workers:
            yield workers.get(kind)
