"""ecl recover: sends counts that killed processes have left in spool files."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress

import click

from event_count_logger.cli.base import ExitStatus, command, config_argument, log_to_stderr, with_version
from event_count_logger.config import from_file
from event_count_logger.counting.recovery import FileState, Finding, Recovery
from event_count_logger.logs import Log, counted
from event_count_logger.store import Store


@command()
@config_argument
@click.option("--dry-run", is_flag=True, help="Only show the files.")
@with_version
def recover(config_file: str, dry_run: bool) -> None:
    """Send the counts that killed processes of this machine have left in spool files.

    ecl_master does the same every few seconds, and each process does so when it starts to count.

    \b
    Example:
      $ ecl recover ecl.yml
      /dev/shm/event-count-logger-1000/requests.5f0c.ecl: group requests, pid 4711: recovered 12 events
      /dev/shm/event-count-logger-1000/requests.77a1.ecl: live
      recovered 1 file, 12 events; 1 live

    \b
    Exit status: 0 no counts are left; 2 wrong usage or configuration; 3 Redis is
    unreachable, and the other files are kept; 4 a file is kept because Redis
    rejects some of its counts, or a file or directory cannot be read.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    log_to_stderr()
    config = from_file(config_file)
    recovery = Recovery(config, Store(config.redis), Log("EventCountLogger"))
    states: Counter[FileState] = Counter()
    counts = 0
    try:
        for finding in recovery.inspect_all() if dry_run else _recovered(recovery):
            print(f"{finding.path}: {_sentence(finding, dry_run)}")
            states[finding.state] += 1
            counts += finding.counts if finding.state in (FileState.RECOVERED, FileState.KEPT) else 0
    finally:
        print(_summary(states, counts, len(recovery.unread)))
    if states[FileState.KEPT] or recovery.unread:
        sys.exit(ExitStatus.STALE)


def _summary(states: Mapping[FileState, int], counts: int, n_unread: int) -> str:
    """Returns the last line: the numbers of files recovered and left."""
    left = {"dead": states[FileState.DEAD], "kept": states[FileState.KEPT]}
    parts = [f"recovered {counted(states[FileState.RECOVERED], 'file')}, {counted(counts, 'event')}"]
    parts += [
        f"{states[FileState.LIVE]} live",
        *(f"{number} {what}" for what, number in left.items() if number),
    ]
    if n_unread:
        parts.append(f"{n_unread} spool {'directory' if n_unread == 1 else 'directories'} not read")
    return "; ".join(parts)


def _recovered(recovery: Recovery) -> Iterator[Finding]:
    """Recover all files; find the number of counts in files that stay because Redis is unavailable."""
    for finding in recovery.run():
        if finding.state is FileState.DEAD:
            with suppress(FileNotFoundError):
                yield recovery.inspect(finding.path)
        else:
            yield finding


def _sentence(finding: Finding, dry_run: bool) -> str:
    described = finding.description
    of = f"group {described.group}, pid {described.pid}: " if described else ""
    if finding.state is FileState.SET_ASIDE:
        return f"{'cannot be used' if dry_run else 'set aside'}: {finding.reason}"
    if finding.state is FileState.FOREIGN and described:
        return f"{of}left alone, because it is for another Redis ({described.redis})"
    if finding.state is FileState.DEAD:
        return f"{of}dead, with {counted(finding.counts, 'event')} to recover"
    if finding.state is FileState.RECOVERED:
        return f"{of}recovered {counted(finding.counts, 'event')}"
    if finding.state is FileState.KEPT:
        if dry_run:
            return f"{of}cannot be read: {finding.reason}"
        return f"{of}kept, with {counted(finding.counts, 'event')} recovered: {finding.reason}"
    return "live"
