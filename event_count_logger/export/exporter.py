"""The exporter: moves finished intervals from the history in Redis into the database, in batches.

One `SeriesExport` for each group and interval:

    follower -> up to 100 intervals, or about 10,000 counts -> one transaction -> next batch

The position in the database decides. It is read again after an error, and when another exporter was faster. A
new follower then begins there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from event_count_logger.config import Config, GroupConfig
from event_count_logger.errors import Rejected, StoreError, Unavailable
from event_count_logger.export.database import Database, Series
from event_count_logger.export.faults import DatabaseFault
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

#: Seconds to the next attempt while Redis is unavailable, and after it rejected a request.
_RETRY_S, _REJECTED_S = 0.5, 5.0

#: The longest wait: a reload takes effect after it.
_LONGEST_WAIT_S = 5.0


class SeriesExport:
    """The export of one interval of one group.

    Attributes:
        group: The group.
        interval: The interval.
        position: Position of the last exported interval; '' before the database was asked.
        rejection: The error of the last attempt, if Redis has rejected it.
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
        self.rejection: Rejected | None = None
        self._delete_at = 0.0

    def advance(self) -> float:
        """Export the next batch; return seconds to wait before the next call.

        Raises:
            DatabaseFault: No success.
            Unavailable: Redis does not answer.
        """
        try:
            return self._advance()
        except Rejected as error:
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
        if snapshots:
            self._write(self._series, snapshots)
        elif self.group.n_shards > 1 and self._has_restarted(self._series):
            self._follower = self._followed_from(0)
            wait_s = 0
        self.rejection = None
        return wait_s

    def _has_restarted(self, series: Series) -> bool:
        """Returns whether the history ends before the position; a follower sees that only without shards."""
        newest = self._store.reads.history(self.group, self.interval, 1)
        return bool(newest) and newest[0].position < HistoryPosition.parse(series.position)

    def _begin(self) -> None:
        self._series = self._database.series(self.group.name, self.interval.name)
        self.position = self._series.position
        self._follower = self._followed_from(0 if self.position == str(HistoryPosition(0)) else self.position)

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

    def delete_old(self, keep_s: float) -> None:
        """Delete the intervals that are too old, about once a minute.

        Raises:
            DatabaseFault: No success.
            Unavailable: Redis does not answer.
        """
        if not self._series or time.monotonic() < self._delete_at:
            return
        before = self._store.client.server_time(self.group) - keep_s
        if self._database.delete_before(self._series, before, _MOST_DELETED) < _MOST_DELETED:
            self._delete_at = time.monotonic() + _DELETE_S


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


class Exporter:
    """The exports of all series of a configuration.

    Attributes:
        progressed_at: Time of the last progress, by the monotonic clock.
    """

    def __init__(self, config: Config, store: Store, database: Database, log: Log) -> None:
        """Does not connect."""
        assert config.export
        self._keep_s = config.export.keep
        self._database = database
        self._exports = [
            SeriesExport(group, interval, store, database, log) for group, interval in config.exported
        ]
        self._is_prepared = False
        self.progressed_at = time.monotonic()

    def step(self) -> float:
        """Export the next batch of each series, and return the seconds to wait before the next step.

        Groups whose Redis is unavailable are left out.

        Raises:
            DatabaseFault: No success; the next step reads the positions again.
            DatabaseUnusable: A newer version of this package has made the tables.
        """
        waits_s = [_LONGEST_WAIT_S]
        for export in self._prepared():
            try:
                waits_s.append(self._advance(export))
            except Unavailable:  # logged by the store
                waits_s.append(_RETRY_S)
            self.progressed_at = time.monotonic()
        return min(waits_s)

    def export_all(self) -> None:
        """Export everything that has finished so far.

        Raises:
            DatabaseFault: No success.
            DatabaseUnusable: A newer version of this package has made the tables.
            Rejected: Redis rejects a request.
            Unavailable: Redis does not answer.
        """
        for export in self._prepared():
            while self._advance(export) == 0:
                pass
            if export.rejection:
                raise export.rejection

    def positions(self, group: GroupConfig) -> Mapping[str, str]:
        """Returns the exported position of each interval of a group, where it is known."""
        return {
            export.interval.name: export.position
            for export in self._exports
            if export.group.name == group.name and export.position
        }

    def _prepared(self) -> Sequence[SeriesExport]:
        if not self._is_prepared:
            self._database.prepare()
            self._is_prepared = True
        return self._exports

    def _advance(self, export: SeriesExport) -> float:
        try:
            wait_s = export.advance()
            if self._keep_s is not None:
                export.delete_old(self._keep_s)
            return wait_s
        except DatabaseFault:
            self._is_prepared = False  # it may be another database now, restored from a backup
            raise
