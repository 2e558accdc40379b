"""The export of one interval of one group: moves finished intervals into the database, in batches.

    follower -> up to 100 intervals, or about 10,000 counts -> one transaction -> next batch

The position in the database decides. It is read again after an error, and when another exporter was faster. A
new follower then begins there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from event_count_logger.config import GroupConfig
from event_count_logger.errors import NotYet, Rejected, StoreError
from event_count_logger.export.database import Database
from event_count_logger.export.series import Series
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log, counted
from event_count_logger.reading.follow import After, Follower
from event_count_logger.reading.reader import Snapshot
from event_count_logger.store import HistoryPosition, Store

#: Limits of one transaction, which also limit the memory: intervals, and counts.
_MOST_INTERVALS, _MOST_COUNTS = 100, 10_000

#: Intervals that one transaction deletes.
_MOST_DELETED = 100

#: Seconds between searches for intervals to delete.
_DELETE_S = 60.0

#: Seconds to the next attempt after Redis rejected a request.
_REJECTED_S = 5.0


class SeriesExport:
    """The export of one interval of one group.

    Attributes:
        group: The group.
        interval: The interval.
        position: Position of the last exported interval; '' before the database was asked.
        rejection: The error of the last attempt, if Redis has rejected it.
        due_at: Time of the next attempt, by the monotonic clock.
    """

    def __init__(
        self, group: GroupConfig, interval: Interval, store: Store, database: Database, log: Log
    ) -> None:
        self.group = group
        self.interval = interval
        self.position = ""
        self._store = store
        self._database = database
        self._log = log
        self._series: Series | None = None
        self._follower: Follower | None = None
        self.rejection: Rejected | NotYet | None = None
        self.due_at = 0.0
        self._delete_at = 0.0

    def advance(self) -> float:
        """Export the next batch; return seconds to wait before the next call.

        Raises:
            DatabaseFault: No success.
            Unavailable: Redis does not answer.
        """
        try:
            return self._advance()
        except (Rejected, NotYet) as error:
            if str(error) != str(self.rejection):
                self._log.warning(
                    "Group '%s', interval '%s': not exported: %s", self.group.name, self.interval.name, error
                )
            self.rejection = error
            return _REJECTED_S
        except BaseException:
            self._series = None  # the position in the database may have moved
            raise

    def _advance(self) -> float:
        if not self._series:
            self._begin()
        assert self._series and self._follower
        snapshots, wait_s = read_batch(self._follower)
        if self._has_restarted(HistoryPosition.parse(self._series.position), snapshots):
            self._follower = self._followed_from(0)
            wait_s = 0
        elif snapshots:
            self._write(self._series, snapshots)
        self.rejection = None
        return wait_s

    def _has_restarted(self, position: HistoryPosition, found: Sequence[Snapshot]) -> bool:
        """Returns whether the history was restarted, and its follower has not noticed."""
        if self.group.n_shards > 1:
            return not found and self._ends_before(position)
        first = HistoryPosition.parse(found[0].position or "") if found else position
        return first > position and first.number != position.number + 1 and self._has_forgotten(position)

    def _ends_before(self, position: HistoryPosition) -> bool:
        newest = self._store.reads.history(self.group, self.interval, 1)
        return bool(newest) and newest[0].position < position

    def _has_forgotten(self, position: HistoryPosition) -> bool:
        """Returns whether the history has intervals before a position, but not the one of the position."""
        newest = next(self._store.shard_reads.before(self.group, self.interval, str(position), 1), None)
        return newest is not None and newest.position != position

    def _begin(self) -> None:
        self._series = self._database.series(self.group.name, self.interval.name)
        self.position = self._series.position
        is_new = self.position == str(HistoryPosition(0))
        self._follower = self._followed_from(0 if is_new else self.position)

    def _followed_from(self, position: After) -> Follower:
        return Follower(self._store, self.group, self.interval, position)

    def _write(self, series: Series, snapshots: Sequence[Snapshot]) -> None:
        after = self._database.append(series, snapshots)
        if after is None:  # another exporter was faster
            self._series = None
            return
        self._series, self.position = after, after.position
        self._report(series, after, snapshots)

    def _report(self, before: Series, after: Series, snapshots: Sequence[Snapshot]) -> None:
        """Log intervals that the history no longer held, and a history that was restarted."""
        named = self.group.name, self.interval.name
        missed = sum(each.missed for each in snapshots)
        if missed and before.last_number:
            self._log.warning(
                "Group '%s', interval '%s': %s not exported: the history no longer held them",
                *named,
                counted(missed, "interval"),
            )
        if after.restarts > before.restarts:
            self._log.warning(
                "Group '%s', interval '%s': the history in Redis was restarted; "
                "intervals that are not in the database are exported",
                *named,
            )

    def delete_old(self, keep_s: float) -> bool:
        """Delete some intervals that are too old, about once a minute; return whether there may be more.

        Raises:
            DatabaseFault: No success.
            Unavailable: Redis does not answer.
        """
        if not self._series or time.monotonic() < self._delete_at:
            return False
        before = self._store.client.server_time(self.group) - keep_s
        if self._database.delete_before(self._series, before, _MOST_DELETED) == _MOST_DELETED:
            return True
        self._delete_at = time.monotonic() + _DELETE_S
        return False


def read_batch(follower: Follower) -> tuple[list[Snapshot], float]:
    """Returns the finished intervals of the next transaction, and the seconds to wait after them.

    Raises:
        StoreError: See `Follower.read`.
    """
    snapshots: list[Snapshot] = []
    n_counts = 0
    while len(snapshots) < _MOST_INTERVALS and n_counts < _MOST_COUNTS:
        try:
            snapshot, wait_s = follower.read()
        except StoreError:
            if not snapshots:
                raise
            break  # first export the intervals that were read
        if snapshot is None:
            return snapshots, wait_s
        snapshots.append(snapshot)
        n_counts += len(snapshot.counts) or 1
    return snapshots, 0.0
