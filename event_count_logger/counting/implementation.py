"""The types that count: in C where they were built, in Python where not, or where ECL_NATIVE=0 says so."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from event_count_logger.counting.pure import LARGEST, NEVER, Cell, CellMap, Counter, Counting, detach

__all__ = [
    "LARGEST",
    "NATIVE",
    "NEVER",
    "WHY_NOT_NATIVE",
    "Cell",
    "CellMap",
    "Counter",
    "Counting",
    "detach",
    "implementation",
]

#: Whether counting is done in C.
NATIVE = False

#: Why it is not.
WHY_NOT_NATIVE = ""

if not TYPE_CHECKING:
    if os.environ.get("ECL_NATIVE") == "0":
        WHY_NOT_NATIVE = "ECL_NATIVE=0"
    else:
        try:
            from event_count_logger._native import Cell, CellMap, Counter, Counting, detach, expect_fork
        except ModuleNotFoundError:
            WHY_NOT_NATIVE = "the C extension was not built"
        except ImportError as error:
            WHY_NOT_NATIVE = f"the C extension cannot be loaded: {error}"
        else:
            os.register_at_fork(before=expect_fork)
            NATIVE = True


def implementation() -> str:
    """Returns `native` or `pure Python`: how processes with this installation and environment count."""
    return "native" if NATIVE else "pure Python"
