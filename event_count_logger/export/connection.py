"""The connection to a database: URL, transactions, and errors without passwords."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url

from event_count_logger.config import ExportConfig
from event_count_logger.export.faults import DatabaseFault, DatabaseUnusable

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

#: The greatest time of a database, in milliseconds: the end of the year 9999.
_LATEST_MS = 253_402_300_799_999

#: Time after which PostgreSQL ends a transaction whose exporter was stopped or has lost its network, so that
#: others get its lock. Each transaction sets the time, because a pooler may give it another session.
_LIMIT_IDLE_TRANSACTION = "SET LOCAL idle_in_transaction_session_timeout = '60s'"

#: Errors of drivers that SQLAlchemy does not convert, such as those of values that the database cannot hold.
_RAW_ERRORS = (OSError, ArithmeticError, ValueError, TypeError)

#: Options of the connections of libpq. Without the times, a lost network would be noticed after hours.
_LIBPQ: Mapping[str, int | str | None] = {
    "client_encoding": "utf8",
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}


class DatabaseConnection:
    """One connection, which is renewed when it breaks. For one thread at a time.

    Attributes:
        location: The address of the database for people.
    """

    def __init__(self, config: ExportConfig) -> None:
        """Does not connect.

        Raises:
            DatabaseUnusable: The URL is invalid, or its driver is not installed.
        """
        self.location = config.location
        self._secrets: tuple[str, ...] = ()
        try:
            url = make_url(config.url)
            url = url if config.password is None else url.set(password=config.password)
            self._secrets = _forms(str(url.password or ""))
            self._engine = create_engine(
                url, connect_args=_options(url), pool_size=1, max_overflow=0, pool_pre_ping=True
            )
            if self._engine.dialect.is_async:
                raise exc.ArgumentError("its driver is asynchronous (for example, use postgresql+psycopg)")
        except (exc.ArgumentError, ImportError, ValueError, TypeError) as error:
            raise DatabaseUnusable(self.location, self._reason(error)) from None
        self.dialect = self._engine.dialect.name
        if self.dialect == "sqlite":
            _control_transactions(self._engine)
        elif self.dialect == "postgresql":
            event.listen(self._engine, "begin", _limit_idle_time)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection in a transaction, which is committed at the end.

        Raises:
            DatabaseFault: No success; the transaction may have been committed.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except (exc.SQLAlchemyError, *_RAW_ERRORS) as error:
            raise DatabaseFault(self.location, self._reason(error)) from None

    def time(self, time_s: float | None) -> Any:
        """Returns Unix seconds as the database stores a time."""
        time_ms = min(max(0, round((time_s or 0) * 1000)), _LATEST_MS)
        return time_ms / 1000 if self.dialect == "sqlite" else _EPOCH + timedelta(milliseconds=time_ms)

    def close(self) -> None:
        """Close the connection; the next transaction opens a new one."""
        self._engine.dispose()

    def _reason(self, error: Exception) -> str:
        """Returns the message of an error in one line, without passwords."""
        cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig else error
        reason = str(cause)
        for secret in self._secrets:
            reason = reason.replace(secret, "***")
        return " ".join(reason.split()) or type(cause).__name__


def _forms(password: str) -> tuple[str, ...]:
    """Returns the forms in which a password may appear in a message, the longest first."""
    forms = {password, quote(password, safe=""), quote_plus(password)} - {""}
    return tuple(sorted(forms, key=len, reverse=True))


def _options(url: URL) -> dict[str, int | str | None]:
    """Returns options of the driver that the URL does not have."""
    driver = url.get_driver_name()
    options = dict(_LIBPQ) if driver in ("psycopg", "psycopg2") else {}
    if driver == "psycopg":
        options["prepare_threshold"] = None  # a pooler does not keep prepared statements
    return {name: value for name, value in options.items() if name not in url.query}


def _limit_idle_time(connection: Connection) -> None:
    connection.exec_driver_sql(_LIMIT_IDLE_TRANSACTION)


def _control_transactions(engine: Engine) -> None:
    """Begin each transaction of SQLite with its lock, because Python's driver begins it late or never."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")  # readers and the exporter do not wait for each other

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
