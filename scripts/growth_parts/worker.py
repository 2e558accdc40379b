"""The worker of scripts/growth: counts in a direct and in a cached group until it is killed."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter

from event_count_logger import EventCountLogger

#: Groups in which the worker counts, with their settings.
GROUPS: dict[str, dict[str, float]] = {"direct": {}, "cached": {"sync_interval": 0.02}}

#: Events to count. Keys of a wrong type replace counters of the last one.
EVENTS = [*(f"event{number}" for number in range(9)), "refused"]

_PAUSE_S = 0.01

#: Each has connections of its own. After an error a logger waits for half a second; the others go on.
_LOGGERS = 4

_CLOSING_S = 30

_is_over = threading.Event()
_has_ended = threading.Event()
_logged: Counter[str] = Counter()


def main(config_file: str) -> None:
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s: %(message)s")
    loggers = [EventCountLogger.from_file(config_file) for _ in range(_LOGGERS)]
    for number in itertools.count():
        if _is_over.is_set():
            break
        event_id = EVENTS[number % len(EVENTS)]
        for logger, name in itertools.product(loggers, GROUPS):
            logger[name].log(event_id)
            _logged[f"{name} {event_id}"] += 1
        time.sleep(_PAUSE_S)
    for logger in loggers:
        logger.close(_CLOSING_S)
    _has_ended.set()
    threading.Event().wait()  # until it is killed


def end() -> dict[str, int]:
    """Stop counting; returns the counts logged, by group and event."""
    _is_over.set()
    _has_ended.wait()
    return dict(_logged)
