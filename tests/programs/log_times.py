"""Logs one event about every millisecond, and prints the time of each `log()`.

Usage: log_times.py CONFIG SECONDS [GROUP]
"""

from __future__ import annotations

import json
import sys
import time

from event_count_logger import EventCountLogger


def main() -> None:
    logged_at = []
    until = time.time() + float(sys.argv[2])
    with EventCountLogger.from_file(sys.argv[1]) as logger:
        group = logger[sys.argv[3] if len(sys.argv) > 3 else "g"]
        while time.time() < until:
            logged_at.append(time.time())
            group.log("e")
            time.sleep(0.001)
    print(json.dumps(logged_at))


if __name__ == "__main__":
    main()
