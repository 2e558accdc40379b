"""Random faults of scripts/soak --one-server: of workers, masters, the server, and connections to it."""

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
from fault_proxy import Word

from soak_parts.groups import COMMANDS
from soak_parts.processes import Processes
from soak_parts.shared_memory import CUT, SharedMemory

#: Workers of one run, and workers at the same time.
WORKERS, AT_ONCE = 80, 4


class FaultInjector:
    """Starts workers and masters, and injects faults.

    Attributes:
        done: Number of faults of each kind.
    """

    def __init__(
        self, processes: Processes, memory: SharedMemory, config_file: Path, seconds: float, seed: int
    ) -> None:
        self.done: Counter[str] = Counter()
        self._processes = processes
        self._server = processes.server
        self._words = memory.words
        self._config_file = config_file
        self._seconds = seconds
        self._chance = random.Random(seed)
        self._workers: list[subprocess.Popen[bytes]] = []
        self._masters: list[subprocess.Popen[bytes]] = []
        self._all_masters: list[subprocess.Popen[bytes]] = []
        self._workers_started = 0
        self._scheduled: list[tuple[float, Callable[[], None]]] = []
        faults = {
            self._lose_replies: 4,
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

    def start(self) -> None:
        """Start the server and a master."""
        self._server.start()
        self._start_master()

    def inject(self, part_of_time: float) -> None:
        """Inject one fault, and replace workers that have ended. All workers are spread over the time."""
        self._workers = [worker for worker in self._workers if worker.poll() is None]
        most = AT_ONCE + (WORKERS - AT_ONCE) * part_of_time
        while len(self._workers) < AT_ONCE and self._workers_started < int(most):
            self._start_worker()
        self._chance.choices(self._faults, self._weights)[0]()

    def run_scheduled(self) -> None:
        """End faults whose time has come."""
        for entry in [entry for entry in self._scheduled if entry[0] <= time.monotonic()]:
            self._scheduled.remove(entry)
            entry[1]()

    def stop_proxy_faults(self) -> None:
        """Let the proxy pass everything from now on. Delayed requests may still arrive."""
        self._words[Word.LOSE] = self._words[Word.DELAY] = 0

    def has_scheduled(self) -> bool:
        """Returns True if a fault has not ended."""
        return bool(self._scheduled)

    def end_workers(self) -> None:
        for worker in self._workers:
            worker.terminate()

    def end_masters(self, timeout_s: float) -> bool:
        """Returns False if one does not end in time."""
        for master in self._masters:
            master.terminate()
        with suppress(subprocess.TimeoutExpired):
            for master in self._all_masters:
                master.wait(timeout_s)
            return True
        return False

    def _start_worker(self) -> None:
        life_s = self._chance.uniform(0.3, 3) * self._seconds * AT_ONCE / WORKERS
        worker = self._processes.start_worker(
            self._config_file, self._workers_started, life_s, self._chance.random()
        )
        self._workers_started += 1
        self._workers.append(worker)

    def _start_master(self) -> None:
        master = self._processes.start(COMMANDS / "ecl_master", "-v", self._config_file)
        self._masters.append(master)
        self._all_masters.append(master)

    def _lose_replies(self) -> None:
        self._words[Word.LOSE] = self._chance.randint(1, 20)

    def _delay_requests(self) -> None:
        self._words[Word.DELAY] = self._chance.randint(1, 10)

    def _cut_connections(self) -> None:
        self.done["cut all connections"] += 1
        self._words[CUT] += 1

    def _cut_connections_by_server(self) -> None:
        with suppress(redis.RedisError):
            self._server.client.client_kill_filter(_type="normal", skipme=True)

    def _stall_server(self) -> None:
        self.done["stalled the server"] += 1
        self._server.stall_for(self._chance.uniform(0, 1.2))

    def _restart_server(self) -> None:
        self.done["killed the server"] += 1
        self._server.kill()
        time.sleep(self._chance.uniform(0, 0.5))
        self._server.start()

    def _flush_scripts(self) -> None:
        with suppress(redis.RedisError):
            self._server.client.script_flush()

    def _kill_worker(self) -> None:
        if self._workers:
            self.done["killed workers"] += 1
            self._chance.choice(self._workers).kill()

    def _stop_worker(self) -> None:
        if self._workers:
            self.done["stopped workers"] += 1
            self._stop(self._chance.choice(self._workers))

    def _end_worker(self) -> None:
        if self._workers:
            self._chance.choice(self._workers).terminate()

    def _kill_master(self) -> None:
        self.done["killed masters"] += 1
        self._replace_master(signal.SIGKILL)

    def _end_master(self) -> None:
        self._replace_master(signal.SIGTERM)

    def _replace_master(self, how: signal.Signals) -> None:
        """End all masters, and start one later: for a while there may be none, or two."""
        for master in self._masters:
            master.send_signal(how)
        self._masters = []
        self._scheduled.append((time.monotonic() + self._chance.uniform(0, 3), self._start_master))

    def _stop_master(self) -> None:
        for master in self._masters:
            self._stop(master)

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGSTOP)
        then = self._chance.choice([signal.SIGCONT, signal.SIGCONT, signal.SIGKILL])
        self._scheduled.append(
            (time.monotonic() + self._chance.uniform(0, 2), lambda: process.send_signal(then))
        )
