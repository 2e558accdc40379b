"""Leaves spool files behind, as killed processes do. Each line of input is a number of files to leave.

Usage: python -m growth_parts.leaver CONFIG
"""

from __future__ import annotations

import os
import sys

from event_count_logger import EventCountLogger

#: A group whose counts only recovery sends, and the event that each file has once.
GROUP, EVENT = "left", "left"


def main(config_file: str) -> None:
    logger = EventCountLogger.from_file(config_file)
    group = logger[GROUP]
    for line in sys.stdin:
        for _ in range(int(line)):
            pid = os.fork()
            if pid == 0:
                group.log(EVENT)
                os._exit(0)
            os.waitpid(pid, 0)
        print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
