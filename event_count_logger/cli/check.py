"""ecl check: looks for problems in a configuration, and in the Redis that it names."""

from __future__ import annotations

import sys

import click

from event_count_logger import config as configuration
from event_count_logger import diagnosis, machine
from event_count_logger.cli.common import OneLineErrors, config_argument, tell, with_version
from event_count_logger.config import Config
from event_count_logger.errors import ConfigError, ConnectionRejected, Unavailable, Unserved
from event_count_logger.store import Store


@click.command(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@config_argument
@with_version
def check(config_file: str) -> None:
    """Print every problem of CONFIG, of its spool directory and, if it can be reached, of its Redis.

    \b
    Example:
      $ ecl check ecl.yml
      ecl.yml:12: groups.web.intervals[1]: '5x' is not an interval (use ...)
      ecl.yml: 1 problem

    \b
    Exit status: 0 no problem; 1 problems.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    try:
        config = configuration.from_file(config_file)
    except ConfigError as error:
        problems = [str(problem) for problem in error.problems]
    else:
        problems = [str(problem) for problem in config.warnings]
        problems += [f"{config_file}: {problem}" for problem in machine.spool_problems(config)]
        problems += _problems_of_server(config_file, config)
        _print_machine(config_file, config)
    for problem in problems:
        print(problem)
    print(f"{config_file}: {len(problems) or 'no'} problem{'s' if len(problems) != 1 else ''}")
    sys.exit(1 if problems else 0)


def _print_machine(config_file: str, config: Config) -> None:
    for fact in (machine.counting_fact(), *machine.spool_facts(config)):
        print(f"{config_file}: {fact}")
    if warning := machine.spool_warning(config):
        tell(f"WARNING: {warning}")


def _problems_of_server(config_file: str, config: Config) -> list[str]:
    store, problems = Store(config.redis), []
    try:
        for problem in diagnosis.examine(config, store):
            problems.append(f"{config_file}: {problem}")
        servers = store.settings()
    except (ConnectionRejected, Unserved) as error:
        return [*problems, f"{config_file}: {error}"]
    except Unavailable as error:
        tell(f"NOTE: the server is not checked: {error}")
        return problems
    for location, settings in servers.items():
        server = f"{settings.get('server', 'a server')} {settings.get('version', 'of unknown version')}"
        print(f"{config_file}: {server} at {location}")
    return problems
