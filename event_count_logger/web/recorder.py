"""Takes what requests bring to the counters and to Redis: in threads, because that may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from event_count_logger.config import Config
from event_count_logger.counting.spool_format import unsent
from event_count_logger.errors import NotConfigured
from event_count_logger.group import EventGroup
from event_count_logger.logger import EventCountLogger
from event_count_logger.sources import http_requests
from event_count_logger.store import SessionAction, Store
from event_count_logger.web.single_flight import LONGEST_WAIT_S

_T = TypeVar("_T")

#: How many requests are handed to local counters at once, and how many wait for Redis.
_COUNTING, _COMMITTING = 4, 16

#: Seconds after which counts of a group without `sync_interval` are sent. Sent one by one, those of a request
#: with many events would take longer than anybody waits, and be counted though the answer says otherwise.
_SEND_AFTER_S = 0.1

#: Counts of one event that may be unsent; other threads that add meanwhile stay below 2^63.
_MOST_UNSENT = 1 << 62


class Recorder:
    """Counts in the groups of one configuration, hidden ones included.

    All methods that wait raise `asyncio.TimeoutError` when that takes too long.

    Attributes:
        config: The configuration.
        store: What is to be committed goes through this.
    """

    def __init__(self, config: Config, store: Store) -> None:
        """Counts nothing yet."""
        self.config = config
        self.store = store
        self._ecl = EventCountLogger.from_config(_without_direct_groups(config))
        self._counting = ThreadPoolExecutor(_COUNTING, "count")
        self._committing = ThreadPoolExecutor(_COMMITTING, "commit")

    def use(self, config: Config) -> None:
        """Go on with another configuration; what was counted with the one before is sent."""
        self.config = config
        self._ecl = EventCountLogger.from_config(_without_direct_groups(config))

    def group(self, name: str) -> EventGroup:
        """The group of that name.

        Raises:
            NotConfigured: There is none.
        """
        group = self._ecl.get_group(name, warn=False)
        if not isinstance(group, EventGroup):
            raise NotConfigured(f"there is no group '{name}'")
        return group

    async def count(self, group: EventGroup, counts: Mapping[str, int], wait: bool) -> bool:
        """Add to the counters of this process, and `wait` for Redis if asked to.

        Returns:
            Whether Redis is known to have the counts; if not, it will.
        """
        # Without a time limit, because what is under way would be counted all the same.
        await asyncio.get_running_loop().run_in_executor(self._counting, add_counts, group, counts)
        try:
            return wait and await _run_in(self._committing, group.sync)
        except asyncio.TimeoutError:
            return False

    async def count_once(self, group: EventGroup, key: str, counts: Mapping[str, int]) -> bool:
        """See `http_requests.count_once`."""
        config = self.config.group(group.group_name)
        return await _run_in(
            self._committing, lambda: http_requests.count_once(self.store, config, key, counts)
        )

    async def commit_action(self, group: EventGroup, action: SessionAction) -> None:
        """See `http_requests.commit_action`."""
        config = self.config.group(group.group_name)
        await _run_in(self._committing, lambda: http_requests.commit_action(self.store, config, action))

    async def record_action(self, group: EventGroup, action: SessionAction) -> None:
        """Tell Redis what happened to a session of an event; while it is away, that is kept in memory."""
        await _run_in(self._committing, lambda: _record(group, action))


def _without_direct_groups(config: Config) -> Config:
    groups = {
        name: replace(group, sync_interval=_SEND_AFTER_S) if group.direct else group
        for name, group in config.groups.items()
    }
    return replace(config, groups=groups)


def add_counts(group: EventGroup, counts: Mapping[str, int]) -> None:
    """Add to the counters of this process: all counts, or none.

    Raises:
        OverflowError: Too much would be unsent of an event.
    """
    for event_id, count in counts.items():
        cell = group.local.cells.by_id.get(event_id)
        if cell and unsent(cell) + count > _MOST_UNSENT:
            raise OverflowError(f"more than 2^62 counts of event {event_id!r} would be unsent")
    for event_id, count in counts.items():
        group.log(event_id, count)


def _record(group: EventGroup, action: SessionAction) -> None:
    assert action.event is not None
    session = group.session(action.id, action.event)
    getattr(session, action.name)(action.at)


async def _run_in(threads: ThreadPoolExecutor, function: Callable[[], _T]) -> _T:
    return await asyncio.wait_for(
        asyncio.get_running_loop().run_in_executor(threads, function), LONGEST_WAIT_S
    )
