"""What goes wrong in scripts/soak --one-server, at random."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import redis

from soak_parts.page import PROGRAMS, WORKERS, Control, Page
from soak_parts.processes import Processes

#: Workers.
AT_ONCE = 4


class Turmoil:
    """Starts workers and masters, and disturbs them, the server, and the way to it.

    Attributes:
        done: How often it did what.
    """

    def __init__(
        self, processes: Processes, page: Page, page_file: Path, config_file: Path, seconds: float, seed: int
    ) -> None:
        self.done: Counter[str] = Counter()
        self._processes = processes
        self._server = processes.server
        self._control = page.control
        self._page_file = page_file
        self._config_file = config_file
        self._seconds = seconds
        self._some = random.Random(seed)
        self._workers: list[subprocess.Popen[bytes]] = []
        self._masters: list[subprocess.Popen[bytes]] = []
        self._all_masters: list[subprocess.Popen[bytes]] = []
        self._workers_started = 0
        self._later: list[tuple[float, Callable[[], None]]] = []
        faults = {
            self._lose_answers: 4,
            self._delay_requests: 3,
            self._cut_connections: 2,
            self._cut_connections_by_server: 1,
            self._stall_server: 2,
            self._restart_server: 2,
            self._flush_scripts: 1,
            self._kill_worker: 4,
            self._stop_worker: 3,
            self._end_worker: 1,
            self._kill_master: 1,
            self._stop_master: 1,
            self._end_master: 1,
        }
        self._faults, self._weights = [*faults], [*faults.values()]

    def begin(self) -> None:
        self._server.start()
        self._start_master()

    def go_on(self, part_of_time: float) -> None:
        """One fault; and see to it that there are workers, which are to be spread over the time."""
        self._workers = [worker for worker in self._workers if worker.poll() is None]
        most = AT_ONCE + (WORKERS - AT_ONCE) * part_of_time
        while len(self._workers) < AT_ONCE and self._workers_started < int(most):
            self._start_worker()
        self._some.choices(self._faults, self._weights)[0]()

    def do_what_is_due(self) -> None:
        for entry in [entry for entry in self._later if entry[0] <= time.monotonic()]:
            self._later.remove(entry)
            entry[1]()

    def calm_down(self) -> None:
        """No more faults; those that were begun may still take some seconds."""
        self._control[Control.LOSE] = self._control[Control.DELAY] = 0

    def is_over(self) -> bool:
        return not self._later

    def end_workers(self) -> None:
        for worker in self._workers:
            worker.terminate()

    def end_masters(self, timeout_s: float) -> bool:
        """Whether all have ended in time."""
        for master in self._masters:
            master.terminate()
        with suppress(subprocess.TimeoutExpired):
            for master in self._all_masters:
                master.wait(timeout_s)
            return True
        return False

    def _start_worker(self) -> None:
        life_s = self._some.uniform(0.3, 3) * self._seconds * AT_ONCE / WORKERS
        arguments = (self._config_file, self._page_file, self._workers_started, self._some.random(), life_s)
        self._workers_started += 1
        self._workers.append(self._processes.start_worker(*arguments))

    def _start_master(self) -> None:
        master = self._processes.start(PROGRAMS / "ecl_master", "-v", self._config_file)
        self._masters.append(master)
        self._all_masters.append(master)

    def _lose_answers(self) -> None:
        self._control[Control.LOSE] = self._some.randint(1, 20)

    def _delay_requests(self) -> None:
        self._control[Control.DELAY] = self._some.randint(1, 10)

    def _cut_connections(self) -> None:
        self.done["cut all connections"] += 1
        self._control[Control.CUT] += 1

    def _cut_connections_by_server(self) -> None:
        with suppress(redis.RedisError):
            self._server.client.client_kill_filter(_type="normal", skipme=True)

    def _stall_server(self) -> None:
        self.done["stalled the server"] += 1
        self._server.stall(self._some.uniform(0, 1.2))

    def _restart_server(self) -> None:
        self.done["killed the server"] += 1
        self._server.kill()
        time.sleep(self._some.uniform(0, 0.5))
        self._server.start()

    def _flush_scripts(self) -> None:
        with suppress(redis.RedisError):
            self._server.client.script_flush()

    def _kill_worker(self) -> None:
        if self._workers:
            self.done["killed workers"] += 1
            self._some.choice(self._workers).kill()

    def _stop_worker(self) -> None:
        if self._workers:
            self.done["stopped workers"] += 1
            self._stop(self._some.choice(self._workers))

    def _end_worker(self) -> None:
        if self._workers:
            self._some.choice(self._workers).terminate()

    def _kill_master(self) -> None:
        self.done["killed masters"] += 1
        self._replace_master(signal.SIGKILL)

    def _end_master(self) -> None:
        self._replace_master(signal.SIGTERM)

    def _replace_master(self, how: signal.Signals) -> None:
        """Sometimes there is none for a while, and sometimes two."""
        for master in self._masters:
            master.send_signal(how)
        self._masters = []
        self._later.append((time.monotonic() + self._some.uniform(0, 3), self._start_master))

    def _stop_master(self) -> None:
        for master in self._masters:
            self._stop(master)

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGSTOP)
        then = self._some.choice([signal.SIGCONT, signal.SIGCONT, signal.SIGKILL])
        self._later.append((time.monotonic() + self._some.uniform(0, 2), lambda: process.send_signal(then)))
