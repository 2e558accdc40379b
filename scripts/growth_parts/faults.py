"""Faults around the processes of scripts/growth, which use one server."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import Popen

import redis
from soak_parts.servers import Server, wait_until

from growth_parts.leaver import GROUP
from growth_parts.processes import Leaver, Watched
from growth_parts.worker import EVENTS, GROUPS

#: How many of each kind there are in a month; see the text of scripts/growth.
KINDS = {
    "connections": 43_200,
    "stalls": 360,
    "restarts": 150,
    "files": 2160,
    "damaged files": 150,
    "lost positions": 150,
    "wrong keys": 150,
}

#: An interval that ends often, so that the master often asks its server.
SHORT = "0.1s"

_SOCKET_TIMEOUT_S = 0.15
_STALL_S = 0.25

#: Seconds between two rounds in which all connections are broken.
_KILL_EVERY_S = 0.01

#: Rounds after which it is looked how many connections were made since.
_ROUNDS = 20

#: Seconds for the server to answer this process, on a busy machine.
_PATIENCE_S = 60

_PUT_WRONG_KEY = "return redis.call('EXISTS', KEYS[1]) == 0 and redis.call('RPUSH', KEYS[1], 'x') or 0"

#: Files that are there at the same time, at most.
_FILES = 100

#: Seconds for a master to find files, which it looks for every three seconds.
_FIND_S = 60


class Faults:
    """One server, which is killed and stalled, and whose connections and keys are broken."""

    durability = "memory"

    def __init__(self, folder: Path, connections: int, kinds: Sequence[str]) -> None:
        self._socket = folder / "valkey.sock"
        self._spool = folder / "spool"
        settings = {
            "port": 0,
            "unixsocket": self._socket,
            "dir": folder,
            "appendonly": "yes",
            "appendfsync": "no",
            "auto-aof-rewrite-min-size": "8mb",
            "save": "",
            "logfile": folder / "server.log",
        }
        words = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
        self._server = Server(words, Popen, unix_socket_path=str(self._socket))
        self._server.start()
        self._client = redis.Redis(
            unix_socket_path=str(self._socket), socket_timeout=_PATIENCE_S, decode_responses=True
        )
        self._n = {kind: -(-KINDS[kind] * connections // KINDS["connections"]) for kind in kinds}
        self._leaver: Leaver | None = None
        self.done: Counter[str] = Counter()

    @property
    def redis(self) -> dict[str, object]:
        """The section `redis` of a configuration."""
        return {"url": f"unix://{self._socket}", "socket_timeout": _SOCKET_TIMEOUT_S}

    @property
    def left(self) -> int:
        """Number of events in the files that were left behind."""
        return self.done["files"]

    def part(
        self, number: int, parts: int, watched: Sequence[Watched], config_file: Path, log: object
    ) -> None:
        """Break this part of everything."""
        if self._leaver is None:
            self._leaver = Leaver(config_file, log)
        actions: dict[str, Callable[[], object]] = {
            "stalls": self._stall,
            "restarts": self._restart,
            "damaged files": self._damage,
            "lost positions": self._lose_positions,
            "wrong keys": self._wrong_key,
        }
        for kind, n in self._n.items():
            n_before, n_after = n * number // parts, n * (number + 1) // parts
            if kind == "connections":
                self._break_connections(n_after - n_before, watched)
            elif kind == "files":
                self._leave(n_after - n_before)
            else:
                for _ in range(n_after - n_before):
                    actions[kind]()
                    self.done[kind] += 1
            self._wait_until_counting()

    def wait_until_found(self) -> None:
        """Until the master has finished all files."""
        wait_until(lambda: not self._dead_files(), "the master finishes all files", _FIND_S)

    def close(self) -> None:
        if self._leaver:
            self._leaver.kill()
        self._server.kill()

    def _break_connections(self, n: int, watched: Sequence[Watched]) -> None:
        begun = [each.ask("connections") for each in watched]
        while (least := min(_more(watched, begun))) < n:
            for _ in range(_ROUNDS):
                self._client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                time.sleep(_KILL_EVERY_S)
        self.done["connections"] += least

    def _stall(self) -> None:
        self._server.stall(_STALL_S)
        time.sleep(_STALL_S / 4)

    def _restart(self) -> None:
        self._server.kill()
        self._server.start()
        time.sleep(_STALL_S)

    def _leave(self, n: int) -> None:
        assert self._leaver
        while n > 0:
            some = min(n, _FILES)
            self._leaver.leave(some)
            self.wait_until_found()
            self.done["files"] += some
            n -= some

    def _dead_files(self) -> list[Path]:
        return [*self._spool.glob(f"{GROUP}.*.ecl")]

    def _damage(self) -> None:
        path = self._spool / f"{GROUP}.{uuid.uuid4().hex}.ecl"
        path.write_bytes(b"no spool file")
        if len(self._dead_files()) >= _FILES:
            self.wait_until_found()
        for bad in self._spool.glob("*.bad"):
            bad.unlink()

    def _lose_positions(self) -> None:
        """As when the server comes back with older data, which here still has the counts."""
        for group in GROUPS:
            key = f"{group}:@sources"
            self._client.delete(key)
            wait_until(lambda: bool(self._client.exists(key)), f"{key} is there again")  # noqa: B023

    def _wrong_key(self) -> None:
        """In the place of a counter, when an interval has ended and the next one does not have it yet."""
        key = f"cached:{SHORT}:cur:{EVENTS[-1]}"
        while not self._client.eval(_PUT_WRONG_KEY, 1, key):
            pass
        time.sleep(_STALL_S)
        self._client.delete(key)

    def _wait_until_counting(self) -> None:
        """Until no request is in doubt: two are confirmed after the last fault."""
        for group in (*GROUPS, *GROUPS):
            before = self._client.hvals(f"{group}:@sources")
            wait_until(lambda: self._client.hvals(f"{group}:@sources") != before, f"{group} counts")  # noqa: B023


def _more(watched: Sequence[Watched], begun: Sequence[int]) -> list[int]:
    return [each.ask("connections") - before for each, before in zip(watched, begun, strict=True)]
