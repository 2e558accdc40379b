"""Cursors of pages of rows, with which no row is skipped or repeated unnoticed.

order               a cursor has                          the next page begins
------------------  ------------------------------------  -------------------------------------
by name             the last event of the page, and a     behind that event, if the request
                    digest of the request                 wants the same rows
by a value          the number of rows so far, a digest   behind that number of rows, if they
                    of them, and the last interval        are still the same and nothing finished
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

#: The two forms of a cursor, before its encoding.
_BY_NAME = re.compile("after:([0-9a-f]{24}):(.*)", re.DOTALL)
_BY_VALUE = re.compile("([0-9]{1,9}):([0-9a-f]{24}):([0-9-]*)")

#: Bytes of a digest.
_DIGEST = 12


class StaleCursor(Exception):
    """The rows have changed since the page before."""

    def __init__(self) -> None:
        super().__init__("cursor: the rows have changed since the page before; begin without a cursor")


class NameCursor(NamedTuple):
    """A position in rows ordered by name.

    Attributes:
        state: Digest of the parts of the request that choose and order the rows.
        event_id: The last event of the page before.
    """

    state: str
    event_id: str

    def __str__(self) -> str:
        return _encoded(f"after:{self.state}:{self.event_id}")


class ValueCursor(NamedTuple):
    """A position in rows ordered by a value.

    Attributes:
        n: Number of rows before the position.
        digest: Digest of these rows.
        state: Position of the last finished interval; '' if the order does not depend on it.
    """

    n: int
    digest: str
    state: str

    @classmethod
    def after(cls, rows: Sequence[str], state: str) -> ValueCursor:
        """Returns the position behind some rows."""
        return cls(len(rows), digest_of(sorted(rows)), state)

    def begin(self, ordered: Sequence[str], state: str) -> int:
        """Returns the number of rows before the position.

        Raises:
            StaleCursor: They are other rows, or another interval has finished.
        """
        if self.after(ordered[: self.n], state) != self:
            raise StaleCursor
        return self.n

    def __str__(self) -> str:
        return _encoded(f"{self.n}:{self.digest}:{self.state}")


def parse_cursor(text: str) -> NameCursor | ValueCursor:
    """Returns the cursor that `str()` has written.

    Raises:
        ValueError: No such cursor.
    """
    try:
        data = urlsafe_b64decode(f"{text}{'=' * (-len(text) % 4)}".encode("ascii"))
        decoded = data.decode("utf-8", "surrogateescape")
    except ValueError:
        decoded = ""
    if found := _BY_NAME.fullmatch(decoded):
        return NameCursor(found[1], found[2])
    if found := _BY_VALUE.fullmatch(decoded):
        return ValueCursor(int(found[1]), found[2], found[3])
    raise ValueError(f"{text!r} is not the 'next' of an answer")


def digest_of(texts: Sequence[str]) -> str:
    """Returns a digest of texts, as hexadecimal digits."""
    joined = "\0".join(texts).encode("utf-8", "surrogateescape")
    return blake2b(joined, digest_size=_DIGEST).hexdigest()


def _encoded(text: str) -> str:
    return urlsafe_b64encode(text.encode("utf-8", "surrogateescape")).decode().rstrip("=")
