"""Sessions of a group: each is counted once, and its time is added up as it grows."""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.errors import Rejected, StoreError
from event_count_logger.logs import Log
from event_count_logger.store import ActionName, SessionAction, Store

#: Unix seconds of the end of the year 9999.
LATEST_S = 253_402_300_800

#: Actions in one request.
_BATCH_SIZE = 100

#: Actions that are kept while Redis is away: each takes some 300 bytes.
_MOST_KEPT = 100_000

#: Seconds between attempts while Redis is away.
_RETRY_S = 0.5


class Session:
    """One session: somebody or something that is there for some time.

    Its time is the sum of the gaps between the moments at which it was there, each up to the timeout of
    the group. All times are Unix seconds; None is now. What comes twice, late or out of order is
    counted as if it had come once and in order.
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


class Outbox:
    """Actions of sessions on their way to Redis. They are kept in memory while it is away."""

    def __init__(self, config: GroupConfig, store: Store, log: Log) -> None:
        self.config = config
        self.released = False
        self._store = store
        self._log = log
        self._waiting: deque[SessionAction] = deque()
        self._sending = threading.Lock()
        self._in_trouble = False

    def put(self, action: SessionAction) -> None:
        """Take an action along with the next `sync`."""
        if len(self._waiting) >= _MOST_KEPT:
            self._waiting.popleft()
            self._tell_trouble(
                f"More than {_MOST_KEPT} actions of sessions wait for Redis: the oldest are lost"
            )
        self._waiting.append(action)

    def prepare(self) -> None:
        """Nothing has to be known before."""

    def sync(self, timeout_s: float) -> None:
        """Send what waits, as far as Redis takes it; waits for its turn for `timeout_s`."""
        if not self._sending.acquire(timeout=timeout_s):
            return
        try:
            with suppress(StoreError):  # told where noticed; the actions are kept
                while self._waiting:
                    self._send(list(islice(self._waiting, _BATCH_SIZE)))
        finally:
            self._sending.release()

    def _send(self, actions: list[SessionAction]) -> None:
        try:
            commit = self._store.commit_actions(self.config, actions)
            for refusal in commit.refusals:
                raise Rejected(refusal.key, refusal.reason)
        except Rejected as error:
            self._tell_trouble(f"{error}; sessions are kept and tried again")
            raise
        self._in_trouble = False
        for _ in actions:
            self._waiting.popleft()

    def _tell_trouble(self, message: str) -> None:
        if not self._in_trouble:
            self._log.warning("%s", message)
        self._in_trouble = True

    @property
    def held_up(self) -> bool:
        """Whether sending is known to fail for now."""
        return self._store.reachable is False or self._in_trouble

    def has_unsent(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    def unsent(self) -> dict[str, int]:
        """How many actions wait, per event."""
        return dict(Counter(action.event or "" for action in self._waiting))

    def next_sync(self, now: float) -> float:
        """When to try again; `now` and the result are `time.monotonic()`."""
        return now + _RETRY_S if self._waiting else math.inf

    def send_at_once(self) -> None:
        """It always does."""

    def retire(self) -> None:
        """Leaves nothing in Redis."""

    def put_away(self) -> str:
        """What becomes of what was not sent, in words."""
        return "actions of sessions, which are lost"


def checked_action(id: object, event: str | None, name: ActionName, at: float) -> SessionAction:
    """An action whose parts can be sent.

    Raises:
        TypeError: The ID is not a string, or the time not a number.
        ValueError: The ID cannot be one, or the time is none of the years 1970 to 9999.
    """
    if not isinstance(id, str):
        raise TypeError(f"the ID of a session must be a string, not {id!r}")
    fault = keys.id_fault(id)
    if fault:
        raise ValueError(f"{id!r} is not the ID of a session: it {fault}")
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise TypeError(f"the time must be a number of Unix seconds, not {at!r}")
    if not 0 <= at < LATEST_S:
        raise ValueError(f"the time must be Unix seconds from 0 to {LATEST_S}, not {at}")
    return SessionAction(id, event, name, at)
