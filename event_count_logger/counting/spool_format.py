"""How counters lie in memory and in spool files; docs/spool-format.md says the same in prose."""

from __future__ import annotations

import json
import struct
import weakref
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from itertools import zip_longest
from typing import Any, get_args
from zlib import crc32

from event_count_logger import keys
from event_count_logger.config import Layout
from event_count_logger.counting.implementation import LARGEST, Cell
from event_count_logger.intervals import Interval

_MAGIC = b"ECLSPOOL"
_VERSION = 1

#: Magic, version, size of the header, length of the description, CRC-32 of all that and the description.
_PREAMBLE = struct.Struct("=8sIII")
_CHECKSUM = struct.Struct("=I")
_DESCRIPTION_AT = _PREAMBLE.size + _CHECKSUM.size

_WORD = 8
_WORDS_OF_EXTENT = 2
_WORDS_OF_CELL = 3
_LENGTH_OF_NAME = struct.Struct("=H")

#: Bytes that an extent plans for the name of an event; it is full when either cells or names are.
_PLANNED_NAME = 24

#: Cells that are compared in one step; where any differ, one by one.
_BLOCK = 256

#: Counters are counted modulo 2^64.
_MASK = 2**64 - 1


class Damaged(Exception):
    """A file that is no spool file, or not a whole one, or one of a later version."""


class State(IntEnum):
    """How far the batch under way has come. Each state can be resumed by whoever finds it."""

    IDLE = 0  #: no batch is under way
    SENDING = 1  #: the batch may or may not have been counted
    ABANDONING = 2  #: the batch was refused, and is being made impossible to count later
    ACKED = 3  #: the batch has been counted
    STARTING_OVER = 4  #: no batch is under way; the source becomes a new one, at position 0


class HeaderWord(IntEnum):
    """The words of the header that change, in the order in which they end it."""

    SENT_UNTIL = 0  #: time (CLOCK_MONOTONIC, nanoseconds): all that was logged before is confirmed by Redis
    STATE = 1
    POSITION = 2
    NEXT_POSITION = 3
    GENERATION = 4
    SIZE = 5


class Column(IntEnum):
    """The words of a cell, in their order."""

    TOTAL = 0
    PENDING = 1
    ACKED = 2


def distance(later: int, earlier: int) -> int:
    """How much was counted between two values of a counter."""
    return (later - earlier) & _MASK


def unsent(cell: Cell) -> int:
    """Returns the counts of an event that Redis has not confirmed. Other threads may be logging."""
    acked = cell.acked  # read before `total`, which never is behind it
    return distance(cell.total, acked)


def has_reached(counter: int, goal: int) -> bool:
    """Whether a counter is at an earlier value of another one, or beyond."""
    return (counter - goal) & _MASK <= LARGEST


@dataclass(frozen=True, slots=True)
class Description:
    """What a header says for good.

    Attributes:
        source: First part of the source's ID.
        group: Name of the group.
        intervals: The names of its intervals.
        redis: Which database the counts are for.
        pid: Of the process that counts.
        started: When it began, Unix seconds.
        prefix: What the keys of the counts begin with; '' for the name of the group.
        layout: How the counts of the group lie in Redis.
        native: Whether the process counts in C.
    """

    source: str
    group: str
    intervals: Sequence[str]
    redis: str
    pid: int
    started: float
    prefix: str = ""
    layout: Layout = "keys"
    native: bool = True

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for values that a header cannot have."""
        texts, numbers = (self.source, self.group, self.redis, self.prefix), (self.pid, self.started)
        for name in self.intervals:
            Interval.parse(name)
        if not all(isinstance(text, str) for text in texts) or not all(
            isinstance(number, int | float) for number in numbers
        ):
            raise TypeError("a value of it has the wrong type")
        if self.layout not in get_args(Layout):
            raise ValueError(f"there is no layout {self.layout!r}")
        if not isinstance(self.native, bool):
            raise TypeError("a value of it has the wrong type")


def header(description: Description) -> bytes:
    """The header of a new file, up to the words that change; those are 0."""
    said = asdict(description)
    # Versions that do not know them can read the others.
    if said["prefix"] in ("", description.group):
        del said["prefix"]
    if said["layout"] == "keys":
        del said["layout"]
    if said["native"]:
        del said["native"]
    text = json.dumps(said).encode()
    words_at = -(-(_DESCRIPTION_AT + len(text)) // _WORD) * _WORD
    size = words_at + len(HeaderWord) * _WORD
    preamble = _PREAMBLE.pack(_MAGIC, _VERSION, size, len(text))
    checked = preamble + _CHECKSUM.pack(crc32(preamble + text)) + text
    return checked.ljust(size, b"\0")


def _read_header(memory: memoryview) -> tuple[Description, int]:
    """What a header says, and its size.

    Raises:
        Damaged: It is none.
    """
    if len(memory) == 0:
        raise Damaged("it is empty")
    if bytes(memory[: len(_MAGIC)]) != _MAGIC:
        raise Damaged("it is not a spool file")
    if len(memory) < _DESCRIPTION_AT:
        raise Damaged("its header is cut off")
    _, version, size, length = _PREAMBLE.unpack_from(memory)
    if version != _VERSION:
        raise Damaged(f"its version is {version}, and {_VERSION} is known here")
    (checksum,) = _CHECKSUM.unpack_from(memory, _PREAMBLE.size)
    text = bytes(memory[_DESCRIPTION_AT : _DESCRIPTION_AT + length])
    if crc32(bytes(memory[: _PREAMBLE.size]) + text) != checksum or len(memory) < size:
        raise Damaged("the checksum of its header is wrong")
    try:
        description = Description(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise Damaged(f"its description cannot be used: {error}") from error
    return description, size


def changing_words(memory: memoryview, header_size: int) -> memoryview[int]:
    """The words of the header that change; see `HeaderWord`."""
    return memory[header_size - len(HeaderWord) * _WORD : header_size].cast("Q")


class Extent:
    """A part of a file, or of memory, that holds cells and the names of their events."""

    def __init__(self, memory: memoryview) -> None:
        """Use memory in which there may be cells already.

        Raises:
            Damaged: It is no extent.
        """
        if len(memory) < _WORDS_OF_EXTENT * _WORD or len(memory) % _WORD:
            raise Damaged("an extent of it has an impossible size")
        self._memory = memory
        self._words = memory.cast("Q")
        self._slots = self._words[1]
        self._used = 0
        self._names_begin = self._names_end = (_WORDS_OF_EXTENT + self._slots * _WORDS_OF_CELL) * _WORD
        if self._names_end > len(memory):
            raise Damaged("an extent of it has an impossible number of cells")
        self._cells: list[Cell | None] = [None] * self._slots
        # Made once: CPython 3.13 without a global lock counts the views of a memory wrongly when two threads
        # make some at the same time, and then frees the memory.
        self._blocks = [self._columns(first) for first in range(0, self._slots, _BLOCK)]
        for name in self._names(self._names_end):
            self._cells[self._used] = self._cell_found(name)
            self._used += 1
            self._names_end += _LENGTH_OF_NAME.size + len(name)

    @classmethod
    def new(cls, memory: memoryview) -> Extent:
        """Use memory that is all 0."""
        words = memory.cast("Q")
        words[1] = (len(memory) - _WORDS_OF_EXTENT * _WORD) // (_WORDS_OF_CELL * _WORD + _PLANNED_NAME)
        words[0] = len(memory)
        return cls(memory)

    def add(self, event_id: str) -> Cell | None:
        """A new cell; None if there is no room for it."""
        name = event_id.encode()
        length = _LENGTH_OF_NAME.pack(len(name))
        size, needed = len(self._memory), len(length) + len(name)
        # No function is called until the place is taken: a signal handler, which may add an event too,
        # cannot take the same.
        slot, at = self._used, self._names_end
        if slot == self._slots or at + needed > size:
            return None
        self._used, self._names_end = slot + 1, at + needed
        self._memory[at : at + needed] = length + name
        cell = self._cell(event_id, slot)
        if self._cells:
            self._cells[slot] = cell
        return cell

    def all(self) -> list[Cell]:
        """Every cell."""
        return [cell for cell in self._cells or self._make_cells_again() if cell]

    def release_cells(self) -> weakref.ref[Any]:
        """Make new cells from now on, for the same words.

        Returns:
            A reference that is dead as soon as the cells that there were are all gone.
        """
        words = weakref.ref(self._words)  # each cell refers to it
        self._words = self._memory.cast("Q")
        self._cells = []
        return words

    def totals(self) -> array[int]:
        """A copy of the totals of all cells."""
        used, totals = self._used, array("Q")
        for block in self._blocks[: -(-used // _BLOCK)]:
            totals.frombytes(block[Column.TOTAL].tobytes())
        return totals[:used]

    def counted_between(self, earlier: array[int], later: array[int]) -> Iterator[Cell]:
        """The cells whose totals differ in two copies of them."""
        pairs = enumerate(zip_longest(earlier, later, fillvalue=0))
        yield from filter(None, (self._cell_in(slot) for slot, (one, other) in pairs if one != other))

    def differ(self, one: Column, other: Column) -> bool:
        """Whether there are cells in which two words differ."""
        return any(block[one] != block[other] for block in self._blocks[: -(-self._used // _BLOCK)])

    def differing(self, one: Column, other: Column) -> Iterator[Cell]:
        """The cells in which two words differ."""
        used = self._used  # read once: another thread may add a cell meanwhile
        for first, block in zip(range(0, used, _BLOCK), self._blocks, strict=False):
            if block[one] != block[other]:
                slots = zip(range(first, used), block[one], block[other], strict=False)
                found = [self._cell_in(slot) for slot, word, other_word in slots if word != other_word]
                yield from filter(None, found)  # None: another thread is making the cell

    def _cell_in(self, slot: int) -> Cell | None:
        cells = self._cells
        return cells[slot] if cells else self._make_cells_again()[slot]

    def _make_cells_again(self) -> list[Cell | None]:
        """After `release_cells`: cells for all names that there are."""
        names = zip(range(self._used), self._names(self._names_begin), strict=False)
        cells: list[Cell | None] = [self._cell(name.decode(), slot) for slot, name in names]
        cells += [None] * (self._slots - len(cells))
        self._cells = cells
        return cells

    def _columns(self, first: int) -> tuple[memoryview[int], ...]:
        """The columns of a block, which begins with the slot `first`."""
        begin = _WORDS_OF_EXTENT + first * _WORDS_OF_CELL
        end = _WORDS_OF_EXTENT + min(first + _BLOCK, self._slots) * _WORDS_OF_CELL
        return tuple(self._words[begin + column : end : _WORDS_OF_CELL] for column in Column)

    def _cell(self, event_id: str, slot: int) -> Cell:
        return Cell(event_id, self._words, _WORDS_OF_EXTENT + slot * _WORDS_OF_CELL)

    def _names(self, at: int) -> Iterator[bytes]:
        for _ in range(self._slots):
            begin = at + _LENGTH_OF_NAME.size
            if begin > len(self._memory):
                return
            (length,) = _LENGTH_OF_NAME.unpack_from(self._memory, at)
            if length == 0:
                return
            at = begin + length
            if at > len(self._memory):
                raise Damaged("the name of an event reaches beyond its end")
            yield bytes(self._memory[begin:at])

    def _cell_found(self, name: bytes) -> Cell | None:
        """A cell that was there; None if its process was stopped while it wrote the name."""
        cell = self._cell("", self._used)
        if not (cell.total or cell.pending or cell.acked):
            return None
        event_id = name.decode(errors="replace")
        fault = event_id not in (keys.OVERFLOW, keys.LOST) and keys.event_id_fault(event_id)
        if fault or event_id.encode() != name:
            raise Damaged(f"{name!r} is not an event ID")
        return self._cell(event_id, self._used)


@dataclass(frozen=True, slots=True)
class SpoolContents:
    """What is in a file.

    Attributes:
        description: What its header says for good.
        words: Those of the header that change; see `HeaderWord`.
        extents: In order.
    """

    description: Description
    words: memoryview[int]
    extents: list[Extent]

    def cells(self) -> list[Cell]:
        """Every cell."""
        return [cell for extent in self.extents for cell in extent.all()]

    def unsent(self) -> int:
        """How many counts Redis has not confirmed."""
        return sum(map(unsent, self.cells()))

    def check(self) -> None:
        """Raises Damaged if it is not what a process leaves behind, at whatever moment it ends."""
        if self.words[HeaderWord.STATE] > max(State):
            raise Damaged(f"its state is {self.words[HeaderWord.STATE]}")
        for cell in self.cells():
            if not distance(cell.pending, cell.acked) <= distance(cell.total, cell.acked) <= LARGEST:
                raise Damaged(f"the counts of event '{cell.event_id}' are impossible")


def read_description(beginning: memoryview) -> Description:
    """Returns the description of a file, given at least its header.

    Raises:
        Damaged: It is not a spool file.
    """
    return _read_header(beginning)[0]


def size_in_use(beginning: memoryview) -> int:
    """How much of a file is in use, given at least its header.

    Raises:
        Damaged: It is not a spool file.
    """
    _, header_size = _read_header(beginning)
    return changing_words(beginning, header_size)[HeaderWord.SIZE]


def read(memory: memoryview) -> SpoolContents:
    """What is in a file, given as a whole.

    Raises:
        Damaged: It is not a spool file, or not a whole one.
    """
    description, at = _read_header(memory)
    words = changing_words(memory, at)
    end, extents = words[HeaderWord.SIZE], []
    if not at < end <= len(memory):
        raise Damaged("it is cut off")
    while at < end:
        (size,) = memory[at : at + _WORD].cast("Q") if at + _WORD <= end else (0,)
        if not 0 < size <= end - at:
            raise Damaged("an extent of it has an impossible size")
        extents.append(Extent(memory[at : at + size]))
        at += size
    return SpoolContents(description, words, extents)
