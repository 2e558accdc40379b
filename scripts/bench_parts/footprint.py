"""Memory, files and CPU time of this process."""

from __future__ import annotations

import resource
import time
from pathlib import Path


def memory_kb() -> int:
    """Returns the anonymous memory: the memory that belongs to this process alone.

    Sizes that include files depend on other processes that use the same files. A spool file in shared memory
    is no part of it: see `files_kb`.
    """
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


def files_kb(folder: str) -> int:
    """Returns the size of all blocks of the files in a folder."""
    return sum(path.stat().st_blocks * 512 for path in Path(folder).rglob("*") if path.is_file()) // 1024


def idle(seconds: float) -> tuple[float, int]:
    """Sleep; returns the milliseconds of CPU time that this process used, and the wake-ups of its threads."""

    def used() -> tuple[float, int]:
        return time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw

    cpu_before, switches_before = used()
    time.sleep(seconds)
    cpu_after, switches_after = used()
    return (cpu_after - cpu_before) * 1000, max(0, switches_after - switches_before - 1)  # less this sleep
