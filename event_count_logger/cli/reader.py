"""ecl_reader: prints counts."""

from __future__ import annotations

import sys
from typing import Any

import click

from event_count_logger.cli import completion
from event_count_logger.cli.base import (
    ExitStatus,
    Failure,
    command,
    config_argument,
    with_version,
)
from event_count_logger.cli.printing import RENDERERS, GroupPrinter
from event_count_logger.config import Config, GroupConfig, from_file
from event_count_logger.config.choices import choices
from event_count_logger.errors import NotConfigured
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.logs import Log
from event_count_logger.reading import history_positions
from event_count_logger.reading.follow import After
from event_count_logger.reading.group_reader import GroupReader, choose_interval
from event_count_logger.store import Store

#: Formats of monitoring systems, for all groups or one, and the options that fit them.
_MONITORING = {"munin": {"interval"}, "openmetrics": set(), "prometheus": set()}

_HALVES: dict[str, tuple[Half, ...]] = {"last": ("last",), "current": ("cur",), "both": ("last", "cur")}

#: Each kind of output for a group, and the options that fit it.
_OPTIONS_OF = {
    "last": {"interval", "rate", "strict"},
    "current": {"interval", "rate", "strict"},
    "both": {"interval", "rate", "strict"},
    "history": {"interval", "rate", "strict"},
    "totals": set(),
    "follow": {"interval", "rate", "after"},
}


@command()
@config_argument
@click.option(
    "-g",
    "--group",
    "group_name",
    metavar="GROUP",
    shell_complete=completion.option(completion.groups),
    help="Group to print.",
)
@click.option(
    "-i",
    "--interval",
    metavar="INT",
    shell_complete=completion.option(completion.intervals),
    help="Interval to print, if the group has several; not with --totals.",
)
@click.option("--last", is_flag=True, help="Print the last finished interval (the default).")
@click.option("--current", is_flag=True, help="Print the current interval.")
@click.option("--both", is_flag=True, help="Print the last and the current interval, as of the same time.")
@click.option(
    "--history", metavar="N", type=click.IntRange(min=1), help="Print the last N finished intervals."
)
@click.option("--totals", is_flag=True, help="Print the all-time total of each event.")
@click.option("--follow", is_flag=True, help="Print each interval as it finishes, until Ctrl-C or SIGTERM.")
@click.option(
    "--after",
    metavar="POSITION",
    help="Start of --follow: the `position` of the last interval received (in JSON), or Unix seconds.",
)
@click.option(
    "--rate",
    is_flag=True,
    help="Print counts per second, by the true length of the interval; not with --totals.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice([*RENDERERS, *_MONITORING]),
    help="Output format (text). The last three are for monitoring; without GROUP they print all groups.",
)
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@click.option(
    "--strict", is_flag=True, help="Exit with status 4 if the counts are stale; not with --totals, --follow."
)
@with_version
def reader(
    config_file: str,
    group_name: str | None,
    output_format: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Print the counts of GROUP, one `event:count` per line.

    A warning on standard error marks stale counts, which are not those of the latest complete interval.

    \b
    Example:
      $ ecl_reader ecl.yml -g requests -i 5m
      error:3
      req1:54
      $ ecl_reader ecl.yml -g requests -i 5m --follow --rate --format csv
      start,end,event,count,rate
      1795521600,1795521900,error,3,0.01
      1795521600,1795521900,req1,54,0.18

    \b
    Exit status: 0; 1 unknown group or interval, or the group keeps no history or
    totals; 2 wrong usage or configuration; 3 Redis is unreachable; 4 stale, with
    --strict.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    chosen_format = _choose_format(output_format, as_json)
    if chosen_format in _MONITORING:
        _check_monitoring_options(options, chosen_format, group_name)
        _export(from_file(config_file), group_name, chosen_format, options["interval"])
        return
    output = _choose_output(options)
    if group_name is None:
        raise click.MissingParameter(param_type="option", param_hint="'-g' / '--group'")
    config = from_file(config_file)
    # A command that goes on logs that Redis is unavailable; all others end with that error.
    store = Store(config.redis, Log("EventCountLogger") if output == "follow" else None)
    counts = GroupReader(config.group(group_name), store)
    _print_group(counts, GroupPrinter(counts, RENDERERS[chosen_format], options["rate"]), output, options)


def _choose_format(named: str | None, as_json: bool) -> str:
    if as_json and named not in (None, "json"):
        raise click.UsageError(f"--json cannot be used with --format {named}")
    return "json" if as_json else named or "text"


def _given(options: dict[str, Any]) -> list[str]:
    return [name for name, value in options.items() if value is not None and value is not False]


def _check_monitoring_options(options: dict[str, Any], chosen_format: str, group_name: str | None) -> None:
    for name in _given(options):
        if name not in _MONITORING[chosen_format]:
            raise click.UsageError(f"--{name} cannot be used with --format {chosen_format}")
        if group_name is None:
            raise click.UsageError(f"--{name} can only be used with --group")


def _choose_output(options: dict[str, Any]) -> str:
    """Returns the kind of output, and checks that all other options fit it."""
    given = _given(options)
    named = [name for name in given if name in _OPTIONS_OF]
    if len(named) > 1:
        raise click.UsageError(f"--{named[0]} and --{named[1]} exclude each other")
    output = named[0] if named else "last"
    for name in given:
        if name not in _OPTIONS_OF[output] and name != output:
            fitting = ", ".join(f"--{other}" for other, fits in _OPTIONS_OF.items() if name in fits)
            raise click.UsageError(f"--{name} can only be used with {fitting}, not with --{output}")
    return output


def _export(config: Config, group_name: str | None, chosen_format: str, interval: str | None) -> None:
    groups = config.shown_groups if group_name is None else [config.group(group_name)]
    store = Store(config.redis)
    if chosen_format == "munin":
        from event_count_logger.cli.graphs import print_graphs
        from event_count_logger.render import munin_graphs

        chosen = interval and _choose_interval(groups[0], interval) or None
        graphs = [munin_graphs.of_group(groups[0], chosen)] if group_name else munin_graphs.all_graphs(config)
        if not print_graphs(graphs, store, headings=group_name is None):
            sys.exit(ExitStatus.UNREACHABLE)
        return
    from event_count_logger.cli.metrics import print_metrics

    print_metrics(groups, store, chosen_format == "openmetrics")


def _print_group(counts: GroupReader, printer: GroupPrinter, output: str, options: dict[str, Any]) -> None:
    if output == "totals":
        printer.print_totals()
        return
    interval = _choose_interval(counts.group, options["interval"]).name
    if output == "follow":
        printer.follow(interval, _after(options["after"]))
        return
    if output == "history":
        stale = printer.print_history(interval, options["history"])
    else:
        stale = printer.print_snapshots(interval, _HALVES[output])
    if stale and options["strict"]:
        sys.exit(ExitStatus.STALE)


def _choose_interval(group: GroupConfig, name: str | None) -> Interval:
    try:
        return choose_interval(group, name or None)
    except NotConfigured as error:
        # The messages of version 1.1, which programs may look for.
        several = "Multiple intervals defined for the group, one must be selected using the '-i' parameter."
        names = choices(name or "", (interval.name for interval in group.intervals))
        message = f"Interval '{name}' not configured for this group.{names}" if name else several + names
        raise Failure(message, ExitStatus.UNKNOWN) from error


def _after(given: str | None) -> After:
    if given is None:
        return None
    try:
        return str(history_positions.parse(given))
    except ValueError as error:
        raise click.UsageError(f"--after: {error}") from error
