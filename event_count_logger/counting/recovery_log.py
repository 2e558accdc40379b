"""Log lines about recovered counts: one per group and minute for any number of ended processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress

from event_count_logger.logs import Log, counted

#: Seconds between two lines about a group. Each process that ends without exit handlers leaves a file, for
#: example each work-horse of RQ. A line for each of them would fill the log.
_EVERY_S = 60.0


class RecoveryLog:
    """Adds up recovered counts until a log line is due. Threads may share it."""

    def __init__(self, log: Log, clock: Callable[[], float]) -> None:
        """The first line is due at once."""
        self._log = log
        self._clock = clock
        self._due_at = clock()
        self._added: deque[tuple[str, int, int]] = deque()  # group, pid and counts of each process

    def start_over(self) -> None:
        """Forget all counts; the next line is due in a minute."""
        self._added.clear()
        self._due_at = self._clock() + _EVERY_S

    def add(self, group: str, pid: int, counts: int) -> None:
        """Add the counts recovered from one process."""
        self._added.append((group, pid, counts))

    def log_if_due(self) -> None:
        """Log a line for each group, unless the last lines are less than a minute old."""
        if self._added and self._clock() >= self._due_at:
            self.log()

    def log(self) -> None:
        """Log a line for each group now."""
        self._due_at = self._clock() + _EVERY_S
        pids: dict[str, list[int]] = {}
        sums: dict[str, int] = {}
        with suppress(IndexError):  # none is left; another thread may have taken the last
            while True:
                group, pid, counts = self._added.popleft()
                pids.setdefault(group, []).append(pid)
                sums[group] = sums.get(group, 0) + counts
        for group, counts in sums.items():
            if counts:  # otherwise, everything in the files was confirmed
                who = _processes(pids[group])
                self._log.info("Recovered %s of group '%s' from %s", counted(counts, "count"), group, who)


def _processes(pids: list[int]) -> str:
    if len(pids) == 1:
        return f"process {pids[0]}, which has ended"
    return f"{len(pids):,} processes that have ended"
