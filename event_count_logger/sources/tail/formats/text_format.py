"""Encodings of inputs: given by the setting `encoding`, or recognised by a byte order mark."""

from __future__ import annotations

import codecs
from collections.abc import Callable

from event_count_logger.sources.tail.formats.framing import Lines

#: Bytes of the longest line that is matched, in UTF-8.
LONGEST_LINE = 1 << 20

#: Bytes of the largest chunk of UTF-8: the longest line and its line feed.
LARGEST_CHUNK = LONGEST_LINE + 1

#: Most bytes of UTF-8 for one byte of another encoding: U+FFFD in place of an invalid byte.
_GROWTH = 3

#: Byte order marks, and the encodings that they show.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}

#: Bytes at the start of an input that show its byte order mark.
MARK_BYTES = max(map(len, _MARKS))


class Text:
    """The encoding of one file or stream, and the framing of its records.

    Attributes:
        framing: Finds the records.
        largest: Bytes of the largest chunk; its text has at most `LARGEST_CHUNK` bytes of UTF-8.
        is_guessed: True if a byte order mark shows an encoding that is not configured.
    """

    def __init__(self, framing: Lines, mark: bytes, is_guessed: bool) -> None:
        self.framing = framing
        self.is_guessed = is_guessed
        self._mark = mark
        self._is_utf8 = framing.encoding == "utf-8"
        width = len(framing.newline)
        self.largest = LARGEST_CHUNK if self._is_utf8 else LARGEST_CHUNK // _GROWTH // width * width

    def utf8(self, data: bytes, is_first: bool) -> bytes:
        """Returns lines in UTF-8, of which the last one also ends with a newline.

        Args:
            data: The lines in their encoding.
            is_first: Data is from the start of the file, where its byte order mark is.
        """
        if is_first:
            data = data.removeprefix(self._mark)
        if not self._is_utf8:
            data = data.decode(self.framing.encoding, "replace").encode(errors="replace")
        return data if data.endswith(b"\n") or not data else data + b"\n"


class TextFormat:
    """The configured encoding and framing of an entry, from which that of each file follows."""

    def __init__(self, encoding: str = "utf-8", framing: Callable[[str], Lines] = Lines) -> None:
        """`framing` makes the framing of an encoding without a byte order mark."""
        self._encoding = encoding
        self._framing = framing

    @property
    def _without_mark(self) -> str:
        return "utf-16-le" if self._encoding == "utf-16" else self._encoding

    def text(self, head: bytes, is_whole: bool = False) -> Text | None:
        """Returns the text of a file; None if more bytes are needed.

        Args:
            head: Its first bytes.
            is_whole: No more bytes will follow.
        """
        if not self._encoding.startswith("utf-"):
            return Text(self._framing(self._encoding), b"", False)
        for mark, encoding in _MARKS.items():
            is_expected = encoding.startswith(self._encoding)
            if head.startswith(mark) and (is_expected or self._encoding == "utf-8"):
                return Text(self._framing(encoding), mark, not is_expected)
        if not is_whole and any(mark.startswith(head) for mark in _MARKS):
            return None
        return Text(self._framing(self._without_mark), b"", False)
