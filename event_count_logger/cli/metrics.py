"""Prints metrics."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

from event_count_logger.config import GroupConfig
from event_count_logger.reading.scrape import Scraper
from event_count_logger.render import openmetrics
from event_count_logger.store import Store


def print_metrics(groups: Iterable[GroupConfig], store: Store, in_openmetrics: bool) -> None:
    """Print a page of metrics; also when Redis is away, which is then what the page says.

    Raises:
        StoreError: Something could not be read, which is not on the page.
    """
    scrape = Scraper(groups, store).scrape()
    print(openmetrics.render(scrape, version("event-count-logger"), in_openmetrics), end="")
    if scrape.faults:
        raise scrape.faults[0]
