"""Chooses the types that count: `_native.c`, or `pure` if that was not built or ECL_NATIVE=0 is set."""

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

#: The reason for counting in Python; '' if `NATIVE`.
WHY_NOT_NATIVE = ""

if not TYPE_CHECKING:
    if os.environ.get("ECL_NATIVE") == "0":
        WHY_NOT_NATIVE = "ECL_NATIVE=0"
    else:
        try:
            from event_count_logger._native import Cell, CellMap, Counter, Counting, detach, expect_fork
        except ModuleNotFoundError:
            WHY_NOT_NATIVE = (
                "the C extension was not built: install a C compiler and the headers of Python, "
                "and reinstall this package"
            )
        except ImportError as error:
            WHY_NOT_NATIVE = f"the C extension cannot be loaded: {error}"
        else:
            os.register_at_fork(before=expect_fork)
            NATIVE = True


def implementation() -> str:
    """Returns `native` or `pure Python`: the implementation used with this installation and environment."""
    return "native" if NATIVE else "pure Python"
