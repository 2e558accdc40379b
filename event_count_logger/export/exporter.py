"""The exporter: one `SeriesExport` for each group and interval, in turn."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from event_count_logger.config import Config, GroupConfig
from event_count_logger.errors import Unavailable
from event_count_logger.export.database import Database
from event_count_logger.export.faults import DatabaseFault
from event_count_logger.export.series_export import SeriesExport
from event_count_logger.logs import Log
from event_count_logger.store import Store

#: Seconds to the next attempt while Redis is unavailable.
_RETRY_S = 0.5

#: The longest wait: a reload takes effect after it.
_LONGEST_WAIT_S = 5.0


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
        """Export the next batch of each series that is due; return the seconds to wait before the next step.

        Groups whose Redis is unavailable are left out.

        Raises:
            DatabaseFault: No success; the next step reads the positions again.
            DatabaseUnusable: A newer version of this package has made the tables.
        """
        for export in self._prepared():
            if time.monotonic() < export.due_at:
                continue
            try:
                wait_s = self._advance(export)
            except Unavailable:  # logged by the store
                wait_s = _RETRY_S
            self.progressed_at = time.monotonic()
            export.due_at = self.progressed_at + wait_s
        due_at = min((export.due_at for export in self._exports), default=0.0)
        return min(max(0.0, due_at - time.monotonic()), _LONGEST_WAIT_S)

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

    def close(self) -> None:
        """Close the connection to the database."""
        self._database.close()

    def _prepared(self) -> Sequence[SeriesExport]:
        if not self._is_prepared:
            self._database.prepare()
            self._is_prepared = True
        return self._exports

    def _advance(self, export: SeriesExport) -> float:
        try:
            wait_s = export.advance()
            has_more_to_delete = self._keep_s is not None and export.delete_old(self._keep_s)
            return 0.0 if has_more_to_delete else wait_s
        except DatabaseFault:
            self._is_prepared = False  # it may be another database now, restored from a backup
            others = [other for other in self._exports if other is not export]
            self._exports = [*others, export]  # data that the database rejects hold up this series only
            raise
