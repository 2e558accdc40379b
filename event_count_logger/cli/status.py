"""ecl status: says whether everything that counts and rotates is at work."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from event_count_logger import status as examination
from event_count_logger.cli.common import OneLineErrors, Status, config_argument, tell, with_version
from event_count_logger.config import Config, from_file
from event_count_logger.errors import StoreError, Unavailable
from event_count_logger.local_status import LocalStatus, examine_machine
from event_count_logger.render import status as render
from event_count_logger.store import Store


@click.command(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@config_argument
@click.option("--json", "as_json", is_flag=True, help="JSON, with times in Unix seconds.")
@with_version
def status(config_file: str, as_json: bool) -> None:
    """Print the masters, rotations and sources of CONFIG, and the processes of this machine that count.

    The last line sums it up. A master of version 1.1, and `ecl_master --once`, leave no sign of themselves:
    what counts is whether a rotation is overdue. Hidden groups are not listed, but looked after.

    \b
    Example:
      $ ecl status ecl.yml | tail -1
      OK: 1 master, 3 intervals in time

    \b
    Exit status: 0; 2 wrong usage or configuration; 3 Redis unreachable, or it refuses to
    answer; 4 a rotation is overdue.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    config = from_file(config_file)
    found, outcome, sentence = _examine(config)
    machine = _examine_machine(config)
    if as_json:
        print(render.as_json(found, machine, sentence), end="")
    else:
        print(f"{render.render(found, machine)}\n{sentence}")
    sys.exit(outcome)


def _examine(config: Config) -> tuple[examination.Status | None, Status, str]:
    try:
        found = examination.examine(config, Store(config.redis))
    except StoreError as error:
        state = "UNREACHABLE" if isinstance(error, Unavailable) else "REFUSED"
        return None, Status.UNREACHABLE, f"{state}: {' '.join(str(error).split())}"
    return found, Status.STALE if found.overdue else Status.OK, render.summary(found)


def _examine_machine(config: Config) -> Sequence[LocalStatus] | None:
    try:
        return examine_machine(config)
    except OSError as error:
        tell(f"WARNING: spool files cannot be read: {error}")
        return None
