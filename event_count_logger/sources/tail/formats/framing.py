"""Framing of log files: where their records begin and end.

A record is one line, or several that belong together. Reading stops only at the end of a record, so a
restarted program needs nothing but the stored offset:

    file       record 1 \\n record 2 \\n rec
    offset                           ^ end(data): the record behind it is not complete yet

A forced end is the exception: the end of the file with `--once`, or of a file that is finished. The offset
then stands inside a record that was counted. If the file grows, the rest of this record is skipped:

    file       record 1 \\n record 2 \\n record 3, written later \\n record 4 \\n
    offset                               ^ forced end
                                         ------------------------ begin(before, data) bytes are skipped
"""

from __future__ import annotations

from enum import IntEnum


class Until(IntEnum):
    """The last bytes of a file that are read."""

    RECORD = 0  # the end of the last complete record
    LINE = 1  # the end of the last complete line, although its record may continue: a forced end
    FILE = 2  # the end of the file, although its last line is incomplete: a forced end


class Lines:
    """The framing of plain lines: each line is a record. Other framings override `end` and `begin`.

    Attributes:
        encoding: Encoding of the lines.
        newline: Bytes that end a line. They are found only at multiples of their length.
    """

    def __init__(self, encoding: str = "utf-8") -> None:
        """`encoding` gives bytes without a byte order mark, such as `utf-8` and `utf-16-le`."""
        self.encoding = encoding
        self.newline = "\n".encode(encoding)

    def end(self, data: bytes) -> int:
        """Returns the end of the last complete record in data, which starts with a record; 0 for none."""
        return self.end_of_lines(data)

    def begin(self, before: bytes, data: bytes) -> int:
        """Returns the number of bytes at the start of `data` that belong to a record counted before.

        It is called at the start of reading at an offset, and after a forced end. All of `data` may belong to
        such a record; it is called again with what follows.

        Args:
            before: Bytes before the data, never empty: 1 MiB, which may start inside a line or record, or
                fewer from the start of a record.
            data: Bytes that are read next.
        """
        if self.end_of_lines(before) == len(before):
            return 0
        return self.end_of_line(data) or self.whole(data)

    def end_of_line(self, data: bytes, begin: int = 0) -> int:
        """Returns the end of the line that starts at `begin`; 0 if it is incomplete."""
        width = len(self.newline)
        found = data.find(self.newline, begin)
        while found % width and found > 0:
            found = data.find(self.newline, found + 1)
        return found + width if found >= 0 else 0

    def end_of_lines(self, data: bytes, until: int | None = None) -> int:
        """Returns the end of the last complete line in front of `until`; 0 if there is none."""
        width = len(self.newline)
        found = data.rfind(self.newline, 0, until)
        while found % width and found > 0:
            found = data.rfind(self.newline, 0, found + width - 1)
        return found + width if found >= 0 else 0

    def forced_end(self, data: bytes, until: Until) -> int:
        """Returns the end of what is read although its record is incomplete."""
        if until == Until.RECORD:
            return 0
        return self.end_of_lines(data) if until == Until.LINE else self.whole(data)

    def whole(self, data: bytes) -> int:
        """Returns the number of bytes of the characters that are complete."""
        return len(data) - len(data) % len(self.newline)
