"""ecl_log_event: counts events from the shell."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType

import click

from event_count_logger import keys
from event_count_logger.cli import completion
from event_count_logger.cli.base import ExitStatus, Failure, command, log_to_stderr, with_version
from event_count_logger.config import Config, GroupConfig, from_file
from event_count_logger.config.choices import choices
from event_count_logger.counting import syncer
from event_count_logger.counting.local_counters import LocalCounters
from event_count_logger.groups.redis_group import RedisEventGroup
from event_count_logger.logger import EventCountLogger
from event_count_logger.logs import counted

#: Bytes read from standard input at once.
_CHUNK_BYTES = 1 << 20

#: Seconds after which lines of standard input are sent to Redis.
_STREAM_SYNC_S = 1.0

#: Bytes kept of a line; more than any event ID has.
_LONGEST_LINE = 4096

#: Number of faulty event IDs named in the final message, and characters shown of each.
_MOST_NAMED, _LONGEST_NAMED = 5, 40


# An event or a count may begin with '-'.
@command(ignore_unknown_options=True)
@click.argument(
    "arguments",
    metavar="CONFIG GROUP EVENT [COUNT]",
    nargs=-1,
    required=True,
    shell_complete=completion.words(completion.groups, completion.events, completion.nothing),
)
@with_version
def log_event(arguments: tuple[str, ...]) -> None:
    """Count EVENT of GROUP, once or COUNT times.

    With - as EVENT, count each line of standard input as an event ID, except blank lines.

    \b
    Example:
      $ ecl_log_event ecl.yml requests req1
      $ cut -d' ' -f9 access.log | ecl_log_event ecl.yml http -

    \b
    Exit status: 0 all counts are in Redis; 1 unknown group or event (of standard
    input, all other lines are counted); 2 wrong usage or configuration; 3 Redis
    has not confirmed the counts: they are in a spool file, and are counted once,
    later. Do not repeat the command. With `spool: false`, the last line shows
    whether the counts are in Redis, lost, or unknown; if unknown, a repeat may
    count twice.
    ECL_CONFIG in the environment stands for CONFIG, unless the first argument is
    a file.
    """
    config_file, group_name, event_id, count = _parse(arguments)
    config = from_file(config_file)
    group = config.group(group_name)
    if event_id == "-":
        _log_lines(config, group)
    else:
        _log_one(config, group, event_id, count)


def _parse(arguments: tuple[str, ...]) -> tuple[str, str, str, int]:
    from_environment = os.environ.get("ECL_CONFIG")
    if from_environment and not _names_config(arguments):
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
        raise click.UsageError("COUNT cannot be used with events from standard input")
    try:
        count = int(rest[0])
    except ValueError:
        raise click.UsageError(f"COUNT must be an integer, not '{rest[0]}'") from None
    if not 0 <= count < 2**63:
        raise click.UsageError(f"COUNT must be from 0 to 2^63-1, not {count}")
    return config_file, group_name, event_id, count


def _names_config(arguments: tuple[str, ...]) -> bool:
    """Returns whether the first argument is CONFIG, which may be omitted."""
    if len(arguments) == 3:
        first, _, last = arguments
        return "/" in first or first.endswith((".yml", ".yaml")) or not last.lstrip("-").isdecimal()
    return len(arguments) > 3


def _log_one(config: Config, group: GroupConfig, event_id: str, count: int) -> None:
    fault = _fault(group, event_id)
    if fault:
        names = "" if group.auto_declare_events else choices(event_id, group.events)
        raise Failure(f"Event '{event_id}' {fault}{names}", ExitStatus.UNKNOWN)
    events = _events(config, group)
    warnings = _LastMessage()
    logging.basicConfig(handlers=[warnings])
    events.log(event_id, count)
    _confirm(events, warnings)


def _log_lines(config: Config, group: GroupConfig) -> None:
    configured = _STREAM_SYNC_S if group.sync_interval is None else group.sync_interval
    sync_interval = min(configured, _STREAM_SYNC_S)
    events = _events(config, replace(group, sync_interval=sync_interval))
    warnings = _LastMessage()
    log_to_stderr(warnings)
    skipped: Counter[str] = Counter()
    lines = _Lines(sys.stdin.fileno())
    for chunk in lines:
        for line, count in Counter(chunk).items():
            event_id = line.rstrip(b"\r").decode(errors="replace")
            fault = event_id and _fault(group, event_id)
            if fault:
                named = f"'{event_id[:_LONGEST_NAMED]}' {fault}"
                skipped[named if named in skipped or len(skipped) < _MOST_NAMED else "others"] += count
            elif event_id:
                events.log(event_id, count)
    _confirm(events, warnings)
    if skipped:
        faults = "; ".join(f"{fault} ({counted(count, 'line')})" for fault, count in skipped.items())
        raise Failure(f"{counted(skipped.total(), 'line')} not counted: {faults}", ExitStatus.UNKNOWN)
    if lines.ended_by:
        sys.exit(128 + lines.ended_by)


class _Lines:
    """An iterator over lists of lines of a stream, until its end or SIGINT, SIGTERM or SIGHUP.

    Attributes:
        ended_by: The signal, if there was one. All lines read before it are still yielded.
    """

    def __init__(self, stream: int) -> None:
        self.ended_by: int | None = None
        self._stream = stream
        # A signal makes a pipe readable, and so cannot interrupt between reading and counting.
        self._signalled, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.ended_by = number

    def __iter__(self) -> Iterator[list[bytes]]:
        rest = b""
        while True:
            ready, _, _ = select.select([self._stream, self._signalled], [], [])
            chunk = b"" if self._signalled in ready else os.read(self._stream, _CHUNK_BYTES)
            if not chunk:
                yield [rest]
                return
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[:_LONGEST_LINE]
            yield lines


def _fault(group: GroupConfig, event_id: str) -> str | None:
    """Returns the reason why an event is not counted, to follow its ID; None if it is counted."""
    if event_id in group.events:
        return None
    if not group.auto_declare_events:
        return "not configured for this group and 'auto_declare_events' not enabled."
    fault = keys.event_id_fault(event_id)
    return f"is not an event ID: it {fault}" if fault else None


def _events(config: Config, group: GroupConfig) -> RedisEventGroup:
    events = EventCountLogger.from_config(replace(config, groups={group.name: group})).get_group(group.name)
    assert isinstance(events, RedisEventGroup)
    return events


def _confirm(events: RedisEventGroup, warnings: _LastMessage) -> None:
    """Wait until Redis has confirmed all counts.

    Raises:
        Failure: Redis has not confirmed all counts in time; the message states what happens to the others.
    """
    background = syncer.current()
    all_local = events.all_local
    background.close(all_local, syncer.FLUSH_TIMEOUT_S)
    unconfirmed = [local for local in all_local if local.unsent()]
    if unconfirmed:
        for local in all_local:
            background.forget(local)
        reason = next((local.failure for local in unconfirmed if local.failure), warnings.message)
        fates = (_fate(local, events.group_name) for local in unconfirmed)
        raise Failure("; ".join((reason, *fates)), ExitStatus.UNREACHABLE)


def _fate(local: LocalCounters, group: str) -> str:
    """Returns what happens to counts that Redis has not confirmed, and the next step."""
    number = sum(local.unsent().values())
    counts, is_or_are = f"{counted(number, 'count')} of group '{group}'", "is" if number == 1 else "are"
    if local.spool_file:
        kept = f"{is_or_are} kept in {local.spool_file}, and counted once, later"
        return f"{counts} {kept}: do not repeat the command"
    if local.applied == "no":
        return f"{counts} {is_or_are} not counted, and lost"
    if local.applied == "yes":
        return f"{counts} {is_or_are} in Redis, though not confirmed: do not repeat the command"
    return f"{counts} {is_or_are} either in Redis or lost: repeating the command may count twice"


class _LastMessage(logging.Handler):
    """A log handler that keeps the last message."""

    message = "Redis did not answer in time"

    def emit(self, record: logging.LogRecord) -> None:
        self.message = record.getMessage()
