"""Sessions of a group: each is counted once, and its time is added up as it grows."""

from __future__ import annotations

from collections.abc import Callable

from event_count_logger.config.session_actions import ActionName
from event_count_logger.counting.validation import checked_id
from event_count_logger.store import SessionAction

#: Unix seconds of the end of the year 9999.
LATEST_S = 253_402_300_800


class Session:
    """One session: somebody or something that is there for some time.

    Its time is the sum of the gaps between the moments at which it was there, each up to the timeout of
    the group. All times are Unix seconds; None is now. What comes twice, late or out of order is
    counted as if it had come once and in order.

    All methods raise TypeError or ValueError for an event or a time that cannot be one, and no other error.
    """

    def __init__(
        self, id: str, event: str, act: Callable[[str, str, ActionName, float | None], None]
    ) -> None:
        """See `EventGroup.session`."""
        self.id = id
        self.event = event
        self._act = act

    def start(self, at: float | None = None) -> None:
        """It begins; of several starts only the first one matters."""
        self._act(self.id, self.event, "start", at)

    def heartbeat(self, at: float | None = None) -> None:
        """It is there."""
        self._act(self.id, self.event, "heartbeat", at)

    def end(self, at: float | None = None) -> None:
        """It ends; what comes after that adds nothing."""
        self._act(self.id, self.event, "end", at)


def checked_action(id: object, event: object, name: ActionName, at: object) -> SessionAction:
    """An action whose parts can be sent, as far as they do not depend on the group.

    Raises:
        TypeError: The ID or the event is not a string, or the time not a number.
        ValueError: The ID cannot be one, or the time is none of the years 1970 to 9999.
    """
    id = checked_id(id, "a session")
    if not isinstance(event, str | None):
        raise TypeError(f"the event of a session must be a string, not {event!r}")
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise TypeError(f"the time must be a number of Unix seconds, not {at!r}")
    if not 0 <= at < LATEST_S:
        raise ValueError(f"the time must be Unix seconds from 0 to {LATEST_S}, not {at}")
    return SessionAction(id, event and str.__str__(event), name, at)
