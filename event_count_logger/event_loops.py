"""Event loops, which nothing may block: asyncio (or uvloop, which is one of its loops) and trio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any


def is_running_here() -> bool:
    """True if an event loop runs in this thread."""
    return asyncio._get_running_loop() is not None or _trio() is not None


async def wait_for_call(ask: Callable[[Callable[[], object]], object], timeout_s: float) -> None:
    """Give `ask` a function, and wait until any thread calls that function, or the time is over."""
    trio = _trio()
    if trio is not None:
        called = trio.Event()
        ask(partial(trio.lowlevel.current_trio_token().run_sync_soon, called.set))
        with trio.move_on_after(timeout_s):
            await called.wait()
        return
    is_called = asyncio.Event()
    ask(partial(asyncio.get_running_loop().call_soon_threadsafe, is_called.set))
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(is_called.wait(), timeout_s)


def _trio() -> Any:
    """The module trio, if its loop runs in this thread; its versions before 0.23 cannot answer that."""
    trio = sys.modules.get("trio")
    in_trio_run = getattr(getattr(trio, "lowlevel", None), "in_trio_run", None)
    return trio if in_trio_run is not None and in_trio_run() else None
