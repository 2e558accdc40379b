"""Durable commits: WAIT or WAITAOF in the same packet as the commit, and the check of the replies.

Both commands wait for the writes of their own connection (redis.io/docs/latest/commands/wait,
redis.io/docs/latest/commands/waitaof).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.errors import NotDurable, Unconfirmed
from event_count_logger.logs import counted
from event_count_logger.store.resp import BlockingRequest, request
from event_count_logger.store.server_errors import plain

#: Part of the time-out that the server waits. It must give up before the socket does, and looks at its clock
#: ten times a second.
_PART_OF_TIMEOUT = 0.5

#: Seconds that a server with `appendfsync everysec` may take: an fsync begins at the earliest 1 s after the
#: start of the previous one, and waits for its end.
_FSYNC_S = 2.0

_ROLE = request("ROLE")

#: Number of requests behind a commit that make it durable.
N_REQUESTS = {"memory": 0, "fsync": 1, "replicas": 2}


class Confirmation:
    """The requests that the setting `durability` demands, and the check of their replies."""

    def __init__(self, location: str, timeout_s: float) -> None:
        """`location` is for messages; `timeout_s` are the seconds for one reply."""
        self._location = location
        self._timeout_s = timeout_s
        self._n_replicas: dict[str, int] = {}  # online when last seen, by the prefix of the group

    def requests(self, group: GroupConfig) -> tuple[bytes, ...]:
        """Returns the requests behind a commit; none if the reply of Redis is enough."""
        if group.durability == "memory":
            return ()
        wait_ms = self._wait_ms(group)
        if group.durability == "fsync":
            return (BlockingRequest.request(self._timeout_s + wait_ms / 1000, "WAITAOF", 1, 0, wait_ms),)
        return request("WAIT", self._n_replicas.get(group.prefix, 1), wait_ms), _ROLE

    def _wait_ms(self, group: GroupConfig) -> int:
        """Returns the milliseconds that the server waits at most."""
        wait_s = max(self._timeout_s * _PART_OF_TIMEOUT, confirmation_s(group))
        return max(1, int(wait_s * 1000))

    def check(self, group: GroupConfig, answers: Sequence[Any], stored: str = "") -> None:
        """Check that a commit is durable.

        Args:
            group: The group of the commit.
            answers: Replies to `requests`.
            stored: See `Unconfirmed`.

        Raises:
            NotDurable: This server cannot confirm it.
            Unconfirmed: This server has not confirmed it in time.
        """
        for answer in answers:
            if isinstance(answer, Exception):
                key, reason = keys.sources(group.prefix), f"{plain(answer)}{_hint(group)}"
                raise NotDurable(self._location, key, group.durability, reason, stored)
        if group.durability == "fsync":
            if answers[0][0] < 1:
                raise Unconfirmed(self._location, f"its disk within {self._wait_ms(group)} ms", stored)
        elif group.durability == "replicas":
            self._check_replicas(group, answers[0], answers[1], stored)

    def note_role(self, group: GroupConfig, role: Sequence[Any]) -> int:
        """Record the number of replicas online, as in a reply to ROLE, and return it.

        A replica that is not online receives what it has missed before it comes online. At least one replica
        must confirm each commit.
        """
        n_online = len(role[2]) if role[0] == b"master" else 0
        self._n_replicas[group.prefix] = max(1, n_online)
        return n_online

    def knows(self, group: GroupConfig) -> bool:
        """Returns whether the number of replicas is known, if the group needs it."""
        return group.durability != "replicas" or group.prefix in self._n_replicas

    def _check_replicas(self, group: GroupConfig, n_confirmed: int, role: Sequence[Any], stored: str) -> None:
        n_online = self.note_role(group, role)
        if n_confirmed < max(1, n_online):
            missing = f"{n_online - n_confirmed} of {counted(n_online, 'replica')}"
            within = f"{missing} within {self._wait_ms(group)} ms"
            raise Unconfirmed(self._location, within if n_online else "a replica: none is online", stored)


def confirmation_s(group: GroupConfig) -> float:
    """Returns the seconds that a healthy server may take to confirm a commit, beyond those for its reply."""
    return _FSYNC_S if group.durability == "fsync" else 0.0


def _hint(group: GroupConfig) -> str:
    if group.durability == "fsync":
        return " (it takes Redis 7.2 or Valkey, with appendonly yes)"
    return " (it takes the permission for WAIT and ROLE)"
