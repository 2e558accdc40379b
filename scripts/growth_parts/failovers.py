"""Failovers around the processes of scripts/growth, which find their server by sentinels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from soak_parts.replicated import Replicated

from growth_parts.processes import Watched


class Failovers:
    """Primaries that are killed; the replica that stands in is the next one."""

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
        """This part of all failovers."""
        for _ in range(self._n * number // parts, self._n * (number + 1) // parts):
            primary = self._servers.wait_until_whole()
            primary.kill()
            primary.start()
            self._servers.wait_until_whole()
            self.done["failovers"] += 1

    def wait_until_found(self) -> None:
        """There are no files."""

    def close(self) -> None:
        self._servers.kill_all()
