"""Warnings about late rotations, with the reason, and at most one line per minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from event_count_logger.intervals import Interval
from event_count_logger.logs import Log, counted
from event_count_logger.render.phrases import duration, utc
from event_count_logger.store import Rotation

#: Seconds between two warnings. An outage makes all intervals late at once, and short ones repeatedly.
_PERIOD_S = 60.0


@dataclass(frozen=True, slots=True)
class LateRotation:
    """A late rotation.

    Attributes:
        group: Name of the group or shard.
        interval: Name of the interval.
        late_s: Seconds from the boundary to the rotation, by the clock of Redis.
        start: Start of the rotated interval, Unix seconds.
        end: End of the rotated interval, Unix seconds.
        reason: Most likely reason, from what the master has observed.
    """

    group: str
    interval: str
    late_s: float
    start: float
    end: float
    reason: str


def late_s(interval: Interval, rotation: Rotation) -> float:
    """Returns by how many seconds a rotation was late; 0 if nothing was rotated."""
    if rotation.start is None or rotation.end is None:
        return 0.0
    now = rotation.end + interval.length_s - rotation.until_next_s
    return now - interval.end_of(rotation.start)


class RotationAttempts:
    """A record of a master's attempts to rotate one interval; it explains why a rotation was late."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_at = clock()
        self._due_at: float | None = None  # None: no attempt of this master has succeeded
        self._failure = ""

    def begin(self) -> None:
        """Record the start of an attempt."""
        self._began_at = self._clock()

    def fail(self, error: Exception) -> None:
        """Record that the attempt failed."""
        self._failure = str(error)

    def succeed(self, until_next_s: float) -> None:
        """Record that the attempt succeeded, and the seconds until the next boundary."""
        self._due_at = self._clock() + until_next_s
        self._failure = ""

    def reason(self, late_s: float) -> str:
        """Returns why the rotation of the current attempt was late; call it before `succeed`."""
        if self._failure:
            return f"earlier attempts of this master failed: {self._failure}"
        if self._due_at is None:
            return "this master has just started with it, and no other master had rotated it"
        took_s, waited_s = self._clock() - self._began_at, self._began_at - self._due_at
        if took_s > late_s / 2:
            return f"the request to Redis took {duration(took_s)}"
        if waited_s > late_s / 2:
            return f"this master tried {duration(waited_s)} late (busy, stopped, or waiting for Redis)"
        return "the clock of Redis was set forward, or this machine was suspended"


class LateRotations:
    """Logs the first late rotation at once, and all that follow within a minute in one line. Thread-safe."""

    def __init__(self, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._due_at = clock()
        self._pending: list[LateRotation] = []
        self._lock = threading.Lock()

    def add(self, late: LateRotation) -> None:
        """Log a late rotation, now or with others."""
        with self._lock:
            self._pending.append(late)
        self.log_if_due()

    def log_if_due(self) -> None:
        """Log the pending rotations unless the last line is less than a minute old."""
        self._log_pending(only_if_due=True)

    def log(self) -> None:
        """Log the pending rotations."""
        self._log_pending(only_if_due=False)

    def _log_pending(self, only_if_due: bool) -> None:
        with self._lock:
            now = self._clock()
            if not self._pending or (only_if_due and now < self._due_at):
                return
            pending, self._pending = self._pending, []
            self._due_at = now + _PERIOD_S
        worst = max(pending, key=lambda late: late.late_s)
        more = ""
        if len(pending) > 1:
            n_intervals = len({(late.group, late.interval) for late in pending})
            more = f" (the longest of {len(pending):,} late rotations of {counted(n_intervals, 'interval')})"
        self._log.warning(
            "Group '%s', interval '%s': rotated %s late, %s to %s in one interval: %s%s",
            worst.group,
            worst.interval,
            duration(worst.late_s),
            utc(worst.start),
            utc(worst.end),
            worst.reason,
            more,
        )
