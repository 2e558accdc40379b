"""ecl top: shows what is counted, as it is counted."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import click

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

#: What stands in a row for a count that is not known, and for all of them while Redis is away.
_UNKNOWN, _AWAY = "?", "-"

#: The only column while no event is known.
_NO_EVENT = "(no event yet)"


@command()
@click.argument("arguments", metavar="CONFIG [GROUP]", nargs=-1)
@click.option("-i", "--interval", "interval_name", metavar="INT", help="Which interval (the first one).")
@click.option("-d", "delay_s", metavar="SECONDS", type=float, default=1.0, help="Between two reads (1).")
@click.option("-c", "reads", metavar="COUNT", type=int, help="Reads, instead of going on for ever.")
@click.option("--sort", type=click.Choice(COLUMNS), default="rate", help="What to sort by (rate).")
@with_version
def top(
    arguments: tuple[str, ...],
    interval_name: str | None,
    delay_s: float,
    reads: int | None,
    sort: str,
) -> None:
    """Show the counts of GROUP live, or a list of all groups to choose from.

    On a terminal it needs the extra `top`, and its last line names the keys. Anywhere else it needs GROUP,
    if there are several, and prints a row each time: first what was logged so far, then what was logged since
    the row before; `-` while Redis is away, `?` where it is not known.

    \b
    Example:
      $ ecl top ecl.yml requests -d 10 -c 3 | cat
        req1  error
          54      3
          12      0
           9      1

    \b
    Exit status: 0; 1 unknown or hidden group, or unknown interval; 2 wrong usage or configuration,
    or rich is missing; 3 Redis refuses to answer (elsewhere than on a terminal).
    ECL_CONFIG in the environment stands for CONFIG, unless the first argument is a file.
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
    """What to look at; None for the list of all."""
    group = _group(config, group_name)
    if group is None and interval_name is not None:
        raise click.UsageError("an interval can be chosen only together with GROUP")
    if group is None:
        return None
    if interval_name is None:
        return Target(group, group.intervals[0])
    return Target(group, choose_interval(group, interval_name))


def _group(config: Config, name: str | None) -> GroupConfig | None:
    """The group of that name, or the only one there is."""
    if not config.groups:
        raise Failure("there is no group in the configuration", ExitStatus.UNKNOWN)
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
    """Rows of all events that were seen so far."""

    def __init__(self, rates: GroupRates, group: GroupConfig) -> None:
        self._rates = rates
        self._events = dict.fromkeys(group.events)

    def next(self) -> Row:
        """The next row."""
        try:
            counts = self._rates.next()
        except Unavailable:
            return self._row(lambda event_id: _AWAY)
        self._events |= dict.fromkeys(counts)
        return self._row(lambda event_id: _cell(counts.get(event_id, 0)))

    def _row(self, cell: Callable[[str], int | str]) -> Row:
        if not self._events:
            return [_NO_EVENT], [_AWAY]
        return list(self._events), [cell(event_id) for event_id in self._events]


def _cell(count: int | None) -> int | str:
    return _UNKNOWN if count is None else count
