"""The types that count, in C and in Python: both have the same behaviour."""

from __future__ import annotations

import gc
import inspect
import os
import sys
import threading
import weakref
from types import ModuleType
from typing import Any

import pytest

from event_count_logger import EventGroup
from event_count_logger.counting import implementation, pure
from event_count_logger.groups.redis_group import RedisEventGroup
from tests.conftest import needs_debian

IMPLEMENTATIONS: list[Any] = [pytest.param(pure, id="pure")]
if implementation.NATIVE:
    from event_count_logger import _native

    IMPLEMENTATIONS.append(pytest.param(_native, id="native"))

LARGEST = 2**63 - 1


def make_cell(module: ModuleType, event_id: str = "e", **words: int) -> Any:
    memory = memoryview(bytearray(8 * 5)).cast("Q")
    cell = module.Cell(event_id, memory, 1)
    for name, value in words.items():
        setattr(cell, name, value)
    return cell


def make_group(module: Any) -> Any:
    """Returns a group with an event `e` that records the calls of its methods."""

    class Noting(module.Counting):  # type: ignore[misc]
        def __init__(self) -> None:
            self.unusual: list[Any] = []
            self.sent: list[Any] = []
            self.cells = module.CellMap()
            self.cells.put(make_cell(module))

        def _log_unusual(self, event_id: object, count: object) -> None:
            self.unusual.append((event_id, count))

        def _send(self, cell: Any, total: int) -> None:
            self.sent.append((cell.event_id, total))

    return Noting()


@pytest.fixture(params=IMPLEMENTATIONS)
def module(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def group(module: Any) -> Any:
    return make_group(module)


def test_counts_are_added_up(group: Any) -> None:
    group.log("e")
    group.log("e", 4)
    group.log(event_id="e", count=2)
    group.log("e", count=3)
    assert group.cells.by_id["e"].total == 10
    assert not group.unusual


def test_cell_is_three_words_of_memory(module: Any) -> None:
    memory = memoryview(bytearray(8 * 8)).cast("Q")
    memory[2] = 7
    cell = module.Cell("e", memory, 2)
    cell.pending, cell.acked = 5, 2**64 - 1
    assert (cell.event_id, cell.total) == ("e", 7)
    assert memory.tolist() == [0, 0, 7, 5, 2**64 - 1, 0, 0, 0]
    cell.total = 8
    assert memory[2] == 8


class Text(str):
    pass


class Number(int):
    pass


@pytest.mark.parametrize(
    ("arguments", "unusual"),
    [
        (("x",), ("x", 1)),
        (("x", 3), ("x", 3)),
        (("e", 0), ("e", 0)),
        (("e", -1), ("e", -1)),
        (("e", LARGEST + 1), ("e", LARGEST + 1)),
        (("e", -(2**70)), ("e", -(2**70))),
        (("e", True), ("e", True)),
        (("e", 1.0), ("e", 1.0)),
        (("e", None), ("e", None)),
        (("e", Number(2)), ("e", 2)),
        ((Text("e"),), ("e", 1)),
        ((b"e",), (b"e", 1)),
        ((["e"],), (["e"], 1)),
        ((None,), (None, 1)),
    ],
)
def test_unusual_arguments_of_log_are_passed_to_log_unusual(
    arguments: tuple[Any, ...], unusual: tuple[Any, Any], group: Any
) -> None:
    group.log(*arguments)
    assert group.unusual == [unusual]
    assert group.cells.by_id["e"].total == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((), {}), (("e", 1, 2), {}), (("e",), {"event_id": "e"}), (("e",), {"n": 1}), ((), {"count": 1})],
)
def test_wrong_arguments_of_log_raise_type_error_naming_the_method(
    arguments: tuple[Any, ...], named: dict[str, Any], group: Any
) -> None:
    with pytest.raises(TypeError, match=r"log\(\)"):
        group.log(*arguments, **named)


@pytest.mark.parametrize(("sync_at", "sent"), [(1, [2, 3, 9]), (3, [3, 9]), (9, [9]), (10, [])])
def test_send_is_called_when_sync_at_counts_are_unsent(sync_at: int, sent: list[int], group: Any) -> None:
    group.cells.sync_at = sync_at
    group.log("e", 2)
    group.log("e")
    group.log("e", 6)
    assert group.sent == [("e", total) for total in sent]


def test_confirmed_counts_are_not_unsent(group: Any) -> None:
    group.cells.sync_at = 3
    group.log("e", 2)
    group.cells.by_id["e"].acked = 2
    group.log("e", 2)
    assert not group.sent
    group.log("e")
    assert group.sent == [("e", 5)]


def test_send_is_not_called_by_default(group: Any) -> None:
    group.log("e", LARGEST)
    assert group.cells.sync_at == implementation.NEVER
    assert not group.sent


def test_more_than_63_bits_unsent_raise_and_change_nothing(group: Any) -> None:
    group.log("e", LARGEST - 1)
    group.log("e")
    for count in (1, LARGEST):
        with pytest.raises(OverflowError, match="2\\^63-1 counts of event 'e'"):
            group.log("e", count)
    assert group.cells.by_id["e"].total == LARGEST


def test_total_wraps_beyond_64_bits_when_confirmed(group: Any) -> None:
    cell = group.cells.by_id["e"]
    cell.total = cell.acked = 2**64 - 2
    group.cells.sync_at = 5
    group.log("e", 4)
    assert not group.sent
    group.log("e")
    assert cell.total == 3
    assert group.sent == [("e", 3)]


def test_event_keeps_its_first_cell(module: Any, group: Any) -> None:
    first, second = group.cells.by_id["e"], make_cell(module)
    assert group.cells.put(second) is first
    other = make_cell(module, "other")
    assert group.cells.put(other) is other
    assert dict(group.cells.by_id) == {"e": first, "other": other}


def test_exception_of_a_callback_passes_and_the_count_is_kept(module: Any) -> None:
    class Failing(module.Counting):  # type: ignore[misc]
        def _log_unusual(self, event_id: object, count: object) -> None:
            raise ValueError("unusual")

        def _send(self, cell: Any, total: int) -> None:
            raise ValueError("send")

    group = Failing()
    group.cells = module.CellMap()
    cell = group.cells.put(make_cell(module))
    group.cells.sync_at = 1
    with pytest.raises(ValueError, match="unusual"):
        group.log("x")
    with pytest.raises(ValueError, match="send"):
        group.log("e")
    assert cell.total == 1


def test_counter_counts_its_event(module: Any, group: Any) -> None:
    counter = module.Counter(group, "e")
    counter.inc()
    counter.inc(4)
    counter.inc(n=5)
    group.log("e")
    assert group.cells.by_id["e"].total == 11
    group.cells.sync_at = 1
    counter.inc()
    assert group.sent == [("e", 12)]


@pytest.mark.parametrize("count", [0, -1, True, 1.0, None, LARGEST + 1, "1"])
def test_counter_passes_unusual_counts_to_log_unusual(count: Any, module: Any, group: Any) -> None:
    module.Counter(group, "e").inc(count)
    assert group.unusual == [("e", count)]


def test_wrong_arguments_of_a_counter_raise_type_error(module: Any, group: Any) -> None:
    counter = module.Counter(group, "e")
    for arguments, named in (((1, 2), {}), ((), {"count": 1}), ((1,), {"n": 1})):
        with pytest.raises(TypeError, match=r"inc\(\)"):
            counter.inc(*arguments, **named)


def test_counter_made_before_its_cell_finds_the_cell_later(module: Any, group: Any) -> None:
    counter = module.Counter(group, "new")
    counter.inc(2)
    assert group.unusual == [("new", 2)]
    cell = group.cells.put(make_cell(module, "new"))
    counter.inc(2)
    assert cell.total == 2


def test_counter_follows_its_group_to_other_cells(module: Any, group: Any) -> None:
    counter = module.Counter(group, "e")
    counter.inc()
    before = group.cells.by_id["e"]
    group.cells = module.CellMap()
    counter.inc()
    assert group.unusual == [("e", 1)]
    after = group.cells.put(make_cell(module))
    counter.inc(3)
    assert (before.total, after.total) == (1, 3)


def test_counter_finds_the_new_cell_after_the_map_was_cleared(module: Any, group: Any) -> None:
    counter, before = module.Counter(group, "e"), group.cells.by_id["e"]
    counter.inc()
    group.cells.clear()
    counter.inc()
    group.log("e")
    assert (group.unusual, dict(group.cells.by_id)) == ([("e", 1), ("e", 1)], {})
    after = group.cells.put(make_cell(module))
    counter.inc(3)
    group.log("e")
    assert (before.total, after.total) == (1, 4)


def test_callback_for_a_cell_may_clear_the_map(module: Any) -> None:
    class Clearing(module.Counting):  # type: ignore[misc]
        def _log_unusual(self, event_id: object, count: object) -> None:
            self.cells.put(make_cell(module))

        def _send(self, cell: Any, total: int) -> None:
            self.cells.clear()
            gc.collect()
            sent.append((cell.event_id, cell.total, total))

    sent: list[Any] = []
    group = Clearing()
    group.cells = module.CellMap()
    group.cells.sync_at = 1
    counter = module.Counter(group, "e")
    for _ in range(3):
        group.log("x")
        counter.inc(2)
    assert sent == [("e", 2, 2)] * 3


def test_threads_lose_no_count(module: Any, group: Any) -> None:
    counter = module.Counter(group, "e")
    each = 20_000

    def work() -> None:
        for _ in range(each):
            group.log("e")
            counter.inc(2)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert group.cells.by_id["e"].total == 4 * each * 3


def test_groups_and_counters_leak_no_memory(module: Any) -> None:
    group = make_group(module)
    group.itself, group.counter = group, module.Counter(group, "e")
    group.counter.inc()
    gone = weakref.ref(group)
    del group
    gc.collect()
    assert gone() is None


def test_log_of_a_subclass_is_used(module: Any) -> None:
    class Own(module.Counting):  # type: ignore[misc]
        def log(self, event_id: str, count: int = 1) -> None:
            self.__dict__["seen"] = (event_id, count)

    own: Any = Own()
    own.log("e")
    assert own.seen == ("e", 1)


def test_extension_is_used_where_it_was_built() -> None:
    if os.environ.get("ECL_NATIVE") != "0":
        needs_debian("gcc", "gcc")
        assert implementation.NATIVE
    assert implementation.Cell is (_native if implementation.NATIVE else pure).Cell


@pytest.mark.parametrize("name", ["log", "inc"])
@pytest.mark.skipif(not implementation.NATIVE, reason="the extension is not built")
def test_both_implementations_have_the_same_docstrings(name: str) -> None:
    owners = [type(make_group(module)) if name == "log" else module.Counter for module in (pure, _native)]
    ours, theirs = (getattr(owner, name) for owner in owners)
    assert inspect.getdoc(ours) == inspect.getdoc(theirs)
    assert [*inspect.signature(ours).parameters] == [*inspect.signature(theirs).parameters]


def test_log_of_groups_has_the_docstring_and_parameters_of_the_interface() -> None:
    assert inspect.getdoc(EventGroup.log) == inspect.getdoc(RedisEventGroup.log)
    parameters = [inspect.signature(each.log).parameters for each in (EventGroup, RedisEventGroup)]
    assert [*parameters[0]] == [*parameters[1]]


@pytest.mark.skipif(not implementation.NATIVE, reason="the extension is not built")
def test_extension_rejects_arguments_that_would_crash_it() -> None:
    words = memoryview(bytearray(8 * 4)).cast("Q")
    for wrong in (
        lambda: _native.Cell("e", words, 2),
        lambda: _native.Cell("e", words, -1),
        lambda: _native.Cell("e", words, 2**62),
        lambda: _native.Cell("e", memoryview(bytearray(32)), 0),
        lambda: _native.Cell("e", memoryview(bytes(32)).cast("Q"), 0),
        lambda: _native.Cell("e", words[::2], 0),
        lambda: _native.Cell("e", bytearray(32), 0),
        lambda: _native.Cell(b"e", words, 0),
        lambda: _native.CellMap().put("e"),
        lambda: setattr(make_group(_native), "cells", {}),
        lambda: delattr(make_group(_native), "cells"),
        lambda: setattr(make_cell(_native), "total", "1"),
        lambda: setattr(make_cell(_native), "total", -1),
        lambda: setattr(make_cell(_native), "total", 2**64),
        lambda: delattr(make_cell(_native), "total"),
        lambda: _native.Counter("group", "e"),
    ):
        with pytest.raises((TypeError, ValueError, BufferError, OverflowError, AttributeError)):
            wrong()
    group_type: Any = type(make_group(_native))
    unset = group_type.__new__(group_type)
    unset.unusual = []
    unset.log("e")
    assert unset.unusual == [("e", 1)]
