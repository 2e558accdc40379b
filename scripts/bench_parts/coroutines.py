"""Counting in coroutines, with the duration of the longest calls and the time of each `log()`."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

#: Seconds between two rounds of calls, in which the loop and the background thread can run.
_PAUSE_S = 0.002

#: Iterations of a loop that takes about 100 microseconds.
_TURNS = 3000

#: Seconds between two counts whose time to Redis is measured: far longer than that time.
_SHORTEST_REST_S, _LONGEST_REST_S = 0.01, 0.02


class Coroutines:
    """Uses a group that has the events `e` and `visit`, and sessions."""

    def __init__(self, group: Any) -> None:
        self._group = group
        self._n_visits = 0
        self._longest_ns: defaultdict[str, int] = defaultdict(int)
        logging.disable(logging.CRITICAL)  # Redis is down on purpose
        gc.collect()
        gc.disable()  # its pauses would be added to those of the library

    def first_call_us(self) -> float:
        """Returns the microseconds of the first `log()`, which makes the counters and the thread."""

        async def log() -> float:
            return _ns(lambda: self._group.log("warm-up")) / 1000

        return asyncio.run(log())

    def longest_calls_us(self, seconds: float) -> dict[str, float]:
        """Returns the microseconds of the longest call of each kind."""
        asyncio.run(self._call(seconds))
        return {name: ns / 1000 for name, ns in self._longest_ns.items()}

    async def _call(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._n_visits += 1
            session = self._group.session(f"session {self._n_visits}", "visit")
            self._time("an empty loop", self._loop)
            self._time("log()", lambda: self._group.log("e"))
            for name in ("start", "heartbeat", "end"):
                self._time(f"{name} of a session", getattr(session, name))
            await asyncio.sleep(_PAUSE_S)

    def _loop(self) -> None:
        """Run about as long as a call. Longer times show pauses that the library did not cause."""
        for _ in range(_TURNS):
            pass

    def _time(self, name: str, call: Callable[[], Any]) -> None:
        self._longest_ns[name] = max(self._longest_ns[name], _ns(call))

    def expected(self) -> dict[str, int]:
        """Wait until Redis has confirmed the counts of `longest_calls_us`; returns them by event."""

        async def flush() -> None:
            while not await self._group.flush():
                await asyncio.sleep(_PAUSE_S)

        asyncio.run(flush())
        return {"e": self._n_visits, "visit": self._n_visits}


def log_times(group: Any, events: Sequence[str], in_loop: bool) -> list[int]:
    """Log events in a coroutine, or without a loop; returns the `time.monotonic_ns()` of each."""
    some = Random(1)
    for event in events:  # the first count of an event makes its counter
        group.log(event)
    group.sync()
    if in_loop:
        return asyncio.run(_log_in_loop(group, events, some))
    times = []
    for event in events:
        time.sleep(_rest_s(some))
        times.append(time.monotonic_ns())
        group.log(event)
    return times


async def _log_in_loop(group: Any, events: Sequence[str], some: Random) -> list[int]:
    times = []
    for event in events:
        await asyncio.sleep(_rest_s(some))
        times.append(time.monotonic_ns())
        group.log(event)
    return times


def _rest_s(some: Random) -> float:
    return some.uniform(_SHORTEST_REST_S, _LONGEST_REST_S)


def _ns(call: Callable[[], Any]) -> int:
    begin = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - begin
