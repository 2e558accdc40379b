"""A cursor over the finished intervals of one group. The caller waits between its steps.

Each step looks for the first finished interval behind the cursor:

    found                          -> return it, the cursor moves there
    not found, interval running    -> wait for its end, 5 s at most
    not found, rotation late       -> wait 0.01 s to 0.25 s, or as long as the caller allows
    newest finished one is older   -> the history was restarted, the cursor moves to its beginning
    Redis unavailable              -> wait 0.5 s
"""

from __future__ import annotations

from math import ceil

from event_count_logger.config import GroupConfig
from event_count_logger.errors import Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.reading.reader import Snapshot, finished_snapshot, require_history
from event_count_logger.reading.times import LATEST_S
from event_count_logger.store import HistoryEntry, HistoryPosition, Store

#: The start of a cursor: behind a position, behind a time (Unix seconds), or now (None).
After = str | float | None

#: Seconds between two steps: at most the first while the interval runs, to notice a wrong clock or a restart
#: of Redis; the second right after its end; growing to the third when the master is late.
_LONGEST_WAIT_S, _SHORTEST_WAIT_S, _LATE_WAIT_S = 5.0, 0.01, 0.25

#: Seconds until the next request while Redis is unavailable.
_RETRY_S = 0.5


class Follower:
    """A cursor over the finished intervals of a group; see `GroupReader.follower`. For one thread at a time.

    Example:
        follower = reader.follower("5m", after=0)
        while True:
            snapshot, wait_s = follower.step()
            if snapshot is None:
                break  # or wait for `wait_s` seconds, and take the next step
            print(snapshot.counts["ok"])  # 4
    """

    def __init__(
        self,
        store: Store,
        group: GroupConfig,
        interval: Interval,
        after: After,
        late_wait_s: float = _LATE_WAIT_S,
    ) -> None:
        """Create the cursor; the first `step` sends the first request.

        Args:
            store: Redis with the history.
            group: The group.
            interval: One of its intervals.
            after: Where the cursor begins; see `GroupReader.follower`.
            late_wait_s: Longest wait for a late rotation. A wait never exceeds the time for which it is late.

        Raises:
            NotConfigured: The group keeps no history.
            ValueError: `after` is neither a position nor a time.
        """
        require_history(group, interval)
        self._store = store
        self._group = group
        self._interval = interval
        self._position = _position(after)
        self._late_wait_s = late_wait_s

    def step(self) -> tuple[Snapshot | None, float]:
        """Returns the next finished interval and 0, or None and the seconds to wait before the next step.

        While Redis is unavailable, the result is None and the seconds until the next attempt.

        Raises:
            Rejected: Redis answers with an error, such as that of a key of an unexpected type.
        """
        try:
            return self.read()
        except Unavailable:
            return None, _RETRY_S

    def read(self) -> tuple[Snapshot | None, float]:
        """As `step`, but raises an error while Redis is unavailable.

        Raises:
            Unavailable: No answer.
            Rejected: See `step`.
        """
        if self._position is None:
            self._position = self._store.reads.newest_position(self._group, self._interval)
        finished, start, n_finished = self._store.reads.finished_after(
            self._group, self._interval, self._position
        )
        if finished is None:
            if self._position.number and self._position.number != n_finished and self._has_restarted():
                return None, 0
            return None, self._wait_s(start)
        missed = _missed(self._position, finished, n_finished, self._interval)
        self._position = finished.position
        return finished_snapshot(self._group, self._interval, finished, missed), 0

    def _has_restarted(self) -> bool:
        """Move to the beginning of the history if it was restarted, and return whether it was.

        Intervals have finished, and none is at the cursor or later. That happens when the clock of Redis was
        ahead, and Redis then lost the history.
        """
        assert self._position
        newest = self._store.reads.newest_position(self._group, self._interval)
        if not newest.time_ms or newest >= self._position:
            return False
        numbers_continue = newest.number > self._position.number
        self._position = HistoryPosition(0, self._position.number if numbers_continue else 0)
        return True

    def _wait_s(self, start: float | None) -> float:
        """Returns the seconds to wait for the end of the current interval; they grow while it is late."""
        if start is None:
            return self._late_wait_s
        left_s = start + self._interval.length_s - self._store.client.now()
        if left_s > 0:
            return min(left_s, _LONGEST_WAIT_S)
        return min(max(_SHORTEST_WAIT_S, -left_s), self._late_wait_s)


def _position(after: After) -> HistoryPosition | None:
    if after is None or isinstance(after, str):
        return None if after is None else HistoryPosition.parse(after)
    is_number = isinstance(after, int | float) and not isinstance(after, bool)
    if not is_number or not 0 <= after <= LATEST_S:
        raise ValueError(f"{after!r} is neither a position nor a time in Unix seconds")
    return HistoryPosition(round(after * 1000))


def _missed(before: HistoryPosition, found: HistoryEntry, n_finished: int, interval: Interval) -> int:
    """Returns how many intervals finished between the cursor and the entry found, and are gone."""
    number = found.position.number
    if before.number and number > before.number:
        return number - before.number - 1
    # One of the two has no number, or Redis has lost its numbers: estimate by time.
    missed = max(0, ceil((found.start * 1000 - before.time_ms) / interval.length_ms))
    return missed if before.number else min(missed, number - 1 if number else n_finished)
