"""The database of the export: connections, and the transactions of the exporter.

Each transaction begins with a compare-and-set of the position in `ecl_series`. If another exporter was
faster, the position differs, and nothing is written. After an error, the position shows whether a transaction
was committed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, text, update

from event_count_logger.config import ExportConfig
from event_count_logger.export.connection import DatabaseConnection
from event_count_logger.export.event_text import event_text
from event_count_logger.export.faults import DatabaseFault, DatabaseUnusable
from event_count_logger.export.schema import COUNTS, INTERVALS, SERIES, NewerSchema, migrate
from event_count_logger.export.series import Series
from event_count_logger.reading.reader import Snapshot
from event_count_logger.store import HistoryPosition


class Database:
    """The tables of one database. For one thread at a time."""

    def __init__(self, config: ExportConfig) -> None:
        """Does not connect.

        Raises:
            DatabaseUnusable: The URL is invalid, or its driver is not installed.
        """
        self._connection = DatabaseConnection(config)

    def close(self) -> None:
        """Close the connection; the next transaction opens a new one."""
        self._connection.close()

    def prepare(self) -> None:
        """Create the tables, or bring them to the current version.

        Raises:
            DatabaseFault: No success.
            DatabaseUnusable: A newer version of this package has made the tables.
        """
        try:
            with self._connection.transaction() as connection:
                migrate(connection)
        except NewerSchema as error:
            raise DatabaseUnusable(self._connection.location, error) from error

    def series(self, group: str, interval: str) -> Series:
        """Returns a series, which begins now if it does not exist.

        Raises:
            DatabaseFault: No success.
        """
        wanted = {"group_name": group, "interval_name": interval}
        try:
            return self._find_series(wanted) or self._begin_series(wanted)
        except DatabaseFault:
            found = self._find_series(wanted)  # another exporter may have begun it at the same time
            if found is None:
                raise
            return found

    def _find_series(self, wanted: Mapping[str, str]) -> Series | None:
        columns = (SERIES.c.id, SERIES.c.position, SERIES.c.last_number, SERIES.c.restarts)
        with self._connection.transaction() as connection:
            found = connection.execute(select(*columns).filter_by(**wanted)).one_or_none()
        return Series(*found) if found else None

    def _begin_series(self, wanted: Mapping[str, str]) -> Series:
        begin = {"position": str(HistoryPosition(0)), "last_number": 0, "restarts": 0}
        with self._connection.transaction() as connection:
            connection.execute(insert(SERIES).values(**wanted, **begin))
        found = self._find_series(wanted)
        assert found is not None
        return found

    def append(self, series: Series, snapshots: Sequence[Snapshot]) -> Series | None:
        """Write finished intervals and the position of the last one, in one transaction.

        Returns:
            The series after it; None if another exporter was faster, and nothing was written.

        Raises:
            DatabaseFault: Perhaps nothing was written; `series` shows it.
        """
        after = series.after(snapshots)
        with self._connection.transaction() as connection:
            if not _move(connection, series, after):
                return None
            self._write(connection, series, after, snapshots)
        return after

    def _write(
        self, connection: Connection, series: Series, after: Series, snapshots: Sequence[Snapshot]
    ) -> None:
        numbered = list(enumerate(snapshots, series.last_number + 1))
        if after.restarts:  # a restored history may contain exported intervals
            numbered = [each for each in numbered if not self._is_exported(connection, series, each[1])]
        if numbered:
            rows = [self._interval_row(after, number, snapshot) for number, snapshot in numbered]
            connection.execute(insert(INTERVALS), rows)
            self._write_counts(connection, series, rows, [snapshot for _, snapshot in numbered])

    def _interval_row(self, series: Series, number: int, snapshot: Snapshot) -> dict[str, Any]:
        return {
            "series_id": series.id,
            "number": number,
            "started_at": self._connection.time(snapshot.start),
            "ended_at": self._connection.time(snapshot.end),
            "span_s": round(snapshot.span_s or 0.0, 3),
            "missed_before": snapshot.missed,
            "restarts": series.restarts,
            "position": snapshot.position,
        }

    def _write_counts(
        self,
        connection: Connection,
        series: Series,
        rows: Sequence[Mapping[str, Any]],
        snapshots: Sequence[Snapshot],
    ) -> None:
        """Write the counts of some intervals, given with their rows in `ecl_intervals`."""
        if self._connection.dialect == "postgresql":
            by_number = {row["number"]: _counts(each) for row, each in zip(rows, snapshots, strict=True)}
            by_number_json = json.dumps(by_number, ensure_ascii=False)
            connection.execute(_INSERT_JSON, {"series_id": series.id, "counts": by_number_json})
            return
        counts = [
            (series.id, row["started_at"], row["number"], event, count)
            for row, each in zip(rows, snapshots, strict=True)
            for event, count in _counts(each).items()
        ]
        if counts and self._connection.dialect == "sqlite":
            connection.exec_driver_sql(_INSERT_ROWS, counts)
        elif counts:
            names = COUNTS.columns.keys()
            connection.execute(insert(COUNTS), [dict(zip(names, each, strict=True)) for each in counts])

    def _is_exported(self, connection: Connection, series: Series, snapshot: Snapshot) -> bool:
        """Returns whether an interval with the same position, span and counts is in the database."""
        same = select(INTERVALS.c.started_at, INTERVALS.c.number).where(
            INTERVALS.c.series_id == series.id,
            INTERVALS.c.position == snapshot.position,
            INTERVALS.c.started_at == self._connection.time(snapshot.start),
        )
        counts = _counts(snapshot)
        rows = connection.execute(same).all()
        return any(counts == _counts_of(connection, series, row[0], row[1]) for row in rows)

    def delete_before(self, series: Series, time_s: float, most: int) -> int:
        """Delete some intervals that ended before a time, with their counts; return their number.

        Raises:
            DatabaseFault: No success.
        """
        time = self._connection.time(time_s)
        old = (
            select(INTERVALS.c.started_at, INTERVALS.c.number)
            .where(
                INTERVALS.c.series_id == series.id, INTERVALS.c.started_at < time, INTERVALS.c.ended_at < time
            )
            .order_by(INTERVALS.c.started_at)
            .limit(most)
        )
        with self._connection.transaction() as connection:
            found = [(row[0], row[1]) for row in connection.execute(old)]
            if found:
                _delete(connection, series, found)
        return len(found)


#: Inserts counts from one JSON object: {number: {event: count}}. Arrays take three times as long, and single
#: rows five times.
_INSERT_JSON = text("""
INSERT INTO ecl_counts (series_id, number, event, started_at, count)
SELECT i.series_id, i.number, one.key, i.started_at, one.value::bigint
FROM json_each(CAST(:counts AS json)) AS counts
JOIN ecl_intervals i ON i.series_id = :series_id AND i.number = counts.key::bigint
CROSS JOIN LATERAL json_each_text(counts.value) AS one
""")

#: Inserts one row for each tuple, without the work of SQLAlchemy on each value.
_INSERT_ROWS = "INSERT INTO ecl_counts (series_id, started_at, number, event, count) VALUES (?, ?, ?, ?, ?)"


def _counts(snapshot: Snapshot) -> dict[str, int]:
    """Returns the counts of an interval as the database stores them."""
    return {event_text(event_id): count for event_id, count in snapshot.counts.items()}


def _move(connection: Connection, before: Series, after: Series) -> bool:
    """Move the position of a series; return False if it is no longer the expected one."""
    statement = (
        update(SERIES)
        .where(
            SERIES.c.id == before.id,
            SERIES.c.position == before.position,
            SERIES.c.last_number == before.last_number,
        )
        .values(position=after.position, last_number=after.last_number, restarts=after.restarts)
    )
    return connection.execute(statement).rowcount == 1


def _delete(connection: Connection, series: Series, rows: Sequence[tuple[Any, int]]) -> None:
    """Delete intervals with their counts; each row has the start and the number of one, in order of time."""
    numbers = [number for _, number in rows]
    connection.execute(
        delete(COUNTS).where(
            COUNTS.c.series_id == series.id,
            COUNTS.c.started_at.between(rows[0][0], rows[-1][0]),
            COUNTS.c.number.in_(numbers),
        )
    )
    connection.execute(
        delete(INTERVALS).where(INTERVALS.c.series_id == series.id, INTERVALS.c.number.in_(numbers))
    )


def _counts_of(connection: Connection, series: Series, started_at: Any, number: int) -> dict[str, int]:
    statement = select(COUNTS.c.event, COUNTS.c.count).where(
        COUNTS.c.series_id == series.id, COUNTS.c.started_at == started_at, COUNTS.c.number == number
    )
    return {row[0]: row[1] for row in connection.execute(statement)}
