"""Sends the counts in spool files of processes that have ended, each exactly once, and deletes the files.

    file                                             state        next step
    locked: its process counts, or is recovered      LIVE         checked by each run
    for another Redis                                FOREIGN      left unchanged, checked after 300 s
    damaged, or a copy of a file that was sent       SET_ASIDE    renamed to *.bad
    cannot be opened, such as for no permission      KEPT         checked after 3 s, then 6 s, up to 60 s
    not locked, and Redis is unavailable             DEAD         checked by each run
    not locked, and Redis rejects or does not        KEPT         as above
      confirm some counts
    not locked, and Redis has confirmed all counts   RECOVERED    deleted

The state of the batch in the file decides the first step of sending; see `batch_sender`. Several processes
may recover at once: the lock of a file (flock) lets one of them send it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from event_count_logger import process
from event_count_logger.config import Config, GroupConfig
from event_count_logger.counting import spool_file
from event_count_logger.counting.batch_sender import BatchSender
from event_count_logger.counting.cells import Cells
from event_count_logger.counting.postponed import Key, Postponed
from event_count_logger.counting.recovery_log import RecoveryLog
from event_count_logger.counting.spool_file import InUse, SpoolFile, SpoolReader
from event_count_logger.counting.spool_format import Damaged, Description
from event_count_logger.errors import NotYet, Rejected, Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log, WarnsOnce
from event_count_logger.store import Store

#: Seconds for which a process that counts delays its own counts to recover those of other processes.
_MAX_DELAY_S = 1.0

#: Seconds until a file that this configuration cannot send is checked again.
_FOREIGN_S = 300.0

#: The same for a file that is kept: the first wait and the longest. Reading a large file costs much.
_KEPT_S, _MAX_KEPT_S = 3.0, 60.0


class FileState(Enum):
    """States of a spool file after a check; see the module."""

    LIVE = "live"  #: its process runs
    DEAD = "dead"  #: its process has ended, and its counts are not sent
    RECOVERED = "recovered"  #: all counts are in Redis, and the file is deleted
    KEPT = "kept"  #: Redis rejects some counts, or the file cannot be opened; retrying
    FOREIGN = "foreign"  #: for another Redis
    SET_ASIDE = "set aside"  #: it cannot be used, and was renamed


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of checking one spool file.

    Attributes:
        path: Path of the file.
        state: State of the file after the check.
        description: Description in the header, if it could be read.
        counts: Number of counts sent; the number unsent in a dead file that was inspected.
        reason: Reason for SET_ASIDE or KEPT, in words; else ''.
    """

    path: Path
    state: FileState
    description: Description | None = None
    counts: int = 0
    reason: str = ""


class Recovery:
    """Recovers the spool files of one configuration on this machine.

    Attributes:
        unread: Directories that could not be read at the last listing.
    """

    def __init__(
        self, config: Config, store: Store, log: Log, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`store` gets the counts; `clock` returns the time in seconds."""
        self.unread: list[Path] = []
        self._config = config
        self._store = store
        self._log = WarnsOnce(log)
        self._clock = clock
        self._postponed = Postponed[Finding](clock)
        self._tally = RecoveryLog(self._log, clock)
        self._process: int | None = None
        self._is_done = False

    def run_once(self) -> None:
        """Recover all files once per process. Each call takes about a second and continues the last one.

        A later call, or `log_recovered`, logs the counts recovered. A process that ends before logs nothing.

        Raises:
            Unavailable: Redis does not answer. The next call retries.
        """
        if self._process != process.current():
            self._process, self._is_done = process.current(), False
            self._tally.start_over()
        if not self._is_done:
            deadline = self._clock() + _MAX_DELAY_S
            # At DEBUG: a group that cannot create a file warns about the directory.
            self._is_done = all(self._clock() <= deadline for _ in self.run(logging.DEBUG))
        self._tally.log_if_due()

    def run(self, directory_log_level: int = logging.WARNING) -> Iterator[Finding]:
        """Recover each file whose process has ended. Yields a finding for each file.

        A file that cannot be recovered is postponed; see `Postponed`.

        Args:
            directory_log_level: Log level of messages about directories that cannot be read.

        Raises:
            Unavailable: Redis does not answer for some of the files. They were yielded as DEAD before.
        """
        unavailable = None
        listed = set()
        for directory in self._config.spool_dirs:
            with suppress(OSError):  # logged below
                spool_file.remove_unfinished(directory)
        for entry in self._entries(directory_log_level):
            key: Key = entry.path, entry.inode()
            listed.add(key)
            self._log.subject = entry.path
            if finding := self._postponed.get(key):
                yield finding
                continue
            with suppress(FileNotFoundError):  # another process was quicker
                finding = self._read_header(Path(entry.path))
                try:
                    finding = self._process_file(finding, is_retry=unavailable is not None)
                except Unavailable as error:
                    unavailable = error
                self._postpone(key, finding)
                yield finding
        self._postponed.forget_all_but(listed)
        self._log.forget_all_but({path for path, _ in listed} | set(map(str, self._config.spool_dirs)))
        self._tally.log_if_due()
        if unavailable:
            try:
                raise unavailable
            finally:
                # The error refers to this frame, and so to the files; see `store.node.without_frames`.
                del unavailable

    def log_recovered(self) -> None:
        """Log the counts recovered since the last log line, for example at the end of the process."""
        self._tally.log()

    def inspect_all(self) -> Iterator[Finding]:
        """Yields a finding for each file, without changing any."""
        for entry in self._entries(logging.WARNING):
            with suppress(FileNotFoundError):
                yield self.inspect(Path(entry.path))

    def inspect(self, path: Path) -> Finding:
        """Returns a finding about one file, with the number of unsent counts if its process has ended.

        Raises:
            FileNotFoundError: Another process has recovered the file.
        """
        found = self._read_header(path)
        if found.state is not FileState.DEAD:
            return found
        try:
            with SpoolReader(path) as reader:
                contents = reader.contents()
                contents.check()
        except Damaged as error:
            return Finding(path, FileState.SET_ASIDE, reason=str(error))
        return replace(found, counts=contents.unsent())

    def _entries(self, directory_log_level: int) -> Iterator[os.DirEntry[str]]:
        self.unread = []
        for directory in self._config.spool_dirs:
            self._log.subject = str(directory)
            try:
                yield from spool_file.entries(directory)
            except OSError as error:
                self.unread.append(directory)
                self._log.log(
                    directory_log_level,
                    "Spool files are not recovered: %s",
                    error,
                )

    def _read_header(self, path: Path) -> Finding:
        """Returns a finding from the lock and the header alone: LIVE, DEAD, FOREIGN, SET_ASIDE or KEPT."""
        try:
            with SpoolReader(path) as reader:
                if reader.is_held():
                    return Finding(path, FileState.LIVE)
                description = reader.description()
        except Damaged as error:
            return Finding(path, FileState.SET_ASIDE, reason=str(error))
        except FileNotFoundError:
            raise
        except OSError as error:
            return Finding(path, FileState.KEPT, reason=str(error))
        is_ours = description.redis == self._store.identity
        return Finding(path, FileState.DEAD if is_ours else FileState.FOREIGN, description)

    def _postpone(self, key: Key, finding: Finding) -> None:
        if finding.state in (FileState.FOREIGN, FileState.SET_ASIDE):
            self._postponed.put(key, finding, _FOREIGN_S, _FOREIGN_S)
        elif finding.state is FileState.KEPT:
            self._postponed.put(key, finding, _KEPT_S, _MAX_KEPT_S)

    def _process_file(self, found: Finding, is_retry: bool = False) -> Finding:
        """Recover one file as far as possible.

        Args:
            found: The finding from its header.
            is_retry: Redis did not answer about an earlier file. In a cluster, another server may answer.
        """
        if found.state is FileState.SET_ASIDE:
            return self._set_aside(found.path, found.reason)
        if found.state is FileState.KEPT:
            self._log.warning("Spool file %s cannot be opened: %s", found.path, found.reason)
        if found.state is not FileState.DEAD or found.description is None:
            return found
        group = self._group(found.description)
        if self._store.client.is_unavailable(group):
            if is_retry:
                return found
            with suppress(Rejected):
                # Raises Unavailable before a large file is read in vain.
                self._store.client.server_time(group)
        return self._finish(found, group)

    def _finish(self, found: Finding, group: GroupConfig) -> Finding:
        path = found.path
        try:
            file = spool_file.take_over(path)
        except InUse:
            return replace(found, state=FileState.LIVE)
        except Damaged as error:
            return self._set_aside(path, str(error))
        except FileNotFoundError:
            raise
        except OSError as error:
            return self._process_file(Finding(path, FileState.KEPT, found.description, reason=str(error)))
        try:
            return self._send(file, group)
        except Damaged as error:
            return self._set_aside(path, str(error))
        finally:
            file.close()

    def _set_aside(self, path: Path, damage: str) -> Finding:
        try:
            fate = f"renamed to {spool_file.set_aside(path).name}"
        except OSError as error:
            fate = f"cannot be renamed: {error}"
        self._log.warning("Spool file %s cannot be used: %s; %s", path, damage, fate)
        return Finding(path, FileState.SET_ASIDE, reason=damage)

    def _send(self, file: SpoolFile, group: GroupConfig) -> Finding:
        description, before = file.description, file.contents.unsent()
        sender = BatchSender(group, Cells.from_storage(file), self._store, self._log, is_found=True)
        try:
            sender.run()
        except (Rejected, NotYet) as error:
            self._log.warning("%s; spool file %s is kept", error, file.path)
            with suppress(Rejected, NotYet):
                sender.touch_source()
        left = file.contents.unsent()
        sent = before - left
        if left:
            return Finding(
                file.path, FileState.KEPT, description, sent, "Redis rejects or does not confirm some counts"
            )
        file.delete()
        self._tally.add(description.group, description.pid, sent)
        return Finding(file.path, FileState.RECOVERED, description, sent)

    def _group(self, description: Description) -> GroupConfig:
        """Returns the group as configured in its process, with the layout and durability of this one."""
        group = GroupConfig(
            description.group,
            tuple(map(Interval.parse, description.intervals)),
            key_prefix=description.prefix,
            layout=description.layout,
        )
        ours = self._config.groups.get(description.group, group)
        # The counts may have been migrated to another layout since.
        return replace(group, durability=ours.durability, layout=ours.layout, totals=ours.totals)
