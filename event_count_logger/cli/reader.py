"""ecl_reader: prints counts."""

from __future__ import annotations

import sys

import click

from event_count_logger.cli.common import (
    Failure,
    OneLineErrors,
    Status,
    config_argument,
    with_version,
)
from event_count_logger.config import GroupConfig, from_file
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.reader import Reader
from event_count_logger.render import json, text
from event_count_logger.store import Store


@click.command(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@config_argument
@click.option("-g", "--group", "group_name", metavar="GROUP", required=True, help="Counter group to print.")
@click.option(
    "-i", "--interval", "interval_name", metavar="INT", help="Which interval, if the group has several."
)
@click.option("--last", is_flag=True, help="The last finished interval (the default).")
@click.option("--current", is_flag=True, help="The running interval.")
@click.option("--both", is_flag=True, help="Both, as of the same moment.")
@click.option("--json", "as_json", is_flag=True, help="JSON, with start, end, server time and stale flag.")
@click.option("--strict", is_flag=True, help="Exit status 4 when the counts are stale.")
@with_version
def reader(
    config_file: str,
    group_name: str,
    interval_name: str | None,
    last: bool,
    current: bool,
    both: bool,
    as_json: bool,
    strict: bool,
) -> None:
    """Print the counts of GROUP, one `event:count` a line.

    Stale counts, which are not those of the latest complete interval, are warned of on standard error.

    \b
    Example:
      $ ecl_reader ecl.yml -g requests -i 5m
      error:3
      req1:54

    \b
    Exit status: 0; 1 unknown group or interval; 2 wrong usage or configuration;
    3 Redis unreachable; 4 stale, with --strict.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    if last + current + both > 1:
        raise click.UsageError("--last, --current and --both exclude each other")
    halves: tuple[Half, ...] = ("last", "cur") if both else ("cur",) if current else ("last",)
    config = from_file(config_file)
    group = config.group(group_name)
    interval = _choose_interval(group, interval_name)
    snapshots = Reader(Store(config.redis)).read_settled(group, interval, *halves)
    print(json.render(snapshots) if as_json else text.render(snapshots), end="")
    for warning in text.warnings(snapshots):
        print(f"WARNING: {warning}", file=sys.stderr)
    if strict and snapshots[0].stale:
        sys.exit(Status.STALE)


def _choose_interval(group: GroupConfig, name: str | None) -> Interval:
    if not name and len(group.intervals) == 1:
        return group.intervals[0]
    if not name:
        message = "Multiple intervals defined for the group, one must be selected using the '-i' parameter."
        raise Failure(message, Status.UNKNOWN)
    interval = group.interval(name)
    if interval is None:
        raise Failure(f"Interval '{name}' not configured for this group.", Status.UNKNOWN)
    return interval
