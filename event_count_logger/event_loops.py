"""Detects that the current thread runs an event loop, which nothing may block."""

from __future__ import annotations

import sys


def is_running_here() -> bool:
    """Whether asyncio (or uvloop, which is one of its loops) or trio runs in this thread."""
    asyncio = sys.modules.get("asyncio.events")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        return True
    trio = sys.modules.get("trio.lowlevel")
    return trio is not None and bool(trio.in_trio_run())
