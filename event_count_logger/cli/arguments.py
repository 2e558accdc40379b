"""Intervals and positions, as given on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from event_count_logger.cli.base import ExitStatus, Failure
from event_count_logger.config import GroupConfig
from event_count_logger.config.choices import choices
from event_count_logger.errors import NotConfigured
from event_count_logger.intervals import Interval
from event_count_logger.reading import history_positions
from event_count_logger.reading.follow import After
from event_count_logger.reading.group_reader import choose_interval
from event_count_logger.reading.reader import Reader
from event_count_logger.reading.times import InvalidTime, Range


def interval_argument(group: GroupConfig, name: str | None) -> Interval:
    """Returns the interval of that name; without a name, the only one.

    Raises:
        Failure: No such interval, or no name although there are several.
    """
    try:
        return choose_interval(group, name or None)
    except NotConfigured as error:
        # The messages begin with those of version 1.1, which programs may look for.
        several = "Multiple intervals defined for the group, one must be selected using the '-i' parameter."
        names = choices(name or "", (interval.name for interval in group.intervals))
        message = f"Interval '{name}' not configured for this group.{names}" if name else several + names
        raise Failure(message, ExitStatus.UNKNOWN) from error


def range_arguments(reader: Reader, group: GroupConfig, options: Mapping[str, Any]) -> Range:
    """Returns the range of --since and --until.

    Raises:
        click.UsageError: One of them is no time, or --since is after --until.
        StoreError: Redis does not answer; its clock is needed for a length of time before now.
    """
    try:
        return reader.range_of(group, options["since"], options["until"])
    except InvalidTime as error:
        raise click.UsageError(f"--{error}") from error


def after_argument(given: str | None, n_intervals: int = 1) -> After:
    """Returns the start of --follow; a position can be used for one interval only.

    Raises:
        click.UsageError: It is no position and no time, or a position for several intervals.
    """
    if given is None:
        return None
    try:
        position = history_positions.parse(given)
    except ValueError as error:
        raise click.UsageError(f"--after: {error}") from error
    if position.number and n_intervals > 1:
        raise click.UsageError("--after: a position belongs to one interval of one group; use Unix seconds")
    return str(position)
