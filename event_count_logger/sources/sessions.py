"""Sessions of a group: each is counted once, and its duration is counted in milliseconds."""

from __future__ import annotations

from collections.abc import Callable

from event_count_logger.config.session_actions import ActionName
from event_count_logger.counting.validation import checked_id
from event_count_logger.store import SessionAction

#: End of the year 9999, Unix seconds.
LATEST_S = 253_402_300_800


class Session:
    """One session, such as a visit or a run of a program; see `EventGroup.session`.

    Its duration is the sum of the gaps between its actions; each gap counts at most the timeout of the group.
    `at` is the time of an action in Unix seconds; None means now. After its end, or a gap longer than the
    setting `expire_after`, the same ID can start another session.

    Actions may be repeated, and may arrive in any order. They count as if each had arrived once and in order,
    unless a count would have to fall. Counts never fall: an end that arrives after later heartbeats leaves
    their time counted. That time is set off against further time of the same ID.

    All methods raise TypeError or ValueError for an invalid event or time, and no other error.

    Example:
        visits = ecl["visits"]
        session = visits.session("visitor 17", "shop")
        session.start(at=1764000000)
        session.heartbeat(at=1764000060.5)
        session.end(at=1764000090)
        print(visits.get_counts("5m", current=True)["shop:ms"])  # 90000

    Attributes:
        id: ID of the session.
        event: Event that the session is counted as.
    """

    def __init__(
        self, id: str, event: str, record: Callable[[str, str, ActionName, float | None], None]
    ) -> None:
        """See `EventGroup.session`; `record` takes ID, event, action and time."""
        self.id = id
        self.event = event
        self._record = record

    def start(self, at: float | None = None) -> None:
        """Record the start of the session. After an end it begins another session."""
        self._record(self.id, self.event, "start", at)

    def heartbeat(self, at: float | None = None) -> None:
        """Record that the session is alive."""
        self._record(self.id, self.event, "heartbeat", at)

    def end(self, at: float | None = None) -> None:
        """Record the end of the session. Until the next start, later actions add nothing."""
        self._record(self.id, self.event, "end", at)


def checked_action(id: object, event: object, name: ActionName, at: object) -> SessionAction:
    """Returns an action whose ID, time and type of event are valid. The group checks the event itself.

    Raises:
        TypeError: The ID or the event is not a string, or the time not a number.
        ValueError: The ID is invalid, or the time is not in the years 1970 to 9999.
    """
    id = checked_id(id, "a session")
    if not isinstance(event, str | None):
        raise TypeError(f"the event of a session must be a string, not {event!r}")
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise TypeError(f"the time must be a number of Unix seconds, not {at!r}")
    if not 0 <= at < LATEST_S:
        raise ValueError(f"the time must be Unix seconds from 0 to {LATEST_S}, not {at}")
    return SessionAction(id, event and str.__str__(event), name, at)
