"""A source of counts whose position is committed together with each batch, so that no batch counts twice."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from event_count_logger.config import GroupConfig
from event_count_logger.errors import (
    NotDurable,
    NotYet,
    Rejected,
    SourceMoved,
    StoreError,
    Unavailable,
    Unconfirmed,
)
from event_count_logger.logs import Log
from event_count_logger.store import Commit, SessionAction, Store

#: Seconds between attempts while Redis is unavailable.
_RETRY_S = 0.5


class Source:
    """A source of one group, for use by one thread at a time.

    Attributes:
        position: Last position that Redis has confirmed; '' for the beginning.
    """

    def __init__(
        self, store: Store, group: GroupConfig, source_id: str, log: Log, stop: threading.Event | None = None
    ) -> None:
        """Setting `stop` ends retries. `load` reads the position before the first commit."""
        self.position = ""
        self._store = store
        self._group = group.shard_of(source_id)
        self._shards = group.shards
        self._id = source_id
        self._log = log
        self._stop = stop or threading.Event()
        self._has_warned = False  # about the batch that is being retried
        self._has_unanswered = False  # a copy of a request that got no answer may still arrive

    def load(self) -> str:
        """Read the stored position and return it; waits while Redis is unavailable.

        Raises:
            Unavailable: `stop` was set before Redis answered.
            Rejected: The key of the positions has an unexpected type.
        """
        while True:
            try:
                self.position = self._find_position()
            except Unavailable as error:
                self._warn(error)
                if self._stop.wait(_RETRY_S):
                    raise
            else:
                return self.position

    def _find_position(self) -> str:
        """Returns the stored position. It is in another shard if the group had fewer shards at that time."""
        for shard in (self._group, *self._shards):
            position = self._store.sources.position(shard, self._id)
            if position:
                self._group = shard
                return position
        return ""

    def commit(self, next: str, batch: Mapping[str, int], actions: Sequence[SessionAction] = ()) -> None:
        """Commit a batch and the next position, exactly once; waits while Redis is unavailable.

        Raises:
            SourceMoved: Another program has moved the source: nothing was counted.
            Unavailable: `stop` was set; whether the batch was counted is unknown.
            Rejected: Redis rejects one of the events: nothing was counted.
            NotDurable: The batch was counted, but the server cannot provide the setting `durability`.
        """
        while True:
            try:
                commit = self._send(next, batch, actions)
            except NotDurable:
                raise
            except Unavailable as error:
                self._has_unanswered = True
                self._warn(error)
                if self._stop.wait(_RETRY_S):
                    raise
            else:
                break
        if commit.outcome == "conflict":
            raise SourceMoved(self._id, self.position, commit.stored)
        raise_if_rejected(commit)
        self._warn_if_lost(commit.stored)
        self.position = next
        self._has_warned = False

    def retire(self) -> None:
        """Remove the position of a process that ends, see `keys.is_process`; otherwise it is pruned later.

        It stays if a copy of an unanswered request may still arrive, which Redis would then count again.
        """
        if not self._has_unanswered:
            with suppress(StoreError):
                self._store.sources.retire(self._group, self._id)

    def _warn_if_lost(self, stored: str) -> None:
        """Warn if Redis has lost the position. Redis accepts a commit without a stored position."""
        if self.position and not stored:
            self._log.warning(
                "Redis at %s has lost data: source '%s' of group '%s' has no position, expected %s",
                self._store.location,
                self._id,
                self._group.name,
                self.position,
            )

    def _warn(self, error: Unavailable) -> None:
        """Log an error that the store does not log itself."""
        if isinstance(error, Unconfirmed):
            self._warn_if_lost(error.stored)
        if isinstance(error, NotYet) and not self._has_warned:
            self._has_warned = True
            self._log.warning("%s; source '%s' is waiting", error, self._id)

    def _send(self, next: str, batch: Mapping[str, int], actions: Sequence[SessionAction]) -> Commit:
        if actions:
            return self._store.commits.commit_actions(
                self._group, actions, self._id, self.position, next, batch
            )
        return self._store.commits.commit(self._group, self._id, self.position, next, batch)


def raise_if_rejected(commit: Commit) -> None:
    """Raise Rejected for the first key that Redis has rejected in a commit, if any."""
    for refusal in commit.refusals:
        raise Rejected(refusal.key, refusal.reason)
