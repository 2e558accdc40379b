"""Requests that share one computation."""

from __future__ import annotations

import asyncio
import threading

import pytest

from event_count_logger.web import single_flight
from event_count_logger.web.single_flight import SingleFlight


class Blocked:
    """A computation that waits until it may end, and counts how often it ran."""

    def __init__(self) -> None:
        self.n_runs = 0
        self.has_begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self) -> int:
        self.n_runs += 1
        self.has_begun.set()
        self.may_end.wait()
        return self.n_runs


async def begun(blocked: Blocked) -> None:
    while not blocked.has_begun.is_set():
        await asyncio.sleep(0.001)


def test_concurrent_requests_share_one_computation_until_it_is_forgotten() -> None:
    async def run() -> None:
        flights, blocked = SingleFlight(2), Blocked()
        both = asyncio.gather(flights.get("a", blocked), flights.get("a", blocked))
        await begun(blocked)
        blocked.may_end.set()
        assert list(await both) == [1, 1]
        flights.forget()
        assert await flights.get("a", blocked) == 2
        flights.close()

    asyncio.run(run())


def test_computation_that_no_request_waits_for_any_more_does_not_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        flights, first, second = SingleFlight(1), Blocked(), Blocked()
        slow = asyncio.ensure_future(flights.get("first", first))
        await begun(first)
        monkeypatch.setattr(single_flight, "LONGEST_WAIT_S", 0.0)
        with pytest.raises(asyncio.TimeoutError):
            await flights.get("second", second)
        monkeypatch.undo()
        again = asyncio.ensure_future(flights.get("second", lambda: 7))
        first.may_end.set()
        assert (await slow, await again, second.n_runs) == (1, 7, 0)
        flights.close()

    asyncio.run(run())
