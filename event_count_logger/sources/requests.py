"""What a single request brings: handed to the local counters, or counted in Redis before it is answered."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping

from event_count_logger.config import GroupConfig
from event_count_logger.counters.layout import distance
from event_count_logger.errors import Rejected, Unavailable
from event_count_logger.group import EventGroup
from event_count_logger.store import Commit, SessionAction, Store

#: Seconds for which a request is known by its key.
KEPT_S = 24 * 3600.0

#: How often something is sent while it is unknown whether Redis has got it, and the seconds in between.
_ATTEMPTS, _RETRY_S = 3, 0.2

#: Counts of one event that may be unsent; other threads that add meanwhile stay below 2^63.
_MOST_UNSENT = 1 << 62


def hand_over(group: EventGroup, counts: Mapping[str, int]) -> None:
    """Add to the counters of this process.

    Raises:
        OverflowError: Too much would be unsent of an event: nothing was counted.
    """
    for event_id, count in counts.items():
        if _unsent(group, event_id) + count > _MOST_UNSENT:
            raise OverflowError(f"more than 2^62 counts of event {event_id!r} would be unsent")
    for event_id, count in counts.items():
        group.log(event_id, count)


def count_once(store: Store, group: GroupConfig, key: str, counts: Mapping[str, int]) -> bool:
    """Count in Redis, unless that was done under this key before.

    Returns:
        False if something else was counted under this key: then nothing is counted.

    Raises:
        Unavailable: Whether it was counted is unknown; to be repeated.
        Rejected: Redis cannot count one of the events: nothing was counted.
    """
    counted = {event_id: count for event_id, count in counts.items() if count}
    commit = _confirmed(lambda: store.commit_request(group, key, _digest(counts), counted, KEPT_S))
    return commit.outcome != "conflict"


def act(store: Store, group: GroupConfig, action: SessionAction) -> None:
    """Tell Redis what happened to a session.

    Raises:
        Unavailable: Whether it knows is unknown; to be repeated.
        Rejected: It cannot count the session.
    """
    _confirmed(lambda: store.commit_actions(group, [action]))


def note(group: EventGroup, action: SessionAction) -> None:
    """Tell Redis what happened to a session of an event; while it is away, that is kept in memory."""
    assert action.event is not None
    session = group.session(action.id, action.event)
    {"start": session.start, "heartbeat": session.heartbeat, "end": session.end}[action.name](action.at)


def _unsent(group: EventGroup, event_id: str) -> int:
    cell = group.local.cells.by_id.get(event_id)
    if cell is None:
        return 0
    acked = cell.acked  # before the total, which others only increase
    return distance(cell.total, acked)


def _confirmed(send: Callable[[], Commit]) -> Commit:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            commit = send()
        except Unavailable:
            if attempt == _ATTEMPTS:
                raise
            time.sleep(_RETRY_S)
        else:
            break
    for refusal in commit.refusals:
        raise Rejected(refusal.key, refusal.reason)
    return commit


def _digest(counts: Mapping[str, int]) -> str:
    """The same for the same counts in any order."""
    return hashlib.sha256(json.dumps(counts, sort_keys=True).encode()).hexdigest()
