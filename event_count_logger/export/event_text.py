r"""Event IDs as text that every database can store.

Valid event IDs are stored as they are. Others come from version 1.1, which does not check IDs:

    in Redis                     in the database
    byte that is not UTF-8       `\udcff`, as in the metrics for Prometheus
    NUL character                `\u0000`
    text that looks like those   `\u005c` for its backslash, so that each text is unique
    more than 512 bytes          the beginning, `~`, and 16 hexadecimal digits of its SHA-256
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256

_SPECIAL = re.compile(r"(?P<alike>\\(?=(?:u005c)*u(?:d[89a-f][0-9a-f]{2}|0000)))|[\0\ud800-\udfff]")

#: The longest text in bytes of UTF-8; indexes of databases have limits, too.
_LONGEST = 512

#: Characters that a shortened text keeps; each has at most 4 bytes.
_KEPT = (_LONGEST - 17) // 4


@lru_cache(maxsize=10_000)
def event_text(event_id: str) -> str:
    """Returns the text of an event ID in the database."""
    text = _SPECIAL.sub(_escape, event_id)
    if len(text) <= _LONGEST // 4 or len(text.encode()) <= _LONGEST:
        return text
    return f"{text[:_KEPT]}~{sha256(text.encode()).hexdigest()[:16]}"


def _escape(found: re.Match[str]) -> str:
    return r"\u005c" if found["alike"] else rf"\u{ord(found[0]):04x}"
