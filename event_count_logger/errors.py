"""Every error that this package raises on purpose; all derive from `EventCountLoggerError`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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


class StoreError(EventCountLoggerError):
    """Redis did not do what it was asked; nothing says that it will not do so later."""


class Unavailable(StoreError):
    """Redis gave no answer: whether it did what it was asked is unknown."""

    def __init__(self, location: str, reason: object, hint: str = "") -> None:
        self.location = location
        super().__init__(f"Redis at {location} cannot be reached: {reason}{hint}")


class NotYet(Unavailable):
    """Redis answers, but what it was asked is not done, or not wholly: repeat. Whoever asks tells of it."""


class Unserved(NotYet):
    """The cluster lets nobody at a key for now: nothing was done."""

    def __init__(self, location: str, key: str, reason: str) -> None:
        self.location = location
        Exception.__init__(self, f"The cluster does not serve key {key} for now: {reason}")


class Unconfirmed(NotYet):
    """Redis has done what it was asked, but not yet as safely as the setting `durability` wants it: repeat.

    Attributes:
        stored: Position that was stored for the source before; '' for none.
    """

    def __init__(self, location: str, confirmation: str, stored: str) -> None:
        self.location = location
        self.stored = stored
        Exception.__init__(self, f"What Redis at {location} counts is not confirmed by {confirmation}")


class NotConnected(StoreError):
    """There is no connection, and none was to be made: nothing was asked."""


class Unauthorized(Unavailable):
    """Redis does not let this user in, so it does nothing for it."""


class Rejected(StoreError):
    """Redis answered with an error, and changed nothing."""

    def __init__(self, key: str, reason: object) -> None:
        self.key = key
        super().__init__(f"Redis refuses (key {key}): {reason}")


class NotDurable(Rejected):
    """The server cannot keep what the setting `durability` promises; it has done what it was asked.

    Attributes:
        stored: See `Unconfirmed`.
    """

    def __init__(self, key: str, durability: str, reason: object, stored: str) -> None:
        self.key = key
        self.stored = stored
        Exception.__init__(self, f"'durability: {durability}' cannot be kept (key {key}): {reason}")


class SourceMoved(StoreError):
    """A source is not where it was left: something else has committed it, or Redis has lost data."""

    def __init__(self, source: str, expected: str, stored: str) -> None:
        self.source = source
        self.stored = stored
        super().__init__(f"Source '{source}' is at {stored!r}, not at {expected!r} where it was left")


class EmbeddedServerError(EventCountLoggerError):
    """The embedded server cannot be started."""
