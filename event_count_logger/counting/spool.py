"""Sees to it that the counters of a group outlive their process, or that it is said if they cannot."""

from __future__ import annotations

import weakref
from enum import Enum, auto

from event_count_logger.config import GroupConfig
from event_count_logger.counting import spool_file
from event_count_logger.counting.cells import Cells, Memory, Storage
from event_count_logger.counting.spool_file import InUse, SpoolFile
from event_count_logger.counting.spool_format import Damaged
from event_count_logger.logs import Log


class LockState(Enum):
    """States of a spool file whose process lives.

    The lock is free when other code of the process closes the descriptors (os.closerange), or `give_up` does:

        no other process has taken the file over    -> RELOCKED, which is HELD again
        another process sends what is in it         -> TAKEN, until that ends
        another process has sent and deleted it     -> FINISHED
    """

    HELD = auto()
    RELOCKED = auto()
    TAKEN = auto()
    FINISHED = auto()


class Spool:
    """Knows where the counters of one group in one process are kept. It does not know what they count."""

    def __init__(self, config: GroupConfig, redis: str, log: Log) -> None:
        """`redis` says which database the counts are for; nothing is made yet."""
        self._config = config
        self._redis = redis
        self._log = log
        self._cells: weakref.ref[Cells] | None = None
        self._storage: Storage | None = None  # where the cells are, which does not change
        self._is_gone = False
        self._is_released = False

    def attach(self, cells: Cells) -> None:
        """Look after the file that these cells are in."""
        self._cells = weakref.ref(cells)

    @property
    def _file(self) -> SpoolFile | None:
        # A signal handler may open a file while one is being opened: the cells know which one they use.
        if self._storage is None and self._cells and (cells := self._cells()):
            self._storage = cells.storage
        return self._storage if isinstance(self._storage, SpoolFile) else None

    def open(self) -> Storage:
        """A new spool file; memory if none can be made, or none is wanted."""
        config = self._config
        directory = config.spool_directory
        if directory is None:
            return Memory()
        intervals = [interval.name for interval in config.intervals]
        try:
            where = (self._redis, config.prefix, config.layout)
            return spool_file.create(directory, config.name, intervals, *where)
        except OSError as error:
            self._warn("are", "no spool file can be made", error)
            return Memory()

    def warn_full(self, error: OSError) -> None:
        """The file has no room for another event."""
        self._warn("of further events are", "the spool file cannot grow", error)

    def check_lock(self) -> LockState:
        """See whether the file is still there, and still held by this process; hold it again if not."""
        if self._file is None or self._is_gone:
            return LockState.HELD
        if not self._file.is_held():
            return self._relock(self._file)
        if self._file.is_deleted():
            self._is_gone = True
            self._warn("are", "somebody has deleted the spool file", self._file.path)
        return LockState.HELD

    def release_lock(self) -> None:
        """Let other processes send what is in the file, as long as this one cannot; see `LockState`."""
        if self._file is not None and not self._is_gone:
            self._is_released = True
            self._file.close()

    def use_memory(self) -> None:
        """Keep the counters in memory: another process has finished and deleted the file."""
        self._is_gone = True

    def is_held(self) -> bool:
        """Returns False if another process can have taken the file over."""
        file = self._file
        return file is None or self._is_gone or file.is_held()

    def _relock(self, file: SpoolFile) -> LockState:
        try:
            file.relock()
        except InUse:
            return LockState.TAKEN
        except FileNotFoundError:
            return LockState.FINISHED
        except (OSError, Damaged) as error:
            self._log.warning("Spool file %s cannot be opened again: %s", file.path, error)
            return LockState.TAKEN
        if not self._is_released:
            self._log.warning(
                "Spool file %s was closed by other code of this process; opened again", file.path
            )
        self._is_released = False
        return LockState.RELOCKED

    def dispose(self, all_is_sent: bool) -> str:
        """At the end; returns what becomes of what is not sent, in words."""
        if self._file is None or self._is_gone:
            return "lost"
        if all_is_sent:
            self._file.delete()
            self._is_gone = True  # on purpose
        return f"kept in {self._file.path}, and sent by ecl_master or the next process"

    def _warn(self, which: str, why: str, detail: object) -> None:
        self._log.warning(
            "Counts of group '%s' %s kept in memory, and lost if this process is killed: %s: %s",
            self._config.name,
            which,
            why,
            detail,
        )
