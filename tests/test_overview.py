"""The overview of all groups: figures, order, changes for streams, search."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import pytest

from event_count_logger import keys
from event_count_logger.alerts.overview import Row, in_order
from event_count_logger.alerts.overview_reader import OverviewReader
from event_count_logger.alerts.status import AlertStatus
from event_count_logger.config import (
    AlertRule,
    GroupConfig,
    History,
    RedisConfig,
    SessionsConfig,
    from_dicts,
)
from event_count_logger.errors import Rejected, Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.reading.overview import Change, SpanSum, Trend, change, trend, usual
from event_count_logger.reading.overview_reader import FiguresReader, GroupFigures
from event_count_logger.reading.search import search
from event_count_logger.store import MasterInfo, Store
from event_count_logger.store.vitals import Vitals
from event_count_logger.web import overview as representation
from event_count_logger.web import overview_feed
from event_count_logger.web.overview_feed import OverviewFeed, OverviewStream
from event_count_logger.web.revisions import Revisions, RowText, State
from tests.finished import Finishing
from tests.groups import group_of
from tests.servers import Proxy, Server, free_port, wait_until

HALF_HOUR = Interval.parse("30m")
FIVE_M = Interval.parse("5m")

#: A boundary of all intervals here, Unix seconds.
BEGIN = 1_699_999_200.0

DAY_S = 86_400

#: Settings of groups without and with sessions.
SESSIONS = None, SessionsConfig()

#: Counts that may not be added up: milliseconds of sessions, and a bucket of a histogram.
BUCKET = keys.bucket("size", "10")
NOT_ADDED = {"visit:ms": 10**9, BUCKET: 10**9}


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    store = Store(RedisConfig(**server.config), timeout_s=30)
    yield store
    store.close()


class Finished(NamedTuple):
    """A finished interval, as it was counted."""

    start: float
    end: float
    sum: int


class Counted:
    """A group whose intervals are finished one after another, with the sums that its figures must have."""

    def __init__(self, store: Store, group: GroupConfig, begin: float = BEGIN) -> None:
        self.group = group
        self.finished: list[Finished] = []
        self._begin = begin
        self._finishing = Finishing(store, group, begin)
        self._length_s = group.intervals[0].length_s

    def finish(self, count: int, n_merged: int = 1) -> None:
        start = self.finished[-1].end if self.finished else self._begin
        not_added = NOT_ADDED if self.group.sessions else {BUCKET: 10**9}
        self._finishing.finish({"visit": count, "size": 7, **not_added}, n_merged)
        self.finished.append(Finished(start, start + n_merged * self._length_s, count + 7))

    def slot(self, start: float) -> float | None:
        """Returns the average per slot of the interval that covers a time."""
        for one in self.finished:
            if one.start <= start < one.end:
                return one.sum * self._length_s / (one.end - one.start)
        return None

    def trend(self) -> tuple[float | None, ...]:
        """Returns the counts of the last 48 slots."""
        n = min(48, round((self.finished[-1].end - self._begin) / self._length_s))
        return tuple(self.slot(self.finished[-1].end - at * self._length_s) for at in range(n, 0, -1))

    def change(self) -> Change | None:
        """Returns the change of the last interval."""
        start, end, _ = self.finished[-1]
        now = self.slot(start)
        slots = range(round(start), round(end), round(self._length_s))
        day_before = [self.slot(at - DAY_S) for at in slots]
        if None not in day_before:
            return Change("day", now, sum(each or 0 for each in day_before) / len(day_before))  # type: ignore[arg-type]
        before = self.slot(start - 1)
        return None if before is None else Change("interval", now, before)  # type: ignore[arg-type]


def sessions_group(n_shards: int = 1, interval: Interval = HALF_HOUR) -> GroupConfig:
    sessions = SessionsConfig() if n_shards == 1 else None
    return group_of(
        "web", [interval], auto_declare_events=True, events=("visit",), n_shards=n_shards, sessions=sessions
    )


def without_time(figures: GroupFigures) -> GroupFigures:
    return replace(figures, now=0, overdue_s=0)


# Figures


#: Lengths of intervals, of which a few are rotated late.
MIXED = (1, 1, 1, 1, 1, 2, 3, 5)


@pytest.mark.parametrize(("n_shards", "lengths", "n"), [(1, MIXED, 40), (3, MIXED, 40), (1, (1,), 52)])
def test_figures_equal_what_was_counted_after_each_interval(
    store: Store, layout: str, n_shards: int, lengths: tuple[int, ...], n: int, chance: random.Random
) -> None:
    group = sessions_group(n_shards)
    counted, reader = Counted(store, group), FiguresReader(group, store)
    for step in range(n):
        counted.finish(chance.randrange(1000), chance.choice(lengths))
        figures = reader.read()
        if step % 6 == 5:
            assert without_time(figures) == without_time(FiguresReader(group, store).read())
        assert figures.last
        assert (figures.last.start, figures.last.end, figures.last.sum) == counted.finished[-1]
        assert figures.trend.counts == pytest.approx(counted.trend(), rel=1e-12)
        expected = counted.change()
        assert (figures.change is None) == (expected is None)
        if figures.change and expected:
            assert figures.change.against == expected.against
            assert figures.change.now == pytest.approx(expected.now, rel=1e-12)
            assert figures.change.before == pytest.approx(expected.before, rel=1e-12)


def test_current_interval_is_read_each_time(store: Store, layout: str) -> None:
    group = sessions_group()
    reader = FiguresReader(group, store)
    assert reader.read().current is None
    start = HALF_HOUR.start_of(store.client.server_time())
    for number, count in enumerate((3, 2**53)):
        store.commits.commit(group, "s", number, number + 1, {"visit": count, "visit:ms": 5}, start)
    current = reader.read().current
    assert current
    assert (current.start, current.sum) == (start, 2**53 + 3)


def test_undeclared_events_are_read_with_one_request(server: Server, store: Store) -> None:
    group = sessions_group()
    start = HALF_HOUR.start_of(store.client.server_time())
    reader = FiguresReader(group, store)
    for number, expected in enumerate((1, 3, 6)):
        store.commits.commit(group, "s", number, number + 1, {f"undeclared {number}": number + 1}, start)
        current = reader.read().current
        assert current
        assert current.sum == expected
    before = server.client.info("commandstats")["cmdstat_evalsha"]["calls"]
    reader.read()
    assert server.client.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1


def test_restarted_history_replaces_the_figures(server: Server, store: Store) -> None:
    group = sessions_group()
    reader = FiguresReader(group, store)
    for first_count, begin in ((10, BEGIN), (50, BEGIN + DAY_S), (60, BEGIN)):
        server.client.flushdb()
        counted = Counted(store, group, begin)
        for number in range(4):
            counted.finish(first_count + number)
            assert reader.read().trend.counts == counted.trend()


def test_missing_interval_is_a_gap(server: Server, store: Store) -> None:
    group = sessions_group()
    counted = Counted(store, group)
    for count in range(5):
        counted.finish(count)
    third = round(counted.finished[2].end * 1000)
    assert server.client.xdel("web:30m:@history", f"{third}-3") == 1
    assert FiguresReader(group, store).read().trend.counts == (7, 8, None, 10, 11)


def test_group_without_history_has_last_and_no_change(store: Store) -> None:
    (group,) = from_dicts({"web": {"intervals": ["30m"], "events": ["visit"], "history": 0}}).groups.values()
    counted = Counted(store, replace(group, auto_declare_events=True))
    counted.finish(5)
    counted.finish(6)
    figures = FiguresReader(counted.group, store).read()
    assert figures.last
    assert figures.last.sum == 6 + 7
    assert (figures.change, figures.trend) == (None, Trend())


def test_most_overdue_interval_makes_a_group_overdue(store: Store) -> None:
    hour, second = Interval.parse("1h"), Interval.parse("1s")
    group = group_of("web", [hour, second], events=("a",))
    now = store.client.server_time()
    store.commits.commit(group, "s", 0, 1, {"a": 1}, now - 10)
    store.rotation.rotate(group, hour)
    figures = FiguresReader(group, store).read()
    assert figures.overdue_s
    assert figures.overdue_s == pytest.approx(figures.now - int(now - 10) - 1, abs=0.1)
    assert figures.is_overdue


def test_heartbeat_and_open_sessions_are_in_the_figures(store: Store) -> None:
    group = sessions_group()
    reader = FiguresReader(group, store)
    assert (reader.read().has_master, reader.read().started, reader.read().open_sessions) == (False, False, 0)
    store.masters.record([group], MasterInfo("host", 1, "2.0", store.client.server_time()))
    store.rotation.rotate(group, HALF_HOUR)
    figures = reader.read()
    assert (figures.has_master, figures.started, figures.is_overdue) == (True, True, False)


def test_states_of_all_groups_are_those_of_each_group(server: Server, store: Store) -> None:
    groups = [group_of(f"g{n}", [FIVE_M, HALF_HOUR], sessions=SESSIONS[n % 2]) for n in range(250)]
    for group in groups[::3]:
        store.rotation.rotate(group, HALF_HOUR)
        store.masters.record([group], MasterInfo("host", 1, "2.0", BEGIN))
    server.client.set("g0:@masters", "text")
    first, *others = store.vitals.of_all(groups)
    assert isinstance(first, Rejected)
    assert first.key == "g0:@masters"
    expected = [store.vitals.of(group) for group in groups[1:]]
    assert [timeless(each) for each in others] == [timeless(each) for each in expected]


def timeless(vitals: Vitals | Rejected) -> tuple[object, ...]:
    assert isinstance(vitals, Vitals)
    masters = [replace(master, seen_s=0) for master in vitals.masters]
    return vitals.starts, vitals.taken, masters, vitals.open_sessions


def test_late_interval_fills_its_slots_with_its_average() -> None:
    sums = [SpanSum(0, 300, 4), SpanSum(300, 1200, 10), SpanSum(1500, 1800, 2**60)]
    found = trend(sums, FIVE_M)
    assert found == Trend(0, (4, 10 / 3, 10 / 3, 10 / 3, None, 2**60), (1, 2, 3))


def test_short_interval_has_its_own_count() -> None:
    assert trend([SpanSum(290, 300, 4), SpanSum(300, 600, 5)], FIVE_M).counts == (4, 5)


def test_trend_of_a_reader_has_no_interval_beyond_the_history(store: Store) -> None:
    group = replace(sessions_group(), history=History.of(4))
    counted, reader = Counted(store, group), FiguresReader(group, store)
    for number in range(1, 8):
        counted.finish(number)
        trend = reader.read().trend
        assert trend.counts == counted.trend()[-4:]
        assert trend == FiguresReader(group, store).read().trend


def test_trend_has_48_slots_at_most() -> None:
    sums = [SpanSum(at * 300, at * 300 + 300, at) for at in range(60)]
    assert trend([SpanSum(-1e6, 0, 1), *sums], FIVE_M).counts == tuple(range(12, 60))


def test_usual_band_leaves_out_a_tenth_at_each_end() -> None:
    assert usual([None, *range(7)]) is None
    assert usual(range(100, 79, -1)) == (82, 98)


@pytest.mark.parametrize(
    ("earlier", "found"),
    [
        ([], None),
        ([SpanSum(DAY_S - 300, DAY_S, 3)], Change("interval", 9, 3)),
        ([SpanSum(DAY_S - 600, DAY_S - 300, 3)], None),
        ([SpanSum(0, 300, 5), SpanSum(DAY_S - 300, DAY_S, 3)], Change("day", 9, 5)),
        ([SpanSum(-300, 600, 9), SpanSum(DAY_S - 300, DAY_S, 3)], Change("day", 9, 3)),
        ([SpanSum(0, 200, 5), SpanSum(DAY_S - 900, DAY_S, 3)], Change("interval", 9, 1)),
    ],
)
def test_change_is_against_the_day_before_if_known(earlier: list[SpanSum], found: Change | None) -> None:
    assert change(SpanSum(DAY_S, DAY_S + 300, 9), earlier, FIVE_M) == found


def test_interval_longer_than_a_day_changes_against_the_one_before() -> None:
    week, week_s = Interval.parse("1w"), 7 * DAY_S
    sums = [SpanSum(0, week_s, 2), SpanSum(week_s, 2 * week_s, 3)]
    assert change(sums[1], sums[:1], week) == Change("interval", 3, 2)
    assert Change("interval", 3, 2).ratio == 0.5
    assert Change("interval", 3, 0).ratio is None
    assert Change("interval", 0, 0).ratio == 0


# Order

FIGURES = GroupFigures(0, None, None, None, Trend(), 0, True, True, None)


def row(name: str, severity: str = "", **changes: Any) -> Row:
    rule = AlertRule("a", name, ("e",), severity=severity or "warning")  # type: ignore[arg-type]
    firing = [AlertStatus(rule, "5m", "firing")] if severity else []
    return Row(group_of(name, [FIVE_M]), replace(FIGURES, **changes), firing)


def test_problems_come_first_then_the_largest_changes() -> None:
    expected = [
        row("critical", "critical"),
        row("warning", "warning", change=Change("day", 1000, 10)),
        row("stale", overdue_s=3),
        row("no master", has_master=False),
        replace(row("unavailable"), figures=None),
        row("gone", change=Change("day", 0, 20_000)),
        row("twice", change=Change("day", 20_000, 10_000)),
        row("few", change=Change("interval", 3, 1)),
        row("a calm one"),
        row("calm"),
    ]
    problems = ["alert", "alert", "stale", "no_master", "unavailable", *5 * [None]]
    assert [each.problem for each in expected] == problems
    shuffled = random.Random(1).sample(expected, len(expected))
    assert [each.group.name for each in in_order(shuffled)] == [each.group.name for each in expected]


def test_weight_of_growth_and_decline_is_equal() -> None:
    growth, decline = Change("day", 10, 0), Change("day", 0, 10)
    assert growth.weight == decline.weight == pytest.approx(0.693, abs=0.001)
    assert Change("day", 5, 5).weight == 0


# All groups

GROUPS: dict[str, Any] = {
    "web": {"events": ["ok", "failed"], "intervals": ["5m", "1h"], "title": "Web shop"},
    "api": {"events": ["call"], "intervals": ["5m"], "labels": {"call": "A Call"}},
    "secret": {"events": ["ok"], "intervals": ["5m"], "hidden": True},
}

ALERTS = [{"name": "many", "group": "api", "event": "call", "above": 5, "for": 1, "severity": "critical"}]


class Shop:
    """These groups, in a real server."""

    def __init__(self, redis: dict[str, Any]) -> None:
        self.config = from_dicts(GROUPS, redis, alerts=ALERTS)
        self.store = Store(self.config.redis)
        # No interval ends during a test.
        wait_until(lambda: self.store.client.server_time() % 300 < 280, what="the next interval begins")
        self.start = FIVE_M.start_of(self.store.client.server_time())
        self._n = 0
        groups = self.config.groups.values()
        self.store.masters.record(groups, MasterInfo("host", 1, "2.0", self.start))
        for group in groups:
            for interval in group.intervals:
                self.store.rotation.rotate(group, interval, self.start - 900)

    def count(self, group: str, event: str, count: int, ago: int = 0) -> None:
        """Count in the interval that began so many intervals ago."""
        self._n += 1
        at = self.start - 300 * ago
        self.store.commits.commit(
            self.config.group(group), "s", self._n - 1, self._n, {event: count}, at + 0.5
        )

    def rotate(self, *names: str, ago: int = 0) -> None:
        """End the interval that began so many intervals ago, and one interval more."""
        for name in names:
            self.store.rotation.rotate(self.config.group(name), FIVE_M, self.start - 300 * ago)

    def rotate_all(self) -> None:
        for group in self.config.groups.values():
            for interval in group.intervals:
                self.store.rotation.rotate(group, interval)


@pytest.fixture
def shop(server: Server) -> Iterator[Shop]:
    shop = Shop(server.config)
    yield shop
    shop.store.close()


def names(reader: OverviewReader) -> list[tuple[str, str | None]]:
    return [(row.group.name, row.problem) for row in reader.read().rows]


def test_hidden_groups_are_missing_and_alerts_come_first(shop: Shop) -> None:
    shop.count("api", "call", 18, ago=1)
    shop.rotate_all()
    reader = OverviewReader(shop.config, shop.store)
    assert names(reader) == [("api", "alert"), ("web", None)]
    row = reader.read().rows[0]
    first = representation.figures(row)
    alerts = [(alert["name"], alert["severity"], alert["value"]) for alert in first["alerts"]]
    assert alerts == [("many", "critical", 6)]  # the interval covers three
    assert row.figures
    assert row.figures.trend == Trend(shop.start - 900, (6, 6, 6), (0, 1, 2))


def test_group_with_a_key_of_another_type_is_unavailable(shop: Shop, server: Server) -> None:
    shop.rotate_all()
    server.client.delete("web:@masters")
    server.client.set("web:@masters", "text")
    reader = OverviewReader(shop.config, shop.store)
    assert names(reader) == [("web", "unavailable"), ("api", None)]
    found = representation.figures(reader.read().rows[0])
    assert (found["last"], found["current"]) == (None, None)
    server.client.delete("web:@masters")
    assert names(reader) == [("web", "no_master"), ("api", None)]


def test_unreachable_server_raises() -> None:
    config = from_dicts(GROUPS, {"port": free_port()})
    with pytest.raises(Unavailable):
        OverviewReader(config, Store(config.redis)).read()


def test_alerts_are_examined_again_when_an_interval_finishes(shop: Shop) -> None:
    reader = OverviewReader(shop.config, shop.store, clock=lambda: 0.0)
    assert all(problem != "alert" for _, problem in names(reader))
    shop.count("api", "call", 600, ago=1)
    shop.rotate("api")
    assert names(reader)[0] == ("api", "alert")


def test_search_finds_all_words_in_event_label_group_or_title(shop: Shop) -> None:
    shop.count("web", "ok", 3, ago=1)
    shop.count("web", "failed", 5, ago=1)
    shop.count("api", "call", 4, ago=1)
    shop.rotate_all()

    def found(text: str, limit: int = 9) -> tuple[list[str], list[tuple[str, int | None]], int]:
        result = search(shop.config.shown_groups, shop.store, text, limit)
        groups = [group.name for group in result.groups]
        return groups, [(each.event, each.last) for each in result.events], result.n_events

    assert found("") == (["web", "api"], [("failed", 5), ("call", 4), ("ok", 3)], 3)
    assert found("SHOP ok") == ([], [("ok", 3)], 1)
    assert found("a c") == ([], [("call", 4)], 1)
    assert found("web") == (["web"], [("failed", 5), ("ok", 3)], 2)
    assert found("web", 1) == (["web"], [("failed", 5)], 2)
    assert found("nothing") == ([], [], 0)


# Revisions


def state(**figures: tuple[str, str]) -> State:
    return State(
        1.5, True, [RowText(name, f'{{"name":"{name}",{one}', two) for name, (one, two) in figures.items()]
    )


def data(event: bytes) -> Any:
    name, revision, data = event.decode().strip().split("\n")
    assert name == "event: overview"
    found = json.loads(data.removeprefix("data: "))
    assert found["revision"] == revision.removeprefix("id: ")
    return found


def test_changes_after_a_revision_have_only_what_has_changed() -> None:
    revisions = Revisions()
    revisions.update(state(a=('"last":1', "[1]"), b=('"last":1', "[1]"), c=('"last":1', "[1]")))
    first = revisions.number
    whole = data(revisions.event_since(None))
    assert [row["name"] for row in whole["groups"]] == whole["order"] == ["a", "b", "c"]
    assert all("trend" in row for row in whole["groups"])
    assert not revisions.update(state(a=('"last":1', "[1]"), b=('"last":1', "[1]"), c=('"last":1', "[1]")))
    assert revisions.update(state(a=('"last":1', "[1]"), b=('"last":2', "[1]"), c=('"last":1', "[2]")))
    second = revisions.number
    changes = data(revisions.event_since(first))
    assert changes["groups"] == [{"name": "b", "last": 2}, {"name": "c", "last": 1, "trend": [2]}]
    assert "order" not in changes
    assert revisions.update(state(c=('"last":1', "[2]"), a=('"last":1', "[1]")))
    changes = data(revisions.event_since(second))
    assert (changes["groups"], changes["order"], changes["removed"]) == ([], ["c", "a"], ["b"])
    changes = data(revisions.event_since(first))
    assert [row["name"] for row in changes["groups"]] == ["c"]
    assert json.loads(revisions.whole("2.0"))["groups"][0] == {"name": "c", "last": 1, "trend": [2]}


def test_revision_of_another_process_is_unknown() -> None:
    revisions, other = Revisions(), Revisions()
    for each in (revisions, other):
        each.update(state(a=('"last":1', "[1]")))
    assert revisions.parse(revisions.id) == 1
    unknown = [other.id, None, "", "-", f"{revisions.id}0", f"{revisions.id.split('-')[0]}-x", "a-" * 10**5]
    assert [revisions.parse(each) for each in unknown] == [None] * len(unknown)


# Streams


def with_feed(shop: Shop, test: Callable[[OverviewFeed], Awaitable[None]]) -> None:
    """Run a test with a feed that reads each 10 ms."""

    async def run() -> None:
        await asyncio.wait_for(test(OverviewFeed(shop.config, shop.store, "2.0", period_s=0.01)), 60)

    asyncio.run(run())


class Client:
    """A client of a stream, which reads one event after another."""

    def __init__(self, stream: OverviewStream) -> None:
        self.stream = stream
        self._chunks = stream.chunks()

    async def next(self) -> bytes:
        """Returns the next event that is not a comment."""
        text = b""
        while not text.endswith(b"\n\n") or text in (b":\n\n", b"retry: 1000\n\n"):
            text = (b"" if text.endswith(b"\n\n") else text) + await anext(self._chunks)
        return text

    async def next_with(self, name: str) -> Any:
        """Returns the next event that has the row of a group."""
        while True:
            found = data(await self.next())
            if any(row["name"] == name for row in found["groups"]):
                return found


def test_stream_sends_only_what_has_changed(shop: Shop) -> None:
    async def test(feed: OverviewFeed) -> None:
        shop.rotate_all()
        client = Client(await feed.open(None))
        assert len(data(await client.next())["groups"]) == 2
        shop.count("web", "ok", 5)
        changes = await client.next_with("web")
        assert [(row["name"], row["current"]["sum"]) for row in changes["groups"]] == [("web", 5)]
        assert "trend" not in changes["groups"][0]
        assert "order" not in changes
        client.stream.close()

    with_feed(shop, test)


def test_stream_resumes_after_a_revision(shop: Shop) -> None:
    async def test(feed: OverviewFeed) -> None:
        shop.rotate_all()
        document = await feed.document()
        revision = json.loads(document.body)["revision"]
        assert document.etag == f'W/"{revision}"'
        client = Client(await feed.open(revision))
        shop.count("api", "call", 5)
        assert [row["name"] for row in (await client.next_with("api"))["groups"]] == ["api"]
        client.stream.close()
        stranger = Client(await feed.open("unknown-1"))
        assert len(data(await stranger.next())["groups"]) == 2
        stranger.stream.close()

    with_feed(shop, test)


def test_slow_client_gets_one_event_with_the_latest_state(shop: Shop) -> None:
    async def test(feed: OverviewFeed) -> None:
        shop.rotate_all()
        slow, quick = Client(await feed.open(None)), Client(await feed.open(None))
        for client in (slow, quick):
            await client.next()
        for _ in range(20):
            shop.count("web", "ok", 1)
            await quick.next_with("web")
        found = data(await slow.next())
        assert found["groups"][0]["current"]["sum"] == 20
        shop.count("web", "ok", 1)
        assert data(await slow.next())["groups"][0]["current"]["sum"] == 21
        for client in (slow, quick):
            client.stream.close()

    with_feed(shop, test)


def test_clients_share_reads_and_events(shop: Shop, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview_feed, "_KEPT_S", 60.0)

    async def test(feed: OverviewFeed) -> None:
        shop.rotate_all()
        documents = await asyncio.gather(*(feed.document() for _ in range(20)))
        assert len(set(documents)) == 1
        reads = server.client.info("commandstats")["cmdstat_hvals"]["calls"]
        await feed.document()
        assert server.client.info("commandstats")["cmdstat_hvals"]["calls"] == reads
        assert feed.event_since(None) is feed.event_since(None)

    with_feed(shop, test)


def test_preparation_reads_the_overview_once_until_a_reload(
    shop: Shop, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview_feed, "_KEPT_S", 60.0)

    def reads() -> int:
        return int(server.client.info("commandstats").get("cmdstat_hvals", {"calls": 0})["calls"])

    def has_read_since(before: int) -> bool:
        return reads() > before

    async def test(feed: OverviewFeed) -> None:
        for _ in range(2):
            before = reads()
            feed.prepare()
            await asyncio.to_thread(wait_until, partial(has_read_since, before))
            await feed.document()
            done = reads()
            feed.prepare()
            await feed.document()  # if the preparation had started a read, this would be its end
            assert reads() == done
            feed.use(shop.config)

    with_feed(shop, test)


def test_nothing_is_read_without_clients(shop: Shop, server: Server) -> None:
    async def test(feed: OverviewFeed) -> None:
        streams = [await feed.open(None) for _ in range(2)]
        streams[0].close()
        assert feed.is_reading
        streams[1].close()
        assert not feed.is_reading
        again = Client(await feed.open(None))
        assert data(await again.next())["groups"]
        again.stream.close()

    with_feed(shop, test)


def test_outage_is_one_event_and_its_end_another(proxy: Proxy) -> None:
    shop = Shop(proxy.config)
    gone = Server.__new__(Server)
    gone.port = 1  # nothing listens there

    async def test(feed: OverviewFeed) -> None:
        shop.rotate_all()
        client = Client(await feed.open(None))
        await client.next()
        server, proxy.server = proxy.server, gone
        proxy.cut_all()
        assert await client.next() == b'event: unavailable\ndata: {"reason":"Redis does not answer"}\n\n'
        proxy.server = server
        assert data(await client.next())["groups"] == []
        client.stream.close()

    with_feed(shop, test)
    shop.store.close()


def test_comments_keep_a_calm_stream_open(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview_feed, "_KEEP_ALIVE_S", 0.0)
    monkeypatch.setattr(overview_feed, "_WAKE_S", 0.0)

    async def test(feed: OverviewFeed) -> None:
        shop.rotate_all()
        revision = json.loads((await feed.document()).body)["revision"]
        stream = await feed.open(revision)
        chunks = stream.chunks()
        assert [await anext(chunks) for _ in range(3)] == [b"retry: 1000\n\n", b":\n\n", b":\n\n"]
        stream.close()

    with_feed(shop, test)


def test_reload_removes_groups_and_ends_no_stream(shop: Shop) -> None:
    async def test(feed: OverviewFeed) -> None:
        shop.rotate_all()
        client = Client(await feed.open(None))
        await client.next()
        feed.use(from_dicts({"web": GROUPS["web"]}, {}))
        found = data(await client.next())
        assert (found["order"], found["removed"]) == (["web"], ["api"])
        feed.end()
        with pytest.raises(StopAsyncIteration):
            await client.next()
        client.stream.close()

    with_feed(shop, test)
