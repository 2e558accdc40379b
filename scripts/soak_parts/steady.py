"""Counts in all groups until it is told to end, and notes what it does in one row of the shared page.

Usage: python -m soak_parts.steady CONFIG PAGE ROW SEED
"""

from __future__ import annotations

import logging
import random
import signal
import sys
import time
from pathlib import Path

from event_count_logger import EventCountLogger
from soak_parts.page import GROUPS, Page

LONGEST_BURST = 20
LONGEST_PAUSE_S = 0.02

#: Seconds for what is left at the end: a new primary may have to be found first.
CLOSING_S = 30


def main(config_file: str, page_file: str, row_number: str, seed: str) -> None:
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s: %(message)s")
    row, some = Page(Path(page_file)).row(int(row_number)), random.Random(seed)
    names = [*GROUPS]
    signals: list[int] = []
    signal.signal(signal.SIGTERM, lambda signum, frame: signals.append(signum))
    logger = EventCountLogger.from_file(config_file, "INFO")
    while not signals:
        number = some.randrange(len(names))
        count = logger[names[number]].counter(row.own_event).inc
        for _ in range(some.randint(1, LONGEST_BURST)):
            row.told(number, count, 1, shared=False)
        time.sleep(some.uniform(0, LONGEST_PAUSE_S))
    logger.close(CLOSING_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
