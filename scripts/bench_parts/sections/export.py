"""Time of `ecl export` for many finished intervals, and of sums over a year in the database."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import sqlalchemy
from postgres_process import Postgres, postgres_binary

from bench_parts.libraries import event_names
from bench_parts.processes import Bench
from bench_parts.report import Section, Table, Target, at_most, number
from event_count_logger.config import Config, from_dicts
from event_count_logger.export.database import Database
from event_count_logger.export.exporter import Exporter
from event_count_logger.logs import Log
from event_count_logger.store import Store

TEXT = """\
"Export" is the time in which one exporter reads {intervals:,} finished intervals of {events} events from
Redis and writes them, with both databases on this machine and their default settings. The other columns
are queries on the counts of {days} days of `5m` with {events} events, {rows:,} rows in all: the sum per day
of one event in a time zone, and the sum per hour of all events over two days.
The tables were vacuumed and analyzed, as PostgreSQL does by itself after a while. "Bytes" are the size of
the database on disk per count."""

WITHOUT_POSTGRES = " PostgreSQL is not installed on this machine, and not measured."

#: 2026-01-01 in Unix seconds.
BEGIN = 1_767_225_600

LENGTH_S = 300

DAILY = {
    "postgresql": "SELECT (started_at AT TIME ZONE 'Europe/Prague')::date AS day, sum(count) FROM ecl_events "
    "WHERE group_name = 'g' AND interval_name = '5m' AND event = 'e7' GROUP BY day",
    "sqlite": "SELECT date(started_at, 'unixepoch', 'localtime') AS day, sum(count) FROM ecl_events "
    "WHERE group_name = 'g' AND interval_name = '5m' AND event = 'e7' GROUP BY day",
}

HOURLY = {
    "postgresql": "SELECT date_trunc('hour', started_at) AS hour, event, sum(count) FROM ecl_events "
    "WHERE group_name = 'g' AND interval_name = '5m' AND started_at >= to_timestamp({0}) "
    "AND started_at < to_timestamp({1}) GROUP BY hour, event",
    "sqlite": "SELECT strftime('%Y-%m-%d %H', started_at, 'unixepoch') AS hour, event, sum(count) "
    "FROM ecl_events WHERE group_name = 'g' AND interval_name = '5m' AND started_at >= {0} "
    "AND started_at < {1} GROUP BY hour, event",
}

#: Fills the tables with a year, as the exporter would.
FILL = {
    "postgresql": (
        "INSERT INTO ecl_intervals SELECT 1, n, to_timestamp({begin} + 300 * n), "
        "to_timestamp({begin} + 300 * (n + 1)), 300, 0, 0, n::text FROM generate_series(1, {n}) n",
        "INSERT INTO ecl_counts SELECT 1, to_timestamp({begin} + 300 * n), n, 'e' || e, mod(n * e, 1000) "
        "FROM generate_series(1, {n}) n CROSS JOIN LATERAL generate_series(1, {events} + 0 * n) e",
    ),
    "sqlite": (
        "INSERT INTO ecl_intervals WITH RECURSIVE s(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM s "
        "WHERE n < {n}) SELECT 1, n, {begin} + 300 * n, {begin} + 300 * (n + 1), 300, 0, 0, n FROM s",
        "INSERT INTO ecl_counts WITH RECURSIVE e(e) AS (VALUES(1) UNION ALL SELECT e + 1 FROM e "
        "WHERE e < {events}) SELECT 1, started_at, number, 'e' || e, (number * e) % 1000 "
        "FROM ecl_intervals, e",
    ),
}


@dataclass
class Times:
    """The results of one database, in seconds."""

    exports: list[float] = field(default_factory=list)
    daily: list[float] = field(default_factory=list)
    hourly: list[float] = field(default_factory=list)
    bytes_each: float = 0


@dataclass(frozen=True)
class Sizes:
    """Numbers of events, exported intervals, and days of the large table."""

    events: int
    intervals: int
    days: int

    @property
    def rows(self) -> int:
        return self.days * 86_400 // LENGTH_S * self.events


def run(bench: Bench) -> Section:
    is_long = bench.effort.repeats > 1
    sizes = Sizes(100, 1_000, 365) if is_long else Sizes(bench.effort.sizes[0], 20, 2)
    store = _fill_redis(bench, sizes)
    found: dict[str, Times] = {}
    with _databases(bench.folder) as urls:
        for name, url in urls.items():
            found[name] = Times()
            for _ in range(max(1, bench.effort.repeats // 2)):
                found[name].exports.append(_export(bench, sizes, store, url))
            _measure_queries(url, sizes, found[name], bench.effort.repeats)
    store.close()
    text = TEXT.format(events=sizes.events, intervals=sizes.intervals, days=sizes.days, rows=sizes.rows)
    text += "" if "PostgreSQL" in found else WITHOUT_POSTGRES
    return Section("Export", text, [_table(found)], _targets(found))


def _targets(found: dict[str, Times]) -> list[Target]:
    exports = [
        at_most(f"export of 1,000 intervals of 100 events into {name}", median(times.exports), 3, "s")
        for name, times in found.items()
    ]
    postgres = found.get("PostgreSQL")
    longest = max(postgres.daily) if postgres else None
    return [*exports, at_most("sum per day over a year in PostgreSQL, longest", longest, 1, "s")]


def _table(found: dict[str, Times]) -> Table:
    columns = ("seconds", "export", "per day over a year", "the same, longest", "per hour, two days", "bytes")
    rows = [
        (
            name,
            *(number(median(values)) for values in (times.exports, times.daily)),
            number(max(times.daily)),
            number(median(times.hourly)),
            number(times.bytes_each),
        )
        for name, times in found.items()
    ]
    return Table(columns, rows)


@contextmanager
def _databases(folder: Path) -> Iterator[dict[str, str]]:
    """Yields the URL of each database by name."""
    # Not in memory, where the folder may be: the year of counts takes gigabytes.
    file = Path(os.environ.get("TMPDIR", "/tmp")) / f"{folder.name}.db"
    urls = {"SQLite": f"sqlite:///{file}"}
    server = Postgres() if postgres_binary("postgres") else None
    try:
        yield urls | ({"PostgreSQL": server.url} if server else {})
    finally:
        for path in file.parent.glob(f"{file.name}*"):
            path.unlink()
        if server:
            server.close()


def _config(bench: Bench, sizes: Sizes, url: str) -> Config:
    group = {"events": event_names(sizes.events), "intervals": ["5m"], "history": sizes.intervals}
    return from_dicts({"g": group}, {"port": bench.server.port}, export={"url": url})


def _fill_redis(bench: Bench, sizes: Sizes) -> Store:
    config = _config(bench, sizes, "sqlite:///unused.db")
    store, group = Store(config.redis), config.groups["g"]
    counts = dict.fromkeys(group.events, 12_345)
    for n in range(sizes.intervals + 1):
        now = BEGIN + LENGTH_S * n
        store.rotation.rotate(group, group.intervals[0], now)
        store.commits.commit(group, "filler", n, n + 1, counts, now)
    return store


def _export(bench: Bench, sizes: Sizes, store: Store, url: str) -> float:
    """Returns the seconds of an export into an empty database."""
    config = _config(bench, sizes, url)
    assert config.export
    database = Database(config.export)
    database.prepare()
    _execute(url, "DELETE FROM ecl_counts", "DELETE FROM ecl_intervals", "DELETE FROM ecl_series")
    exporter = Exporter(config, store, database, Log("event_count_logger.export"))
    before = time.perf_counter()
    exporter.export_all()
    took_s = time.perf_counter() - before
    database.close()
    return took_s


def _measure_queries(url: str, sizes: Sizes, times: Times, repeats: int) -> None:
    dialect = sqlalchemy.make_url(url).get_backend_name()
    n = sizes.rows // sizes.events
    _execute(url, "DELETE FROM ecl_counts", "DELETE FROM ecl_intervals", "UPDATE ecl_series SET id = 1")
    _execute(url, *(each.format(begin=BEGIN, n=n, events=sizes.events) for each in FILL[dialect]))
    _vacuum(url, dialect)
    times.bytes_each = _size(url, dialect) / sizes.rows
    middle = BEGIN + LENGTH_S * (n // 2)
    for _ in range(repeats):
        times.daily.append(_execute(url, DAILY[dialect]))
        times.hourly.append(_execute(url, HOURLY[dialect].format(middle, middle + 2 * 86_400)))


def _vacuum(url: str, dialect: str) -> None:
    """Do what autovacuum would do meanwhile, and write what was changed to the disk."""
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in ("VACUUM ANALYZE", "CHECKPOINT") if dialect == "postgresql" else ("ANALYZE",):
            connection.exec_driver_sql(statement)
    engine.dispose()


def _size(url: str, dialect: str) -> float:
    pages = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    statement = "SELECT pg_total_relation_size('ecl_counts')" if dialect == "postgresql" else pages
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        size = connection.exec_driver_sql(statement).scalar_one()
    engine.dispose()
    return float(size)


def _execute(url: str, *statements: str) -> float:
    """Returns the seconds of some statements, without the time to connect."""
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT 1")
        before = time.perf_counter()
        for statement in statements:
            done = connection.exec_driver_sql(statement)
            if done.returns_rows:
                done.all()
        took_s = time.perf_counter() - before
    engine.dispose()
    return took_s
