"""Detects a running event loop of asyncio (with uvloop) or trio, and waits in one without blocking it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any


def is_running_here() -> bool:
    """Returns whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _trio("in_trio_run") is not None
    return True


async def wait_for_call(ask: Callable[[Callable[[], object]], object], timeout_s: float) -> None:
    """Wait in a coroutine until any thread calls a function, for `timeout_s` at most.

    Args:
        ask: Called with the function, which any thread may call at any time.
        timeout_s: Seconds.
    """
    trio = _trio("in_trio_task")  # trio may also be a guest in the loop of asyncio
    if trio is not None:
        called = trio.Event()
        ask(partial(trio.lowlevel.current_trio_token().run_sync_soon, called.set))
        with trio.move_on_after(timeout_s):
            await called.wait()
        return
    # No asyncio.wait_for: before CPython 3.12 it swallows a cancellation that comes with the call.
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    timer = loop.call_later(timeout_s, end)
    try:
        ask(partial(loop.call_soon_threadsafe, end))
        await ended
    finally:
        timer.cancel()


def _trio(in_it: str) -> Any:
    """Returns the module trio if its function of that name returns True; trio before 0.23 lacks these."""
    trio = sys.modules.get("trio")
    is_in_it = getattr(getattr(trio, "lowlevel", None), in_it, None)
    return trio if is_in_it is not None and is_in_it() else None
