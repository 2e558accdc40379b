"""The queries of the server: each is a method that reads Redis and returns JSON or text."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Collection, Iterable
from importlib.metadata import version
from typing import Any, NamedTuple

from event_count_logger.alerts.status import examine, examine_if_up, rules_of
from event_count_logger.config import Config, GroupConfig
from event_count_logger.config.choices import choices
from event_count_logger.errors import NotConfigured, StoreError
from event_count_logger.intervals import Interval
from event_count_logger.reading import status
from event_count_logger.reading.group_reader import choose_interval
from event_count_logger.reading.reader import Reader, Snapshot
from event_count_logger.reading.rotation_wait import read_once_rotated
from event_count_logger.reading.scrape import Scraper
from event_count_logger.reading.times import EVER, InvalidTime
from event_count_logger.render import openmetrics
from event_count_logger.store import Store
from event_count_logger.web import alerts as alert_documents
from event_count_logger.web import representations
from event_count_logger.web.single_flight import SingleFlight

VERSION = version("event-count-logger")

#: Finished intervals in a response, if the request names neither a number nor a range of time.
_USUAL_HISTORY = 60

#: Most finished intervals in a response, and most counts in them, which take some 200 MB in this process.
MOST_INTERVALS, _MOST_COUNTS = 10_000, 1_000_000


class Selection(NamedTuple):
    """The finished intervals that a request wants.

    Attributes:
        n: Number of the newest ones; None for the usual number, or for all of a range.
        since: Start of the range of time; see `parse_time`.
        until: End of the range of time.
    """

    n: int | None = None
    since: str | None = None
    until: str | None = None


def _all_that_fit(found: Iterable[Snapshot]) -> list[Snapshot]:
    """Returns the intervals of a range.

    Raises:
        InvalidTime: They do not fit into a response.
    """
    fitting: list[Snapshot] = []
    n_counts = 0
    for snapshot in found:
        fitting.append(snapshot)
        n_counts += len(snapshot.counts)
        if len(fitting) > MOST_INTERVALS or n_counts > _MOST_COUNTS:
            limit = f"{MOST_INTERVALS:,} intervals or {_MOST_COUNTS:,} counts"
            raise InvalidTime(f"since, until: the range has more than {limit}; request parts of it")
    return fitting


def _newest_that_fit(found: Iterable[Snapshot], n: int) -> deque[Snapshot]:
    """Returns the last `n` intervals of a range, or as many as fit into a response."""
    newest: deque[Snapshot] = deque()
    n_counts = 0
    for snapshot in found:
        newest.append(snapshot)
        n_counts += len(snapshot.counts)
        while len(newest) > n or (n_counts > _MOST_COUNTS and len(newest) > 1):
            n_counts -= len(newest.popleft().counts)
    return newest


class Queries:
    """Queries about the groups of one configuration, except hidden groups.

    All methods raise `StoreError` or `asyncio.TimeoutError` when Redis does not answer.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store
        self._reader = Reader(store)
        self._shown = {group.name: group for group in config.shown_groups}
        self._scraper = Scraper(config.shown_groups, store, config.exported)
        self._single_flight = SingleFlight()

    def use(self, config: Config) -> None:
        """Use another configuration."""
        self._config = config
        self._shown = {group.name: group for group in config.shown_groups}
        self._scraper.use(config.shown_groups, config.exported)

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

    async def counts(self, group: GroupConfig, interval: Interval, selection: Selection) -> bytes:
        """Returns one interval of a group with finished ones; see `representations.Counts`.

        Raises:
            InvalidTime: The range is invalid, or has too many intervals.
        """
        read = self._json(lambda: self._counts(group, interval, selection))
        return await self._single_flight.get((group.name, interval.name, selection), read)

    async def readiness(self) -> representations.Readiness:
        """Returns the readiness of Redis and the masters, for all groups including hidden ones."""
        return await self._single_flight.get("readiness", self._readiness)

    async def metrics(self, in_openmetrics: bool) -> str:
        """Returns all metrics as text."""
        return await self._single_flight.get(
            ("metrics", in_openmetrics), lambda: self._metrics(in_openmetrics)
        )

    async def alerts(self) -> bytes:
        """Returns the states of all alerts; see `web.alerts.Alerts`."""
        return await self._single_flight.get("alerts", self._json(self._alerts))

    @staticmethod
    def _json(read: Callable[[], Any]) -> Callable[[], bytes]:
        # pydantic rejects invalid Unicode, which an event ID in Redis may contain.
        return lambda: json.dumps(read(), separators=(",", ":")).encode()

    def _groups(self) -> representations.Groups:
        found = status.examine(self._config, self._store)
        return representations.groups(self._config, found, self._store.client.server_time(), VERSION)

    def _counts(self, group: GroupConfig, interval: Interval, selection: Selection) -> representations.Counts:
        last, current = read_once_rotated(self._reader, group, interval, "last", "cur")
        totals = self._reader.totals(group) if group.totals else None
        open_sessions = self._store.reads.open_sessions(group) if group.sessions else None
        history = self._history(group, interval, selection)
        return representations.counts(group, interval, last, current, totals, open_sessions, history)

    def _history(self, group: GroupConfig, interval: Interval, selection: Selection) -> Collection[Snapshot]:
        """Returns the selected intervals; of a number of intervals, only as many as fit into a response."""
        wanted = self._reader.range_of(group, selection.since, selection.until)
        if selection.n == 0:
            return ()
        if wanted == EVER:
            n = min(_USUAL_HISTORY if selection.n is None else selection.n, group.n_history(interval))
            return self._reader.newest(group, interval, n, _MOST_COUNTS)
        found = self._reader.between(group, interval, wanted)
        return _all_that_fit(found) if selection.n is None else _newest_that_fit(found, selection.n)

    def _alerts(self) -> alert_documents.Alerts:
        config = self._config
        found = examine(config, self._store, rules_of(config, config.shown_groups))
        return alert_documents.document(found, self._store.client.server_time())

    def _metrics(self, in_openmetrics: bool) -> str:
        config, scrape = self._config, self._scraper.scrape()
        states = examine_if_up(config, self._store, config.shown_groups) if scrape.up else []
        return openmetrics.render(scrape, VERSION, in_openmetrics, states)

    def _readiness(self) -> representations.Readiness:
        try:
            return representations.readiness(status.examine(self._config, self._store))
        except StoreError as error:
            return representations.readiness(error)
