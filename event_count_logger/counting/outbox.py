"""Actions of sessions on their way to Redis."""

from __future__ import annotations

import math
import threading
from collections import deque
from contextlib import suppress

from event_count_logger.config import GroupConfig
from event_count_logger.errors import NotYet, Rejected, StoreError
from event_count_logger.logs import Log, counted
from event_count_logger.store import SessionAction, Store

#: Actions in one request.
_BATCH_SIZE = 100

#: Actions that are kept while Redis is away: each takes some 300 bytes.
_MAX_ACTIONS = 100_000

#: Seconds between attempts while Redis is away.
_RETRY_S = 0.5


class Outbox:
    """Actions of sessions on their way to Redis. They are kept in memory while it is away."""

    def __init__(self, config: GroupConfig, store: Store, log: Log) -> None:
        self.config = config
        self.released = False
        self._store = store
        self._log = log
        self._waiting: deque[SessionAction] = deque()
        self._n_sent = 0
        self._sending = threading.Lock()
        self._warned: set[str] = set()  # told since Redis last took something

    def put(self, action: SessionAction) -> None:
        """Take an action along with the next `sync`."""
        if len(self._waiting) < _MAX_ACTIONS:
            self._waiting.append(action)
        else:
            self._warn_once(f"{_MAX_ACTIONS} actions of sessions wait for Redis: further ones are lost")

    def prepare(self) -> None:
        """Nothing has to be known before."""

    def send(self, timeout_s: float) -> None:
        """Send what waits now, as far as Redis takes it; waits for its turn for `timeout_s`."""
        if not self._sending.acquire(timeout=timeout_s):
            return
        try:
            with suppress(StoreError):  # told where noticed; the actions are kept
                for _ in range(0, len(self._waiting), _BATCH_SIZE):
                    self._send_some()
        finally:
            self._sending.release()

    def _send_some(self) -> None:
        # Others may append meanwhile, which an iterator does not bear.
        actions = [self._waiting[index] for index in range(min(_BATCH_SIZE, len(self._waiting)))]
        try:
            with self._store.client.attempt(self.config, f"sessions of {self.config.prefix}"):
                commit = self._store.commits.commit_actions(self.config, actions)
            for refusal in commit.refusals:
                raise Rejected(refusal.key, refusal.reason)
        except (Rejected, NotYet) as error:
            self._warn_once(f"{error}; sessions are kept and tried again")
            raise
        if len(self._waiting) < _MAX_ACTIONS / 2:  # else the queue may be full again at once
            self._warned.clear()
        self._n_sent += len(actions)
        for _ in actions:
            self._waiting.popleft()

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self._log.warning("%s", message)

    @property
    def is_backing_off(self) -> bool:
        """Whether sending is known to fail for now."""
        return self._store.client.is_unavailable(self.config) or bool(self._warned)

    def has_unsent(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    def end_position(self) -> int:
        """Returns the index behind the last action that waits; see `is_sent`."""
        # In this order, an action that is being sent may count twice, so that the index is too far at worst.
        n_waiting = len(self._waiting)
        return n_waiting + self._n_sent

    def is_sent(self, end: int) -> bool:
        """Returns whether all actions before this index are confirmed."""
        return self._n_sent >= end or not self._waiting

    def describe_unsent(self) -> str:
        """How much waits; '' for nothing."""
        return f"{counted(len(self._waiting), 'action')} of sessions" if self._waiting else ""

    def next_send(self, now: float) -> float:
        """When to try again; `now` and the result are `time.monotonic()`."""
        return now + _RETRY_S if self._waiting else math.inf

    def send_at_once(self) -> None:
        """It always does."""

    def clear_wake_request(self) -> None:
        """Each action asks for a sync."""

    def retire(self) -> None:
        """Leaves nothing in Redis."""

    def dispose(self) -> str:
        """What becomes of what was not sent, in words."""
        return "lost"
