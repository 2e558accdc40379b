"""Every error that this package raises on purpose; all derive from `EventCountLoggerError`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias


class EventCountLoggerError(Exception):
    """Something in this package failed; its subclasses say what."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a configuration.

    Attributes:
        path: Where in the configuration, such as `groups.web.intervals[1]`.
        message: What is wrong there, and what was expected.
        file: The file, if the configuration came from one.
        line: The line in it, from 1.
        fatal: Whether the configuration cannot be used because of it.
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
    """The configuration cannot be used; `problems` holds everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class NotConfigured(EventCountLoggerError, LookupError):
    """There is no such group or interval in the configuration, or it does not keep what was asked for."""


#: Whether Redis has done what it was asked.
Applied: TypeAlias = Literal["yes", "no", "unknown"]

#: The first of these that is true of one of several attempts is true of all of them together.
SUREST_FIRST: tuple[Applied, ...] = ("yes", "unknown", "no")

#: When to send a request again: at any time, once the configuration or the server was changed, or
#: not at all. Sending a commit again never counts twice.
Retry: TypeAlias = Literal["now", "later", "never"]


class StoreError(EventCountLoggerError):
    """A request to Redis failed.

    Attributes:
        applied: Whether Redis has done what it was asked.
        retry: When to send the request again.
    """

    applied: Applied = "unknown"
    retry: Retry = "now"


class Unavailable(StoreError):
    """Redis gave no answer that helps. The store logs an outage once, and its end."""

    def __init__(self, location: str, reason: object, applied: Applied = "unknown") -> None:
        self.location = location
        self.applied = applied
        super().__init__(f"Redis at {location} cannot be reached: {reason}")


class NotServing(Unavailable):
    """Redis answers, and serves no client now: it is loading, a read-only replica, busy with a script."""

    def __init__(self, location: str, reason: object, applied: Applied) -> None:
        self.location = location
        self.applied = applied
        Exception.__init__(self, f"Redis at {location} cannot be used now: {reason}")


class ConnectionRejected(Unavailable):
    """Redis answers, and accepts no connection with this configuration: wrong password, unknown database."""

    applied = "no"
    retry = "later"

    def __init__(self, location: str, reason: object) -> None:
        self.location = location
        Exception.__init__(self, f"Redis at {location} rejects the connection: {reason}")


class NotYet(Unavailable):
    """Redis answers, and the request is not done, or not as safely as wanted. The caller logs it."""


class Unserved(NotYet):
    """No node of the cluster serves a key now: nothing was done."""

    applied = "no"

    def __init__(self, location: str, key: str, reason: str) -> None:
        self.location = location
        Exception.__init__(self, f"The cluster does not serve key {key} for now: {reason}")


class Unconfirmed(NotYet):
    """Redis has done what it was asked, but not yet as safely as the setting `durability` wants it.

    Attributes:
        stored: Position that was stored for the source before; '' for none.
    """

    applied = "yes"

    def __init__(self, location: str, confirmation: str, stored: str) -> None:
        self.location = location
        self.stored = stored
        Exception.__init__(self, f"What Redis at {location} counts is not confirmed by {confirmation}")


class NotDurable(Unconfirmed):
    """The server cannot do what the setting `durability` wants; it has done what it was asked."""

    retry = "later"

    def __init__(self, location: str, key: str, durability: str, reason: object, stored: str) -> None:
        self.location = location
        self.key = key
        self.stored = stored
        Exception.__init__(self, f"'durability: {durability}' cannot be kept (key {key}): {reason}")


class NotConnected(StoreError):
    """There is no connection, and none was to be made: nothing was asked."""

    applied = "no"


class Rejected(StoreError):
    """Redis answered with an error, and changed nothing."""

    applied = "no"
    retry = "later"

    def __init__(self, key: str, reason: object) -> None:
        """`key` is the one that the request was about, or ''."""
        self.key = key
        super().__init__(f"Redis refuses{f' (key {key})' if key else ''}: {reason}")


class SourceMoved(StoreError):
    """The stored position of a source is not the expected one: something else has committed it, or Redis has
    lost data. Nothing was counted.
    """

    applied = "no"
    retry = "never"

    def __init__(self, source: str, expected: str, stored: str) -> None:
        self.source = source
        self.stored = stored
        super().__init__(f"Source '{source}' is at {stored!r}, not at {expected!r} where it was left")


class EmbeddedServerError(EventCountLoggerError):
    """The embedded server cannot be started."""
