"""Shares what is computed in threads among all who ask for the same at about the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")

#: Seconds for which an result serves everybody: many viewers then cost Redis no more than one.
_KEPT_S = 0.4

#: Seconds after which nobody waits any longer for threads that wait for Redis.
LONGEST_WAIT_S = 10.0

#: How many questions Redis is asked at once.
_THREADS = 8


class SingleFlight:
    """Answers by key: each is computed once at a time, in a thread, and then kept for a moment."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "ask")
        self._results: dict[Hashable, asyncio.Future[Any]] = {}

    async def get(self, key: Hashable, compute: Callable[[], _T]) -> _T:
        """What `compute` returned to the first who asked with this key.

        Raises:
            asyncio.TimeoutError: That takes too long.
            Exception: What `compute` raised.
        """
        result = self._results.get(key)
        if result is None:
            result = asyncio.get_running_loop().run_in_executor(self._threads, compute)
            result.add_done_callback(lambda done: self._forget_later(key, done))
            self._results[key] = result
        found: _T = await asyncio.wait_for(asyncio.shield(result), LONGEST_WAIT_S)
        return found

    def _forget_later(self, key: Hashable, result: asyncio.Future[Any]) -> None:
        if not result.cancelled():
            result.exception()  # else asyncio tells of it, where nobody waits for the result any more
        asyncio.get_running_loop().call_later(_KEPT_S, self._results.pop, key, None)
