"""ecl status: shows whether all processes that count and rotate work."""

from __future__ import annotations

import sys

import click

from event_count_logger.cli.base import ExitStatus, command, config_argument, with_version
from event_count_logger.cli.plugin import Plugin, exit_as_plugin
from event_count_logger.config import Config, from_file
from event_count_logger.errors import (
    ConnectionRejected,
    NotServing,
    NotYet,
    Rejected,
    StoreError,
)
from event_count_logger.reading import status as examination
from event_count_logger.reading.local_status import MachineStatus, examine_machine, recheck
from event_count_logger.render import nagios as plugin
from event_count_logger.render import status as render
from event_count_logger.render.state import summary
from event_count_logger.store import Store


class _Status(Plugin):
    option = "--nagios"


@command(_Status)
@config_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with times in Unix seconds.")
@click.option("--nagios", is_flag=True, help="Print one line, and exit, as a plugin of Nagios or Icinga.")
@with_version
def status(config_file: str, as_json: bool, nagios: bool) -> None:
    """Show the masters, rotations, exports and sources of CONFIG, and this machine's counting processes.

    Run the command as the user who counts: it shows only the processes of its own user.

    The last line begins with OK, or with the worst fault: OVERDUE (a rotation is late), NOT STARTED (no
    master has started an interval yet), NO MASTER (the last one has stopped or was killed), UNROTATED
    (processes count in an interval that no master ends), NOT WATCHED (alerts have targets, and no
    `ecl alert` runs), NOT NOTIFIED (a notification does not arrive), NOT EXPORTED (no exporter runs), BEHIND
    (an export is late by more than a minute, or the database has a fault), UNSENT (a process has not sent its
    counts in time), UNRECOVERED (spool files of killed processes), UNREADABLE (spool directory).
    Faults of hidden groups count, but hidden groups are not listed.

    A process sends its counts within `sync_interval`, or before the shortest interval ends. It is late 5 s
    after that. The command waits up to 5 s for late processes, and for the recovery of spool files of this
    Redis. Spool files for another Redis are no fault: they may belong to another configuration.

    With --nagios, faults of this machine (UNSENT, UNRECOVERED, UNREADABLE) and of the export (NOT EXPORTED,
    BEHIND) are WARNING: counts are late, but kept. All other faults are CRITICAL: new counts cannot be read,
    or notifications of alerts are not sent. Any error is UNKNOWN.

    Masters of version 1.1, and `ecl_master --once`, have no heartbeat: their rotations show that they run.

    \b
    Example:
      $ ecl status ecl.yml | tail -1
      OK: 1 master, 3 intervals in time

    \b
    Exit status: 0 OK; 2 wrong usage or configuration; 3 Redis is unreachable, or
    rejects the request (UNREACHABLE, REFUSED); 4 any other fault. With --nagios:
    0 OK; 1 WARNING; 2 CRITICAL; 3 UNKNOWN.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    if as_json and nagios:
        raise click.UsageError("--json cannot be used with --nagios")
    config = from_file(config_file)
    hidden = {group.name for group in config.groups.values() if group.hidden}
    found, machine, exit_status, sentence = _examine(config)
    if nagios:
        exit_as_plugin(plugin.state(sentence), sentence, plugin.values(found, machine))
    if as_json:
        print(render.as_json(found, machine, sentence, hidden), end="")
    else:
        print(f"{render.render(found, machine, hidden)}\n{sentence}")
    sys.exit(exit_status)


def _examine(config: Config) -> tuple[examination.Status | None, MachineStatus, ExitStatus, str]:
    """Returns the status of Redis if known, that of this machine, the exit status and a summary."""
    machine = examine_machine(config)
    try:
        store = Store(config.redis)
        found = examination.with_services(examination.examine(config, store), config, store)
    except StoreError as error:
        answered = isinstance(error, Rejected | ConnectionRejected | NotServing | NotYet)
        state = "REFUSED" if answered else "UNREACHABLE"
        return None, machine, ExitStatus.UNREACHABLE, f"{state}: {' '.join(str(error).split())}"
    if machine.unrecovered or machine.late:
        machine = recheck(config, machine)
    is_ok = found.is_ok and machine.is_ok
    return found, machine, ExitStatus.OK if is_ok else ExitStatus.STALE, summary(found, machine)
