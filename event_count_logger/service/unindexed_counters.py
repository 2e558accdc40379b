"""Indexing of counters that programs of version 1.1 create, so that a master of this version rotates them.

Version 1.1 creates a counter's key without adding the event to the index of its interval, so rotations would
miss it. A scan of the whole database finds such keys and indexes them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from event_count_logger.config import Config, GroupConfig
from event_count_logger.errors import Rejected
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log, counted
from event_count_logger.store import Store, index_counters, may_be_unindexed

#: Seconds after the start, and after the last counter found, for which programs of version 1.1 are expected.
_ACTIVE_S = 3600.0

#: Seconds between scans while such programs are expected, and otherwise; one may start at any time.
_EVERY_S, _SELDOM_S = 10.0, 600.0

#: Least pause after a scan, as a multiple of its duration: scans take 1 % of the time at most, and before
#: rotations of short intervals 10 %.
_REST_FACTOR, _REST_FACTOR_BEFORE_ROTATION = 100, 10

#: Longest scan, in seconds, that a rotation waits for.
_LONGEST_WAIT_S = 0.5


class UnindexedCounters:
    """Scans for counters that version 1.1 has created, before rotations and periodically.

    Rotations include events of the last interval anyway. Scans find events that are new, or were not counted
    for an interval.
    """

    def __init__(self, store: Store, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        """Expects programs of version 1.1 for the first hour.

        Args:
            store: Redis with the counters.
            log: Log for a message when such counters are found.
            clock: Monotonic clock, in seconds.
        """
        self._store = store
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._active_until = clock() + _ACTIVE_S
        self._has_found = False
        self._is_allowed = True
        self._began_at = 0.0  # start of the last complete scan, Unix seconds of the server
        self._ended_at, self._took_s = clock(), 0.0  # end and duration of the last scan, complete or not

    @property
    def next_scan_s(self) -> float:
        """Seconds until the next periodic scan."""
        every_s = _EVERY_S if self._clock() < self._active_until else _SELDOM_S
        return max(every_s, _REST_FACTOR * self._took_s)

    def index(self, config: Config) -> None:
        """Scan the whole database.

        Raises:
            Unavailable: Redis does not answer.
        """
        with self._lock:
            self._scan(config)

    def index_before_rotation(self, config: Config, group: GroupConfig, interval: Interval) -> None:
        """Scan the whole database, unless a scan has started since the latest boundary or takes too long.

        The scan finds counters that were created before the boundary, so that the rotation includes them.

        Raises:
            Unavailable: Redis does not answer.
        """
        if (
            not may_be_unindexed(group)
            or self._took_s > _LONGEST_WAIT_S
            or self._clock() >= self._active_until
        ):
            return
        if self._lock.acquire(timeout=_LONGEST_WAIT_S):
            try:
                rested_s = self._clock() - self._ended_at
                has_rested = rested_s >= _REST_FACTOR_BEFORE_ROTATION * self._took_s
                if has_rested and self._began_at < interval.start_of(self._store.client.now()):
                    self._scan(config, _LONGEST_WAIT_S)
            finally:
                self._lock.release()

    def _scan(self, config: Config, longest_s: float = float("inf")) -> None:
        groups = [group for group in config.groups.values() if may_be_unindexed(group)]
        if not groups or not self._is_allowed:
            return
        began_at, began, n_found = self._store.client.now(), self._clock(), 0
        try:
            for n in index_counters(self._store.client, groups):
                n_found += n
                if self._clock() - began > longest_s:
                    break
            else:
                self._began_at = began_at
        except Rejected as error:
            self._is_allowed = False
            self._log.info("Counters of event-count-logger 1.1 are not searched: %s", error)
        self._ended_at = self._clock()
        self._took_s = self._ended_at - began
        self._note_found(n_found)

    def _note_found(self, n_found: int) -> None:
        now = self._clock()
        if n_found and not (self._has_found and now < self._active_until):
            names = "event-count-logger 1.1 counts undeclared events"
            self._log.info("%s; rotated from now on: %s", names, counted(n_found, "counter"))
        if n_found:
            self._has_found, self._active_until = True, now + _ACTIVE_S
