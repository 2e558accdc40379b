"""ecl_reader: prints counts."""

from __future__ import annotations

import sys
from typing import Any

import click

from event_count_logger.cli import completion
from event_count_logger.cli.arguments import after_argument, interval_argument, range_arguments
from event_count_logger.cli.base import (
    ExitStatus,
    command,
    config_argument,
    with_version,
)
from event_count_logger.cli.printing import FORMATS, GroupPrinter, renderer
from event_count_logger.config import GroupConfig, from_file
from event_count_logger.keys import Half
from event_count_logger.logs import Log
from event_count_logger.reading.reader import Reader
from event_count_logger.store import Store

#: Formats of systems that store finished intervals, for all groups or one.
_FEEDS = ("graphite", "influx", "zabbix")

#: Options that do not fit them.
_NOT_IN_FEEDS = {"current", "both", "sum", "totals", "rate"}

#: Other formats of monitoring systems, for all groups or one, and the options that fit them.
_MONITORING = {"zabbix-discovery": set(), "munin": {"interval"}, "openmetrics": set(), "prometheus": set()}

_HALVES: dict[str, tuple[Half, ...]] = {"last": ("last",), "current": ("cur",), "both": ("last", "cur")}

#: Each kind of output for a group, and the options that fit it.
_OPTIONS_OF = {
    "last": {"interval", "rate", "strict"},
    "current": {"interval", "rate", "strict"},
    "both": {"interval", "rate", "strict"},
    "history": {"interval", "rate", "strict", "since", "until"},
    "sum": {"interval", "rate", "strict", "since", "until"},
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
@click.option(
    "--since",
    metavar="TIME",
    help="Print the finished intervals that began at TIME or later: `2h` for two hours before now, Unix "
    "seconds, or `2026-11-30T12:00Z`.",
)
@click.option("--until", metavar="TIME", help="Print the finished intervals that began before TIME.")
@click.option("--sum", is_flag=True, help="Print the sum over the finished intervals of --since and --until.")
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
    type=click.Choice([*FORMATS, *_FEEDS, *_MONITORING]),
    help="Output format (text). All but the first three are for monitoring: without GROUP they print all "
    "groups.",
)
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@click.option(
    "--strict",
    is_flag=True,
    help="Exit with status 4 if the counts are stale, or if --sum lacks intervals; not with --totals, "
    "--follow.",
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

    The formats graphite, influx and zabbix print every interval of every group unless -g and -i choose; with
    --follow, they are a feed. Their times are the starts of intervals.

    An interval belongs to the range of --since and --until if it begins in it. With --history, the last N
    intervals of the range are printed.

    \b
    Example:
      $ ecl_reader ecl.yml -g requests -i 5m
      error:3
      req1:54
      $ ecl_reader ecl.yml -g requests -i 5m --follow --rate --format csv
      start,end,event,count,rate
      1795521600,1795521900,error,3,0.01
      1795521600,1795521900,req1,54,0.18
      $ ecl_reader ecl.yml -g requests -i 5m --since 7d --sum
      error:612
      req1:98104

    \b
    Exit status: 0; 1 unknown group or interval, or the group keeps no history or
    totals; 2 wrong usage or configuration; 3 Redis is unreachable; 4 stale, or
    intervals are missing in a sum, with --strict.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    chosen_format = _choose_format(output_format, as_json)
    if chosen_format in _MONITORING:
        _check_monitoring_options(options, chosen_format, group_name)
        from event_count_logger.cli.monitoring import print_values

        print_values(from_file(config_file), group_name, chosen_format, options["interval"])
        return
    output = _choose_output(options)
    if chosen_format in _FEEDS:
        _check_feed_options(options, chosen_format, group_name)
        from event_count_logger.cli.feed import print_feed

        stale = print_feed(from_file(config_file), group_name, chosen_format, output, options)
        _exit_if_stale(stale, options)
        return
    if group_name is None:
        raise click.MissingParameter(param_type="option", param_hint="'-g' / '--group'")
    config = from_file(config_file)
    # A command that goes on logs that Redis is unavailable; all others end with that error.
    store = Store(config.redis, Log("EventCountLogger") if output == "follow" else None)
    group = config.group(group_name)
    _print_group(
        group, store, GroupPrinter(group, store, renderer(chosen_format), options["rate"]), output, options
    )


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


def _check_feed_options(options: dict[str, Any], chosen_format: str, group_name: str | None) -> None:
    for name in _given(options):
        if name in _NOT_IN_FEEDS:
            raise click.UsageError(f"--{name} cannot be used with --format {chosen_format}")
    if group_name is None and options["interval"] is not None:
        raise click.UsageError("--interval can only be used with --group")


def _choose_output(options: dict[str, Any]) -> str:
    """Returns the kind of output, and checks that all other options fit it."""
    given = _given(options)
    named = [name for name in given if name in _OPTIONS_OF]
    if len(named) > 1:
        raise click.UsageError(f"--{named[0]} and --{named[1]} exclude each other")
    output = named[0] if named else "history" if {"since", "until"}.intersection(given) else "last"
    for name in given:
        if name not in _OPTIONS_OF[output] and name != output:
            fitting = ", ".join(f"--{other}" for other, fits in _OPTIONS_OF.items() if name in fits)
            raise click.UsageError(f"--{name} can only be used with {fitting}, not with --{output}")
    return output


def _print_group(
    group: GroupConfig, store: Store, printer: GroupPrinter, output: str, options: dict[str, Any]
) -> None:
    if output == "totals":
        printer.print_totals()
        return
    interval = interval_argument(group, options["interval"])
    if output == "follow":
        printer.follow(interval.name, after_argument(options["after"]))
    elif output in _HALVES:
        _exit_if_stale(printer.print_snapshots(interval.name, _HALVES[output]), options)
    else:
        wanted = range_arguments(Reader(store), group, options)
        if output == "sum":
            fault = printer.print_sum(interval, wanted)
        else:
            fault = printer.print_history(interval, options["history"], wanted)
        _exit_if_stale(fault, options)


def _exit_if_stale(stale: bool, options: dict[str, Any]) -> None:
    if stale and options["strict"]:
        sys.exit(ExitStatus.STALE)
