"""`FairLock`: first come, first served, and never left locked."""

from __future__ import annotations

import threading

import pytest

from event_count_logger.counting.fair_lock import FairLock, Ticket
from tests.interruptions import Interruption, at_each_line
from tests.servers import wait_until


class Interrupted(Exception):
    """An exception as from a signal handler."""


def hold(lock: FairLock) -> None:
    with Ticket(lock, 0) as acquired:
        assert acquired


def interrupted(interruption: Interruption, lock: FairLock) -> BaseException | None:
    """Returns the exception that has ended `hold`, with its traceback, which refers to all frames."""

    def interrupt() -> None:
        raise Interrupted

    try:
        interruption(lambda: hold(lock), interrupt)
    except Interrupted as error:
        return error
    return None


def is_free(lock: FairLock) -> bool:
    """Returns whether another thread can acquire the lock."""
    found: list[bool] = []

    def take() -> None:
        with Ticket(lock, 0) as acquired:
            found.append(acquired)

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return found[0]


def test_lock_is_free_after_an_exception_that_is_dropped() -> None:
    for interruption in at_each_line():
        lock = FairLock()
        interrupted(interruption, lock)
        assert is_free(lock)


def test_lock_is_free_after_an_exception_that_is_kept() -> None:
    kept, blocked_at = [], []
    for number, interruption in enumerate(at_each_line()):
        lock = FairLock()
        kept.append(interrupted(interruption, lock))
        if not is_free(lock):
            blocked_at.append(number)
    assert len(kept) > 20
    assert len(blocked_at) <= 2, "at most where `__exit__` begins"


@pytest.mark.parametrize("n_threads", [2, 8])
def test_threads_get_the_lock_in_the_order_of_their_requests(n_threads: int) -> None:
    lock, order = FairLock(), list[int]()

    def take(number: int) -> None:
        with Ticket(lock, 60) as acquired:
            assert acquired
            order.append(number)

    with Ticket(lock, 0) as acquired:
        assert acquired
        threads = []
        for number in range(n_threads):
            thread = threading.Thread(target=take, args=(number,))
            threads.append(thread)
            thread.start()
            wait_until(lambda n=number + 2: len(lock._queue) == n)  # type: ignore[misc]
    for thread in threads:
        thread.join()
    assert order == list(range(n_threads))
