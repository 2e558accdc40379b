"""Each finished interval of a group once, in order: the steps, without the waiting between them."""

from __future__ import annotations

from event_count_logger.config import GroupConfig
from event_count_logger.errors import NotConfigured, Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.reader import Snapshot, finished_snapshot
from event_count_logger.store import Position, Store

#: Where to begin: behind a position, behind a time (Unix seconds), or, with None, now.
After = str | float | None

#: Seconds between two looks: the longest ones while the interval runs, so that a wrong clock or a restart is
#: noticed; the shortest ones right after its end; in between when the master is late.
_LONGEST_WAIT_S, _SHORTEST_WAIT_S, _LATE_WAIT_S = 5.0, 0.01, 0.25

#: Seconds until Redis is asked again after it did not answer.
_RETRY_S = 0.5


class Follower:
    """Where somebody is in the finished intervals of one group and interval."""

    def __init__(self, store: Store, group: GroupConfig, interval: Interval, after: After) -> None:
        """Asks for nothing yet.

        Raises:
            NotConfigured: The group keeps no history.
            ValueError: `after` is neither a position nor a time.
        """
        if not group.history:
            raise NotConfigured(f"group '{group.name}' keeps no history ('history: 0' in its configuration)")
        self._store = store
        self._group = group
        self._interval = interval
        self._position = _position(after)

    def step(self) -> tuple[Snapshot | None, float]:
        """The next finished interval, if there is one, and otherwise how many seconds to wait for it.

        Raises:
            Rejected: There is something else in Redis where the history should be.
        """
        try:
            return self._step()
        except Unavailable:
            return None, _RETRY_S

    def _step(self) -> tuple[Snapshot | None, float]:
        if self._position is None:
            newest = self._store.history(self._group.name, self._interval, 1)
            self._position = newest[0].position if newest else Position(0)
        finished, start = self._store.finished_after(self._group.name, self._interval, self._position)
        if finished is None:
            return None, self._wait_s(start)
        missed = _missed(self._position, finished.position, finished.start, self._interval)
        self._position = finished.position
        return finished_snapshot(self._group, self._interval, finished, missed), 0

    def _wait_s(self, start: float | None) -> float:
        """Until the running interval ends; after that, the longer the later it is."""
        if start is None:
            return _LATE_WAIT_S
        left_s = start + self._interval.length_s - self._store.now()
        if left_s > 0:
            return min(left_s, _LONGEST_WAIT_S)
        return min(max(_SHORTEST_WAIT_S, -left_s), _LATE_WAIT_S)


def _position(after: After) -> Position | None:
    if after is None or isinstance(after, str):
        return None if after is None else Position.parse(after)
    if isinstance(after, bool) or not isinstance(after, int | float) or after < 0:
        raise ValueError(f"{after!r} is neither a position nor a time in Unix seconds")
    return Position(int(after * 1000))


def _missed(before: Position, found: Position, start: float, interval: Interval) -> int:
    """How many intervals finished between the two, of which the second is the first one still there."""
    if before.number and found.number > before.number:
        return found.number - before.number - 1
    # By time: what comes next after one that is not numbered, or in a Redis that has lost its numbers.
    missed = max(0, round((start * 1000 - before.time_ms) / interval.length_ms))
    return missed if before.number else min(missed, found.number - 1)
