"""The queue of session actions (start, heartbeat, end) that wait to be sent to Redis."""

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

#: The most actions kept while Redis is unavailable, about 300 bytes each.
_MAX_ACTIONS = 100_000

#: Seconds between attempts while Redis is unavailable.
_RETRY_S = 0.5


class Outbox:
    """Sends the session actions of one group, oldest first; a `Sender`.

    Actions are in memory only. They are kept while Redis is unavailable, up to 100,000 of them.
    """

    def __init__(self, config: GroupConfig, store: Store, log: Log) -> None:
        self.config = config
        self.released = False
        self._store = store
        self._log = log
        self._waiting: deque[SessionAction] = deque()
        self._n_sent = 0
        self._sending = threading.Lock()
        self._warned: set[str] = set()  # warnings logged since Redis last accepted actions

    def put(self, action: SessionAction) -> None:
        """Add an action, to be sent by the next `send`. Drops it, with a warning, if too many wait."""
        if len(self._waiting) < _MAX_ACTIONS:
            self._waiting.append(action)
        else:
            self._warn_once(f"{_MAX_ACTIONS} actions of sessions wait for Redis: further ones are lost")

    def prepare(self) -> None:
        """Does nothing: no preparation is needed."""

    def send(self, timeout_s: float) -> None:
        """Send the actions that wait now. Waits up to `timeout_s` for another thread that sends."""
        if not self._sending.acquire(timeout=timeout_s):
            return
        try:
            with suppress(StoreError):  # logged where noticed; the actions are kept
                for _ in range(0, len(self._waiting), _BATCH_SIZE):
                    self._send_some()
        finally:
            self._sending.release()

    def _send_some(self) -> None:
        # By index: iterating over a deque fails if another thread appends meanwhile.
        actions = [self._waiting[index] for index in range(min(_BATCH_SIZE, len(self._waiting)))]
        try:
            with self._store.client.attempt(self.config, f"sessions of {self.config.prefix}"):
                commit = self._store.commits.commit_actions(self.config, actions)
            for refusal in commit.refusals:
                raise Rejected(refusal.key, refusal.reason)
        except (Rejected, NotYet) as error:
            self._warn_once(f"{error}; sessions are kept, retrying")
            raise
        if len(self._waiting) < _MAX_ACTIONS / 2:  # else it may soon be full again, with another warning
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
        """True while sending is known to fail: wait for the next attempt."""
        return self._store.client.is_unavailable(self.config) or bool(self._warned)

    def has_unsent(self) -> bool:
        """Returns whether any action waits."""
        return bool(self._waiting)

    def end_position(self) -> int:
        """Returns the number of actions ever added, an argument for `is_sent`."""
        # In this order, an action that is being sent may be counted twice: the number is never too low.
        n_waiting = len(self._waiting)
        return n_waiting + self._n_sent

    def is_sent(self, end: int) -> bool:
        """Returns whether Redis has confirmed the first `end` actions."""
        return self._n_sent >= end or not self._waiting

    def describe_unsent(self) -> str:
        """Returns the number of actions that wait, in words; '' for none."""
        return f"{counted(len(self._waiting), 'action')} of sessions" if self._waiting else ""

    def next_send(self, now: float) -> float:
        """Returns when to retry, and infinity if nothing waits; both times as `time.monotonic()`."""
        return now + _RETRY_S if self._waiting else math.inf

    def send_at_once(self) -> None:
        """Does nothing: actions are always sent at once."""

    def clear_wake_request(self) -> None:
        """Does nothing: each action wakes the background thread."""

    def retire(self) -> None:
        """Does nothing: an outbox has no position in Redis."""

    def dispose(self) -> str:
        """Returns what becomes of unsent actions, in words."""
        return "lost"
