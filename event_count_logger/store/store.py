"""What else the project asks of Redis, with one typed method per script: rotation, and who is there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.errors import Rejected
from event_count_logger.intervals import Interval
from event_count_logger.store.commits import CommittingStore
from event_count_logger.store.values import MasterInfo, Rotation
from event_count_logger.store.wire import text

#: Seconds after which a master that gives no sign is forgotten.
_MASTER_FORGOTTEN_S = 3600


class Store(CommittingStore):
    """Counts and rotates in one Redis database. Threads may share it, and so may forked processes."""

    def retire(self, group: GroupConfig, source: str) -> None:
        """Forget a source that will not commit again, and of which no request is under way."""
        self._ask("HDEL", keys.sources(group.prefix), source)

    def rotate(self, group: GroupConfig, interval: Interval, now: float | None = None) -> Rotation:
        """End the running interval of a group if its time is over.

        Args:
            group: Its declared events have a counter even when it is 0.
            interval: The interval to end.
            now: Unix seconds; the server's clock if None.

        Raises:
            Unavailable: No answer: repeat.
            Rejected: Nothing was done.
        """
        return self._layout(group).rotate(group, interval, now)

    def note_master(self, groups: Iterable[GroupConfig], master: MasterInfo) -> None:
        """Note that a master is there, which rotates these groups.

        Raises:
            Unavailable: No answer.
            Rejected: Not noted for all of them.
        """
        described = {
            "host": master.host,
            "pid": master.pid,
            "version": master.version,
            "since": master.since,
        }
        arguments = [master.id, json.dumps(described), _MASTER_FORGOTTEN_S]
        refusal = None
        for group in groups:
            try:
                self._run("heartbeat", [keys.masters(group.prefix)], arguments)
            except Rejected as error:
                refusal = error
        if refusal:
            raise refusal

    def forget_master(self, groups: Iterable[GroupConfig], master: MasterInfo) -> None:
        """Note that a master has ended."""
        for group in groups:
            self._ask("HDEL", keys.masters(group.prefix), master.id, key=keys.masters(group.prefix))

    def masters(self, group: GroupConfig) -> list[MasterInfo]:
        """The masters that have said within the last hour that they rotate a group, oldest first.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.masters(group.prefix)
        values = self._ask("HVALS", key, key=key)
        now = self.server_time()
        found = [_master_info(text(value), now) for value in values]
        return sorted(filter(None, found), key=lambda master: master.since)

    def open_sessions(self, group: GroupConfig, now: float | None = None) -> int:
        """How many sessions have neither ended nor expired.

        Args:
            group: It must have settings for sessions.
            now: Unix seconds; the server's clock if None.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        assert group.sessions
        _, key, _ = keys.sessions(group.prefix)
        since = int(((self.server_time() if now is None else now) - group.sessions.expire_after) * 1000)
        return int(self._ask("ZCOUNT", key, f"({since}", "+inf", key=key))

    def n_sources(self, group: GroupConfig) -> int:
        """Of how many sources of counts a position is known.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        return int(self._ask("HLEN", keys.sources(group.prefix), key=keys.sources(group.prefix)))

    def probe(self, group: GroupConfig) -> Sequence[str]:
        """Try every command that is needed on a scratch key; returns what the server said against any."""
        return [text(error) for error in self._run("probe", [keys.probe(group.prefix)], [])]


def _master_info(value: str, now: float) -> MasterInfo | None:
    seen, _, described = value.partition(" ")
    try:
        return MasterInfo(**json.loads(described), seen_s=max(0.0, now - float(seen)))
    except (ValueError, TypeError):
        return None  # not noted by a master
