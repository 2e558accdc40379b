"""The spool file of one group in one process, and warnings when counters are in memory only."""

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
    """States of the lock of a spool file whose process lives.

    The lock is lost when other code of the process closes the descriptors (`os.closerange`), or after
    `Spool.release_lock`. Then `Spool.check_lock` tries to take it again:

        the lock is held                                      HELD
        it was lost, and no other process has the file        RELOCKED    HELD from now on
        another process has the lock, and sends the counts    TAKEN       checked again until that ends
        another process has sent all and deleted the file     FINISHED    later counts need other cells
    """

    HELD = auto()
    RELOCKED = auto()
    TAKEN = auto()
    FINISHED = auto()


class Spool:
    """Owns the spool file of one group in one process: creates, locks and deletes it."""

    def __init__(self, config: GroupConfig, redis: str, log: Log) -> None:
        """`redis` identifies the database of the counts; see `Description`. `open` creates the file."""
        self._config = config
        self._redis = redis
        self._log = log
        self._cells: weakref.ref[Cells] | None = None
        self._storage: Storage | None = None  # the storage of the cells, which does not change
        self._is_gone = False
        self._is_released = False

    def attach(self, cells: Cells) -> None:
        """Set the cells whose storage `open` returns."""
        self._cells = weakref.ref(cells)

    @property
    def _file(self) -> SpoolFile | None:
        # A signal handler may call `open` while `open` runs: the cells know the file that they use.
        if self._storage is None and self._cells and (cells := self._cells()):
            self._storage = cells.storage
        return self._storage if isinstance(self._storage, SpoolFile) else None

    def open(self) -> Storage:
        """Create a spool file. Returns memory if that fails, or if spool files are switched off."""
        config = self._config
        intervals = [interval.name for interval in config.intervals]
        try:
            directory = config.spool_directory
            if directory is None:
                return Memory()
            where = (self._redis, config.prefix, config.layout)
            return spool_file.create(directory, config.name, intervals, *where)
        except (OSError, ImportError) as error:  # Python 3.13 cannot make a path while it unloads its modules
            self._warn("are", "no spool file can be created", error)
            return Memory()

    def warn_full(self, error: OSError) -> None:
        """Warn that the file cannot grow: further events are in memory only."""
        self._warn("of further events are", "the spool file cannot grow", error)

    def check_lock(self) -> LockState:
        """Check that this process holds the lock, and take it again if not. Warns if the file is gone."""
        if self._file is None or self._is_gone:
            return LockState.HELD
        if not self._file.is_held():
            return self._relock(self._file)
        if self._file.is_deleted():
            self._is_gone = True
            self._warn("are", "the spool file was deleted", self._file.path)
        return LockState.HELD

    def release_lock(self) -> None:
        """Let other processes send the counts in the file, while this one cannot; see `LockState`."""
        if self._file is not None and not self._is_gone:
            self._is_released = True
            self._file.close()

    def use_memory(self) -> None:
        """Go on without the file, which another process has sent and deleted."""
        self._is_gone = True

    def is_held(self) -> bool:
        """Returns False if another process may have taken the file over."""
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
        """Delete the file at the end of the process, if all is sent. Returns the fate of unsent counts."""
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
