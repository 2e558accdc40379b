"""Request coalescing: concurrent requests for the same key share one computation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")

#: Seconds for which a result is reused, so that many viewers cost Redis no more than one.
_KEPT_S = 0.4

#: Seconds after which a request stops waiting for a thread that waits for Redis.
LONGEST_WAIT_S = 10.0

#: Most concurrent computations.
_THREADS = 8


class SingleFlight:
    """Results by key. Each is computed in a thread, by one computation at a time, and kept for 0.4 s."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "query")
        self._results: dict[Hashable, asyncio.Future[Any]] = {}

    async def get(self, key: Hashable, compute: Callable[[], _T]) -> _T:
        """Return the result of the current computation of this key, or start `compute`.

        Raises:
            asyncio.TimeoutError: The computation takes more than 10 s.
            Exception: Any exception of `compute`.
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
            result.exception()  # marks it as retrieved: asyncio would log it if no request waits any more
        asyncio.get_running_loop().call_later(_KEPT_S, self._results.pop, key, None)
