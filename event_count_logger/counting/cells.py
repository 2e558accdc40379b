"""The counters of one group in one process, and how far the batch under way has come."""

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

#: Bytes of the first extent in memory, and of any, at most.
_FIRST_EXTENT, _LARGEST_EXTENT = 1 << 12, 1 << 20


class Storage(Protocol):
    """Where cells are."""

    @property
    def source(self) -> str:
        """First part of the source's ID."""
        ...

    @property
    def words(self) -> memoryview[int]:
        """See `HeaderWord`."""
        ...

    @property
    def extents(self) -> list[Extent]:
        """Grows only."""
        ...

    def grow(self) -> Extent:
        """Make room for more cells.

        Raises:
            OSError: There is none.
        """
        ...

    def delete(self) -> None:
        """Leave nothing behind."""
        ...


class Memory:
    """A `Storage` that is gone with the process."""

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
    """Where the cells of a group are found.

    `log()` looks an event up before it checks the ID, so it must not find the cells of reserved events.

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
        """Returns the map in which the cell of an event belongs."""
        return self.reserved if keys.is_reserved(event_id) else self.events


class CellsClosed(Exception):
    """These cells get no more events: others have taken their place."""


class Cells:
    """The cells of one source, and the batch under way.

    A process that counts for long replaces its cells from time to time, so that events which are no longer in
    use take up no room:

        open      events get cells, which are found in the maps of the group
        closed    the maps are empty, and belong to the cells that replace these; a thread that has found a
                  cell before may still add to it
        done      no thread can have such a cell, and everything is sent: `has_unsent()` is False

    Attributes:
        is_closed: Whether `close()` was called.
    """

    def __init__(
        self,
        open_storage: Callable[[], Storage] = Memory,
        on_full: Callable[[OSError], None] = lambda error: None,
        maps: CellMaps | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            open_storage: Called when the first cell is needed.
            on_full: Told when the storage has no more room; further cells are kept in memory.
            maps: Where the cells are found; new maps if None.
        """
        self.is_closed = False
        self._maps = CellMaps.new() if maps is None else maps
        self._released: list[weakref.ref[Any]] = []
        self._is_adding = False
        self._open_storage = open_storage
        self._on_full = on_full
        self._storages: list[Storage] = []
        self._words = Memory().words  # until there is a storage, which begins with the same
        # Reentrant, because a signal handler may count an event that has no cell yet.
        self._growing = threading.RLock()
        self._switching = threading.RLock()

    @classmethod
    def from_storage(cls, storage: Storage) -> Cells:
        """Those that somebody has left behind in a storage; they are only to be sent."""
        cells = cls(lambda: storage)
        cells._begin()
        for cell in cells._all_cells():
            cells._maps.of(cell.event_id).put(cell)
        return cells

    @property
    def by_id(self) -> Mapping[str, Cell]:
        """The cells that `log()` finds."""
        return self._maps.events.by_id

    def holds(self, cell: Cell) -> bool:
        """Returns whether a cell is found in the maps, and so was not replaced."""
        return self._maps.of(cell.event_id).by_id.get(cell.event_id) is cell

    @property
    def sync_at(self) -> int:
        """Number of unsent counts of one event at which `log()` asks for a sync."""
        return self._maps.events.sync_at

    @sync_at.setter
    def sync_at(self, number: int) -> None:
        with unless_ending(self._switching):
            if not self.is_closed:
                for cell_map in self._maps:
                    cell_map.sync_at = number

    @property
    def storage(self) -> Storage | None:
        """Where the cells are, as long as there is room; None as long as there are none."""
        return self._storages[0] if self._storages else None

    @property
    def source(self) -> str:
        """The source's ID; there is none before the first cell."""
        return keys.process(self._storages[0].source, self._words[_GENERATION])

    @property
    def state(self) -> State:
        """How far the batch under way has come."""
        return _STATES[self._words[_STATE]]

    @state.setter
    def state(self, state: State) -> None:
        self._words[_STATE] = state

    @property
    def position(self) -> int:
        """Of the source, before the batch under way."""
        return self._words[_POSITION]

    @position.setter
    def position(self, position: int) -> None:
        self._words[_POSITION] = position

    @property
    def next_position(self) -> int:
        """Of the source, after the batch under way."""
        return self._words[_NEXT_POSITION]

    @next_position.setter
    def next_position(self, position: int) -> None:
        self._words[_NEXT_POSITION] = position

    def record_sent_until(self, until: float) -> None:
        """Record that Redis has confirmed all that was logged before a time, as of `time.monotonic()`."""
        self._words[_SENT_UNTIL] = round(until * 1e9)

    def start_over(self) -> None:
        """Go on as a new source; only while no batch is under way.

        STARTING_OVER is in the file until all is written. Without it, a process killed in between would leave
        the old source at position 0, where Redis takes the next batch for one that it has counted; or the new
        source at the old position, as if Redis had lost all its batches. Starting over twice is harmless.
        """
        self.state = State.STARTING_OVER
        self._words[_GENERATION] += 1
        self.position = self.next_position = 0
        self.state = State.IDLE

    def add(self, event_id: str) -> Cell:
        """The cell of an event, made if it has none.

        Raises:
            CellsClosed: Other cells have taken the place of these.
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
        """The cell that counts losses, made if there is none; closed cells have one of their own."""
        with unless_ending(self._growing):
            if not self.is_closed:
                return self.add(keys.LOST)
            found = (cell for cell in self._all_cells() if cell.event_id == keys.LOST)
            return next(found, None) or self._new(keys.LOST)

    def close(self) -> bool:
        """Empty the maps, for the cells that take the place of these; may be called again.

        Returns:
            False if that is impossible now: the caller has interrupted this thread while it adds a cell.
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
        # No function is called until both are there: a signal handler may come before or after that.
        if not self._storages:
            self._words, self._storages = words, [storage]
        else:
            storage.delete()

    def unsent(self) -> list[Cell]:
        """Those with counts that Redis has not confirmed."""
        return self._differing(Column.TOTAL, Column.ACKED)

    def under_way(self) -> list[Cell]:
        """Those of the batch under way."""
        return self._differing(Column.PENDING, Column.ACKED)

    def has_unsent(self) -> bool:
        """Returns True if Redis has not confirmed all, or a thread may still add to closed cells."""
        # The threads come first: what one adds until it is done must be seen by the comparison.
        return any(words() is not None for words in self._released) or any(
            extent.differ(Column.TOTAL, Column.ACKED) for extent in self.extents()
        )

    def _differing(self, one: Column, other: Column) -> list[Cell]:
        return [cell for extent in self.extents() for cell in extent.differing(one, other)]

    def _all_cells(self) -> Iterator[Cell]:
        for extent in self.extents():
            yield from extent.all()

    def extents(self) -> Iterator[Extent]:
        """The parts of the storage, in order."""
        for storage in self._storages:
            yield from tuple(storage.extents)


def unless_ending(lock: threading.RLock) -> AbstractContextManager[Any]:
    """The lock; none while the interpreter ends, since a thread that was stopped for good may hold it."""
    return nullcontext() if process.is_ending() else lock
