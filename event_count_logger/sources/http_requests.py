"""Commits of single requests, each confirmed by Redis before the request is answered."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping

from event_count_logger.config import GroupConfig
from event_count_logger.errors import SUREST_FIRST, Applied, StoreError
from event_count_logger.sources.source import raise_if_rejected
from event_count_logger.store import Commit, SessionAction, Store

#: Seconds for which Redis keeps the idempotency key of a request.
KEPT_S = 24 * 3600.0

#: Attempts to send a request that gets no answer, and seconds between them.
_ATTEMPTS, _RETRY_S = 3, 0.2


def count_once(store: Store, group: GroupConfig, key: str, counts: Mapping[str, int]) -> bool:
    """Commit counts once per idempotency key.

    Returns:
        False if other counts were committed with this key; then nothing is counted.

    Raises:
        StoreError: Its attribute `applied` says whether the counts were committed. Retry with the same key.
    """
    counted = {event_id: count for event_id, count in counts.items() if count}
    shard = group.shard_of(key)
    commit = _send_until_answered(
        lambda: store.commits.commit_request(shard, key, _digest(counted), counted, KEPT_S)
    )
    return commit.outcome != "conflict"


def commit_action(store: Store, group: GroupConfig, action: SessionAction) -> None:
    """Commit an action of a session; it may be repeated.

    Raises:
        StoreError: Its attribute `applied` says whether the action was committed.
    """
    _send_until_answered(lambda: store.commits.commit_actions(group, [action]))


def _send_until_answered(send: Callable[[], Commit]) -> Commit:
    """Send a request up to three times, until Redis answers.

    `applied` of the error is about all attempts: an earlier one may have been applied, and the last one not.
    """
    attempt, applied = 1, set[Applied]()
    while True:
        try:
            commit = send()
            raise_if_rejected(commit)
            return commit
        except StoreError as error:
            applied.add(error.applied)
            if attempt == _ATTEMPTS or error.retry != "now":
                error.applied = next(each for each in SUREST_FIRST if each in applied)
                raise
            attempt += 1
            time.sleep(_RETRY_S)


def _digest(counts: Mapping[str, int]) -> str:
    """Returns a hash of counts that does not depend on their order."""
    return hashlib.sha256(json.dumps(counts, sort_keys=True).encode()).hexdigest()
