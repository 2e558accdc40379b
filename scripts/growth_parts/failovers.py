"""Failovers for scripts/growth, whose processes find their server by sentinels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from soak_parts.replicated import Replicated

from growth_parts.processes import Watched


class Failovers:
    """Kills one primary after the other; each time a replica is promoted."""

    durability = "replicas"
    left = 0

    def __init__(self, folder: Path, n: int) -> None:
        self._servers = Replicated(folder)
        self._n = n
        self.redis = self._servers.config
        self.done: Counter[str] = Counter()

    def part(
        self, number: int, parts: int, watched: Sequence[Watched], config_file: Path, log: object
    ) -> None:
        """Inject part `number` of `parts`, counted from 0, of all failovers."""
        for _ in range(self._n * number // parts, self._n * (number + 1) // parts):
            primary = self._servers.wait_until_replicated()
            primary.kill()
            primary.start()
            self._servers.wait_until_replicated()
            self.done["failovers"] += 1

    def wait_until_found(self) -> None:
        """Return at once: failovers leave no spool files."""

    def close(self) -> None:
        self._servers.kill_all()
