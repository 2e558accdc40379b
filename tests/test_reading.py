"""Reads while other processes count and rotate."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from event_count_logger import EventCountLogger, NotConfigured, Rejected, Unavailable
from event_count_logger.config import GroupConfig, History, Layout, RedisConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.group_reader import GroupReader
from event_count_logger.reading.reader import Reader
from event_count_logger.store import Store
from event_count_logger.store.layouts import KeyLayout
from tests.conftest import ROOT
from tests.fixtures import Make, Start, Write
from tests.groups import group_of
from tests.servers import Server, free_port, wait_until

PAIRS = ROOT / "tests" / "programs" / "pairs.py"
GROUP = {"auto_declare_events": True, "intervals": ["0.1s", "0.2s"]}

HOUR = Interval.parse("1h")
START = 1_700_000_000 // 3600 * 3600


@pytest.fixture
def ecl(server: Server, logger: Make, layout: Layout) -> EventCountLogger:
    groups = {
        "web": {"events": ["a"], "intervals": ["1h", "24h"], "layout": layout},
        "one": {"intervals": ["1h"], "history": 0, "totals": False},
    }
    return logger(groups, server.config)


@pytest.mark.parametrize("history", [60, 0], ids=["from the history", "from the counters"])
def test_read_during_rotation_is_consistent(
    server: Server, start: Start, config_file: Write, history: int, layout: Layout
) -> None:
    """One commit adds the same number to both events: an inconsistent snapshot would show two numbers."""
    path = config_file(
        {"redis": server.config, "groups": {"pairs": {**GROUP, "history": history, "layout": layout}}}
    )
    start("ecl_master", path)
    for source in ("one", "other"):
        start(sys.executable, PAIRS, path, source)
    logger = EventCountLogger.from_file(path)
    reader = logger.reader("pairs")
    wait_until(lambda: reader.last("0.2s").counts.get("left"), what="an interval with counts has finished")
    total, seen, number = 0, set[float | None](), 0
    deadline = time.monotonic() + 20
    while number < 1_250 or (len(seen) <= 10 and time.monotonic() < deadline):  # 2,500 reads, four times
        number += 1
        last, current = reader.both(("0.1s", "0.2s")[number % 2])
        totals = reader.totals()
        for counts in (last.counts, current.counts, totals.counts):
            assert counts.get("left", 0) == counts.get("right", 0), (number, last, current, totals)
        assert last.end is None or current.start == last.end
        assert totals.counts["left"] >= total, number
        total = totals.counts["left"]
        seen.add(last.end)
    assert len(seen) > 10, "there were too few rotations for this to mean anything"
    logger.close()


def test_paged_read_restarts_when_the_interval_ends(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(RedisConfig(**server.config))
    group = GroupConfig("g", (HOUR,), auto_declare_events=True, history=History.of(0))
    batch = {f"e{number:05}": 1 for number in range(12_000)}
    store.commits.commit(group_of("g", [HOUR]), "src", 0, 1, batch, START)
    store.rotation.rotate(group, HOUR, START + 3600)
    store.commits.commit(group_of("g", [HOUR]), "src", 1, 2, dict.fromkeys(batch, 2), START + 3600)

    read_at_once = KeyLayout._read_at_once
    calls: list[dict[str, Any]] = []

    def rotate_after_the_second_page(self: KeyLayout, *arguments: Any, **options: Any) -> Any:
        calls.append(options)
        if len(calls) == 5:  # after two complete reads, the start, and one page
            self.rotate(group, HOUR, START + 7200)
        return read_at_once(self, *arguments, **options)

    monkeypatch.setattr(KeyLayout, "_read_at_once", rotate_after_the_second_page)
    (last,) = Reader(store).read(group, HOUR, "last", now=START + 7200)
    assert last.counts == dict.fromkeys(batch, 2)
    assert (last.start, last.end) == (START + 3600, START + 7200)
    assert len(calls) > 6
    store.close()


def test_interval_that_ends_before_event_lookup_is_read_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(RedisConfig(**server.config))
    group = GroupConfig("g", (HOUR,), auto_declare_events=True, history=History.of(0))
    for hour, name in enumerate(("old", "new")):
        batch = {f"{name}{number:05}": 1 for number in range(12_000)}
        store.commits.commit(group_of("g", [HOUR]), "src", hour, hour + 1, batch, START + hour * 3600)
        store.rotation.rotate(group, HOUR, START + (hour + 1) * 3600 if name == "old" else START + 3600)
    indexed = KeyLayout.indexed
    looked_up: list[int] = []

    def rotate_after_the_first_look(self: KeyLayout, *arguments: Any) -> Any:
        found = indexed(self, *arguments)
        if not looked_up:
            self.rotate(group, HOUR, START + 7200)
        looked_up.append(len(found))
        return found

    monkeypatch.setattr(KeyLayout, "indexed", rotate_after_the_first_look)
    (last,) = Reader(store).read(group, HOUR, "last", now=START + 7200)
    assert looked_up == [12_000, 12_000]
    assert (last.start, last.counts) == (START + 3600, batch)
    store.close()


def test_read_ends_while_new_events_keep_arriving(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(RedisConfig(**server.config))
    group = GroupConfig("g", (HOUR,), auto_declare_events=True)
    read_at_once = KeyLayout._read_at_once
    calls: list[int] = []

    def after_another_event(self: KeyLayout, *arguments: Any) -> Any:
        position = len(calls)
        calls.append(position)
        store.commits.commit(group, "src", position, position + 1, {f"e{position}": 1}, START)
        return read_at_once(self, *arguments)

    monkeypatch.setattr(KeyLayout, "_read_at_once", after_another_event)
    (current,) = Reader(store).read(group, HOUR, "cur", now=START)
    assert {"e0", "e1", "e2"} <= current.counts.keys()
    assert len(calls) < 10
    store.close()


def test_interval_shorter_than_its_read_is_an_error(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(RedisConfig(**server.config))
    group = GroupConfig("g", (HOUR,), auto_declare_events=True)
    store.commits.commit(
        group_of("g", [HOUR]), "src", 0, 1, {f"e{number:05}": 1 for number in range(12_000)}, START
    )
    moved = iter(range(1_000))
    read_at_once = KeyLayout._read_at_once

    def with_another_start(self: KeyLayout, *arguments: Any, **options: Any) -> Any:
        server.client.set("g:1h:cur:@ts", START + next(moved))
        return read_at_once(self, *arguments, **options)

    monkeypatch.setattr(KeyLayout, "_read_at_once", with_another_start)
    with pytest.raises(Unavailable, match="interval '1h' of group 'g' ends faster than it can be read"):
        Reader(store).read(group, HOUR, "cur", now=START)
    store.close()


def test_reader_returns_last_and_current_interval(ecl: EventCountLogger) -> None:
    ecl["web"].log("a", 3)
    reader = ecl.reader("web")
    last, current = reader.both("24h")
    assert last.empty
    assert current.counts == {"a": 3}
    assert reader.current("24h").counts == {"a": 3}
    assert reader.last("24h").empty
    assert reader.totals().counts == {"a": 3}
    assert reader.history("24h") == []


def test_name_of_only_interval_can_be_omitted(ecl: EventCountLogger) -> None:
    assert ecl.reader("one").last().interval == "1h"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda ecl: ecl.reader("nope"), "Group 'nope' not found in configuration (configured: web, one)"),
        (
            lambda ecl: ecl.reader("web").last(),
            "group 'web' has several intervals, name one (configured: 1h, 24h)",
        ),
        (lambda ecl: ecl.reader("web").last("5m"), "group 'web' has no interval '5m' (configured: 1h, 24h)"),
        (
            lambda ecl: ecl.reader("one").totals(),
            "group 'one' keeps no totals ('totals: false' in its configuration)",
        ),
        (
            lambda ecl: ecl.reader("one").follow(),
            "group 'one' keeps no history of interval '1h' ('history: 0' in its configuration)",
        ),
    ],
)
def test_unconfigured_group_interval_or_data_is_named_in_the_error(
    ecl: EventCountLogger, ask: Callable[[EventCountLogger], object], message: str
) -> None:
    with pytest.raises(NotConfigured) as caught:
        ask(ecl)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "after", ["x", "1-x", "1", "-1-2", -1, True, "1-2-3", "²-1", float("inf"), float("nan"), 1e30]
)
def test_invalid_position_is_named_in_the_error(ecl: EventCountLogger, after: Any) -> None:
    with pytest.raises(ValueError, match="is not a position|is neither a position nor a time"):
        ecl.reader("web").follow("1h", after)


def test_foreign_history_entry_is_named_in_the_error(ecl: EventCountLogger, server: Server) -> None:
    server.client.xadd("web:1h:@history", {"x": "y"}, id="5-1")
    with pytest.raises(Rejected, match=r"key web:1h:@history.*entry 5-1 of the history cannot be read"):
        ecl.reader("web").history("1h")


def test_read_without_server_raises_unavailable() -> None:
    reader = GroupReader(GroupConfig("g", (HOUR,)), Store(RedisConfig(host="127.0.0.1", port=free_port())))
    with pytest.raises(Unavailable, match="cannot be reached"):
        reader.last()


def test_reader_is_thread_safe(ecl: EventCountLogger) -> None:
    ecl["web"].log("a", 3)
    reader = ecl.reader("web")
    found: list[int] = []

    def read() -> None:
        found.extend(reader.current("1h").counts["a"] for _ in range(100))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [3] * 800
