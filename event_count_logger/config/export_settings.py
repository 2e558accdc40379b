"""The settings of the export into a database."""

from __future__ import annotations

from event_count_logger.config.checks import duration, line, list_of, text
from event_count_logger.config.settings import section, setting, settings_of


@section
class ExportConfig:
    """The database that `ecl export` writes finished intervals to."""

    url: str = setting(
        text,
        example="postgresql+psycopg://ecl@db.example.org/ecl",
        repr=False,
        since="2.0",
        meaning="Address of the database, in the form of SQLAlchemy. A relative path of SQLite is relative "
        "to the configuration.",
    )
    password: str | None = setting(
        text, default=None, repr=False, since="2.0", meaning="Password, if the URL has none."
    )
    password_file: str | None = setting(
        text, default=None, since="2.0", meaning="File with the password, relative to the configuration."
    )
    password_env: str | None = setting(
        text, default=None, since="2.0", meaning="Environment variable with the password."
    )
    groups: tuple[str, ...] | None = setting(
        list_of(line, "a list of groups"),
        default=None,
        default_text="all groups that keep a history",
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


EXPORT = settings_of(ExportConfig)
