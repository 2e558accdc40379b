"""Counts while its file descriptors are closed repeatedly, as by daemonizers; prints the counts logged.

Usage: closing.py CONFIG SECONDS
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from typing import Any

from event_count_logger import EventCountLogger


def main(path: str, seconds: str) -> None:
    group: Any = EventCountLogger.from_file(path)["g"]
    logged: Counter[str] = Counter()
    until = time.monotonic() + float(seconds)

    def count() -> None:
        n = 0
        while time.monotonic() < until:
            for event_id in ("same", f"new {n // 500}"):
                group.log(event_id)
                logged[event_id] += 1
            n += 1
            time.sleep(0.0002)

    thread = threading.Thread(target=count)
    thread.start()
    while time.monotonic() < until:
        time.sleep(0.3)
        os.closerange(3, 256)
    thread.join()
    deadline = time.monotonic() + 20
    while not group.sync() and time.monotonic() < deadline:
        time.sleep(0.1)
    print(json.dumps(logged))


if __name__ == "__main__":
    main(*sys.argv[1:])
