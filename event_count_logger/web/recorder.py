"""Takes what requests bring to the counters and to Redis: in threads, because that may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from event_count_logger.config import Config
from event_count_logger.errors import NotConfigured
from event_count_logger.group import EventGroup
from event_count_logger.logger import EventCountLogger
from event_count_logger.sources import requests
from event_count_logger.store import SessionAction, Store

_T = TypeVar("_T")

#: Seconds after which nobody waits any longer for threads that wait for Redis.
_LONGEST_WAIT_S = 10.0

#: How many requests are handed to local counters at once, and how many wait for Redis.
_HANDING, _WAITING = 4, 16

#: Seconds after which counts of a group without `sync_interval` are sent. Sent one by one, those of a request
#: with many events would take longer than anybody waits, and be counted though the answer says otherwise.
_SEND_AFTER_S = 0.1

#: Seconds that sending what is left may take at the end.
_FLUSH_S = 1.0


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
        self._handing = ThreadPoolExecutor(_HANDING, "count")
        self._waiting = ThreadPoolExecutor(_WAITING, "commit")

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
        await asyncio.get_running_loop().run_in_executor(self._handing, requests.hand_over, group, counts)
        try:
            return wait and await _in(self._waiting, group.sync)
        except asyncio.TimeoutError:
            return False

    async def count_once(self, group: EventGroup, key: str, counts: Mapping[str, int]) -> bool:
        """See `requests.count_once`."""
        config = self.config.group(group.group_name)
        return await _in(self._waiting, lambda: requests.count_once(self.store, config, key, counts))

    async def act(self, group: EventGroup, action: SessionAction) -> None:
        """See `requests.act`."""
        config = self.config.group(group.group_name)
        await _in(self._waiting, lambda: requests.act(self.store, config, action))

    async def note(self, group: EventGroup, action: SessionAction) -> None:
        """See `requests.note`."""
        await _in(self._waiting, lambda: requests.note(group, action))

    def close(self) -> None:
        """Send what was counted, as far as Redis takes it; the rest stays in the spool directory."""
        self._ecl.close(_FLUSH_S)


def _without_direct_groups(config: Config) -> Config:
    groups = {
        name: replace(group, sync_interval=_SEND_AFTER_S) if group.direct else group
        for name, group in config.groups.items()
    }
    return replace(config, groups=groups)


async def _in(threads: ThreadPoolExecutor, function: Callable[[], _T]) -> _T:
    return await asyncio.wait_for(
        asyncio.get_running_loop().run_in_executor(threads, function), _LONGEST_WAIT_S
    )
