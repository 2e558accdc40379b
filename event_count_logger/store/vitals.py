"""The state of groups besides their counts, read with few requests."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.errors import Rejected
from event_count_logger.store.client import Client
from event_count_logger.store.masters import masters_in, masters_key
from event_count_logger.store.node import NO_KEY
from event_count_logger.store.resp import seconds
from event_count_logger.store.results import MasterInfo
from event_count_logger.store.sharded_reads import count_of_open_sessions

#: Groups in one packet. More would delay other clients of the server.
_GROUPS = 100


@dataclass(frozen=True, slots=True)
class Vitals:
    """The state of a group.

    Attributes:
        now: Time of the read, Unix seconds of the server's clock.
        starts: Start of the current interval, Unix seconds, for each interval of the group; None if it never
            began. Of a split group: the earliest one.
        taken: True if a master has taken an interval, in all shards, for each interval of the group.
        masters: The masters of the group, oldest first.
        open_sessions: Number of open sessions; None if the group has no sessions.
    """

    now: float
    starts: Sequence[float | None]
    taken: Sequence[bool]
    masters: Sequence[MasterInfo]
    open_sessions: int | None


class VitalsReader:
    """Reads the state of groups."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def of(self, group: GroupConfig) -> Vitals:
        """Returns the state of a group. Each shard is read at a time of its own.

        Raises:
            Unavailable: No answer.
            Rejected: A key has another type.
        """
        first, *others = group.shards
        about_group = _about_group(group, self._client.now())
        asked_at = time.time()
        *replies, server_time = self._client.ask_all([*about_group, *_about_shard(first), ("TIME",)])
        now = self._learn_clock(asked_at, server_time, masters_key(group))
        for shard in others:
            replies += self._client.ask_all(_about_shard(shard))
        return _vitals(group, now, replies)

    def of_all(self, groups: Sequence[GroupConfig]) -> list[Vitals | Rejected]:
        """Returns the states of groups that are all on one server; an error stands for that of its group.

        Raises:
            Unavailable: No answer.
        """
        parts = (groups[first : first + _GROUPS] for first in range(0, len(groups), _GROUPS))
        return [one for some in parts for one in self._of_some(some)]

    def _of_some(self, groups: Sequence[GroupConfig]) -> Iterator[Vitals | Rejected]:
        about = [_about_group(group, self._client.now()) for group in groups]
        for commands, group in zip(about, groups, strict=True):
            commands += chain.from_iterable(map(_about_shard, group.shards))
        asked_at = time.time()
        # TIME comes first, because an error in the first reply would be that of all groups.
        server_time, *replies = self._client.ask_each([("TIME",), *chain.from_iterable(about)])
        now = self._learn_clock(asked_at, server_time, NO_KEY)
        rest = iter(replies)
        for commands, group in zip(about, groups, strict=True):
            own = list(islice(rest, len(commands)))
            errors = (reply for reply in own if isinstance(reply, Rejected))
            yield next(errors, None) or _vitals(group, now, own)

    def _learn_clock(self, asked_at: float, server_time: Sequence[bytes], key: str) -> float:
        now = int(server_time[0]) + int(server_time[1]) / 1e6
        self._client.learn_clock(asked_at, now, key)
        return now


def _about_group(group: GroupConfig, now: float) -> list[tuple[str, ...]]:
    """Returns the commands for the masters and, with sessions, the number of open ones."""
    return [
        ("HVALS", masters_key(group)),
        *([count_of_open_sessions(group, now)] if group.sessions else []),
    ]


def _about_shard(shard: GroupConfig) -> list[tuple[str, ...]]:
    """Returns the commands for the starts of all intervals, then for their numbers of finished ones."""
    starts = [("GET", keys.timestamp(shard.prefix, each.name, "cur")) for each in shard.intervals]
    return [*starts, *(("GET", keys.finished(shard.prefix, each.name)) for each in shard.intervals)]


def _vitals(group: GroupConfig, now: float, replies: Sequence[Any]) -> Vitals:
    """Returns the state in the replies to `_about_group` and, for each shard, `_about_shard`."""
    values, *rest = replies
    n_open = int(rest.pop(0)) if group.sessions else None
    n_own = 2 * len(group.intervals)
    shards = [rest[first : first + n_own] for first in range(0, len(rest), n_own)]
    about_intervals = list(zip(*shards, strict=True))
    return Vitals(
        now=now,
        starts=[_earliest(starts) for starts in about_intervals[: len(group.intervals)]],
        taken=[None not in numbers for numbers in about_intervals[len(group.intervals) :]],
        masters=masters_in(values, now),
        open_sessions=n_open,
    )


def _earliest(starts: Sequence[Any]) -> float | None:
    known = (seconds(start or b"") for start in starts)
    return min((start for start in known if start is not None), default=None)
