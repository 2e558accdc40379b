"""Request coalescing: concurrent requests for the same key share one computation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")

#: Seconds for which a result is reused, so that many viewers cost Redis no more than one.
_KEPT_S = 0.4

#: Seconds after which a request stops waiting for a thread that waits for Redis.
LONGEST_WAIT_S = 10.0


@dataclass(slots=True)
class _Flight:
    """One computation.

    Attributes:
        task: Its result in the thread.
        result: The same result in the event loop.
        n_waiting: Number of requests that wait for it.
    """

    task: Future[Any]
    result: asyncio.Future[Any]
    n_waiting: int = 0


class SingleFlight:
    """Results by key. Each is computed in a thread, by one computation at a time, and kept for 0.4 s."""

    def __init__(self, n_threads: int) -> None:
        """`n_threads`: Most concurrent computations."""
        self._threads = ThreadPoolExecutor(n_threads, "query")
        self._flights: dict[Hashable, _Flight] = {}

    async def get(self, key: Hashable, compute: Callable[[], _T]) -> _T:
        """Return the result of the current computation of this key, or start `compute`.

        A computation that has not begun is left out once no request waits for it any more.

        Raises:
            asyncio.TimeoutError: The computation takes more than 10 s.
            Exception: Any exception of `compute`.
        """
        flight = self._flights.get(key) or self._start(key, compute)
        flight.n_waiting += 1
        try:
            found: _T = await asyncio.wait_for(asyncio.shield(flight.result), LONGEST_WAIT_S)
        finally:
            flight.n_waiting -= 1
            if not flight.n_waiting and flight.task.cancel():
                self._forget(key, flight)
        return found

    def forget(self) -> None:
        """Let no request get an earlier result."""
        self._flights.clear()

    def close(self) -> None:
        """End the threads after their computations."""
        self._threads.shutdown()

    def _start(self, key: Hashable, compute: Callable[[], Any]) -> _Flight:
        task = self._threads.submit(compute)
        flight = self._flights[key] = _Flight(task, asyncio.wrap_future(task))
        flight.result.add_done_callback(lambda done: self._forget_later(key, flight))
        return flight

    def _forget_later(self, key: Hashable, flight: _Flight) -> None:
        if flight.result.cancelled():
            self._forget(key, flight)
            return
        flight.result.exception()  # marks it as retrieved: asyncio would log it if no request waits any more
        asyncio.get_running_loop().call_later(_KEPT_S, self._forget, key, flight)

    def _forget(self, key: Hashable, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
