"""Inputs of `ecl tail`: where the lines of one entry come from, and the position up to which they were read.

A tail knows its input only by these protocols:

    Input    begin(position)      continue at a position that was committed; '' for a new source
             parts()              what can be read now: each file, or each connection
             Part.chunks()        its next records; what is read after them is not in the batch yet
             next_position()      the position behind everything that was read
             committed()          Redis has confirmed that position, and the counts of the records before it
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

from event_count_logger.sources.tail.formats.framing import Until


class ForeignPosition(ValueError):
    """The stored position describes an input of another machine, so reading does not continue from it."""

    def __init__(self, name: str, source: str) -> None:
        super().__init__(
            f"{name}: the stored position of source '{source}' belongs to another machine; "
            "not followed (give each machine its own 'source' in the section 'tail')"
        )


class InputError(ValueError):
    """An input cannot be opened."""

    def __init__(self, name: str, error: OSError) -> None:
        super().__init__(f"{name} cannot be opened: {error.strerror or error}")


class Part(Protocol):
    """A part of an input with records in one order, such as a file.

    Attributes:
        constants: Values of placeholders that are the same for all its lines, such as `file`.
        n_skipped: Lines that were too long; the caller counts them and resets the number.
    """

    constants: Mapping[str, str]
    n_skipped: int

    @property
    def path(self) -> str:
        """Name of the part: the path under which a file is written."""

    @property
    def offset(self) -> int:
        """Bytes read so far."""

    @property
    def n_unread(self) -> int:
        """Bytes that can be read, as far as they are known."""

    def chunks(self, most: int, until: Until) -> Iterator[bytes]:
        """Yield complete lines of UTF-8 up to about `most` bytes; b'' where a line is skipped."""


class Input(Protocol):
    """The input of one entry; closed by `close`."""

    @property
    def source_id(self) -> str:
        """Name of its position in Redis."""

    @property
    def number(self) -> int:
        """Number of the last commit."""

    @property
    def is_repeatable(self) -> bool:
        """True if what was read can be read again at an earlier position."""

    @property
    def is_complete(self) -> bool:
        """True if everything was read that exists now."""

    @property
    def n_unread(self) -> int:
        """Bytes that can be read, as far as they are known."""

    @property
    def absence(self) -> str:
        """The reason why there is nothing to read at all; '' if there is something."""

    @property
    def descriptors(self) -> Collection[int]:
        """Files and sockets that `select` observes; others are read at regular times."""

    def begin(self, position: str) -> None:
        """Continue at a position that was committed; '' for a new source.

        Raises:
            ForeignPosition: Another machine uses the same source.
            ValueError: The text is not a position of such an input.
        """

    def parts(self) -> Iterator[Part]:
        """Yield what can be read; the caller may commit, or call `begin`, before it takes the next part."""

    def next_position(self, is_needed: bool) -> str:
        """Returns the position behind all that was read; '' if it has not changed and is not needed."""

    def committed(self) -> None:
        """Take the last `next_position` as committed."""

    def check_moved(self, stored: str) -> None:
        """Check a position that another program has committed; `begin` follows.

        Raises:
            ForeignPosition: Another machine uses the same source.
            ValueError: The text is not a position of such an input.
        """

    def close(self) -> None:
        """Release everything; lines that were not committed are read again later, if that is possible."""
