"""ecl status: says whether everything that counts and rotates is at work."""

from __future__ import annotations

import sys

import click

from event_count_logger import status as examination
from event_count_logger.cli.common import OneLineErrors, Status, config_argument, tell, with_version
from event_count_logger.config import Config, from_file
from event_count_logger.errors import StoreError, Unavailable
from event_count_logger.local_status import MachineStatus, after_recovery, examine_machine
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

    Spool files whose process has ended are listed with their age and size. Those for this Redis get 5 s to be
    recovered. Those for another Redis are no fault here: they may belong to another configuration.

    \b
    Example:
      $ ecl status ecl.yml | tail -1
      OK: 1 master, 3 intervals in time

    \b
    Exit status: 0; 2 wrong usage or configuration; 3 Redis unreachable, or it refuses to
    answer; 4 a rotation is overdue, processes count in an interval that no master
    ends, or spool files for this Redis are not recovered.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    config = from_file(config_file)
    hidden = {group.name for group in config.groups.values() if group.hidden}
    machine = _examine_machine(config)
    found: examination.Status | None = None
    try:
        found = examination.examine(config, Store(config.redis))
    except StoreError as error:
        state = "UNREACHABLE" if isinstance(error, Unavailable) else "REFUSED"
        outcome, sentence = Status.UNREACHABLE, f"{state}: {' '.join(str(error).split())}"
    else:
        if machine and machine.unrecovered:
            machine = _examine_machine(config, machine)
        is_well = not found.overdue and not found.unrotated and not (machine and machine.unrecovered)
        outcome, sentence = Status.OK if is_well else Status.STALE, render.summary(found, machine)
    if as_json:
        print(render.as_json(found, machine, sentence, hidden), end="")
    else:
        print(f"{render.render(found, machine, hidden)}\n{sentence}")
    sys.exit(outcome)


def _examine_machine(config: Config, before: MachineStatus | None = None) -> MachineStatus | None:
    """As it is; or when there was time to recover what was found before."""
    try:
        return after_recovery(config, before) if before else examine_machine(config)
    except OSError as error:
        tell(f"WARNING: spool files cannot be read: {error}")
        return None
