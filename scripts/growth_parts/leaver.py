"""Leaves spool files behind, as processes do that are killed: for each line of input, as many as it says.

Usage: python -m growth_parts.leaver CONFIG
"""

from __future__ import annotations

import os
import sys

from event_count_logger import EventCountLogger

#: A group whose counts are sent by recovery only, and the event that is in each file, once.
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
