"""ecl munin: the command behind the plugin of Munin."""

from __future__ import annotations

import os

import click

from event_count_logger.cli.base import ExitStatus, Failure, command, with_version
from event_count_logger.cli.graphs import print_graphs
from event_count_logger.config import Config, from_file
from event_count_logger.errors import EventCountLoggerError
from event_count_logger.render import munin_graphs
from event_count_logger.store import Store

#: Variables with the configuration: the first for Munin's plugin-conf.d, the second for all commands.
_VARIABLES = ["ecl_config", "ECL_CONFIG"]


@command()
@click.argument("name")
@click.argument(
    "action",
    type=click.Choice(["autoconf", "config", "fetch", "suggest"]),
    metavar="[ACTION]",
    default="fetch",
)
@click.option(
    "--config",
    "config_file",
    metavar="CONFIG",
    type=click.Path(),
    envvar=_VARIABLES,
    help="Configuration file.",
)
@with_version
def munin(name: str, action: str, config_file: str | None) -> None:
    """Print the graph NAME as a plugin of Munin.

    NAME is ecl_GROUP, ecl_GROUP_INTERVAL or ecl_all. ACTION is one of:

    \b
      fetch     counts of the last finished interval (the default)
      config    settings of the graph; with MUNIN_CAP_DIRTYCONFIG=1 in the
                environment, also the counts
      autoconf  `yes`, or `no` and the reason
      suggest   possible endings of NAME after `ecl_`

    \b
    Example:
      $ ecl munin --config ecl.yml ecl_requests
      req1.value 54
      error.value 3

    Unknown counts, for example while Redis is unavailable, are printed as `U`, with a warning on standard
    error. The exit status is 0 even then, because Munin discards the output of a plugin that fails.

    \b
    Exit status: 0; 1 unknown or hidden group, unknown interval; 2 wrong usage or
    configuration.
    ecl_config or ECL_CONFIG in the environment stands for --config.
    """
    if action == "autoconf":
        print(_autoconf(config_file))
    elif action == "suggest":
        print(*munin_graphs.suggestions(_config(config_file)), sep="\n")
    else:
        _print_graphs(_config(config_file), name, action)


def _config(file: str | None) -> Config:
    if not file:
        message = (
            "no configuration given: set env.ecl_config in /etc/munin/plugin-conf.d, "
            "or use --config or ECL_CONFIG"
        )
        raise Failure(message, ExitStatus.USAGE)
    return from_file(file)


def _autoconf(config_file: str | None) -> str:
    try:
        config = _config(config_file)
        Store(config.redis).servers.ping()
    except (Failure, EventCountLoggerError) as error:
        return f"no ({' '.join(str(error).split())})"
    return "yes" if config.shown_groups else f"no ({config_file}: all groups are hidden)"


def _print_graphs(config: Config, name: str, action: str) -> None:
    print_graphs(
        munin_graphs.find(config, name),
        Store(config.redis),
        headings=munin_graphs.is_all(name),
        settings=action == "config",
        values=action == "fetch" or os.environ.get("MUNIN_CAP_DIRTYCONFIG") == "1",
        rules=config.alerts,
    )
