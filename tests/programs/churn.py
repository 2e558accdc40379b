"""Uses all of the C extension with new objects in each round, and prints the blocks of memory left.

Usage: churn.py ROUNDS
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

from event_count_logger import _native


class Group(_native.Counting):  # type: ignore[misc]
    def _log_unusual(self, event_id: object, count: object) -> None:
        raise ValueError(event_id)

    def _send(self, cell: object, total: int) -> None:
        raise OverflowError(total)


def fail(call: Callable[..., object], *arguments: Any, **named: Any) -> None:
    try:
        call(*arguments, **named)
    except (TypeError, ValueError, OverflowError):
        return
    raise AssertionError(arguments, named)


def use(number: int) -> None:
    event_id = f"event {number}"
    words = memoryview(bytearray(64)).cast("Q")
    group, before, cells = Group(), _native.CellMap(), _native.CellMap()
    group.itself, group.cells = group, before
    counter = group.counter = _native.Counter(group, event_id)
    before.put(_native.Cell(event_id, words, 3))
    counter.inc()
    group.cells = cells
    fail(counter.inc, number + 2**40)
    fail(group.log, event_id, count=number + 2**40)
    cell = cells.put(_native.Cell(event_id, words, 1))
    cells.put(_native.Cell(event_id, words, 0))
    for n in (1, number + 2**40):
        counter.inc(n)
        counter.inc(n=n)
        group.log(event_id, n)
        group.log(event_id=event_id, count=n)
    cells.sync_at = 1
    for n in (1, 2**63 - 1):
        fail(counter.inc, n)
        fail(group.log, event_id, n)
    cell.total, cell.pending, cell.acked = number + 2**40, cell.total, cell.acked
    fail(group.log, number + 2**40)
    fail(group.log, event_id, wrong=number + 2**40)
    fail(counter.inc, wrong=number + 2**40)
    fail(_native.Cell, event_id, words, 6)
    fail(setattr, group, "cells", {})
    fail(setattr, cell, "total", -1)
    cells.clear()
    fail(counter.inc)
    dict(cells.by_id), cells.sync_at, group.cells, cell.event_id
    type("Subclass", (Group,), {})


def blocks_after(rounds: int) -> int:
    for number in range(rounds):
        use(number)
    gc.collect()
    return sys.getallocatedblocks()


if __name__ == "__main__":
    rounds = int(sys.argv[1])
    blocks_after(rounds)
    before = blocks_after(rounds)
    print(blocks_after(rounds) - before)
