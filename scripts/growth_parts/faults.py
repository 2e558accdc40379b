"""Faults for scripts/growth, whose processes use one server."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from server_process import Valkey, options, wait_until

from growth_parts.leaver import GROUP
from growth_parts.processes import Leaver, Watched
from growth_parts.worker import EVENTS, GROUPS

#: Number of faults of each kind in a month; see `scripts/growth --help`.
KINDS = {
    "connections": 43_200,
    "stalls": 360,
    "restarts": 150,
    "files": 2160,
    "damaged files": 150,
    "lost positions": 150,
    "wrong keys": 150,
}

#: An interval that ends often: the master sends many requests.
SHORT = "0.1s"

_SOCKET_TIMEOUT_S = 0.15
_STALL_S = 0.25

#: Seconds between two rounds, each of which breaks all connections.
_KILL_EVERY_S = 0.01

#: Rounds between two looks at the number of new connections.
_ROUNDS = 20

#: Seconds within which the server answers this process, on a busy machine.
_PATIENCE_S = 60

_PUT_WRONG_KEY = "return redis.call('EXISTS', KEYS[1]) == 0 and redis.call('RPUSH', KEYS[1], 'x') or 0"

#: Most files at the same time.
_FILES = 100

#: Seconds within which a master finds files. It looks for them every three seconds.
_FIND_S = 60


class Faults:
    """Kills and stalls one server, and breaks its connections and keys."""

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
        address = {"unix_socket_path": str(self._socket)}
        self._server = Valkey(options(settings), address, timeout_s=_PATIENCE_S)
        self._server.start()
        self._client = self._server.client
        self._n = {kind: -(-KINDS[kind] * connections // KINDS["connections"]) for kind in kinds}
        self._leaver: Leaver | None = None
        self.done: Counter[str] = Counter()

    @property
    def redis(self) -> dict[str, object]:
        """The section `redis` of a configuration."""
        return {"url": f"unix://{self._socket}", "socket_timeout": _SOCKET_TIMEOUT_S}

    @property
    def left(self) -> int:
        """Number of events in all spool files that were left behind."""
        return self.done["files"]

    def part(
        self, number: int, parts: int, watched: Sequence[Watched], config_file: Path, log: object
    ) -> None:
        """Inject part `number` of `parts`, counted from 0, of all faults."""
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
        """Wait until the master has recovered all files."""
        wait_until(lambda: not self._dead_files(), _FIND_S, "the master recovers all files")

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
        self._server.stall_for(_STALL_S)
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
        """Delete all positions, as if the server had restarted with older data, but keep the counts."""
        for group in GROUPS:
            key = f"{group}:@sources"
            self._client.delete(key)
            wait_until(partial(self._client.exists, key), _PATIENCE_S, f"{key} exists again")

    def _wrong_key(self) -> None:
        """Put a list in the place of a counter, after a rotation and before the next commit."""
        key = f"cached:{SHORT}:cur:{EVENTS[-1]}"
        while not self._client.eval(_PUT_WRONG_KEY, 1, key):
            pass
        time.sleep(_STALL_S)
        self._client.delete(key)

    def _wait_until_counting(self) -> None:
        """Wait until each group has two more commits: no reply to an earlier request is missing."""
        for group in (*GROUPS, *GROUPS):
            has_counted = partial(self._has_counted, group, self._positions(group))
            wait_until(has_counted, _PATIENCE_S, f"{group} counts")

    def _positions(self, group: str) -> list[object]:
        return [*self._client.hvals(f"{group}:@sources")]

    def _has_counted(self, group: str, before: list[object]) -> bool:
        return self._positions(group) != before


def _more(watched: Sequence[Watched], begun: Sequence[int]) -> list[int]:
    return [each.ask("connections") - before for each, before in zip(watched, begun, strict=True)]
