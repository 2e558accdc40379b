"""The tables in the database, and the steps that lead to the current version of them.

    ecl_schema     one row: the version of the tables
    ecl_series     one row per group and interval: name, and the position up to which it was exported
    ecl_intervals  one row per finished interval: number in its series, start, end, what is missing before it
    ecl_counts     one row per finished interval and event: count; also the start, for sums over a time

Times are `timestamp with time zone` in PostgreSQL, and Unix seconds in SQLite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Double,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects import mysql

#: Any constant: two exporters that create the tables at the same time lock it.
_LOCK = 4_153_926_071

_METADATA = MetaData()

_TIME = (
    DateTime(timezone=True)
    .with_variant(Numeric(asdecimal=False), "sqlite")
    .with_variant(mysql.DATETIME(fsp=3), "mysql", "mariadb")
)

#: IDs and names differ in upper and lower case.
_NAME = String(512).with_variant(mysql.VARCHAR(512, collation="utf8mb4_bin"), "mysql", "mariadb")
_NAME = _NAME.with_variant(Text(), "sqlite", "postgresql")

VERSION_TABLE = Table("ecl_schema", _METADATA, Column("version", Integer, nullable=False))

SERIES = Table(
    "ecl_series",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("group_name", _NAME, nullable=False),
    Column("interval_name", String(32), nullable=False),
    Column("position", String(48), nullable=False),
    Column("last_number", BigInteger, nullable=False),
    Column("restarts", Integer, nullable=False),
    UniqueConstraint("group_name", "interval_name"),
)

INTERVALS = Table(
    "ecl_intervals",
    _METADATA,
    Column("series_id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("started_at", _TIME, nullable=False),
    Column("ended_at", _TIME, nullable=False),
    Column("span_s", Double, nullable=False),
    Column("missed_before", BigInteger, nullable=False),
    Column("restarts", Integer, nullable=False),
    Column("position", String(48), nullable=False),
    UniqueConstraint("series_id", "restarts", "position"),
    Index("ecl_intervals_by_time", "series_id", "started_at"),
    sqlite_with_rowid=False,
)

COUNTS = Table(
    "ecl_counts",
    _METADATA,
    # In the order of the primary key, which finds all events in a range of time.
    Column("series_id", Integer, primary_key=True, autoincrement=False),
    Column("started_at", _TIME, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("event", _NAME, primary_key=True),
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

#: Finds the counts of an event in a range of time without the table: it contains the counts.
_BY_EVENT = {
    "postgresql": "CREATE INDEX ecl_counts_by_event ON ecl_counts (series_id, event, started_at) "
    "INCLUDE (count)",
    "": "CREATE INDEX ecl_counts_by_event ON ecl_counts (series_id, event, started_at, count)",
}

#: Lets autovacuum run after 1 % of new rows, not 20 %: sums then read the index only. Since PostgreSQL 13.
_AUTOVACUUM = "ALTER TABLE ecl_counts SET (autovacuum_vacuum_insert_scale_factor = 0.01)"

_EVENTS_VIEW = """
CREATE VIEW ecl_events AS
SELECT s.group_name, s.interval_name, c.event, c.started_at, c.count
FROM ecl_counts c JOIN ecl_series s ON s.id = c.series_id
"""

#: The day is that of the session's time zone.
_DAILY_VIEW = """
CREATE VIEW ecl_daily AS
SELECT s.group_name, s.interval_name, c.event, c.started_at::date AS day, sum(c.count) AS count
FROM ecl_counts c JOIN ecl_series s ON s.id = c.series_id
GROUP BY 1, 2, 3, 4
"""


class NewerSchema(Exception):
    """The tables were made by a newer version of this package."""


def _create(connection: Connection) -> None:
    """Create the tables of version 1."""
    dialect = connection.dialect.name
    _METADATA.create_all(connection)
    connection.execute(text(_BY_EVENT.get(dialect, _BY_EVENT[""])))
    connection.execute(text(_EVENTS_VIEW))
    if dialect == "postgresql":
        connection.execute(text(_DAILY_VIEW))
        if (connection.dialect.server_version_info or ()) >= (13,):
            connection.execute(text(_AUTOVACUUM))


#: The steps from each version of the tables to the next one, beginning with an empty database.
STEPS: Sequence[Callable[[Connection], None]] = (_create,)


def migrate(connection: Connection) -> None:
    """Bring the tables to the current version, in the transaction of a connection.

    Raises:
        NewerSchema: A newer version of this package has made them.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    version = _version(connection)
    newest = len(STEPS)
    if version > newest:
        raise NewerSchema(f"its tables have version {version}, and this program knows up to {newest}")
    for step in STEPS[version:]:
        step(connection)
    if not version:
        connection.execute(VERSION_TABLE.insert().values(version=newest))
    elif version < newest:
        connection.execute(VERSION_TABLE.update().values(version=newest))


def _version(connection: Connection) -> int:
    """Returns the version of the tables; 0 without any."""
    if not inspect(connection).has_table(VERSION_TABLE.name):
        return 0
    return int(connection.execute(select(VERSION_TABLE.c.version)).scalar_one())
