"""What readers see while others count and rotate."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from event_count_logger import EventCountLogger, NotConfigured, Rejected, Unavailable
from event_count_logger.config import GroupConfig, Layout, RedisConfig
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
def test_a_read_is_never_a_mix_of_two_moments(
    server: Server, start: Start, config_file: Write, history: int, layout: Layout
) -> None:
    """Both events always get the same amount in one step, so a snapshot in which they differ is a mix."""
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


def test_a_read_in_pages_begins_anew_when_an_interval_ends_meanwhile(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(RedisConfig(**server.config))
    group = GroupConfig("g", (HOUR,), auto_declare_events=True, history=0)
    batch = {f"e{number:05}": 1 for number in range(12_000)}
    store.commits.commit(group_of("g", [HOUR]), "src", 0, 1, batch, START)
    store.rotation.rotate(group, HOUR, START + 3600)
    store.commits.commit(group_of("g", [HOUR]), "src", 1, 2, dict.fromkeys(batch, 2), START + 3600)

    read_at_once, calls = KeyLayout._read_at_once, []

    def rotate_after_the_second_page(self: KeyLayout, *arguments: Any, **options: Any) -> Any:
        calls.append(options)
        if len(calls) == 5:  # twice all at once, the start, and a page came before
            self.rotate(group, HOUR, START + 7200)
        return read_at_once(self, *arguments, **options)

    monkeypatch.setattr(KeyLayout, "_read_at_once", rotate_after_the_second_page)
    (last,) = Reader(store).read(group, HOUR, "last", now=START + 7200)
    assert last.counts == dict.fromkeys(batch, 2)
    assert (last.start, last.end) == (START + 3600, START + 7200)
    assert len(calls) > 6
    store.close()


def test_when_an_interval_ends_before_its_events_are_looked_up_the_next_one_is_read(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(RedisConfig(**server.config))
    group = GroupConfig("g", (HOUR,), auto_declare_events=True, history=0)
    for hour, name in enumerate(("old", "new")):
        batch = {f"{name}{number:05}": 1 for number in range(12_000)}
        store.commits.commit(group_of("g", [HOUR]), "src", hour, hour + 1, batch, START + hour * 3600)
        store.rotation.rotate(group, HOUR, START + (hour + 1) * 3600 if name == "old" else START + 3600)
    indexed, looked_up = KeyLayout.indexed, []

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


def test_a_read_ends_though_new_events_keep_coming(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(RedisConfig(**server.config))
    group = GroupConfig("g", (HOUR,), auto_declare_events=True)
    read_at_once, calls = KeyLayout._read_at_once, []

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


def test_an_interval_that_ends_faster_than_it_can_be_read_is_an_error(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_reader_gives_the_last_and_the_running_interval(ecl: EventCountLogger) -> None:
    ecl["web"].log("a", 3)
    reader = ecl.reader("web")
    last, current = reader.both("24h")
    assert last.empty
    assert current.counts == {"a": 3}
    assert reader.current("24h").counts == {"a": 3}
    assert reader.last("24h").empty
    assert reader.totals().counts == {"a": 3}
    assert reader.history("24h") == []


def test_the_name_of_the_only_interval_may_be_left_out(ecl: EventCountLogger) -> None:
    assert ecl.reader("one").last().interval == "1h"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda ecl: ecl.reader("nope"), "Group 'nope' not found in configuration"),
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
            "group 'one' keeps no history ('history: 0' in its configuration)",
        ),
    ],
)
def test_what_is_not_configured_is_named(
    ecl: EventCountLogger, ask: Callable[[EventCountLogger], object], message: str
) -> None:
    with pytest.raises(NotConfigured) as caught:
        ask(ecl)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "after", ["x", "1-x", "1", "-1-2", -1, True, "1-2-3", "²-1", float("inf"), float("nan"), 1e30]
)
def test_what_is_no_position_is_named(ecl: EventCountLogger, after: Any) -> None:
    with pytest.raises(ValueError, match="is not a position|is neither a position nor a time"):
        ecl.reader("web").follow("1h", after)


def test_an_entry_of_the_history_that_is_not_ours_is_named(ecl: EventCountLogger, server: Server) -> None:
    server.client.xadd("web:1h:@history", {"x": "y"}, id="5-1")
    with pytest.raises(Rejected, match=r"key web:1h:@history.*entry 5-1 of the history cannot be read"):
        ecl.reader("web").history("1h")


def test_without_a_server_reading_says_so() -> None:
    reader = GroupReader(GroupConfig("g", (HOUR,)), Store(RedisConfig(host="127.0.0.1", port=free_port())))
    with pytest.raises(Unavailable, match="cannot be reached"):
        reader.last()


def test_threads_may_share_a_reader(ecl: EventCountLogger) -> None:
    ecl["web"].log("a", 3)
    reader, found = ecl.reader("web"), []

    def read() -> None:
        found.extend(reader.current("1h").counts["a"] for _ in range(100))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [3] * 800
