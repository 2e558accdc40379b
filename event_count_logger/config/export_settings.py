"""The settings of the export into a database."""

from __future__ import annotations

import re
from dataclasses import field

from event_count_logger.config.checks import Check, Invalid, duration, line, list_of, show
from event_count_logger.config.credentials import credentials_table, without_password
from event_count_logger.config.environment import as_written
from event_count_logger.config.settings import Table, section, setting, settings_of

#: A URL of SQLAlchemy: the database, the driver, and the rest.
_URL = re.compile(r"(?s)[a-z][a-z0-9_]*(\+[a-z][a-z0-9_]*)?://.*")

#: A URL of a server, as SQLAlchemy splits it: user, password, host, port, database, query.
_SERVER = re.compile(r"(?s)[^:]+://([^:/]*(:[^@]*)?@)?(\[[^]/?]*\]|[^/:?@]*)(:[0-9]*)?(/[^?@]*)?(\?.*)?")

#: A URL of SQLite: everything before the path, the path, and the query.
_SQLITE = re.compile(r"(?s)(sqlite(?:\+[a-z0-9_]+)?://)(?:/([^?]*))?(.*)")


def _url(value: object) -> str:
    if not isinstance(value, str):
        raise Invalid("is not a string")
    if not _URL.fullmatch(value):
        shown = show(without_password(str(as_written(value))))
        raise Invalid(
            f"{shown} is not a database URL (for example sqlite:///counts.db or "
            "postgresql+psycopg://ecl@db.example.org/ecl)"
        )
    sqlite = _SQLITE.fullmatch(value)
    if sqlite and sqlite[2] in (None, "", ":memory:"):
        raise Invalid("names no file, such as sqlite:///counts.db (a database in memory is lost at exit)")
    if not sqlite and not _SERVER.fullmatch(value):
        raise Invalid(
            "cannot be split into user, password, host, port and database (in a password, write @ as %40)"
        )
    return str(value)


@section
class ExportConfig:
    """The database that `ecl export` writes finished intervals to.

    Attributes:
        password: Password of the database; None if the URL has it, or if none is needed.
    """

    url: str = setting(
        Check(_url, "a database URL"),
        example="postgresql+psycopg://ecl@db.example.org/ecl",
        repr=False,
        since="2.0",
        meaning="Address of the database, in the form of SQLAlchemy. The path of a SQLite file is relative "
        "to the configuration.",
    )
    groups: tuple[str, ...] | None = setting(
        list_of(line, "a list of groups"),
        default=None,
        default_text="all groups that keep a history and are not hidden",
        since="2.0",
        meaning="Groups to export.",
    )
    intervals: tuple[str, ...] | None = setting(
        list_of(line, "a list of intervals"),
        default=None,
        default_text="all intervals of these groups",
        since="2.0",
        meaning="Intervals to export.",
    )
    keep: float | None = setting(
        duration,
        default=None,
        default_text="forever",
        since="2.0",
        meaning="Time after which an interval is deleted from the database.",
    )
    password: str | None = field(default=None, repr=False)

    @property
    def location(self) -> str:
        """The address of the database for people, without any password."""
        return without_password(self.url)


_CREDENTIALS = credentials_table("the database, if the URL has none", "2.0")

EXPORT: Table = {
    **settings_of(ExportConfig),
    **{name: entry for name, entry in _CREDENTIALS.items() if name.startswith("password")},
}


def absolute_sqlite(url: str, base: str) -> str:
    """Returns a URL in which the path of a SQLite file is absolute; any other URL unchanged."""
    match = _SQLITE.fullmatch(url)
    if not match or match[2].startswith(("/", "file:")):
        return url
    return f"{match[1]}/{base.rstrip('/')}/{match[2]}{match[3]}"
