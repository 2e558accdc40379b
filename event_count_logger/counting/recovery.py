"""Finishes the spool files of processes that have ended: each of their counts is counted, and once."""

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

#: Seconds for which a process that counts leaves its own counts waiting to finish those of others.
_MAX_DELAY_S = 1.0

#: Seconds until a file is looked at again that this configuration can never finish.
_FOREIGN_S = 300.0

#: The same of a file that is kept: at first, and at most. Reading it may cost much, and often in vain.
_KEPT_S, _MAX_KEPT_S = 3.0, 60.0


class FileState(Enum):
    """What became of a file."""

    LIVE = "live"  #: its process runs
    DEAD = "dead"  #: its process has ended; nothing was done
    RECOVERED = "recovered"  #: all of it is in Redis, and it is gone
    KEPT = "kept"  #: Redis does not take some of it; it is tried again
    FOREIGN = "foreign"  #: for another Redis
    SET_ASIDE = "set aside"  #: it cannot be used, and has another name now


@dataclass(frozen=True, slots=True)
class Finding:
    """One spool file.

    Attributes:
        path: Where it was found.
        state: What became of it.
        description: What it says of itself, if that could be read.
        counts: How many counts were sent; of a dead one that was looked into, how many are unsent.
        reason: Why, in words, where that is not clear.
    """

    path: Path
    state: FileState
    description: Description | None = None
    counts: int = 0
    reason: str = ""


class Recovery:
    """The files that belong to one configuration, on this machine.

    Attributes:
        unread: The directories that could not be read when the files were listed last.
    """

    def __init__(
        self, config: Config, store: Store, log: Log, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`store` is where the counts go."""
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
        """Finish what there is, once in each process. It may take several calls.

        What was recovered is logged by a later call, or by `log_recovered`: a process that lives shorter, and
        leaves a file itself, logs nothing.

        Raises:
            Unavailable: Redis does not answer; it is tried again by the next call.
        """
        if self._process != process.current():
            self._process, self._is_done = process.current(), False
            self._tally.start_over()
        if not self._is_done:
            deadline = self._clock() + _MAX_DELAY_S
            # At DEBUG, because a group that cannot make files logs why.
            self._is_done = all(self._clock() <= deadline for _ in self.run(logging.DEBUG))
        self._tally.log_if_due()

    def run(self, directory_log_level: int = logging.WARNING) -> Iterator[Finding]:
        """Finish each file whose process has ended.

        A file that cannot be finished is looked at again later, and by its header first.

        Args:
            directory_log_level: Log level at which directories are told that cannot be used.

        Raises:
            Unavailable: Redis does not answer, for some of them. Those stay until it does; what is in them
                was said before.
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
                # It refers to this frame, and so to the files; see `store.node.without_frames`.
                del unavailable

    def log_recovered(self) -> None:
        """Log what was recovered since the last line about it, for example at the end of the process."""
        self._tally.log()

    def inspect_all(self) -> Iterator[Finding]:
        """Looks into the same files and changes none."""
        for entry in self._entries(logging.WARNING):
            with suppress(FileNotFoundError):
                yield self.inspect(Path(entry.path))

    def inspect(self, path: Path) -> Finding:
        """Looks into one file, and counts what is unsent if its process has ended.

        Raises:
            FileNotFoundError: Another process has finished it.
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
                self._log.log(directory_log_level, "Spool files are not looked at: %s", error)

    def _read_header(self, path: Path) -> Finding:
        """Reads the header, unless the process runs."""
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
        """Finish a file as far as possible.

        Args:
            found: What its header says.
            is_retry: Redis did not answer about an earlier file. In a cluster, the server of this one may.
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
                self._store.client.server_time(group)  # before a file is read that cannot be sent
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
            fate = f"it is now {spool_file.set_aside(path).name}"
        except OSError as error:
            fate = f"it cannot be renamed: {error}"
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
                file.path, FileState.KEPT, description, sent, "Redis does not take or confirm some of it"
            )
        file.delete()
        self._tally.add(description.group, description.pid, sent)
        return Finding(file.path, FileState.RECOVERED, description, sent)

    def _group(self, description: Description) -> GroupConfig:
        """The group as it was configured where it was counted, which may be in another configuration."""
        group = GroupConfig(
            description.group,
            tuple(map(Interval.parse, description.intervals)),
            key_prefix=description.prefix,
            layout=description.layout,
        )
        ours = self._config.groups.get(description.group, group)
        # Where it is known how they lie now, they may have been moved since.
        return replace(group, durability=ours.durability, layout=ours.layout, totals=ours.totals)
