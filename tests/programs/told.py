"""A process that counts what it is told, and ends when it is told no more.

Each line of standard input is a JSON list of a group and the counts of its events; without counts, the group
is synced. Each line is answered when that is done.

Usage: told.py CONFIG
"""

from __future__ import annotations

import json
import sys

from event_count_logger import EventCountLogger


def main(logger: EventCountLogger) -> None:
    logger._recovery.run_once()  # what it finds does not depend on when the first count comes
    for line in sys.stdin:
        group, counts = json.loads(line)
        for event_id, count in counts.items():
            logger[group].log(event_id, count)
        print("ok" if counts or logger[group].sync() else "not sent", flush=True)


if __name__ == "__main__":
    with EventCountLogger.from_file(sys.argv[1]) as logger:
        main(logger)
