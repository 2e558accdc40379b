"""The counters (cells) of one group in one process, and the state of the current batch."""

from __future__ import annotations

import threading
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

from event_count_logger import keys, process
from event_count_logger.counting.implementation import Cell, CellMap
from event_count_logger.counting.spool_format import Column, Extent, HeaderWord, State

#: Bytes of the first extent in memory, and the most of any extent. Each one is twice as large as the last.
_FIRST_EXTENT, _LARGEST_EXTENT = 1 << 12, 1 << 20


class Storage(Protocol):
    """The memory that holds cells: a spool file, or private memory."""

    @property
    def source(self) -> str:
        """The first part of the source's ID: 32 hexadecimal digits."""
        ...

    @property
    def words(self) -> memoryview[int]:
        """The words of the header, by `HeaderWord`."""
        ...

    @property
    def extents(self) -> list[Extent]:
        """The extents in order; extents are only ever added."""
        ...

    def grow(self) -> Extent:
        """Add an extent, and return it.

        Raises:
            OSError: There is no space, or the file was closed.
        """
        ...

    def delete(self) -> None:
        """Delete the storage, which holds nothing unsent."""
        ...


class Memory:
    """A `Storage` in private memory. Its counts are lost if the process is killed."""

    def __init__(self) -> None:
        self.source = uuid.uuid4().hex
        self.words = memoryview(bytearray(8 * len(HeaderWord))).cast("Q")
        self.extents: list[Extent] = []

    def grow(self) -> Extent:
        """See `Storage`."""
        size = min(_FIRST_EXTENT << len(self.extents), _LARGEST_EXTENT)
        extent = Extent.new(memoryview(bytearray(size)))
        self.extents.append(extent)
        return extent

    def delete(self) -> None:
        """See `Storage`."""


_SENT_UNTIL, _STATE, _POSITION, _NEXT_POSITION, _GENERATION = list(HeaderWord)[:5]

_STATES = tuple(State)


class CellMaps(NamedTuple):
    """Two maps from event ID to cell.

    `log()` looks an event up before it checks the ID. The cells of reserved events are in a map of their own,
    so that applications cannot count them.

    Attributes:
        events: The cells that `log()` finds.
        reserved: The cells of reserved events; see `keys.is_reserved`.
    """

    events: CellMap
    reserved: CellMap

    @classmethod
    def new(cls) -> CellMaps:
        """Two empty maps."""
        return cls(CellMap(), CellMap())

    def of(self, event_id: str) -> CellMap:
        """Returns the map for the cell of an event."""
        return self.reserved if keys.is_reserved(event_id) else self.events


class CellsClosed(Exception):
    """The cells were closed: other cells have replaced them, and get the new events."""


class Cells:
    """The cells of one source, and the state of its current batch; see `batch_sender` for the states.

    A long-lived process replaces its cells from time to time, which frees the memory of idle events. The life
    of cells:

        open      new events get a cell here. The maps of the group lead to these cells.
        closed    after `close()`. The maps are empty and belong to the successor of these cells. A thread
                  that looked a cell up before may still add to it.
        done      closed, no thread refers to a cell, and all counts are sent: `has_unsent()` is False.

    Attributes:
        is_closed: Whether `close()` was called.
    """

    def __init__(
        self,
        open_storage: Callable[[], Storage] = Memory,
        on_full: Callable[[OSError], None] = lambda error: None,
        maps: CellMaps | None = None,
    ) -> None:
        """The first cell opens the storage.

        Args:
            open_storage: Returns the storage; called when the first cell is needed.
            on_full: Called with the error when the storage cannot grow; further cells are kept in memory.
            maps: Maps that lead to the cells; new ones if None.
        """
        self.is_closed = False
        self._maps = CellMaps.new() if maps is None else maps
        self._released: list[weakref.ref[Any]] = []
        self._is_adding = False
        self._open_storage = open_storage
        self._on_full = on_full
        self._storages: list[Storage] = []
        self._words = Memory().words  # until there is a storage, which begins with the same values
        # Reentrant, because a signal handler may count an event that has no cell yet.
        self._growing = threading.RLock()
        self._switching = threading.RLock()

    @classmethod
    def from_storage(cls, storage: Storage) -> Cells:
        """Returns the cells found in a storage, for example in the file of a killed process, to be sent."""
        cells = cls(lambda: storage)
        cells._begin()
        for cell in cells._all_cells():
            cells._maps.of(cell.event_id).put(cell)
        return cells

    @property
    def by_id(self) -> Mapping[str, Cell]:
        """The cells that `log()` finds, by event ID."""
        return self._maps.events.by_id

    def holds(self, cell: Cell) -> bool:
        """Returns whether the maps lead to this cell: it was not replaced."""
        return self._maps.of(cell.event_id).by_id.get(cell.event_id) is cell

    @property
    def sync_at(self) -> int:
        """The number of unsent counts of one event at which `log()` requests a send."""
        return self._maps.events.sync_at

    @sync_at.setter
    def sync_at(self, number: int) -> None:
        with unless_ending(self._switching):
            if not self.is_closed:
                for cell_map in self._maps:
                    cell_map.sync_at = number

    @property
    def storage(self) -> Storage | None:
        """The first storage; None before the first cell. Cells after a failure to grow are elsewhere."""
        return self._storages[0] if self._storages else None

    @property
    def source(self) -> str:
        """The source's ID. Fails before the first cell."""
        return keys.process(self._storages[0].source, self._words[_GENERATION])

    @property
    def state(self) -> State:
        """The state of the current batch."""
        return _STATES[self._words[_STATE]]

    @state.setter
    def state(self, state: State) -> None:
        self._words[_STATE] = state

    @property
    def position(self) -> int:
        """Position of the source before the current batch."""
        return self._words[_POSITION]

    @position.setter
    def position(self, position: int) -> None:
        self._words[_POSITION] = position

    @property
    def next_position(self) -> int:
        """Position of the source after the current batch."""
        return self._words[_NEXT_POSITION]

    @next_position.setter
    def next_position(self, position: int) -> None:
        self._words[_NEXT_POSITION] = position

    def record_sent_until(self, until: float) -> None:
        """Record that Redis has confirmed all counts logged before this time, by `time.monotonic()`."""
        self._words[_SENT_UNTIL] = round(until * 1e9)

    def start_over(self) -> None:
        """Become a new source, with the next generation and position 0. There must be no current batch.

        The file has the state STARTING_OVER until all words are written. Without that state, a process killed
        in between would leave one of two wrong files. The old source at position 0: Redis would ignore its
        next batch as one that it has counted. The new source at the old position: Redis would seem to have
        lost all its batches. Starting over twice is harmless.
        """
        self.state = State.STARTING_OVER
        self._words[_GENERATION] += 1
        self.position = self.next_position = 0
        self.state = State.IDLE

    def add(self, event_id: str) -> Cell:
        """Returns the cell of an event, after making it if it is missing.

        Raises:
            CellsClosed: Other cells have replaced these.
        """
        with unless_ending(self._growing):
            was_adding, self._is_adding = self._is_adding, True
            try:
                if self.is_closed:
                    raise CellsClosed
                cell_map = self._maps.of(event_id)
                return cell_map.by_id.get(event_id) or cell_map.put(self._new(event_id))
            finally:
                self._is_adding = was_adding

    def add_lost(self) -> Cell:
        """Returns the cell of `@lost`, after making it if it is missing, also in closed cells."""
        with unless_ending(self._growing):
            if not self.is_closed:
                return self.add(keys.LOST)
            found = (cell for cell in self._all_cells() if cell.event_id == keys.LOST)
            return next(found, None) or self._new(keys.LOST)

    def close(self) -> bool:
        """Empty the maps, for the successor of these cells. A further call has no effect.

        Returns:
            False if this is a signal handler that has interrupted `add` in this thread: nothing is closed.
        """
        with unless_ending(self._growing):
            if self._is_adding and not self.is_closed:
                return False
            with unless_ending(self._switching):
                self.is_closed = True
            for cell_map in self._maps:
                cell_map.clear()
            self._released += [extent.release_cells() for extent in self.extents()]
            return True

    def _new(self, event_id: str) -> Cell:
        if not self._storages:
            self._begin()
        extents = self._storages[-1].extents
        while not extents or not (cell := extents[-1].add(event_id)):
            try:
                self._storages[-1].grow()
            except OSError as error:
                self._storages.append(Memory())
                extents = self._storages[-1].extents
                self._on_full(error)
        return cell

    def _begin(self) -> None:
        storage = self._open_storage()
        words = storage.words
        # No function is called until both are set: a signal handler that adds a cell runs before or after.
        if not self._storages:
            self._words, self._storages = words, [storage]
        else:
            storage.delete()

    def unsent(self) -> list[Cell]:
        """Returns the cells with counts that Redis has not confirmed."""
        return self._differing(Column.TOTAL, Column.ACKED)

    def in_current_batch(self) -> list[Cell]:
        """Returns the cells of the current batch."""
        return self._differing(Column.PENDING, Column.ACKED)

    def has_unsent(self) -> bool:
        """Returns True if Redis has not confirmed all counts, or a thread may still add to a closed cell."""
        # References first: a thread may add a last count before it drops its cell.
        return any(words() is not None for words in self._released) or any(
            extent.differ(Column.TOTAL, Column.ACKED) for extent in self.extents()
        )

    def _differing(self, one: Column, other: Column) -> list[Cell]:
        return [cell for extent in self.extents() for cell in extent.differing(one, other)]

    def _all_cells(self) -> Iterator[Cell]:
        for extent in self.extents():
            yield from extent.all()

    def extents(self) -> Iterator[Extent]:
        """Yields the extents of all storages, in order."""
        for storage in self._storages:
            yield from tuple(storage.extents)


def unless_ending(lock: threading.RLock) -> AbstractContextManager[Any]:
    """Returns the lock, or a context without effect while the interpreter ends.

    Then other threads are frozen for good, and one of them may hold the lock.
    """
    return nullcontext() if process.is_ending() else lock
