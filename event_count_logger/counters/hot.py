"""The types that count: in C where they were built, in Python where not, or where ECL_NATIVE=0 says so."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from event_count_logger.counters.pure import LARGEST, NEVER, Cell, CellMap, Counter, Counting, detach

__all__ = ["LARGEST", "NATIVE", "NEVER", "Cell", "CellMap", "Counter", "Counting", "detach"]

#: Whether counting is done in C.
NATIVE = False

if not TYPE_CHECKING and os.environ.get("ECL_NATIVE") != "0":
    with suppress(ImportError):
        from event_count_logger._native import Cell, CellMap, Counter, Counting, detach, expect_fork

        os.register_at_fork(before=expect_fork)
        NATIVE = True
