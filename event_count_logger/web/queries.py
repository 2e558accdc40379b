"""The queries of the server: each is a method that reads Redis and returns JSON or text."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from event_count_logger.config import Config, GroupConfig
from event_count_logger.config.choices import choices
from event_count_logger.errors import NotConfigured, StoreError
from event_count_logger.intervals import Interval
from event_count_logger.reading import status
from event_count_logger.reading.group_reader import choose_interval
from event_count_logger.reading.reader import Reader
from event_count_logger.reading.rotation_wait import read_once_rotated
from event_count_logger.reading.scrape import Scraper
from event_count_logger.render import openmetrics
from event_count_logger.store import Store
from event_count_logger.web import representations
from event_count_logger.web.single_flight import SingleFlight

VERSION = version("event-count-logger")

#: Finished intervals in a response, if the request names no number.
_USUAL_HISTORY = 60


class Queries:
    """Queries about the groups of one configuration, except hidden groups.

    All methods raise `StoreError` or `asyncio.TimeoutError` when Redis does not answer.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store
        self._reader = Reader(store)
        self._shown = {group.name: group for group in config.shown_groups}
        self._scraper = Scraper(config.shown_groups, store)
        self._single_flight = SingleFlight()

    def use(self, config: Config) -> None:
        """Use another configuration."""
        self._config = config
        self._shown = {group.name: group for group in config.shown_groups}
        self._scraper.use(config.shown_groups)

    def group(self, name: str) -> GroupConfig:
        """Returns the group of that name.

        Raises:
            NotConfigured: The group does not exist or is hidden.
        """
        group = self._shown.get(name)
        if group is None:
            raise NotConfigured(f"there is no group '{name}'{choices(name, self._shown)}")
        return group

    def interval(self, group: GroupConfig, name: str) -> Interval:
        """Returns the interval of that name.

        Raises:
            NotConfigured: The group has no such interval.
        """
        return choose_interval(group, name)

    async def groups(self) -> bytes:
        """Returns all groups and masters; see `representations.Groups`."""
        return await self._single_flight.get("groups", self._json(self._groups))

    async def counts(self, group: GroupConfig, interval: Interval, n_history: int | None) -> bytes:
        """Returns one interval of a group with up to `n_history` finished ones, by default 60.

        See `representations.Counts`.
        """
        n = min(_USUAL_HISTORY if n_history is None else n_history, group.n_history(interval))
        read = self._json(lambda: self._counts(group, interval, n))
        return await self._single_flight.get((group.name, interval.name, n), read)

    async def readiness(self) -> representations.Readiness:
        """Returns the readiness of Redis and the masters, for all groups including hidden ones."""
        return await self._single_flight.get("readiness", self._readiness)

    async def metrics(self, in_openmetrics: bool) -> str:
        """Returns all metrics as text."""
        return await self._single_flight.get(
            ("metrics", in_openmetrics),
            lambda: openmetrics.render(self._scraper.scrape(), VERSION, in_openmetrics),
        )

    @staticmethod
    def _json(read: Callable[[], Any]) -> Callable[[], bytes]:
        # pydantic rejects invalid Unicode, which an event ID in Redis may contain.
        return lambda: json.dumps(read(), separators=(",", ":")).encode()

    def _groups(self) -> representations.Groups:
        found = status.examine(self._config, self._store)
        return representations.groups(self._config, found, self._store.client.server_time(), VERSION)

    def _counts(self, group: GroupConfig, interval: Interval, n_history: int) -> representations.Counts:
        last, current = read_once_rotated(self._reader, group, interval, "last", "cur")
        totals = self._reader.totals(group) if group.totals else None
        open_sessions = self._store.reads.open_sessions(group) if group.sessions else None
        history = self._reader.history(group, interval, n_history)
        return representations.counts(group, interval, last, current, totals, open_sessions, history)

    def _readiness(self) -> representations.Readiness:
        try:
            return representations.readiness(status.examine(self._config, self._store))
        except StoreError as error:
            return representations.readiness(error)
