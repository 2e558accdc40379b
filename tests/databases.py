"""The databases of the tests of `ecl export`, and their contents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy.engine import Connection

from event_count_logger.export.schema import COUNTS, INTERVALS, SERIES


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def query(url: str, statement: Any, **values: Any) -> list[tuple[Any, ...]]:
    with connected(url) as connection:
        if isinstance(statement, str):
            statement = sqlalchemy.text(statement)
        return [tuple(row) for row in connection.execute(statement, values)]


def has_tables(url: str) -> bool:
    with connected(url) as connection:
        return sqlalchemy.inspect(connection).has_table(COUNTS.name)


def totals(url: str, group: str = "g") -> dict[str, int]:
    """Sums of all counts of a group; empty without tables. Counts that are there twice add to them."""
    if not has_tables(url):
        return {}
    found: Counter[str] = Counter()
    statement = (
        sqlalchemy.select(COUNTS.c.event, COUNTS.c.count)
        .join(SERIES, SERIES.c.id == COUNTS.c.series_id)
        .where(SERIES.c.group_name == group)
    )
    for event, count in query(url, statement):
        found[event] += count
    return dict(found)


def missed(url: str) -> list[int]:
    """Numbers of missing intervals before each interval."""
    statement = sqlalchemy.select(INTERVALS.c.missed_before).order_by(INTERVALS.c.number)
    return [number for (number,) in query(url, statement)]


def unix_spans(url: str) -> list[tuple[float, float]]:
    """Start and end of each interval in Unix seconds, in the order of their export."""
    columns = (INTERVALS.c.started_at, INTERVALS.c.ended_at)
    rows = query(url, sqlalchemy.select(*columns).order_by(INTERVALS.c.series_id, INTERVALS.c.number))
    return [(_unix(start), _unix(end)) for start, end in rows]


def _unix(time: Any) -> float:
    return float(time) if isinstance(time, int | float) else float(time.timestamp())
