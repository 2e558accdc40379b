"""ecl_log_event: counts events from the shell."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import click

from event_count_logger import keys, syncer
from event_count_logger.cli.common import Failure, OneLineErrors, Status, find_group, with_version
from event_count_logger.config import Config, GroupConfig, from_file
from event_count_logger.group import EventGroup
from event_count_logger.logger import EventCountLogger

#: Bytes read from standard input at once.
_CHUNK_BYTES = 1 << 20

#: Seconds after which lines of standard input are in Redis.
_STREAM_SYNC_S = 1.0

#: Faulty event IDs that are named in the message at the end, and characters of each.
_MOST_NAMED, _LONGEST_NAMED = 5, 40


# An event or a count may begin with '-'.
@click.command(
    cls=OneLineErrors,
    context_settings={"help_option_names": ["-h", "--help"], "ignore_unknown_options": True},
)
@click.argument("arguments", metavar="CONFIG GROUP EVENT [COUNT]", nargs=-1, required=True)
@with_version
def log_event(arguments: tuple[str, ...]) -> None:
    """Count EVENT of GROUP, once or COUNT times.

    With - as EVENT, each line of standard input is an event ID to be counted; blank lines are not.

    \b
    Example:
      $ ecl_log_event ecl.yml requests req1
      $ cut -d' ' -f9 access.log | ecl_log_event ecl.yml http -

    \b
    Exit status: 0 all is counted; 1 unknown group or event (of standard input, the
    other lines are counted); 2 wrong usage or configuration; 3 Redis has not confirmed it.
    ECL_CONFIG in the environment stands for CONFIG, unless the first argument is a file.
    """
    config_file, group_name, event_id, count = _parse(arguments)
    config = from_file(config_file)
    group = find_group(config, group_name)
    if event_id == "-":
        _log_lines(config, group)
    else:
        _log_one(config, group, event_id, count)


def _parse(arguments: tuple[str, ...]) -> tuple[str, str, str, int]:
    from_environment = os.environ.get("ECL_CONFIG")
    if from_environment and not (len(arguments) > 2 and os.path.isfile(arguments[0])):
        arguments = (from_environment, *arguments)
    if not 3 <= len(arguments) <= 4:
        raise click.UsageError(f"expected CONFIG GROUP EVENT [COUNT], not {len(arguments)} arguments")
    config_file, group_name, event_id, *rest = arguments
    for argument in arguments:
        if argument.startswith("--"):
            raise click.NoSuchOption(argument)
    if not rest:
        return config_file, group_name, event_id, 1
    if event_id == "-":
        raise click.UsageError("COUNT does not go with events from standard input")
    try:
        count = int(rest[0])
    except ValueError:
        raise click.UsageError(f"COUNT must be an integer, not '{rest[0]}'") from None
    if not 0 <= count < 2**63:
        raise click.UsageError(f"COUNT must be from 0 to 2^63-1, not {count}")
    return config_file, group_name, event_id, count


def _log_one(config: Config, group: GroupConfig, event_id: str, count: int) -> None:
    fault = _fault(group, event_id)
    if fault:
        raise Failure(f"Event '{event_id}' {fault}", Status.UNKNOWN)
    warnings = _LastMessage()
    logging.basicConfig(handlers=[warnings])
    events = _events(config, group)
    events.log(event_id, count)
    _confirm(events, warnings.message)


def _log_lines(config: Config, group: GroupConfig) -> None:
    logging.basicConfig(format="%(levelname)s: %(message)s")
    events = _events(
        config, replace(group, sync_interval=min(group.sync_interval or math.inf, _STREAM_SYNC_S))
    )
    skipped: Counter[str] = Counter()
    try:
        for lines in _chunks_of_lines():
            for line, count in Counter(lines).items():
                event_id = line.rstrip(b"\r").decode(errors="replace")
                fault = event_id and _fault(group, event_id)
                if fault:
                    named = f"'{event_id[:_LONGEST_NAMED]}' {fault}"
                    skipped[named if named in skipped or len(skipped) < _MOST_NAMED else "others"] += count
                elif event_id:
                    events.log(event_id, count)
    finally:
        _confirm(events, "Redis did not answer in time")
    if skipped:
        faults = "; ".join(f"{fault} ({count} lines)" for fault, count in skipped.items())
        raise Failure(f"{skipped.total()} lines were not counted: {faults}", Status.UNKNOWN)


def _chunks_of_lines() -> Iterator[list[bytes]]:
    """Standard input as it comes, cut into lines without their ends."""
    rest = b""
    while chunk := os.read(sys.stdin.fileno(), _CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield lines
    yield [rest]


def _fault(group: GroupConfig, event_id: str) -> str | None:
    """Why an event is not counted, in words that follow its ID."""
    if event_id in group.events:
        return None
    if not group.auto_declare_events:
        return "not configured for this group and 'auto_declare_events' not enabled"
    fault = keys.event_id_fault(event_id)
    return f"is not an event ID: it {fault}" if fault else None


def _events(config: Config, group: GroupConfig) -> EventGroup:
    events = EventCountLogger.from_config(replace(config, groups={group.name: group})).get_group(group.name)
    assert isinstance(events, EventGroup)
    return events


def _confirm(events: EventGroup, reason: str) -> None:
    """Waits until Redis has everything; what it has not confirmed in time is given up, and said."""
    background = syncer.current()
    background.close([events.local], syncer.FLUSH_TIMEOUT_S)
    unsent = sum(events.local.unsent().values())
    if unsent:
        background.forget(events.local)
        raise Failure(
            f"{reason}; {unsent} counts of group '{events.group_name}' are not confirmed", Status.UNREACHABLE
        )


class _LastMessage(logging.Handler):
    """Keeps what was logged last."""

    message = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.message = record.getMessage()
