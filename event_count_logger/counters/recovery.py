"""Finishes the spool files of processes that have ended: each of their counts is counted, and once."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from event_count_logger import process
from event_count_logger.config import Config, GroupConfig
from event_count_logger.counters import spool_file
from event_count_logger.counters.cells import Cells
from event_count_logger.counters.layout import Damaged, Description
from event_count_logger.counters.spool_file import InUse, SpoolFile, Window
from event_count_logger.counters.sync import Sync
from event_count_logger.errors import NotYet, Rejected, Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log
from event_count_logger.store import Store

#: Seconds for which a process that counts leaves its own counts waiting to finish those of others.
_AT_ONCE_S = 1.0


class Outcome(Enum):
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
        outcome: What became of it.
        description: What it says of itself, if that could be read.
        counts: How many counts were sent; of a dead one, how many are unsent.
        reason: Why, in words, where that is not clear.
    """

    path: Path
    outcome: Outcome
    description: Description | None = None
    counts: int = 0
    reason: str = ""


class Recovery:
    """The files that belong to one configuration, on this machine."""

    def __init__(self, config: Config, store: Store, log: Log) -> None:
        """`store` is where the counts go; nothing is looked at yet."""
        self._config = config
        self._store = store
        self._log = _SaysOnce(log)
        self._done_in: int | None = None  # the number of the process

    def run_once(self) -> None:
        """Finish what there is, once in each process. It may take several calls.

        Raises:
            Unavailable: Redis does not answer; it is tried again by the next call.
        """
        if self._done_in == process.current():
            return
        deadline = time.monotonic() + _AT_ONCE_S
        for _ in self.run(logging.DEBUG):  # whoever cannot make files says why
            if time.monotonic() > deadline:
                return
        self._done_in = process.current()

    def run(self, unusable: int = logging.WARNING) -> Iterator[Finding]:
        """Finish each file whose process has ended.

        Args:
            unusable: Log level at which directories are told that cannot be used.

        Raises:
            Unavailable: Redis does not answer, for some of them. Those stay until it does; what is in them
                was said before.
        """
        unavailable = None
        for path in self._paths(unusable):
            with suppress(FileNotFoundError):  # another process was quicker
                try:
                    finding = self._finish_if_worth_while(path) if unavailable else self._finish(path)
                except Unavailable as error:
                    unavailable, finding = error, self._look_at(path)
                yield finding
        if unavailable:
            try:
                raise unavailable
            finally:
                # It refers to this frame, and so to the files; see `store.node.without_frames`.
                del unavailable

    def look(self) -> Iterator[Finding]:
        """The same files, which are left as they are."""
        for path in self._paths(logging.WARNING):
            with suppress(FileNotFoundError):
                yield self._look_at(path)

    def _paths(self, unusable: int) -> Iterator[Path]:
        for directory in self._config.spool_dirs:
            try:
                yield from spool_file.find(directory)
            except OSError as error:
                self._log.log(unusable, "Spool files are not looked at: %s", error)

    def _look_at(self, path: Path) -> Finding:
        try:
            with Window(path) as window:
                if window.is_held():
                    return Finding(path, Outcome.LIVE)
                contents = window.contents()
                contents.check()
        except Damaged as error:
            return Finding(path, Outcome.SET_ASIDE, reason=str(error))
        outcome = Outcome.DEAD if self._is_ours(contents.description) else Outcome.FOREIGN
        return Finding(path, outcome, contents.description, contents.unsent())

    def _finish_if_worth_while(self, path: Path) -> Finding:
        """After a failure: in a cluster, other groups may be on servers that answer."""
        found = self._look_at(path)
        away = found.description is None or self._store.is_away(self._group(found.description))
        return found if away else self._finish(path)

    def _finish(self, path: Path) -> Finding:
        try:
            file = spool_file.take_over(path)
        except InUse:
            return Finding(path, Outcome.LIVE)
        except Damaged as error:
            return self._set_aside(path, error)
        except FileNotFoundError:
            raise
        except OSError as error:
            self._log.warning("Spool file %s cannot be opened: %s", path, error)
            return Finding(path, Outcome.KEPT, reason=str(error))
        try:
            return self._send(file)
        finally:
            file.close()

    def _set_aside(self, path: Path, damage: Damaged) -> Finding:
        try:
            fate = f"it is now {spool_file.set_aside(path).name}"
        except OSError as error:
            fate = f"it cannot be renamed: {error}"
        self._log.warning("Spool file %s cannot be used: %s; %s", path, damage, fate)
        return Finding(path, Outcome.SET_ASIDE, reason=str(damage))

    def _send(self, file: SpoolFile) -> Finding:
        described, before = file.description, file.contents.unsent()
        if not self._is_ours(described):
            return Finding(file.path, Outcome.FOREIGN, described, before)
        sync = Sync(self._group(described), Cells.found(file), self._store, self._log)
        try:
            sync.run()
        except (Rejected, NotYet) as error:
            self._log.warning("%s; spool file %s is kept", error, file.path)
            with suppress(Rejected, NotYet):
                sync.show_alive()
        left = file.contents.unsent()
        sent = before - left
        if left:
            return Finding(
                file.path, Outcome.KEPT, described, sent, "Redis does not take or confirm some of it"
            )
        file.delete()
        self._log.info(
            "Recovered %d counts of group '%s' from process %d, which has ended",
            sent,
            described.group,
            described.pid,
        )
        return Finding(file.path, Outcome.RECOVERED, described, sent)

    def _group(self, described: Description) -> GroupConfig:
        """The group as it was configured where it was counted, which may be in another configuration."""
        group = GroupConfig(
            described.group,
            tuple(map(Interval.parse, described.intervals)),
            key_prefix=described.prefix,
            layout=described.layout,
        )
        ours = self._config.groups.get(described.group, group)
        # Where it is known how they lie now, they may have been moved since.
        return replace(group, durability=ours.durability, layout=ours.layout, totals=ours.totals)

    def _is_ours(self, description: Description) -> bool:
        return description.redis == self._store.identity


class _SaysOnce(Log):
    """Warns of the same thing once only: a file that has to stay is looked at again and again."""

    def __init__(self, log: Log) -> None:
        super().__init__(log.logger.name)
        self._warned: set[tuple[object, ...]] = set()

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        """See `Log.log`."""
        # Not the errors themselves: no two are equal, and each keeps the file open that it is about.
        args = tuple(str(arg) if isinstance(arg, Exception) else arg for arg in args)
        if level >= logging.WARNING:
            if (msg, *args) in self._warned:
                return
            self._warned.add((msg, *args))
        super().log(level, msg, *args, **kwargs)
