"""A source of counts that knows where it is, so that each of its batches is counted exactly once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from event_count_logger.config import GroupConfig
from event_count_logger.errors import NotDurable, NotYet, Rejected, SourceMoved, Unavailable, Unconfirmed
from event_count_logger.logs import Log
from event_count_logger.store import Commit, SessionAction, Store

#: Seconds between attempts while Redis does not answer.
_RETRY_S = 0.5


class Source:
    """A source of one group; only one thread at a time may use it.

    Attributes:
        position: What Redis has confirmed last; '' for the beginning.
    """

    def __init__(
        self, store: Store, group: GroupConfig, source_id: str, log: Log, stop: threading.Event | None = None
    ) -> None:
        """Asks nothing yet; see `load`. No more attempts are made when `stop` is set."""
        self.position = ""
        self._store = store
        self._group = group.shard_of(source_id)
        self._shards = group.shards
        self._id = source_id
        self._log = log
        self._stop = stop or threading.Event()
        self._is_told = False  # what it waits for

    def load(self) -> str:
        """Go to where Redis has the source, and return that; waits for Redis.

        Raises:
            Unavailable: It is to stop, and there was no answer.
            Rejected: Redis has something else in place of positions.
        """
        while True:
            try:
                self.position = self._find()
            except Unavailable as error:
                self._tell(error)
                if self._stop.wait(_RETRY_S):
                    raise
            else:
                return self.position

    def _find(self) -> str:
        """Where Redis has the source: in its shard, or where that was when there were fewer of them."""
        for shard in (self._group, *self._shards):
            position = self._store.sources.position(shard, self._id)
            if position:
                self._group = shard
                return position
        return ""

    def commit(self, next: str, batch: Mapping[str, int], actions: Sequence[SessionAction] = ()) -> None:
        """Count a batch exactly once, which takes the source to its next position; waits for Redis.

        Raises:
            SourceMoved: Something else has moved the source: nothing was counted.
            Unavailable: It is to stop, and whether the batch was counted is not known.
            Rejected: Redis cannot count one of the events: nothing was counted.
            NotDurable: The batch was counted, and the server cannot do what the setting `durability` wants.
        """
        while True:
            try:
                commit = self._send(next, batch, actions)
            except NotDurable:
                raise
            except Unavailable as error:
                self._tell(error)
                if self._stop.wait(_RETRY_S):
                    raise
            else:
                break
        if commit.outcome == "conflict":
            raise SourceMoved(self._id, self.position, commit.stored)
        for refusal in commit.refusals:
            raise Rejected(refusal.key, refusal.reason)
        self._tell_forgotten(commit.stored)
        self.position = next
        self._is_told = False

    def _tell_forgotten(self, stored: str) -> None:
        """A position that is not there at all is that of a new source: it is not read again."""
        if self.position and not stored:
            self._log.warning(
                "Redis at %s has lost data: it does not know source '%s' of group '%s', which was at %s",
                self._store.location,
                self._id,
                self._group.name,
                self.position,
            )

    def _tell(self, error: Unavailable) -> None:
        """What the store has not told."""
        if isinstance(error, Unconfirmed):
            self._tell_forgotten(error.stored)
        if isinstance(error, NotYet) and not self._is_told:
            self._is_told = True
            self._log.warning("%s; source '%s' waits for that", error, self._id)

    def _send(self, next: str, batch: Mapping[str, int], actions: Sequence[SessionAction]) -> Commit:
        if actions:
            return self._store.commits.commit_actions(
                self._group, actions, self._id, self.position, next, batch
            )
        return self._store.commits.commit(self._group, self._id, self.position, next, batch)
