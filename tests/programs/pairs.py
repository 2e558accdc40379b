"""Commits batches that add the same count to two events of a group, until it is killed.

Usage: pairs.py CONFIG SOURCE
"""

from __future__ import annotations

import sys
from itertools import count

from event_count_logger.config import from_file
from event_count_logger.store import Store


def main(path: str, source: str) -> None:
    config = from_file(path)
    store = Store(config.redis)
    for position in count():
        group = list(config.groups.values())[position % len(config.groups)]
        n = 1 + position % 7
        store.commits.commit(group, source, position, position + 1, {"left": n, "right": n})


if __name__ == "__main__":
    main(*sys.argv[1:])
