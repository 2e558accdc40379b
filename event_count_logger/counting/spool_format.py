"""The format of spool files, which is also the layout of cells in memory; see docs/spool-format.md.

Numbers are unsigned, in the byte order of the machine. A word has 64 bits and is aligned.

    file: a header of H bytes, then extents up to `HeaderWord.SIZE`

    0           8          12     16     20         24                  H - 48             H
    +-----------+----------+------+------+----------+------------------+------------------+--------+--------+-
    | ECLSPOOL  | version  | H    | D    | CRC-32   | description      | 6 words that     | extent | extent |
    | 8 bytes   | 4        | 4    | 4    | 4        | D bytes of JSON  | change: 48 bytes |        |        |
    +-----------+----------+------+------+----------+------------------+------------------+--------+--------+-

    extent: S bytes, with room for N cells (slots)

    0      8      16       40               16 + 24 N                                       S
    +------+------+--------+--------+-------+--------+------+--------+------+-------+-------+
    | S    | N    | cell 0 | cell 1 |  ...  | length | name | length | name |  ...  | 0 ... |
    | 8    | 8    | 24     | 24     |       | 2      |      | 2      |      |       |       |
    +------+------+--------+--------+-------+--------+------+--------+------+-------+-------+

    cell                                    total:    counts logged
    +-------+---------+-------+             pending:  `total` as of the current batch
    | total | pending | acked |             acked:    `total` up to which Redis has confirmed
    | 8     | 8       | 8     |
    +-------+---------+-------+             acked <= pending <= total, counted modulo 2^64

The names follow each other in the order of the cells; a length of 0 ends them. A cell whose words are all 0
is unused, and its name may be half written.
"""

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

#: Magic, version, size of the header, length of the description. The CRC-32 covers these and the description.
_PREAMBLE = struct.Struct("=8sIII")
_CHECKSUM = struct.Struct("=I")
_DESCRIPTION_AT = _PREAMBLE.size + _CHECKSUM.size

_WORD = 8
_WORDS_OF_EXTENT = 2
_WORDS_OF_CELL = 3
_LENGTH_OF_NAME = struct.Struct("=H")

#: Bytes reserved for the name of an event. An extent is full when its cells or its names are.
_PLANNED_NAME = 24

#: Cells compared in one step; a block that differs is compared cell by cell.
_BLOCK = 256

#: Counters are counted modulo 2^64.
_MASK = 2**64 - 1


class Damaged(Exception):
    """The file is not a spool file, not complete, or of a later version."""


class State(IntEnum):
    """States of the current batch; see `batch_sender` for the events that change them."""

    IDLE = 0  #: no current batch
    SENDING = 1  #: the batch may or may not have been counted
    ABANDONING = 2  #: the batch was rejected, and a late copy is being made void
    ACKED = 3  #: Redis has counted the batch
    STARTING_OVER = 4  #: no current batch; the source becomes a new one, at position 0


class HeaderWord(IntEnum):
    """The words at the end of the header that change, in their order."""

    SENT_UNTIL = 0  #: CLOCK_MONOTONIC in nanoseconds: Redis has confirmed all counts logged before
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
    """Returns the counts between two values of a counter."""
    return (later - earlier) & _MASK


def unsent(cell: Cell) -> int:
    """Returns the counts of an event that Redis has not confirmed. Other threads may be logging."""
    acked = cell.acked  # read first, so that it is never ahead of `total`
    return distance(cell.total, acked)


def has_reached(counter: int, goal: int) -> bool:
    """Returns whether a counter has reached a value, modulo 2^64."""
    return (counter - goal) & _MASK <= LARGEST


@dataclass(frozen=True, slots=True)
class Description:
    """The part of a header that never changes.

    Attributes:
        source: First part of the source's ID: 32 hexadecimal digits.
        group: Name of the group.
        intervals: The names of its intervals.
        redis: The database that the counts are for, such as `localhost:6379/0`.
        pid: ID of the process that counts.
        started: Time when the file was made, in Unix seconds.
        prefix: Prefix of the keys of the counts; '' for the name of the group.
        layout: Layout of the counts in Redis.
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
    """Returns the header of a new file; the words that change are 0."""
    said = asdict(description)
    # Default values are left out: older versions can read such files.
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
    """Returns the description in a header, and the size of the header.

    Raises:
        Damaged: Not a header of a spool file.
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
    """Returns the words of the header that change; see `HeaderWord`."""
    return memory[header_size - len(HeaderWord) * _WORD : header_size].cast("Q")


class Extent:
    """A part of a file, or of memory, with cells and the names of their events."""

    def __init__(self, memory: memoryview) -> None:
        """Read the cells in memory.

        Raises:
            Damaged: The memory is not an extent.
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
        # Made once. In CPython 3.13 without a global lock, two threads that make views of a memory at once
        # spoil its count of views. CPython then frees the memory too early.
        self._blocks = [self._columns(first) for first in range(0, self._slots, _BLOCK)]
        for name in self._names(self._names_end):
            self._cells[self._used] = self._cell_found(name)
            self._used += 1
            self._names_end += _LENGTH_OF_NAME.size + len(name)

    @classmethod
    def new(cls, memory: memoryview) -> Extent:
        """Returns an empty extent in memory that is all 0."""
        words = memory.cast("Q")
        words[1] = (len(memory) - _WORDS_OF_EXTENT * _WORD) // (_WORDS_OF_CELL * _WORD + _PLANNED_NAME)
        words[0] = len(memory)
        return cls(memory)

    def add(self, event_id: str) -> Cell | None:
        """Returns a new cell; None if the extent is full."""
        name = event_id.encode()
        length = _LENGTH_OF_NAME.pack(len(name))
        size, needed = len(self._memory), len(length) + len(name)
        # No function is called until the slot is taken: a signal handler may add an event too, and would
        # take the same slot.
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
        """Returns all cells."""
        return [cell for cell in self._cells or self._make_cells_again() if cell]

    def release_cells(self) -> weakref.ref[Any]:
        """Drop all cell objects; new ones are made for the same words when needed.

        Returns:
            A weak reference that is dead when no thread refers to a dropped cell.
        """
        words = weakref.ref(self._words)  # each cell refers to this view
        self._words = self._memory.cast("Q")
        self._cells = []
        return words

    def totals(self) -> array[int]:
        """Returns a copy of the totals of all cells."""
        used, totals = self._used, array("Q")
        for block in self._blocks[: -(-used // _BLOCK)]:
            totals.frombytes(block[Column.TOTAL].tobytes())
        return totals[:used]

    def counted_between(self, earlier: array[int], later: array[int]) -> Iterator[Cell]:
        """Yields the cells whose totals differ in two copies."""
        pairs = enumerate(zip_longest(earlier, later, fillvalue=0))
        yield from filter(None, (self._cell_in(slot) for slot, (one, other) in pairs if one != other))

    def differ(self, one: Column, other: Column) -> bool:
        """Returns whether two words differ in any cell."""
        return any(block[one] != block[other] for block in self._blocks[: -(-self._used // _BLOCK)])

    def differing(self, one: Column, other: Column) -> Iterator[Cell]:
        """Yields the cells in which two words differ."""
        used = self._used  # read once: another thread may add a cell meanwhile
        for first, block in zip(range(0, used, _BLOCK), self._blocks, strict=False):
            if block[one] != block[other]:
                slots = zip(range(first, used), block[one], block[other], strict=False)
                found = [self._cell_in(slot) for slot, word, other_word in slots if word != other_word]
                yield from filter(None, found)  # None: another thread is making that cell

    def _cell_in(self, slot: int) -> Cell | None:
        cells = self._cells
        return cells[slot] if cells else self._make_cells_again()[slot]

    def _make_cells_again(self) -> list[Cell | None]:
        """Make cells for all names, after `release_cells`."""
        names = zip(range(self._used), self._names(self._names_begin), strict=False)
        cells: list[Cell | None] = [self._cell(name.decode(), slot) for slot, name in names]
        cells += [None] * (self._slots - len(cells))
        self._cells = cells
        return cells

    def _columns(self, first: int) -> tuple[memoryview[int], ...]:
        """Returns the columns of the block that begins with the slot `first`."""
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
        """Returns a cell found in a file; None if its process was killed while it wrote the name."""
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
    """The contents of a spool file.

    Attributes:
        description: The part of the header that never changes.
        words: The words of the header that change; see `HeaderWord`.
        extents: The extents in order.
    """

    description: Description
    words: memoryview[int]
    extents: list[Extent]

    def cells(self) -> list[Cell]:
        """Returns all cells."""
        return [cell for extent in self.extents for cell in extent.all()]

    def unsent(self) -> int:
        """Returns the number of counts that Redis has not confirmed."""
        return sum(map(unsent, self.cells()))

    def check(self) -> None:
        """Raises Damaged for words that no process leaves behind, killed at any instruction."""
        if self.words[HeaderWord.STATE] > max(State):
            raise Damaged(f"its state is {self.words[HeaderWord.STATE]}")
        for cell in self.cells():
            if not distance(cell.pending, cell.acked) <= distance(cell.total, cell.acked) <= LARGEST:
                raise Damaged(f"the counts of event '{cell.event_id}' are impossible")


def read_description(beginning: memoryview) -> Description:
    """Returns the description of a file, given at least its header.

    Raises:
        Damaged: Not a spool file.
    """
    return _read_header(beginning)[0]


def size_in_use(beginning: memoryview) -> int:
    """Returns the bytes of a file that are in use, given at least its header.

    Raises:
        Damaged: Not a spool file.
    """
    _, header_size = _read_header(beginning)
    return changing_words(beginning, header_size)[HeaderWord.SIZE]


def read(memory: memoryview) -> SpoolContents:
    """Returns the contents of a file, given all its bytes.

    Raises:
        Damaged: Not a spool file, or not complete.
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
