"""Two threads, or a thread and a signal handler, in the same counters, in each order of their steps."""

from __future__ import annotations

import itertools
import math
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from event_count_logger.config import GroupConfig
from event_count_logger.counting import pure, spool_file, spool_format
from event_count_logger.counting.cells import Cells
from event_count_logger.counting.fair_lock import FairLock, Ticket
from event_count_logger.counting.spool_file import SpoolFile
from event_count_logger.counting.spool_format import Column, Extent
from event_count_logger.counting.syncer import Syncer
from event_count_logger.intervals import Interval
from tests.fixtures import Make
from tests.interruptions import Interruption, at_each_call, at_each_line
from tests.servers import wait_until


def adding(cells: Cells) -> Callable[[], None]:
    """Returns a function that counts a new event at each call."""
    names = (f"new {number}" for number in itertools.count())

    def add() -> None:
        cells.add(next(names)).total = 1

    return add


def test_unsent_cells_are_found_while_cells_are_added() -> None:
    for interrupted in at_each_line():
        cells = Cells()
        changed = cells.add("e")
        changed.total = 1
        assert changed in interrupted(cells.unsent, adding(cells))


def test_unsent_counts_are_noticed_while_cells_are_added() -> None:
    for interrupted in at_each_line():
        cells = Cells()
        cells.add("e").total = 1
        assert interrupted(cells.has_unsent, adding(cells))


def test_cells_of_all_blocks_are_found() -> None:
    cells = Cells()
    added = [cells.add(f"event {number}") for number in range(2000)]
    for cell in added[::3]:
        cell.total = 1
    assert cells.unsent() == added[::3]
    assert cells.in_current_batch() == []


def test_slot_without_a_cell_is_skipped() -> None:
    extent = Extent.new(memoryview(bytearray(4096)))
    for event_id in ("a", "b"):
        cell = extent.add(event_id)
        assert cell
        cell.total = 1
    extent._cells[0] = None
    assert [cell.event_id for cell in extent.differing(Column.TOTAL, Column.ACKED)] == ["b"]


def pure_cell(total: int, type_: type[pure.Cell] = pure.Cell) -> pure.Cell:
    cell = type_("e", memoryview(bytearray(24)).cast("Q"), 0)
    cell.total = total
    return cell


def test_unsent_count_is_not_negative_when_a_send_intervenes() -> None:
    def log_and_confirm(cell: pure.Cell) -> None:
        total = cell.add(7)
        assert total is not None
        cell.acked = total

    for interrupted in at_each_line():
        cell = pure_cell(5)
        assert 0 <= interrupted(partial(spool_format.unsent, cell), partial(log_and_confirm, cell)) <= 12


class GrowingCell(pure.Cell):
    """A cell whose total grows by 1 with each read."""

    __slots__ = ("_last",)
    _last: int

    @property
    def _total(self) -> int:
        self._last += 1
        return self._last

    @_total.setter
    def _total(self, total: int) -> None:
        self._last = total


def test_acked_is_exact_while_a_thread_adds() -> None:
    cell = pure_cell(100, GrowingCell)
    cell.acked = 50
    assert cell.unwrapped_acked == 50


def test_close_while_another_thread_gets_a_group(logger: Make) -> None:
    group = {"intervals": ["5m"], "sync_interval": 60}
    for interrupted in at_each_line():
        ecl = logger({"a": group, "b": group}, {"port": 1})
        ecl.get_group("a")
        interrupted(partial(ecl.close, timeout=0), partial(ecl.get_group, "b"))


def full_file(directory: Path) -> tuple[Cells, SpoolFile]:
    """Returns cells in a file that must grow for the next event."""
    file = spool_file.create(directory, "g", ["5m"], "redis")
    cells = Cells(lambda: file)
    names = (f"event {number}" for number in itertools.count())
    cells.add(next(names))
    while file.extents[0].add(next(names)):
        pass
    return cells, file


def test_signal_handler_counts_a_new_event_while_the_file_grows(tmp_path: Path) -> None:
    for interrupted in at_each_call():
        cells, file = full_file(tmp_path / "spool")
        interrupted(partial(cells.add, "outer"), partial(cells.add, "inner"))
        cells.add("later")
        for number, cell in enumerate(cells.by_id.values(), 1):
            cell.total = number
        written = spool_format.read(memoryview(bytearray(file.path.read_bytes())))
        assert {cell.event_id: cell.total for cell in written.cells()} == {
            event_id: cell.total for event_id, cell in cells.by_id.items()
        }
        assert len(written.cells()) == len(cells.unsent()) == len(cells.by_id)
        file.delete()


class Idle:
    """A sender with nothing to send."""

    released = False

    def __init__(self) -> None:
        self.config = GroupConfig("g", (Interval.parse("5m"),))

    def prepare(self) -> None: ...

    def send(self, timeout_s: float) -> None: ...

    def next_send(self, now: float) -> float:
        return math.inf

    def send_at_once(self) -> None: ...

    def clear_wake_request(self) -> None: ...

    def has_unsent(self) -> bool:
        return False

    def describe_unsent(self) -> str:
        return ""

    def retire(self) -> None: ...

    def dispose(self) -> str:
        return ""


def check_first_requests(interrupted: Interruption) -> None:
    syncer, one, other = Syncer(), Idle(), Idle()
    interrupted(lambda: syncer.watch(one), lambda: syncer.watch(other))
    wait_until(lambda: one in syncer._due)
    if interrupted.happened:
        wait_until(lambda: other in syncer._due)
    syncer.end()


def test_first_requests_of_two_threads_are_both_carried_out() -> None:
    for interrupted in at_each_line():
        check_first_requests(interrupted)


class Asleep(Exception):
    """A thread would sleep until it is woken up."""


class SleeplessLock:
    """A lock for one thread."""

    def __init__(self) -> None:
        self._locked = False

    def acquire(self, timeout: float = -1) -> None:
        if self._locked:
            raise Asleep
        self._locked = True

    def release(self) -> None:
        if not self._locked:
            raise RuntimeError
        self._locked = False


def falls_asleep(interrupted: Interruption) -> bool:
    """Returns whether a thread sleeps although the lock that it waits for was released."""
    lock = FairLock()
    first, second = Ticket(lock, 0), Ticket(lock, 0)
    first.thread = 0  # another one
    assert lock.acquire(first, 0)
    has_ended = False

    def end() -> None:
        nonlocal has_ended
        if sys.exc_info()[0] is not Asleep:
            lock.release(first)
            has_ended = True

    try:
        assert interrupted(lambda: lock.acquire(second, 60), end)
    except Asleep:
        return has_ended
    return False


def test_lock_released_while_a_thread_begins_to_wait_wakes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = SimpleNamespace(Lock=SleeplessLock, get_ident=threading.get_ident)
    monkeypatch.setattr("event_count_logger.counting.fair_lock.threading", replaced)
    assert not any(map(falls_asleep, at_each_line()))
