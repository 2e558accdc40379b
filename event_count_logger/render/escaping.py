"""Event IDs as parts of names in other systems."""

from __future__ import annotations

from hashlib import sha256
from urllib.parse import quote

#: Most characters of a part, so that it can be the name of a file.
_LONGEST = 200

#: Characters kept of a longer part, and digits of the hash that follows.
_KEPT, _HASH_DIGITS = 160, 32


def percent_encoded(text: str) -> str:
    """Returns a text of letters, digits, `_`, `-`, `~`, `%` and `.`; any other byte is `%` and two digits.

    Different texts have different results. The end of a long one is replaced by `%_` and a hash.
    """
    whole = quote(text, safe="", errors="surrogateescape")
    if len(whole) <= _LONGEST:
        return whole
    return f"{whole[:_KEPT]}%_{sha256(whole.encode()).hexdigest()[:_HASH_DIGITS]}"
