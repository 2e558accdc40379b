"""Printing of metrics for OpenMetrics and Prometheus."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import version

from event_count_logger.alerts.status import examine_if_up
from event_count_logger.config import Config, GroupConfig
from event_count_logger.reading.scrape import Scraper
from event_count_logger.render import openmetrics
from event_count_logger.store import Store


def print_metrics(
    config: Config, groups: Collection[GroupConfig], store: Store, in_openmetrics: bool
) -> None:
    """Print a page of metrics of some groups; if Redis is unavailable, the page shows `ecl_up 0`.

    Raises:
        StoreError: A group could not be read, and is not on the page.
    """
    scrape = Scraper(groups, store, config.exported).scrape()
    alerts = examine_if_up(config, store, groups) if scrape.up else []
    print(openmetrics.render(scrape, version("event-count-logger"), in_openmetrics, alerts), end="")
    if scrape.faults:
        raise scrape.faults[0]
