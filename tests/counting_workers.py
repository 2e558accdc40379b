"""Workers of scripts/soak in tests: they count in two groups and record what they log."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from soak_parts import checks
from soak_parts.shared_memory import COMMON_EVENT, SharedMemory, worker_event

from tests.conftest import ROOT
from tests.fixtures import Start

GROUPS = ("direct", "cached")

#: Declared events. The other ones that workers log are dynamic.
EVENTS = [COMMON_EVENT, worker_event(0), worker_event(1)]

_CLOSE_S, _END_TIMEOUT_S = 30, 60


class CountingWorkers:
    """Processes that count for some seconds. `options` are those of `soak_parts.worker`."""

    def __init__(
        self, start: Start, config_file: Path, number: int, seconds: float, *options: object
    ) -> None:
        memory_file = config_file.with_suffix(".memory")
        self._memory = SharedMemory.create(memory_file, GROUPS, number)
        command = (sys.executable, "-m", "soak_parts.worker", config_file, memory_file)
        options = ("--seconds", seconds, "--close-s", _CLOSE_S, *options, "--groups", *GROUPS)
        self._processes = [start(*command, each, *options, cwd=ROOT / "scripts") for each in range(number)]

    def are_running(self) -> bool:
        return any(process.poll() is None for process in self._processes)

    def wait(self) -> None:
        """Wait until all have ended, and see that they have succeeded."""
        for process in self._processes:
            _, err = process.communicate(timeout=_END_TIMEOUT_S)
            assert process.returncode == 0, err

    def logged(self, group: str) -> int:
        """Returns the sum of all counts logged so far."""
        return self._memory.logged(group).total()

    def check(self, group: str, counted: Mapping[str, int]) -> None:
        """Assert that each event was counted as often as it was logged."""
        problems = [*checks.wrong_counts(self._memory, group, counted)]
        assert not problems, "\n".join(problems)
