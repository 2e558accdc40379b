"""A follower gets every finished interval once, in order, also through faults."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from event_count_logger import EventCountLogger, Rejected, Snapshot
from event_count_logger.config import GroupConfig, History, Layout, RedisConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.follow import Follower
from event_count_logger.reading.group_reader import AsyncGroupReader, GroupReader
from event_count_logger.store import Store
from tests import groups
from tests.conftest import ROOT
from tests.fixtures import Start, Write
from tests.groups import group_of
from tests.servers import Server, wait_until

FIVE_S = Interval.parse("5s")
BEGIN = 1_700_000_010
GROUP = GroupConfig("g", (FIVE_S,), ("a",), history=History.of(3))


class Past:
    """Old finished intervals; number n has n counts of `a`."""

    def __init__(self, server: Server, group: GroupConfig = GROUP) -> None:
        self.store = Store(RedisConfig(**server.config))
        self.use(group)
        self._finished = 0
        self.store.rotation.rotate(self.group, FIVE_S, BEGIN)

    def use(self, group: GroupConfig) -> None:
        self.group = replace(group, layout=groups.layout)

    def finish(self, intervals: int, merged: int = 1) -> None:
        for _ in range(intervals):
            now = self.store.reads.start(group_of("g"), FIVE_S)
            assert now is not None
            self._finished += 1
            position = self._finished
            self.store.commits.commit(
                group_of("g", [FIVE_S]), "src", position - 1, position, {"a": position}, now
            )
            self.store.rotation.rotate(self.group, FIVE_S, now + 5 * merged)

    def follower(self, after: str | float | None = None) -> Follower:
        return Follower(self.store, self.group, FIVE_S, after)


@pytest.fixture
def past(server: Server, layout: Layout) -> Iterator[Past]:
    past = Past(server)
    yield past
    past.store.close()


def steps(follower: Follower) -> list[tuple[int, int]]:
    """Returns for each snapshot available the count, and the number of intervals dropped before it."""
    found = []
    while snapshot := follower.step()[0]:
        found.append((snapshot.counts["a"], snapshot.missed))
    return found


def test_follow_starts_with_next_interval_by_default(past: Past) -> None:
    past.finish(2)
    follower = past.follower()
    assert steps(follower) == []
    past.finish(2)
    assert steps(follower) == [(3, 0), (4, 0)]


def test_follow_without_history_starts_with_first_interval(past: Past) -> None:
    follower = past.follower()
    assert steps(follower) == []
    past.finish(2)
    assert steps(follower) == [(1, 0), (2, 0)]


def test_follow_from_0_reports_number_of_dropped_intervals(past: Past) -> None:
    past.finish(5)
    assert steps(past.follower(0)) == [(3, 2), (4, 0), (5, 0)]


def test_follow_after_position_continues_behind_it(past: Past) -> None:
    past.finish(2)
    (first, second) = GroupReader(past.group, past.store).history()
    assert steps(past.follower(first.position)) == [(2, 0)]
    past.finish(3)
    assert steps(past.follower(second.position)) == [(3, 0), (4, 0), (5, 0)]


def test_position_equals_default_start_of_follow(past: Past) -> None:
    reader = GroupReader(past.group, past.store)
    assert reader.position() == "0-0"
    past.finish(2)
    assert reader.position() == reader.history()[-1].position
    follower = past.follower(reader.position())
    past.finish(1)
    assert steps(follower) == [(3, 0)]


def test_follow_after_position_reports_exact_number_dropped(past: Past) -> None:
    past.finish(1)
    (first,) = GroupReader(past.group, past.store).history()
    past.finish(1, merged=7)
    past.finish(5)
    assert steps(past.follower(first.position)) == [(5, 3), (6, 0), (7, 0)]


def test_follow_after_time_continues_behind_it(past: Past) -> None:
    past.finish(5)
    assert steps(past.follower(BEGIN + 20)) == [(5, 0)]
    assert steps(past.follower(BEGIN + 19.5)) == [(4, 0), (5, 0)]
    assert steps(past.follower(BEGIN + 5)) == [(3, 1), (4, 0), (5, 0)]
    assert steps(past.follower(BEGIN + 25)) == []


def test_intervals_before_start_of_follow_are_not_missed(past: Past) -> None:
    past.use(replace(GROUP, history=History.of(0)))
    past.finish(5)
    past.use(GROUP)
    follower = past.follower()
    assert steps(follower) == []
    past.finish(1)
    assert steps(follower) == [(6, 0)]


@pytest.mark.parametrize("time", [BEGIN + 10, BEGIN + 10.1, BEGIN + 12.5, BEGIN + 14.9])
def test_follow_after_any_time_reports_number_dropped(past: Past, time: float) -> None:
    past.finish(6)  # the first entry of the history ends after 20 seconds
    assert steps(past.follower(time))[0] == (4, 1)


@pytest.mark.parametrize("at_ms", [4_000_000_000_000, round(BEGIN * 1000) + 5000])
def test_follow_restarts_after_clock_was_ahead_and_data_lost(at_ms: int, past: Past, server: Server) -> None:
    past.finish(1)
    follower = past.follower(f"{at_ms}-7")  # from when the clock was ahead, before all data was lost
    steps(follower)
    assert steps(follower) == [(1, 0)]
    past.finish(2)
    assert steps(follower) == [(2, 0), (3, 0)]


def test_follow_after_future_time_waits_for_it(past: Past) -> None:
    past.finish(2)
    follower = past.follower(4_000_000_000)
    for _ in range(3):
        assert steps(follower) == []


def test_follow_after_end_of_snapshot_continues_behind_it(server: Server) -> None:
    store, short = Store(RedisConfig(**server.config)), Interval.parse("0.1s")
    group = replace(GROUP, intervals=(short,), history=History.of(100))
    for tenth in range(31):
        store.rotation.rotate(group, short, BEGIN + tenth / 10)
    held = GroupReader(group, store).history()
    assert len(held) == 30
    for snapshot, next_one in zip(held, held[1:], strict=False):
        found, _ = Follower(store, group, short, snapshot.end).step()
        assert found and found.start == next_one.start
    store.close()


def test_restarted_history_is_followed_with_dropped_intervals(past: Past, server: Server) -> None:
    past.finish(2)
    follower = past.follower(0)
    assert len(steps(follower)) == 2
    server.client.flushall()
    past.store.rotation.rotate(past.group, FIVE_S, BEGIN + 50)
    past.store.rotation.rotate(past.group, FIVE_S, BEGIN + 55)
    assert steps(follower) == [(0, 8)]


@pytest.mark.parametrize(
    ("ends_in_s", "wait_s"),
    [(4, 4), (1, 1), (0.25, 0.25), (0, 0.01), (-0.0625, 0.0625), (-0.125, 0.125), (-55, 0.25)],
)
def test_follow_waits_for_interval_end_then_polls(
    ends_in_s: float, wait_s: float, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(RedisConfig(**server.config))
    monkeypatch.setattr(store.client, "now", lambda: BEGIN + 5 - ends_in_s)
    server.client.set("g:5s:cur:@ts", BEGIN)
    assert Follower(store, GROUP, FIVE_S, 0).step() == (None, wait_s)
    store.close()


@pytest.mark.parametrize(("late_s", "wait_s"), [(0.125, 0.125), (3, 3), (55, 5)])
def test_wait_for_a_late_rotation_grows_up_to_the_limit_of_the_caller(
    late_s: float, wait_s: float, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(RedisConfig(**server.config))
    monkeypatch.setattr(store.client, "now", lambda: BEGIN + 5 + late_s)
    server.client.set("g:5s:cur:@ts", BEGIN)
    assert Follower(store, GROUP, FIVE_S, 0, late_wait_s=5).step() == (None, wait_s)
    store.close()


def test_history_of_unexpected_type_raises_rejected(past: Past, server: Server) -> None:
    server.client.set("g:5s:@history", "x")
    with pytest.raises(Rejected, match="key g:5s:@history"):
        past.follower(0).step()


class Consumer:
    """A thread that follows from a position on, and can be stopped like a killed process."""

    def __init__(self, reader: GroupReader, after: str | float | None) -> None:
        self.seen: list[Snapshot] = []
        self._cut_off = False
        self._follower = reader.follower("0.5s", after)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        wake = threading.Event()
        while not self._cut_off:
            snapshot, wait_s = self._follower.step()
            if snapshot:
                self.seen.append(snapshot)
            else:
                wake.wait(min(wait_s, 0.1))

    def cut_off(self) -> list[Snapshot]:
        self._cut_off = True
        self._thread.join()
        return self.seen


def test_each_interval_is_followed_once_despite_faults(
    own_server: Server, start: Start, config_file: Write, layout: Layout
) -> None:
    pairs = {"auto_declare_events": True, "intervals": ["0.5s", "1h"], "history": 1000, "layout": layout}
    path = config_file({"redis": own_server.config, "groups": {"pairs": pairs}})
    master = start("ecl_master", path)
    worker = start(sys.executable, ROOT / "tests" / "programs" / "log_times.py", path, 6, "pairs")
    logger = EventCountLogger.from_file(path)
    reader = logger.reader("pairs")
    consumer = Consumer(reader, 0)
    wait_until(lambda: len(consumer.seen) > 2, what="intervals arrive")

    master.send_signal(signal.SIGKILL)
    master.wait()
    own_server.kill()
    own_server.start()
    start("ecl_master", path)
    seen = len(consumer.seen)
    wait_until(lambda: len(consumer.seen) > seen + 1, what="intervals arrive again")

    snapshots = consumer.cut_off()
    consumer = Consumer(reader, snapshots[-1].position)
    out, err = worker.communicate(timeout=30)
    assert worker.returncode == 0, err
    logged = out.count(",") + 1
    wait_until(
        lambda: sum(one.counts.get("e", 0) for one in [*snapshots, *consumer.seen]) >= logged,
        what="all intervals are finished",
    )
    snapshots += consumer.cut_off()
    counted = sum((Counter(one.counts) for one in snapshots), Counter())
    assert counted == {"e": logged} == reader.totals().counts
    assert all(one.end == next_one.start for one, next_one in zip(snapshots, snapshots[1:], strict=False))
    assert sum(one.missed for one in snapshots) == 0
    logger.close()


def test_follow_yields_snapshots_as_they_finish(past: Past) -> None:
    past.finish(2)
    given = GroupReader(past.group, past.store).follow(after=0)
    assert [next(given).counts["a"], next(given).counts["a"]] == [1, 2]
    later = threading.Timer(0.3, past.finish, [1])
    later.start()
    third = next(given)
    later.join()
    assert (third.counts["a"], third.start, third.end, third.stale) == (3, BEGIN + 10, BEGIN + 15, False)


def test_async_reader_reads_and_follows(past: Past) -> None:
    past.finish(3)
    reader = AsyncGroupReader(GroupReader(past.group, past.store))

    async def read() -> list[int]:
        found = []
        async for snapshot in reader.follow(after=0):
            found.append(snapshot.counts["a"])
            if len(found) == 3:
                break
        last, _ = await reader.both()
        assert last.counts == (await reader.last()).counts == {"a": 3}
        assert (await reader.totals()).counts == {"a": 6}
        assert (await reader.current()).counts == {"a": 0}
        assert [one.counts["a"] for one in await reader.history(n=2)] == [2, 3]
        return found

    assert asyncio.run(read()) == [1, 2, 3]
