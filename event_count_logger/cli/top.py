"""ecl top: shows counts live."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import click

from event_count_logger.cli import completion
from event_count_logger.cli.base import ExitStatus, Failure, command, with_config, with_version
from event_count_logger.cli.rows import Row, check_limits, print_rows
from event_count_logger.config import Config, GroupConfig, from_file
from event_count_logger.errors import Unavailable
from event_count_logger.installation import how_to_install
from event_count_logger.reading.group_rates import GroupRates
from event_count_logger.reading.group_reader import choose_interval
from event_count_logger.reading.reader import Reader
from event_count_logger.store import Store
from event_count_logger.top.sample import Target
from event_count_logger.top.view import COLUMNS, View

#: Text for an unknown count, and for each count while Redis is unavailable.
_UNKNOWN, _UNAVAILABLE = "?", "-"

#: The only column while no event is known.
_NO_EVENT = "(no event yet)"


@command()
@click.argument(
    "arguments",
    metavar="CONFIG [GROUP]",
    nargs=-1,
    shell_complete=completion.words(completion.groups, completion.nothing),
)
@click.option(
    "-i",
    "--interval",
    "interval_name",
    metavar="INT",
    shell_complete=completion.option(completion.intervals),
    help="Interval to show (the first one).",
)
@click.option(
    "-d", "delay_s", metavar="SECONDS", type=float, default=1.0, help="Seconds between two reads (1)."
)
@click.option(
    "-c", "reads", metavar="COUNT", type=int, help="Exit after COUNT reads; by default it runs until Ctrl-C."
)
@click.option("--sort", type=click.Choice(COLUMNS), default="rate", help="Column to sort by (rate).")
@with_version
def top(
    arguments: tuple[str, ...],
    interval_name: str | None,
    delay_s: float,
    reads: int | None,
    sort: str,
) -> None:
    """Show the counts of GROUP live, or a list of all groups, those with problems first.

    On a terminal, the command needs the extra `top`. The last line shows the keys, and `?` shows all of them
    with the meanings of the columns. The column `change` compares the last interval with the same time
    yesterday, or without such a history with the interval before. Anywhere else, the command prints
    one row per read, and needs GROUP if there are several groups. The first row shows the counts so far, each
    following row the counts since the row before: `-` while Redis is unavailable, `?` where unknown.

    \b
    Example:
      $ ecl top ecl.yml requests -d 10 -c 3 | cat
        req1  error
          54      3
          12      0
           9      1

    \b
    Exit status: 0; 1 unknown or hidden group, or unknown interval; 2 wrong usage
    or configuration, or rich is missing; 3 Redis rejects the request (only
    without a terminal).
    ECL_CONFIG in the environment stands for CONFIG, unless the first argument is
    a file.
    """
    check_limits(delay_s, reads)
    config_file, *group_names = with_config(arguments)
    if len(group_names) > 1:
        raise click.UsageError(f"expected CONFIG [GROUP], not {1 + len(group_names)} arguments")
    config = from_file(config_file)
    target = _target(config, group_names[0] if group_names else None, interval_name)
    if _on_terminal():
        _show(config, target, sort, delay_s, reads)
    else:
        _print(config, target, delay_s, reads)


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _target(config: Config, group_name: str | None, interval_name: str | None) -> Target | None:
    """Returns the target of the arguments; None for the list of all groups."""
    group = _group(config, group_name)
    if group is None and interval_name is not None:
        raise click.UsageError("--interval can only be used with GROUP")
    if group is None:
        return None
    if interval_name is None:
        return Target(group, group.intervals[0])
    return Target(group, choose_interval(group, interval_name))


def _group(config: Config, name: str | None) -> GroupConfig | None:
    """Returns the group of that name, or the only one; None if there are several."""
    if not config.groups:
        raise Failure("the configuration has no groups", ExitStatus.UNKNOWN)
    if not config.shown_groups:
        raise Failure("all groups are hidden ('hidden: true' in the configuration)", ExitStatus.UNKNOWN)
    if name is None:
        return config.shown_groups[0] if len(config.shown_groups) == 1 else None
    return config.shown_group(name)


def _show(config: Config, target: Target | None, sort: str, delay_s: float, reads: int | None) -> None:
    try:
        from event_count_logger.cli.screen import show
    except ModuleNotFoundError as error:
        if error.name != "rich":
            raise
        message = f"ecl top needs rich on a terminal: {how_to_install('top')}"
        raise Failure(message, ExitStatus.USAGE) from error
    show(config, View(target, sort), delay_s, reads)


def _print(config: Config, target: Target | None, delay_s: float, reads: int | None) -> None:
    if target is None:
        names = ", ".join(group.name for group in config.shown_groups)
        raise click.UsageError(f"expected GROUP, one of: {names}")
    print_rows(_Rows(GroupRates(Reader(Store(config.redis)), *target), target.group).next, delay_s, reads)


class _Rows:
    """Rows with a column for each event seen so far."""

    def __init__(self, rates: GroupRates, group: GroupConfig) -> None:
        self._rates = rates
        self._events = dict.fromkeys(group.events)

    def next(self) -> Row:
        """Returns the next row."""
        try:
            counts = self._rates.next()
        except Unavailable:
            return self._row(lambda event_id: _UNAVAILABLE)
        self._events |= dict.fromkeys(counts)
        return self._row(lambda event_id: _cell(counts.get(event_id, 0)))

    def _row(self, cell: Callable[[str], int | str]) -> Row:
        if not self._events:
            return [_NO_EVENT], [_UNAVAILABLE]
        return list(self._events), [cell(event_id) for event_id in self._events]


def _cell(count: int | None) -> int | str:
    return _UNKNOWN if count is None else count
