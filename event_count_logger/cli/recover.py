"""ecl recover: finishes what processes that were killed have left in spool files."""

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
@click.option("--dry-run", is_flag=True, help="Only say what is there.")
@with_version
def recover(config_file: str, dry_run: bool) -> None:
    """Count what processes of this machine had logged, but not sent, when they were killed.

    ecl_master does the same every few seconds, and so does each process when it starts to count.

    \b
    Example:
      $ ecl recover ecl.yml
      /dev/shm/event-count-logger-1000/requests.5f0c.ecl: group requests, pid 4711: recovered 12 events
      /dev/shm/event-count-logger-1000/requests.77a1.ecl: live
      recovered 1 file, 12 events; 1 live

    \b
    Exit status: 0 if nothing is left; 2 wrong usage or configuration; 3 Redis unreachable: what is not
    recovered yet is kept; 4 a file is kept, because Redis rejects some of it, or a file or directory
    cannot be read.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    log_to_stderr()
    config = from_file(config_file)
    recovery = Recovery(config, Store(config.redis), Log("EventCountLogger"))
    outcomes: Counter[FileState] = Counter()
    counts = 0
    try:
        for finding in recovery.look() if dry_run else _recovered(recovery):
            print(f"{finding.path}: {_words(finding, dry_run)}")
            outcomes[finding.outcome] += 1
            counts += finding.counts if finding.outcome in (FileState.RECOVERED, FileState.KEPT) else 0
    finally:
        print(_summary(outcomes, counts, len(recovery.unread)))
    if outcomes[FileState.KEPT] or recovery.unread:
        sys.exit(ExitStatus.STALE)


def _summary(outcomes: Mapping[FileState, int], counts: int, n_unread: int) -> str:
    """Returns the last line: what was recovered, and what is left."""
    left = {"dead": outcomes[FileState.DEAD], "kept": outcomes[FileState.KEPT]}
    parts = [f"recovered {counted(outcomes[FileState.RECOVERED], 'file')}, {counted(counts, 'event')}"]
    parts += [
        f"{outcomes[FileState.LIVE]} live",
        *(f"{number} {what}" for what, number in left.items() if number),
    ]
    if n_unread:
        parts.append(f"{n_unread} spool {'directory' if n_unread == 1 else 'directories'} not read")
    return "; ".join(parts)


def _recovered(recovery: Recovery) -> Iterator[Finding]:
    """Recovers; of a file that stays because Redis is unavailable, counts what is in it."""
    for finding in recovery.run():
        if finding.outcome is FileState.DEAD:
            with suppress(FileNotFoundError):
                yield recovery.look_into(finding.path)
        else:
            yield finding


def _words(finding: Finding, dry_run: bool) -> str:
    described = finding.description
    of = f"group {described.group}, pid {described.pid}: " if described else ""
    if finding.outcome is FileState.SET_ASIDE:
        return f"{'cannot be used' if dry_run else 'set aside'}: {finding.reason}"
    if finding.outcome is FileState.FOREIGN and described:
        return f"{of}left alone, because it is for another Redis ({described.redis})"
    if finding.outcome is FileState.DEAD:
        return f"{of}dead, with {counted(finding.counts, 'event')} to recover"
    if finding.outcome is FileState.RECOVERED:
        return f"{of}recovered {counted(finding.counts, 'event')}"
    if finding.outcome is FileState.KEPT:
        if dry_run:
            return f"{of}cannot be read: {finding.reason}"
        return f"{of}kept, with {counted(finding.counts, 'event')} recovered: {finding.reason}"
    return "live"
