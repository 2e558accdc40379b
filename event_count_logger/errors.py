"""The errors of this package.

EventCountLoggerError
+-- ConfigError                 the configuration has problems
+-- NotConfigured               unknown group or interval
+-- EmbeddedServerError         the embedded server does not start
+-- StoreError                  a request to Redis failed
    +-- Unavailable             no usable answer
    |   +-- NotServing          Redis serves no client now
    |   +-- ConnectionRejected  wrong password, unknown database
    |   +-- NotYet              the request waits for the cluster or a confirmation
    |       +-- Unserved
    |       +-- Unconfirmed
    |           +-- NotDurable
    +-- NotConnected            no open connection, and this attempt opens none
    +-- Rejected                Redis answered with an error
    +-- SourceMoved             the stored position is not the expected one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias


class EventCountLoggerError(Exception):
    """Base class of all errors of this package."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a configuration.

    Attributes:
        path: Path of the setting, such as `groups.web.intervals[1]`.
        message: Description of the problem, with the expected value.
        file: Path of the configuration file; None if the configuration is not from a file.
        line: Line in the file, from 1.
        fatal: Whether the problem prevents the use of the configuration.
    """

    path: str
    message: str
    file: str | None = None
    line: int | None = None
    fatal: bool = True

    def __str__(self) -> str:
        place = [str(part) for part in (self.file, self.line) if part is not None]
        return ": ".join(part for part in (":".join(place), self.path, self.message) if part)


class ConfigError(EventCountLoggerError, ValueError):
    """The configuration cannot be used.

    Example:
        try:
            EventCountLogger({"requests": {"events": ["ok"], "intervals": ["5 minutes"]}})
        except ConfigError as error:
            print(len(error.problems), error.problems[0].path)  # 1 groups.requests.intervals[0]

    Attributes:
        problems: All problems of the configuration, also those that would be warnings.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class NotConfigured(EventCountLoggerError, LookupError):
    """The group or interval is not in the configuration, or has no such data (history, totals, sessions).

    Example:
        try:
            reader.last("1h")
        except NotConfigured as error:
            print(error)  # group 'requests' has no interval '1h' (configured: 5m)
    """


#: Whether Redis has carried out the request.
Applied: TypeAlias = Literal["yes", "no", "unknown"]

#: A request that was attempted several times has the first of these values that any attempt has.
SUREST_FIRST: tuple[Applied, ...] = ("yes", "unknown", "no")

#: Time to retry a request: now, later (after a change of the configuration or the server), or never. A commit
#: that is repeated counts once.
Retry: TypeAlias = Literal["now", "later", "never"]


class StoreError(EventCountLoggerError):
    """A request to Redis failed.

    Example:
        try:
            print(reader.last("5m").counts["ok"])  # 4
        except StoreError as error:
            print("no figures:", error, error.retry)

    Attributes:
        applied: Whether Redis has carried out the request.
        retry: Time to retry the request.
    """

    applied: Applied = "unknown"
    retry: Retry = "now"


class Unavailable(StoreError):
    """Redis gave no usable answer: it is down, loading, or rejects the login. Logged once per outage.

    Attributes:
        location: Address of the server, without the password.
    """

    def __init__(self, location: str, reason: object, applied: Applied = "unknown") -> None:
        self.location = location
        self.applied = applied
        super().__init__(f"Redis at {location} cannot be reached: {reason}")


class NotServing(Unavailable):
    """Redis answers, but serves no client now: it is loading, a read-only replica, or busy with a script."""

    def __init__(self, location: str, reason: object, applied: Applied) -> None:
        self.location = location
        self.applied = applied
        Exception.__init__(self, f"Redis at {location} cannot be used now: {reason}")


class ConnectionRejected(Unavailable):
    """Redis answers, but rejects the connection: wrong password, unknown database."""

    applied = "no"
    retry = "later"

    def __init__(self, location: str, reason: object) -> None:
        self.location = location
        Exception.__init__(self, f"Redis at {location} rejects the connection: {reason}")


class NotYet(Unavailable):
    """Redis answers, but the request is not carried out or not confirmed yet. The caller logs it."""


class Unserved(NotYet):
    """No node of the cluster serves a key now. The request was not carried out."""

    applied = "no"

    def __init__(self, location: str, key: str, reason: str) -> None:
        self.location = location
        Exception.__init__(self, f"The cluster does not serve key {key} for now: {reason}")


class Unconfirmed(NotYet):
    """Redis has carried out the request, but the confirmation for the setting `durability` is missing.

    Attributes:
        stored: Position of the source before the request; '' for none.
    """

    applied = "yes"

    def __init__(self, location: str, confirmation: str, stored: str) -> None:
        self.location = location
        self.stored = stored
        Exception.__init__(self, f"Commit to Redis at {location} is not confirmed by {confirmation}")


class NotDurable(Unconfirmed):
    """Redis has carried out the request, but does not support the setting `durability`.

    Attributes:
        key: A key of the request.
    """

    retry = "later"

    def __init__(self, location: str, key: str, durability: str, reason: object, stored: str) -> None:
        self.location = location
        self.key = key
        self.stored = stored
        Exception.__init__(self, f"'durability: {durability}' cannot be kept (key {key}): {reason}")


class NotConnected(StoreError):
    """No request was sent: there is no open connection, and this attempt opens none."""

    applied = "no"


class Rejected(StoreError):
    """Redis answered with an error and changed nothing.

    Attributes:
        key: Key of the request; '' if unknown.
    """

    applied = "no"
    retry = "later"

    def __init__(self, key: str, reason: object) -> None:
        """`key` is the key of the request; '' if unknown."""
        self.key = key
        super().__init__(f"Redis rejects the request{f' (key {key})' if key else ''}: {reason}")


class SourceMoved(StoreError):
    """The stored position of a source is not the expected one. Nothing was counted.

    Another program has committed the source, or Redis has lost data.

    Attributes:
        source: Name of the source, as given to `EventGroup.consume`.
        stored: The stored position; '' for none.
    """

    applied = "no"
    retry = "never"

    def __init__(self, source: str, expected: str, stored: str) -> None:
        self.source = source
        self.stored = stored
        super().__init__(f"Source '{source}' is at position {stored!r}, expected {expected!r}")


class EmbeddedServerError(EventCountLoggerError):
    """The embedded server cannot be started."""
