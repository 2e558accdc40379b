"""Counts in coroutines, and notes when each call began and how long it took."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

#: Seconds between two rounds of calls, which are left to the loop and the background thread.
_PAUSE_S = 0.002

#: Turns of a loop that takes some 100 microseconds.
_TURNS = 3000

#: Seconds between two counts whose way to Redis is timed: far more than that takes.
_SHORTEST_REST_S, _LONGEST_REST_S = 0.01, 0.02


class Coroutines:
    """Uses a group that has the events `e` and `visit`, and sessions."""

    def __init__(self, group: Any) -> None:
        self._group = group
        self._n_visits = 0
        self._longest_ns: defaultdict[str, int] = defaultdict(int)
        logging.disable(logging.CRITICAL)  # that Redis is down is no news here
        gc.collect()
        gc.disable()  # its pauses are those of the application

    def first_call_us(self) -> float:
        """Microseconds of the first `log()`, for which the counters and the thread are made."""

        async def log() -> float:
            return _ns(lambda: self._group.log("warm-up")) / 1000

        return asyncio.run(log())

    def longest_calls_us(self, seconds: float) -> dict[str, float]:
        """Microseconds of the longest call of each kind."""
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
        """About as long as a call: what this takes longer is not the work of the library."""
        for _ in range(_TURNS):
            pass

    def _time(self, name: str, call: Callable[[], Any]) -> None:
        self._longest_ns[name] = max(self._longest_ns[name], _ns(call))

    def expected(self) -> dict[str, int]:
        """Counts that `longest_calls_us` has made, per event; returns when Redis has confirmed them."""

        async def flush() -> None:
            while not await self._group.flush():
                await asyncio.sleep(_PAUSE_S)

        asyncio.run(flush())
        return {"e": self._n_visits, "visit": self._n_visits}


def log_times(group: Any, events: Sequence[str], in_loop: bool) -> list[int]:
    """Nanoseconds of `time.monotonic()` at which each event was logged: in a coroutine, or in no loop."""
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
