"""Every error that this package raises on purpose; all derive from `EventCountLoggerError`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from event_count_logger.config import Problem


class EventCountLoggerError(Exception):
    """Something in this package failed; its subclasses say what."""


class ConfigError(EventCountLoggerError, ValueError):
    """The configuration cannot be used; `problems` holds everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class StoreError(EventCountLoggerError):
    """Redis did not do what it was asked; nothing says that it will not do so later."""


class Unavailable(StoreError):
    """Redis gave no answer: whether it did what it was asked is unknown."""

    def __init__(self, location: str, reason: object, hint: str = "") -> None:
        self.location = location
        super().__init__(f"Redis at {location} cannot be reached: {reason}{hint}")


class Rejected(StoreError):
    """Redis answered with an error, and changed nothing."""

    def __init__(self, key: str, reason: object) -> None:
        self.key = key
        super().__init__(f"Redis refuses (key {key}): {reason}")


class EmbeddedServerError(EventCountLoggerError):
    """The embedded server cannot be started."""
