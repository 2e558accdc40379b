"""What a single request brings, counted in Redis before it is answered."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping

from event_count_logger.config import GroupConfig
from event_count_logger.errors import SUREST_FIRST, Applied, Rejected, StoreError
from event_count_logger.store import Commit, SessionAction, Store

#: Seconds for which a request is known by its key.
KEPT_S = 24 * 3600.0

#: How often something is sent while it is unknown whether Redis has got it, and the seconds in between.
_ATTEMPTS, _RETRY_S = 3, 0.2


def count_once(store: Store, group: GroupConfig, key: str, counts: Mapping[str, int]) -> bool:
    """Count in Redis, unless that was done under this key before.

    Returns:
        False if something else was counted under this key: then nothing is counted.

    Raises:
        StoreError: See its attribute `applied`; to be repeated with the same key.
    """
    counted = {event_id: count for event_id, count in counts.items() if count}
    shard = group.shard_of(key)
    commit = _confirmed(lambda: store.commits.commit_request(shard, key, _digest(counted), counted, KEPT_S))
    return commit.outcome != "conflict"


def act(store: Store, group: GroupConfig, action: SessionAction) -> None:
    """Tell Redis what happened to a session.

    Raises:
        StoreError: See its attribute `applied`; may be repeated.
    """
    _confirmed(lambda: store.commits.commit_actions(group, [action]))


def _confirmed(send: Callable[[], Commit]) -> Commit:
    """Send a request until it is answered, a few times.

    An error is about all attempts: an earlier one may have been applied though the last one was not.
    """
    attempt, applied = 1, set[Applied]()
    while True:
        try:
            commit = send()
            for refusal in commit.refusals:
                raise Rejected(refusal.key, refusal.reason)
            return commit
        except StoreError as error:
            applied.add(error.applied)
            if attempt == _ATTEMPTS or error.retry != "now":
                error.applied = next(each for each in SUREST_FIRST if each in applied)
                raise
            attempt += 1
            time.sleep(_RETRY_S)


def _digest(counts: Mapping[str, int]) -> str:
    """A hash of counts above 0; their order makes no difference."""
    return hashlib.sha256(json.dumps(counts, sort_keys=True).encode()).hexdigest()
