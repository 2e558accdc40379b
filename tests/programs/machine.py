"""Counts until SIGTERM, as a program on one of several machines, and notes the number in a file.

Usage: python -m tests.programs.machine CONFIG NOTES EVENT
"""

from __future__ import annotations

import mmap
import signal
import sys
import time
from pathlib import Path

from event_count_logger import EventCountLogger

PAUSE_S = 0.002


def main(config_file: str, notes_file: str, event_id: str) -> None:
    with Path(notes_file).open("r+b") as file:
        notes = memoryview(mmap.mmap(file.fileno(), 16)).cast("Q")
    signals: list[int] = []
    signal.signal(signal.SIGTERM, lambda signum, frame: signals.append(signum))
    with EventCountLogger.from_file(config_file) as logger:
        while not signals:
            for name in ("direct", "cached"):
                notes[0] += 1
                logger[name].log(event_id)
                notes[1] += 1
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
