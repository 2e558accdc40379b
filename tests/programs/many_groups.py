"""Counts in many groups until standard input ends, then prints the counts logged in each.

Usage: many_groups.py GROUPS REDIS   (both as JSON)
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter

from event_count_logger import EventCountLogger


def main() -> None:
    groups, redis = map(json.loads, sys.argv[1:])
    stop = threading.Event()

    def stop_at_end_of_input() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    logged = Counter[str]()
    with EventCountLogger(groups, redis) as logger:
        while not stop.is_set():
            for name in groups:
                for event in ("a", "b"):
                    logger[name].log(event)
                logged[name] += 1
                time.sleep(0.01)
    print(json.dumps(logged))


if __name__ == "__main__":
    main()
