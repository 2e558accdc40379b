"""The queries of the server: each is a method that reads Redis and returns JSON or text."""

from __future__ import annotations

from importlib.metadata import version
from typing import NamedTuple

from event_count_logger.alerts.status import examine, examine_if_up, rules_of
from event_count_logger.config import Config, GroupConfig
from event_count_logger.config.choices import choices
from event_count_logger.errors import NotConfigured, StoreError
from event_count_logger.intervals import Interval
from event_count_logger.reading import status
from event_count_logger.reading.comparison import Against
from event_count_logger.reading.event_rows import Choice, InvalidRows, rows_of
from event_count_logger.reading.figures import Figures, FiguresReader, Wanted
from event_count_logger.reading.group_reader import choose_interval
from event_count_logger.reading.group_states import group_states
from event_count_logger.reading.scrape import Scraper
from event_count_logger.reading.search import search
from event_count_logger.reading.steps import parse_step
from event_count_logger.render import openmetrics
from event_count_logger.render.csv import render_steps
from event_count_logger.store import Store
from event_count_logger.web import alerts as alert_documents
from event_count_logger.web import annotation_documents, counts, representations
from event_count_logger.web import search as search_documents
from event_count_logger.web.documents import Document, bytes_document, document, json_bytes
from event_count_logger.web.single_flight import SingleFlight

VERSION = version("event-count-logger")

#: Most concurrent computations; and most of those that may take long, such as sums of ranges, so that they do
#: not hold up the others.
_THREADS, _LONG_THREADS = 6, 3

#: Most characters of events in CSV.
_MOST_CSV = 50_000_000

#: Rows of a page, if the request names no number.
ROWS = 100


class Selection(NamedTuple):
    """The part of the counts that a request wants.

    Attributes:
        n: Number of finished intervals or steps; see `Wanted`.
        since: Start of the range of time.
        until: End of the range of time.
        step: Step in which finished intervals are added up.
        compare: The earlier time to compare with.
        current: Whether the answer has what changes within an interval.
        choice: The rows.
        as_csv: Whether the answer is the history in CSV.
    """

    n: int | None = None
    since: str | None = None
    until: str | None = None
    step: str | None = None
    compare: Against | None = None
    current: bool = True
    choice: Choice = Choice(limit=ROWS)
    as_csv: bool = False

    def wanted(self, interval: Interval) -> Wanted:
        """Returns the figures that the request needs.

        Raises:
            InvalidTime: The step is invalid.
        """
        step = None if self.step is None else parse_step(self.step, interval)
        return Wanted(self.n, self.since, self.until, step, self.compare, self.current)


class Queries:
    """Queries about the groups of one configuration, except hidden groups.

    All methods raise `StoreError` or `asyncio.TimeoutError` when Redis does not answer.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store
        self._figures = FiguresReader(store)
        self._shown = {group.name: group for group in config.shown_groups}
        self._scraper = Scraper(config.shown_groups, store, config.exported)
        self._single_flight = SingleFlight(_THREADS)
        self._long_flight = SingleFlight(_LONG_THREADS)

    def use(self, config: Config) -> None:
        """Use another configuration."""
        self._config = config
        self._shown = {group.name: group for group in config.shown_groups}
        self._scraper.use(config.shown_groups, config.exported)
        self._single_flight.forget()
        self._long_flight.forget()

    def close(self) -> None:
        """End the threads after their computations."""
        self._single_flight.close()
        self._long_flight.close()

    def group(self, name: str) -> GroupConfig:
        """Returns the group of that name.

        Raises:
            NotConfigured: The group does not exist or is hidden.
        """
        group = self._shown.get(name)
        if group is None:
            raise NotConfigured(f"there is no group '{name}'{choices(name, self._shown)}")
        return group

    @property
    def groups_shown(self) -> list[GroupConfig]:
        """The groups that are not hidden."""
        return [*self._shown.values()]

    def interval(self, group: GroupConfig, name: str) -> Interval:
        """Returns the interval of that name.

        Raises:
            NotConfigured: The group has no such interval.
        """
        return choose_interval(group, name)

    async def groups(self) -> Document:
        """Returns all groups and masters; see `representations.Groups`."""
        return await self._single_flight.get("groups", self._groups)

    async def counts(self, group: GroupConfig, interval: Interval, selection: Selection) -> Document:
        """Returns one interval of a group with finished ones; see `counts.Counts`.

        Raises:
            InvalidTime: The range or the step is invalid, or has too many intervals.
            InvalidRows: The order or the cursor is invalid.
            StaleCursor: The rows have changed since the page before.
        """
        wanted, place = selection.wanted(interval), (group.name, interval.name)
        # Pages that follow each other, and clients that filter, share what was read.
        flight = self._long_flight if wanted.is_range or wanted.compare else self._single_flight
        figures = await flight.get((*place, wanted), lambda: self._figures.read(group, interval, wanted))
        return await flight.get((*place, selection), lambda: _counts(group, interval, selection, figures))

    async def readiness(self) -> representations.Readiness:
        """Returns the readiness of Redis and the masters, for all groups including hidden ones."""
        return await self._single_flight.get("readiness", self._readiness)

    async def metrics(self, in_openmetrics: bool) -> str:
        """Returns all metrics as text."""
        return await self._single_flight.get(
            ("metrics", in_openmetrics), lambda: self._metrics(in_openmetrics)
        )

    async def alerts(self) -> Document:
        """Returns the states of all alerts; see `web.alerts.Alerts`."""
        return await self._single_flight.get("alerts", self._alerts)

    async def search(self, words: str, limit: int) -> bytes:
        """Returns the groups and events that match all words; see `web.search.Search`."""
        return await self._long_flight.get(
            ("search", words, limit), lambda: json_bytes(self._search(words, limit))
        )

    async def annotations(self, wanted: annotation_documents.Wanted) -> Document:
        """Returns annotations; see `web.annotation_documents.Annotations`.

        Raises:
            InvalidTime: The range is invalid, or has too many intervals.
        """
        config, store = self._config, self._store
        return await self._long_flight.get(
            ("annotations", wanted),
            lambda: document(annotation_documents.annotations_of(config, store, wanted), ("now",)),
        )

    def _groups(self) -> Document:
        found = group_states(self._config, self._store)
        now = self._store.client.server_time()
        content = representations.groups(self._config, found, now, VERSION)
        return document(content, representations.UNSTABLE)

    def _alerts(self) -> Document:
        config = self._config
        found = examine(config, self._store, rules_of(config, config.shown_groups))
        content = alert_documents.document(found, self._store.client.server_time())
        return document(content, alert_documents.UNSTABLE)

    def _search(self, words: str, limit: int) -> search_documents.Search:
        found = search(self._config.shown_groups, self._store, words, limit)
        return search_documents.document(found, self._store.client.server_time())

    def _metrics(self, in_openmetrics: bool) -> str:
        config, scrape = self._config, self._scraper.scrape()
        states = examine_if_up(config, self._store, config.shown_groups) if scrape.up else []
        return openmetrics.render(scrape, VERSION, in_openmetrics, states)

    def _readiness(self) -> representations.Readiness:
        try:
            return representations.readiness(status.examine(self._config, self._store))
        except StoreError as error:
            return representations.readiness(error)


def _counts(group: GroupConfig, interval: Interval, selection: Selection, figures: Figures) -> Document:
    rows = rows_of(group, figures, selection.choice)
    if selection.as_csv:
        if len(figures.steps) * sum(map(len, rows.page)) > _MOST_CSV:
            raise InvalidRows(
                f"format: names of more than {_MOST_CSV:,} characters; use 'limit', or a shorter range"
            )
        text = render_steps(figures.steps, rows.page, frozenset(group.events))
        return bytes_document(text.encode("utf-8", "surrogateescape"), "text/csv; charset=utf-8")
    content = counts.document(group, interval, selection.wanted(interval).step, figures, rows)
    return document(content, counts.UNSTABLE)
