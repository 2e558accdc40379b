"""The configured names, for messages about a name that is not configured."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: Most names in a message.
_MOST = 12


def choices(wanted: str, names: Iterable[str]) -> str:
    """Returns the end of a message, such as ` (configured: requests, http)`; '' without names.

    It lists up to 12 names: those like the wanted one first, all others in their order.
    """
    known = list(names)
    alike = difflib.get_close_matches(wanted, known, _MOST)
    listed = [*alike, *(name for name in known if name not in alike)][:_MOST]
    more = len(known) - len(listed)
    ending = f" and {more:,} more" if more else ""
    return f" (configured: {', '.join(listed)}{ending})" if known else ""
