"""A buffer for bytes that are read in order and only once: records are taken from its start."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from event_count_logger.sources.tail.formats.framing import Lines, Until
from event_count_logger.sources.tail.formats.text_format import LONGEST_LINE, MARK_BYTES, Text, TextFormat


class RecordBuffer:
    """Bytes of a stream behind the last record that was taken.

    Attributes:
        text: Encoding and framing of the stream; None while too few bytes show them.
        offset: Bytes taken so far.
        is_in_long_line: True while bytes of a line that is too long are skipped, up to its last ones.
        n_skipped: Lines and records that were too long; the caller counts them and resets the number.
    """

    def __init__(self, format: TextFormat, taken: Callable[[bytes], object] = lambda data: None) -> None:
        """`taken` is called with all bytes in their order, as they are taken or skipped."""
        self.text: Text | None = None
        self.offset = 0
        self.n_skipped = 0
        self.is_in_long_line = False
        self._format = format
        self._taken = taken
        self._head = self._data = self._before = b""
        self._may_be_inside = False  # a record that was counted may continue
        self._is_cut = False  # only the first lines of the record were taken, because it is too long

    @property
    def n_bytes(self) -> int:
        """Bytes in the buffer."""
        return len(self._data)

    def skip(self, data: bytes) -> None:
        """Skip bytes that were counted before; only at the start."""
        self._head = (self._head + data)[:MARK_BYTES]
        self._advance(data, is_forced=True)

    def take(self, data: bytes, until: Until) -> Iterator[bytes]:
        """Add bytes, and yield the text of records that are complete; b'' where bytes are not counted."""
        self._data += data
        if self.text is None:
            is_whole = until == Until.FILE or self.offset > 0
            self.text = self._format.text((self._head + self._data)[:MARK_BYTES], is_whole)
        if self.text:
            while (text := self._next(self.text, until)) is not None:
                yield text

    def _next(self, text: Text, until: Until) -> bytes | None:
        data, framing = self._data, text.framing
        if self.is_in_long_line:
            return self._skip_line(framing)
        if self._may_be_inside and data and (n := framing.begin(self._before, data)):
            self.n_skipped += self._is_cut
            self._take(n, is_forced=True)
            return b""
        window = data[: text.largest]
        end = framing.end(window)
        is_forced, is_cut = not end, False
        if is_forced and len(data) >= text.largest:  # the record is too long: take its first lines
            end = framing.end_of_lines(window)
            if not end:
                self.n_skipped += 1
                self.is_in_long_line = True
                return b""
            is_cut = True
        elif is_forced:
            end = framing.forced_end(data, until)
        is_first = self.offset == 0
        lines = text.utf8(data[:end], is_first)
        if not lines:
            return None
        self._take(end, is_forced)
        self._is_cut = is_cut
        return lines

    def _skip_line(self, framing: Lines) -> bytes | None:
        end = framing.end_of_line(self._data)
        n = end or framing.whole(self._data)
        if not n:
            return None
        self._take(n, is_forced=True)
        self.is_in_long_line = not end
        return b""

    def _take(self, n: int, is_forced: bool) -> None:
        data, self._data = self._data[:n], self._data[n:]
        self._advance(data, is_forced)

    def _advance(self, data: bytes, is_forced: bool) -> None:
        self.offset += len(data)
        is_long = not is_forced or len(data) >= LONGEST_LINE  # nothing before it matters
        self._before = data[-LONGEST_LINE:] if is_long else (self._before + data)[-LONGEST_LINE:]
        self._may_be_inside, self._is_cut = is_forced, False
        self._taken(data)
