"""Checks of the targets of notifications on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from event_count_logger.alerts.addresses import missing_package
from event_count_logger.config import Config


def problems(config: Config) -> Iterator[str]:
    """Yields the problems of targets, without their URLs."""
    missing = missing_package(config)
    if missing:
        yield missing
    yield from missing_programs(config)
    for name, target in config.notify.items():
        if target.urls and not missing:
            yield from _of_urls(name, target.urls)


def missing_programs(config: Config) -> Iterator[str]:
    """Yields the problems of targets whose program does not exist on this machine."""
    for name, target in config.notify.items():
        if target.command and shutil.which(target.command[0]) is None:
            yield f"notify.{name}.command: there is no program '{target.command[0]}'"


def _of_urls(name: str, urls: tuple[str, ...]) -> Iterator[str]:
    from event_count_logger.alerts.apprise_sender import unusable

    for number in unusable(urls):
        yield f"notify.{name}.urls[{number}]: apprise does not know this URL"
