"""Where local counts are kept: three numbers per event, and how far the batch under way has come."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class State(Enum):
    """How far the batch under way has come. Each state can be resumed by whoever finds it."""

    IDLE = "idle"  #: no batch is under way
    SENDING = "sending"  #: the batch may or may not have been counted
    ABANDONING = "abandoning"  #: the batch was refused, and is being made impossible to count later
    ACKED = "acked"  #: the batch has been counted


class Cell(Protocol):
    """The counts of one event; each only grows, and acked <= pending <= total."""

    event_id: str
    total: int  #: what was logged
    pending: int  #: `total` as of the batch under way
    acked: int  #: `total` up to which Redis has confirmed


class Cells(Protocol):
    """The counters of one group in one process, and the batch under way.

    `position` and `next_position` are the source's positions before and after that batch.
    """

    source: str
    state: State
    position: int
    next_position: int

    def add(self, event_id: str) -> Cell:
        """Make room for an event that has no cell yet."""
        ...

    def get(self, event_id: str) -> Cell | None:
        """The cell of an event."""
        ...

    def all(self) -> Iterable[Cell]:
        """Every cell, as of now; events may be added meanwhile."""
        ...

    def __len__(self) -> int: ...

    def start_over(self) -> None:
        """Go on as a new source; only while no batch is under way."""
        ...


@dataclass(slots=True)
class MemoryCell:
    """See `Cell`."""

    event_id: str
    total: int = 0
    pending: int = 0
    acked: int = 0


def _new_source() -> str:
    return uuid.uuid4().hex


@dataclass(slots=True)
class MemoryCells:
    """Counters that are gone with the process."""

    source: str = field(default_factory=_new_source)
    state: State = State.IDLE
    position: int = 0
    next_position: int = 0
    _cells: dict[str, MemoryCell] = field(default_factory=dict)

    def add(self, event_id: str) -> MemoryCell:
        """See `Cells.add`."""
        return self._cells.setdefault(event_id, MemoryCell(event_id))

    def get(self, event_id: str) -> MemoryCell | None:
        """See `Cells.get`."""
        return self._cells.get(event_id)

    def all(self) -> Iterable[MemoryCell]:
        """See `Cells.all`."""
        return tuple(self._cells.values())

    def __len__(self) -> int:
        return len(self._cells)

    def start_over(self) -> None:
        """See `Cells.start_over`."""
        self.source = _new_source()
        self.position = self.next_position = 0
