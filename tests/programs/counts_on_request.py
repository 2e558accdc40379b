"""A process that counts on request, and ends with its standard input.

Each line of standard input is a JSON list of a group and the counts of its events; without counts, the group
is synced. Each line is answered when its counting or sync is done.

Usage: counts_on_request.py CONFIG
"""

from __future__ import annotations

import json
import sys

from event_count_logger import EventCountLogger


def main(logger: EventCountLogger) -> None:
    logger._recovery.run_once()  # so that the result does not depend on the time of the first count
    for line in sys.stdin:
        group, counts = json.loads(line)
        for event_id, count in counts.items():
            logger[group].log(event_id, count)
        print("ok" if counts or logger[group].sync() else "not sent", flush=True)


if __name__ == "__main__":
    with EventCountLogger.from_file(sys.argv[1]) as logger:
        main(logger)
