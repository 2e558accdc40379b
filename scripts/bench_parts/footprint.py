"""What this process takes of the machine."""

from __future__ import annotations

import resource
import time
from pathlib import Path


def memory_kb() -> int:
    """Anonymous memory: what this process has for itself alone.

    The sizes that include files also change with what other processes use of the same files. A spool
    file in shared memory is not part of it: see `files_kb`.
    """
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


def files_kb(folder: str) -> int:
    """What all files in a folder take up."""
    return sum(path.stat().st_blocks * 512 for path in Path(folder).rglob("*") if path.is_file()) // 1024


def idle(seconds: float) -> tuple[float, int]:
    """Milliseconds of CPU time that this process uses by itself, and how often its threads wake up."""

    def used() -> tuple[float, int]:
        return time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw

    cpu_before, switches_before = used()
    time.sleep(seconds)
    cpu_after, switches_after = used()
    return (cpu_after - cpu_before) * 1000, max(0, switches_after - switches_before - 1)  # less this sleep
