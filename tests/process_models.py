"""Runs prefork servers with tests/programs/served.py, sends requests, and reads their counts."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import Server, free_port, wait_until

ROOT = Path(__file__).parent.parent

#: Seconds that a client waits for one answer. What takes longer is a hang.
ANSWER_TIMEOUT_S = 30.0

#: Seconds that a server may take to start on a busy machine.
START_TIMEOUT_S = 60.0

#: Seconds that counts may take to arrive on a busy machine; 3 are promised.
EXACT_TIMEOUT_S = 60.0

#: Requests under way at the same time.
CLIENTS = 6

APPLICATION = "tests.programs.served:application"

#: uWSGI: the installed version, or the one in ECL_UWSGI.
UWSGI = os.environ.get("ECL_UWSGI") or str(Path(sys.executable).parent / "pyuwsgi")


@dataclass(frozen=True)
class Site:
    """A server to run.

    Attributes:
        name: Name of the test.
        command: Command line; '{address}' stands for the address of the server.
        imports: Number of processes that import the application.
        log_at_import: Whether the application logs an event at import.
        hooks: Number of processes that log an event in a hook after the fork.
        n_requests: Number of requests to send.
        workers: The least number of processes that must answer.
        signals: Signals to the first process after half of the requests.
        end: Signal to the first process at the end.
    """

    name: str
    command: Sequence[str]
    imports: int = 1
    log_at_import: bool = False
    hooks: int = 0
    n_requests: int = 100
    workers: int = 3
    signals: Sequence[signal.Signals] = ()
    end: signal.Signals = signal.SIGTERM


@dataclass
class Answers:
    """Answers as clients see them.

    Attributes:
        by_process: Number of answered requests by pid.
        failures: Errors of requests without an answer.
        slowest_s: Longest time from the connection to the end of an answer.
        slowest_log_s: Longest time of the four calls of log() in a request.
    """

    by_process: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest_log_s: float = 0.0

    def ask(self, port: int, timeout_s: float = ANSWER_TIMEOUT_S) -> bool:
        """Send one request. Returns whether it was answered."""
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            body = answer.read().decode()
            if answer.status != 200:
                raise ValueError(f"{answer.status}: {body}")
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
            return False
        finally:
            connection.close()
        pid, log_s = body.split()
        self.by_process[pid] += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        self.slowest_log_s = max(self.slowest_log_s, float(log_s))
        return True

    def add(self, other: Answers) -> None:
        self.by_process += other.by_process
        self.failures += other.failures
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.slowest_log_s = max(self.slowest_log_s, other.slowest_log_s)


@dataclass
class Outcome:
    """The outcome of a run.

    Attributes:
        answers: Answers as clients see them.
        exact_after_s: Seconds from the last answer until Redis had all counts; None if it never had.
        expected: Expected counts in each of the two groups.
        counted: Counts by kind of group, after the server has ended.
        log: Output of the server.
        bad: Spool files that were set aside.
        left: Spool files left after all processes have ended.
    """

    answers: Answers
    exact_after_s: float | None
    expected: dict[str, int]
    counted: dict[str, dict[str, int]]
    log: str
    bad: list[str]
    left: list[str]


def run(site: Site, server: Server) -> Outcome:
    """Start a server, send it requests, wait for its counts while its processes live, and end it."""
    directory = Path(tempfile.mkdtemp(prefix="models-", dir="/dev/shm"))
    try:
        return _run(site, server, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run(site: Site, server: Server, directory: Path) -> Outcome:
    port, groups, log = free_port(), f"site{next(_numbers)}", directory / "log"
    spool = directory / "spool"
    environment = {
        **os.environ,
        "ECL_SPOOL_DIR": str(spool),
        "GROUPS": groups,
        "LOG_AT_IMPORT": str(int(site.log_at_import)),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "REDIS": json.dumps(server.config),
    }
    command = [word.format(address=f"127.0.0.1:{port}") for word in site.command]
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(
            lambda: _listens(port) or process.poll() is not None, START_TIMEOUT_S, f"{site.name} listens"
        )
        answers = _answers(site, port, process)
        expected = _expected(site, answers)
        asked_at = time.monotonic()
        with suppress(AssertionError):
            wait_until(
                lambda: _counted(server, groups) == {"direct": expected, "cached": expected}, EXACT_TIMEOUT_S
            )
        exact = _counted(server, groups) == {"direct": expected, "cached": expected}
        exact_after_s = time.monotonic() - asked_at if exact else None
        process.send_signal(site.end)
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    files = sorted(path.name for path in spool.glob("*"))
    return Outcome(
        answers,
        exact_after_s,
        expected,
        _counted(server, groups),
        log.read_text(),
        [name for name in files if name.endswith(".bad")],
        files,
    )


_numbers = itertools.count()


def _started(command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("w") as output:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _exact_after_s(server: Server, groups: str, expected: dict[str, int]) -> float | None:
    began = time.monotonic()
    while _counted(server, groups) != {"direct": expected, "cached": expected}:
        if time.monotonic() - began > EXACT_TIMEOUT_S:
            return None
        time.sleep(0.05)
    return time.monotonic() - began


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _answers(site: Site, port: int, process: subprocess.Popen[bytes]) -> Answers:
    """Send all requests. The first answer shows that the server is ready, and its time is left out."""
    answers = Answers()
    answers.ask(port, START_TIMEOUT_S)
    answers.slowest_s = answers.slowest_log_s = 0.0
    half = (site.n_requests - 1) // 2
    for number, n_requests in enumerate([half, site.n_requests - 1 - half]):
        if number:
            for signal_number in site.signals:
                process.send_signal(signal_number)
        with ThreadPoolExecutor(CLIENTS) as pool:
            for some in pool.map(lambda n: _ask(port, n), _parts(n_requests, CLIENTS)):
                answers.add(some)
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    while len(answers.by_process) < site.workers and time.monotonic() < deadline and not answers.failures:
        answers.ask(port)
    return answers


def _parts(number: int, n_parts: int) -> list[int]:
    return [number // n_parts + (part < number % n_parts) for part in range(n_parts)]


def _ask(port: int, n_requests: int) -> Answers:
    """Send requests as one client, which stops at the first failure."""
    answers = Answers()
    for _ in range(n_requests):
        if not answers.ask(port):
            break
    return answers


def _expected(site: Site, answers: Answers) -> dict[str, int]:
    expected = {f"process_{pid}": count for pid, count in answers.by_process.items()}
    expected["request"] = answers.by_process.total()
    expected["import"] = site.imports * site.log_at_import
    expected["hook"] = site.hooks
    return {event: count for event, count in expected.items() if count}


def _counted(server: Server, groups: str) -> dict[str, dict[str, int]]:
    return {kind: server.counts(f"{groups}-{kind}", "1h", "cur") for kind in ("direct", "cached")}
