"""The counters of one group in one process, and how far the batch under way has come."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Protocol

from event_count_logger import process
from event_count_logger.counters.hot import Cell, CellMap
from event_count_logger.counters.layout import Column, Extent, HeaderWord, State

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


_STATE, _POSITION, _NEXT_POSITION, _GENERATION = list(HeaderWord)[:4]

_STATES = tuple(State)


class Cells(CellMap):
    """The cells of one group in one process, and the batch under way."""

    def __init__(
        self,
        open_storage: Callable[[], Storage] = Memory,
        on_full: Callable[[OSError], None] = lambda error: None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            open_storage: Called when the first cell is needed.
            on_full: Told when the storage has no more room; further cells are kept in memory.
        """
        super().__init__()
        self._open_storage = open_storage
        self._on_full = on_full
        self._storages: list[Storage] = []
        self._words = Memory().words  # until there is a storage, which begins with the same
        # Reentrant, because a signal handler may count an event that has no cell yet.
        self._growing = threading.RLock()

    @classmethod
    def found(cls, storage: Storage) -> Cells:
        """Those that somebody has left behind in a storage; they are only to be sent."""
        cells = cls(lambda: storage)
        cells._begin()
        return cells

    @property
    def storage(self) -> Storage | None:
        """Where the cells are, as long as there is room; None as long as there are none."""
        return self._storages[0] if self._storages else None

    @property
    def source(self) -> str:
        """The source's ID; there is none before the first cell."""
        return f"{self._storages[0].source}.{self._words[_GENERATION]}"

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

    def start_over(self) -> None:
        """Go on as a new source; only while no batch is under way."""
        self.position = self.next_position = 0
        self._words[_GENERATION] += 1

    def add(self, event_id: str) -> Cell:
        """The cell of an event, made if it has none."""
        with nullcontext() if process.is_ending() else self._growing:
            return self.by_id.get(event_id) or self.put(self._new(event_id))

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
        """Whether there is anything that Redis has not confirmed."""
        return any(extent.differ(Column.TOTAL, Column.ACKED) for extent in self._extents())

    def _differing(self, one: Column, other: Column) -> list[Cell]:
        return [cell for extent in self._extents() for cell in extent.differing(one, other)]

    def _extents(self) -> Iterator[Extent]:
        for storage in self._storages:
            yield from tuple(storage.extents)
