"""The errors of the database of the export. No message contains a password."""

from __future__ import annotations

from event_count_logger.errors import EventCountLoggerError


class DatabaseFault(EventCountLoggerError):
    """The database did not do what was asked: it is down, slow or locked, or rejects the statement.

    The transaction may have been committed. The position in the database shows whether it was.
    """

    def __init__(self, location: str, reason: object) -> None:
        super().__init__(f"Database {location}: {reason}")


class DatabaseUnusable(EventCountLoggerError):
    """The database cannot be used by this version or installation; a retry would not help."""

    def __init__(self, location: str, reason: object) -> None:
        super().__init__(f"Database {location} cannot be used: {reason}")
