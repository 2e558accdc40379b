"""ecl munin: what the plugin of Munin runs."""

from __future__ import annotations

import os

import click

from event_count_logger.cli.base import ExitStatus, Failure, command, with_version
from event_count_logger.cli.graphs import print_graphs
from event_count_logger.config import Config, from_file
from event_count_logger.errors import EventCountLoggerError
from event_count_logger.render import munin_graphs
from event_count_logger.store import Store

#: Both may be set in Munin's plugin-conf.d; the second is that of all commands.
_VARIABLES = ["ecl_config", "ECL_CONFIG"]


@command()
@click.argument("name")
@click.argument(
    "action",
    type=click.Choice(["autoconf", "config", "fetch", "suggest"]),
    metavar="[ACTION]",
    default="fetch",
)
@click.option("--config", "config_file", metavar="CONFIG", envvar=_VARIABLES, help="The configuration.")
@with_version
def munin(name: str, action: str, config_file: str | None) -> None:
    """Do for the graph NAME what Munin asks of a plugin.

    NAME is ecl_GROUP, ecl_GROUP_INTERVAL or ecl_all. ACTION is one of:

    \b
      fetch     the counts of the last finished interval (the default)
      config    what the graph looks like; with MUNIN_CAP_DIRTYCONFIG=1 in the
                environment, and the counts
      autoconf  `yes`, or `no` and why
      suggest   what may follow `ecl_` in a NAME

    \b
    Example:
      $ ecl munin --config ecl.yml ecl_requests
      req1.value 54
      error.value 3

    When counts are not known, for example because Redis does not answer, they are `U`, and standard error
    says why; the exit status is 0, because otherwise Munin would throw away what was printed.

    \b
    Exit status: 0; 1 unknown or hidden group, unknown interval; 2 wrong usage or configuration.
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
            "no configuration is named: set env.ecl_config in /etc/munin/plugin-conf.d, "
            "or give --config or ECL_CONFIG"
        )
        raise Failure(message, ExitStatus.USAGE)
    return from_file(file)


def _autoconf(config_file: str | None) -> str:
    try:
        config = _config(config_file)
        Store(config.redis).servers.ping()
    except (Failure, EventCountLoggerError) as error:
        return f"no ({' '.join(str(error).split())})"
    return "yes" if config.shown_groups else f"no ({config_file} has no group that is not hidden)"


def _print_graphs(config: Config, name: str, action: str) -> None:
    print_graphs(
        munin_graphs.find(config, name),
        Store(config.redis),
        headings=munin_graphs.is_all(name),
        looks=action == "config",
        values=action == "fetch" or os.environ.get("MUNIN_CAP_DIRTYCONFIG") == "1",
    )
