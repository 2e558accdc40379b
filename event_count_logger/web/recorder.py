"""Counting for requests: in local counters or directly in Redis, in threads because both may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from event_count_logger.config import Config, GroupConfig
from event_count_logger.counting.spool_format import unsent
from event_count_logger.errors import NotConfigured, StoreError
from event_count_logger.groups.redis_group import RedisEventGroup
from event_count_logger.logger import EventCountLogger
from event_count_logger.sources import http_requests
from event_count_logger.store import Annotation, SessionAction, Store
from event_count_logger.web.single_flight import LONGEST_WAIT_S

_T = TypeVar("_T")

#: Threads that add to local counters, and threads that wait for Redis.
_COUNTING, _COMMITTING = 4, 16

#: Seconds after which counts of a direct group are sent. If they were sent one by one, a request with many
#: events would time out, and be counted although the answer is an error.
_SEND_AFTER_S = 0.1

#: Most unsent counts of one event. Counts that other threads add meanwhile stay below 2^63.
_MOST_UNSENT = 1 << 62


class Recorder:
    """Counts in the groups of one configuration, hidden groups included.

    Methods that wait for Redis raise `asyncio.TimeoutError` after 10 s.

    Attributes:
        config: The configuration.
        store: Connection for commits of single requests.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self.config = config
        self.store = store
        self._ecl = EventCountLogger.from_config(_without_direct_groups(config))
        self._counting = ThreadPoolExecutor(_COUNTING, "count")
        self._committing = ThreadPoolExecutor(_COMMITTING, "commit")

    def use(self, config: Config) -> None:
        """Use another configuration; counts of the previous one are still sent."""
        self.config = config
        self._ecl = EventCountLogger.from_config(_without_direct_groups(config))

    def group(self, name: str) -> RedisEventGroup:
        """Returns the group of that name.

        Raises:
            NotConfigured: The group does not exist. The error lists no other group, because pages of allowed
                origins count without the token.
        """
        group = self._ecl.get_group(name, warn=False)
        if not isinstance(group, RedisEventGroup):
            raise NotConfigured(f"there is no group '{name}'")
        return group

    async def count(self, group: RedisEventGroup, counts: Mapping[str, int], wait: bool) -> bool:
        """Add to the counters of this process, and `wait` for Redis if requested.

        Returns:
            Whether Redis has confirmed the counts. If not, they are sent later.
        """
        # Without a timeout: the thread would add the counts even after the timeout.
        await asyncio.get_running_loop().run_in_executor(self._counting, add_counts, group, counts)
        try:
            return wait and await _run_in(self._committing, group.sync)
        except asyncio.TimeoutError:
            return False

    async def count_once(self, group: RedisEventGroup, key: str, counts: Mapping[str, int]) -> bool:
        """Commit counts once per idempotency key; see `http_requests.count_once`."""
        config = self.config.group(group.group_name)
        return await _run_in(
            self._committing, lambda: http_requests.count_once(self.store, config, key, counts)
        )

    async def commit_action(self, group: RedisEventGroup, action: SessionAction) -> None:
        """Commit an action of a session; see `http_requests.commit_action`."""
        config = self.config.group(group.group_name)
        await _run_in(self._committing, lambda: http_requests.commit_action(self.store, config, action))

    async def annotate(self, groups: Iterable[GroupConfig], annotation: Annotation) -> bool:
        """Add an annotation to groups; returns False if it is older than all that any of them keeps."""
        return await _run_in(self._committing, lambda: _annotate(self.store, groups, annotation))

    async def remove_annotation(self, groups: Sequence[GroupConfig], id: str) -> bool:
        """Remove an annotation from groups; returns False if none of them has it."""
        remove = self.store.annotations.remove
        return await _run_in(self._committing, lambda: sum(remove(group, id) for group in groups) > 0)

    async def record_action(self, group: RedisEventGroup, action: SessionAction) -> None:
        """Record an action of a session; while Redis is unavailable, it is kept in memory and sent later."""
        await _run_in(self._committing, lambda: group.record_action(action))


def _without_direct_groups(config: Config) -> Config:
    groups = {
        name: replace(group, sync_interval=_SEND_AFTER_S) if group.direct else group
        for name, group in config.groups.items()
    }
    return replace(config, groups=groups)


def _annotate(store: Store, groups: Iterable[GroupConfig], annotation: Annotation) -> bool:
    """Add an annotation to groups.

    Raises:
        StoreError: A request failed; `applied` is about all groups.
    """
    kept: list[bool] = []
    for group in groups:
        try:
            kept.append(store.annotations.add(group, annotation))
        except StoreError as error:
            if kept and error.applied == "no":
                error.applied = "unknown"
            raise
    return all(kept)


def add_counts(group: RedisEventGroup, counts: Mapping[str, int]) -> None:
    """Add to the counters of this process: all counts, or none.

    Raises:
        OverflowError: An event would have too many unsent counts.
    """
    for event_id, count in counts.items():
        cell = group.local.cells.by_id.get(event_id)
        if cell and unsent(cell) + count > _MOST_UNSENT:
            raise OverflowError(f"more than 2^62 counts of event {event_id!r} would be unsent")
    for event_id, count in counts.items():
        group.log(event_id, count)


async def _run_in(threads: ThreadPoolExecutor, function: Callable[[], _T]) -> _T:
    return await asyncio.wait_for(
        asyncio.get_running_loop().run_in_executor(threads, function), LONGEST_WAIT_S
    )
