"""Each finished interval of a group once, in order: the steps, without the waiting between them."""

from __future__ import annotations

from math import ceil

from event_count_logger.config import GroupConfig
from event_count_logger.errors import Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.reading.reader import Snapshot, finished_snapshot, require_history
from event_count_logger.store import HistoryEntry, HistoryPosition, Store

#: Where to begin: behind a position, behind a time (Unix seconds), or, with None, now.
After = str | float | None

#: Seconds between two looks: the longest ones while the interval runs, so that a wrong clock or a restart is
#: noticed; the shortest ones right after its end; in between when the master is late.
_LONGEST_WAIT_S, _SHORTEST_WAIT_S, _LATE_WAIT_S = 5.0, 0.01, 0.25

#: Unix seconds that nobody means.
_LATEST_S = 1e12

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
        require_history(group)
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
            self._position = self._store.reads.newest_position(self._group, self._interval)
        finished, start, n_finished = self._store.reads.finished_after(
            self._group, self._interval, self._position
        )
        if finished is None:
            if self._position.number and self._position.number != n_finished:
                self._look_for_a_new_history()
            return None, self._wait_s(start)
        missed = _missed(self._position, finished, n_finished, self._interval)
        self._position = finished.position
        return finished_snapshot(self._group, self._interval, finished, missed), 0

    def _look_for_a_new_history(self) -> None:
        """Others have finished since, and none of them is later: if the history began anew, so does this.

        That happens when the clock of Redis was ahead, and then what was kept until then was lost.
        """
        assert self._position
        newest = self._store.reads.newest_position(self._group, self._interval)
        if 0 < newest.time_ms < self._position.time_ms:
            is_counted_on = newest.number > self._position.number
            self._position = HistoryPosition(0, self._position.number if is_counted_on else 0)

    def _wait_s(self, start: float | None) -> float:
        """Until the running interval ends; after that, the longer the later it is."""
        if start is None:
            return _LATE_WAIT_S
        left_s = start + self._interval.length_s - self._store.client.now()
        if left_s > 0:
            return min(left_s, _LONGEST_WAIT_S)
        return min(max(_SHORTEST_WAIT_S, -left_s), _LATE_WAIT_S)


def _position(after: After) -> HistoryPosition | None:
    if after is None or isinstance(after, str):
        return None if after is None else HistoryPosition.parse(after)
    is_number = isinstance(after, int | float) and not isinstance(after, bool)
    if not is_number or not 0 <= after <= _LATEST_S:
        raise ValueError(f"{after!r} is neither a position nor a time in Unix seconds")
    return HistoryPosition(round(after * 1000))


def _missed(before: HistoryPosition, found: HistoryEntry, n_finished: int, interval: Interval) -> int:
    """How many intervals finished between the two, of which the second is the first one still there."""
    number = found.position.number
    if before.number and number > before.number:
        return number - before.number - 1
    # By time: what comes next after one that is not numbered, or in a Redis that has lost its numbers.
    missed = max(0, ceil((found.start * 1000 - before.time_ms) / interval.length_ms))
    return missed if before.number else min(missed, number - 1 if number else n_finished)
