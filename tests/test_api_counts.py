"""Counts over HTTP: ranges, steps, comparison, pages of events, CSV and entity tags, against plain lists."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import pytest

from event_count_logger.config import Config, Layout, from_dicts
from event_count_logger.intervals import Interval
from event_count_logger.reading import event_rows, steps
from event_count_logger.reading.comparison import size_of_change
from event_count_logger.reading.row_cursor import NameCursor, ValueCursor, parse_cursor
from event_count_logger.store import Store
from event_count_logger.web.documents import document
from tests.in_process import InProcess, serving
from tests.servers import Server

TEN_S = Interval.parse("10s")

#: A boundary of all steps of these tests, Unix seconds.
BEGIN = 1_699_999_200
DAY_S = 86_400


class Finished(NamedTuple):
    """A finished interval."""

    start: int
    end: int
    counts: Mapping[str, int]


class Past:
    """Counts and rotations at given times, and lists of what they should have left."""

    def __init__(self, store: Store, config: Config, name: str) -> None:
        self.group = config.group(name)
        self.finished: list[Finished] = []
        self.totals: Counter[str] = Counter()
        self._store = store
        self._now = BEGIN
        self._start = BEGIN
        self._n_commits = 0
        self._counts: Counter[str] = Counter()
        self._rotate()

    def count(self, counts: Mapping[str, int]) -> None:
        self._n_commits += 1
        source = f"source {self._n_commits}"
        shard = self.group.shard_of(source)
        self._store.commits.commit(shard, source, 0, 1, counts, self._now + 0.5)
        self._counts.update(counts)
        self.totals.update(counts)

    def finish(self, counts: Mapping[str, int], n_merged: int = 1) -> None:
        """Count, and end the interval; with `n_merged`, some intervals late."""
        self.count(counts)
        self._now += 10 * n_merged
        self._rotate()
        declared = dict.fromkeys(self.group.events, 0)
        self.finished.append(Finished(self._start, self._now, {**declared, **self._counts}))
        self._start = self._now
        self._counts.clear()

    def skip(self, n: int) -> None:
        """Lose the next `n` intervals: the history has a gap."""
        self.finish({"a": 1}, n)
        (shard,) = self.group.shards
        key = f"{shard.prefix}:10s:@history"
        (entry, _), *_ = self._store.client.ask("XREVRANGE", key, "+", "-", "COUNT", "1", key=key)
        self._store.client.ask("XDEL", key, entry.decode(), key=key)
        del self.finished[-1]

    def set_back(self, n: int) -> None:
        """Set the clock back by at least two intervals. By less, it changes nothing but the next boundary."""
        self._now -= 10 * n
        self._start = self._now
        self._rotate()

    def _rotate(self) -> None:
        for shard in self.group.shards:
            self._store.rotation.rotate(shard, TEN_S, self._now + 0.5)


GROUPS: dict[str, Any] = {
    "g": {"events": ["b", "a"], "auto_declare_events": True, "labels": {"a": "Straße 1", "b": "Two"}},
    "split": {"events": ["b", "a"], "auto_declare_events": True, "shards": 3},
    "visits": {"events": ["shop", "blog"], "sessions": {}},
}


@pytest.fixture
def config(server: Server, layout: Layout) -> Config:
    settings = {"intervals": ["10s"], "history": 500, "layout": layout}
    return from_dicts({name: {**settings, **group} for name, group in GROUPS.items()}, server.config)


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    with contextlib.closing(Store(config.redis, timeout_s=30)) as store:
        yield store


@pytest.fixture
def site(config: Config, store: Store) -> Iterator[InProcess]:
    with serving(config, store) as site:
        yield site


@pytest.fixture
def past(store: Store, config: Config) -> Past:
    return Past(store, config, "g")


only_keys = pytest.mark.parametrize("layout", ["keys"], indirect=True)

PATH = "/api/v1/groups/g/10s"


def found(site: InProcess, name: str = "g", **query: Any) -> Any:
    answer = site.get(f"/api/v1/groups/{name}/10s", **query)
    assert answer.status == 200, answer.body
    return answer.json


def problem(site: InProcess, **query: Any) -> tuple[int, str]:
    answer = site.get(PATH, **query)
    return answer.status, answer.json["detail"]


# Steps and comparison, against a model


def seconds(some: list[Finished]) -> int:
    """The seconds that some intervals cover."""
    return len({second for one in some for second in range(one.start, one.end)})


def in_steps(finished: list[Finished], step_s: int, by_s: int = 0) -> list[list[Finished]]:
    """The intervals by the step in which they begin; each on its own with a step of 0."""
    if not step_s:
        return [[one] for one in finished]
    numbers = sorted({(one.start + by_s) // step_s for one in finished})
    return [[one for one in finished if (one.start + by_s) // step_s == number] for number in numbers]


def sum_of(some: list[Finished], event: str) -> int:
    return sum(one.counts.get(event, 0) for one in some)


def expected_count(earlier: list[list[Finished]], start: int, end: int, covered_s: int) -> Fraction | None:
    """The count of a span, at the rate of the steps that overlap the same earlier time."""
    count, time_s = Fraction(), Fraction()
    for some in earlier:
        first, last = min(one.start for one in some), max(one.end for one in some)
        part = Fraction(max(0, min(end, last) - max(start, first)), last - first)
        count += part * sum(sum(one.counts.values()) for one in some)
        time_s += part * seconds(some)
    return count * covered_s / time_s if time_s else None


def check(past: Past, answer: Any, step_s: int, chosen: list[Finished], by_s: int | None) -> None:
    """Compare an answer with plain lists."""
    expected = in_steps(chosen, step_s)
    spans = answer["history"]["spans"]
    assert [(one["start"], one["end"], one["n_intervals"], one["covered_s"]) for one in spans] == [
        (min(each.start for each in some), max(each.end for each in some), len(some), seconds(some))
        for some in expected
    ]
    events = sorted({event for one in chosen for event in one.counts})
    for event in events:
        known = [any(event in one.counts for one in some) for some in expected]
        sums = [sum_of(some, event) for some in expected]
        assert answer["history"]["counts"][event] == [
            count if is_known else None for count, is_known in zip(sums, known, strict=True)
        ]
    totals = {event: sum_of(chosen, event) for event in events}
    assert answer["sums"]["history"] == [sum(sum_of(some, event) for event in events) for some in expected]
    if not chosen:
        assert (answer["range"], answer["history"]["counts"]) == (None, {})
        return
    assert answer["range"]["counts"] == totals
    assert answer["range"]["sum"] == sum(totals.values())
    assert answer["range"]["covered_s"] == seconds(chosen)
    if by_s is not None:
        check_comparison(past, answer, step_s, by_s)


def check_comparison(past: Past, answer: Any, step_s: int, by_s: int) -> None:
    spans, compared = answer["history"]["spans"], answer["compared"]
    assert compared["by_s"] == by_s
    start = int(min(each["start"] for each in spans)) - by_s
    end = int(max(each["end"] for each in spans)) - by_s
    inside = [one for one in past.finished if start <= one.start < end]
    earlier = in_steps(inside, step_s, by_s)
    earlier += [[one] for one in past.finished if one.start < start < one.end]
    before = compared["range"]
    if inside:
        assert before["sum"] == sum(sum(one.counts.values()) for one in inside)
        assert (before["start"], before["end"]) == (
            min(one.start for one in inside),
            max(one.end for one in inside),
        )
    else:
        assert before is None
    for span, count in zip(spans, compared["history"], strict=True):
        start, end = (round(span[side]) - by_s for side in ("start", "end"))
        expected = expected_count(earlier, start, end, round(span["covered_s"]))
        assert count == (None if expected is None else pytest.approx(float(expected)))


def some_past(past: Past, chance: random.Random, has_accidents: bool) -> None:
    for _ in range(chance.randrange(20, 60)):
        counts = {chance.choice("abcd"): chance.randrange(100) for _ in range(3)}
        past.finish(counts, chance.choice([1, 1, 1, 1, 3, 9]))
        if has_accidents and chance.random() < 0.1:
            past.skip(chance.randrange(1, 9))
        if has_accidents and chance.random() < 0.1:
            past.set_back(chance.randrange(2, 30))
    past.count({"a": 5})


def requests(chance: random.Random, past: Past) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Yield some queries, with the range that each of them means."""
    last = max(one.end for one in past.finished)
    for step in (None, "10s", "30s", "1m", "5m"):
        since, until = sorted(chance.randrange(BEGIN - 100, last + 100) for _ in "ab")
        yield {"since": since, "until": until, "step": step}, since, until
        yield {"since": since, "step": step}, since, last


@pytest.mark.parametrize("name", ["g", "split"])
def test_ranges_steps_and_comparison_agree_with_plain_lists(
    site: InProcess, store: Store, config: Config, chance: random.Random, name: str
) -> None:
    past = Past(store, config, name)
    some_past(past, chance, has_accidents=name == "g")
    lengths = {None: 0, "10s": 10, "30s": 30, "1m": 60, "5m": 300}
    for query, since, until in requests(chance, past):
        print(query)
        chosen = [one for one in past.finished if since <= one.start < until]
        step_s = lengths[query["step"]]
        check(past, found(site, name, **query), step_s, chosen, None)
        by = chance.choice(["day", "week"])
        answer = found(site, name, **query, compare="interval")
        length_s = max((one.end for one in chosen), default=0) - min((one.start for one in chosen), default=0)
        by_s = math.ceil(length_s / (step_s or 10)) * (step_s or 10)
        check(past, answer, step_s, chosen, by_s)
        assert found(site, name, **query, compare=by)["compared"]["range"] is None
    n = chance.randrange(1, 20)
    check(past, found(site, name, history=n, compare="interval"), 0, past.finished[-n:], 10)


def test_comparison_with_yesterday_has_the_same_times(site: InProcess, past: Past) -> None:
    past.finish({"a": 6, "b": 2})
    past.finish({"a": 9}, 2)
    past.finish({"a": 1}, DAY_S // 10 - 3)  # one interval over the rest of the day
    past.finish({"a": 9, "b": 1, "c": 4})
    past.finish({"a": 20})
    past.finish({"a": 30, "b": 7})
    answer = found(site, history=3, compare="day", order="-change")
    compared = answer["compared"]
    assert compared["history"] == [8, 4.5, 4.5]  # the second interval of yesterday was rotated late
    assert (compared["last"]["start"], compared["last"]["counts"]) == (BEGIN + 10, {"a": 9, "b": 0})
    assert compared["range"]["counts"] == {"a": 15, "b": 2}
    assert answer["events"] == ["a", "b", "c"]  # from 0.45 to 3 per second; b and c had no count
    assert found(site, history=3, compare="day", order="change")["events"] == ["a", "b", "c"]
    ranged = found(site, since=BEGIN + DAY_S, compare="day", order="-change", top=1)
    assert ranged["events"] == ["b", "a", "c"]  # from 2 to 8, from 15 to 59
    assert ranged["top"] == ["a"]


def test_clock_set_back_loses_no_count_of_a_range(site: InProcess, past: Past) -> None:
    for number in range(6):
        past.finish({"a": 10**number})
    past.set_back(3)
    past.finish({"a": 10**6})
    past.finish({"a": 10**7})
    answer = found(site, since=BEGIN, step="20s")
    check(past, answer, 20, past.finished, None)
    assert answer["range"]["counts"]["a"] == 11_111_111
    single = found(site, since=BEGIN)
    assert single["sums"]["history"] == [10**number for number in range(8)]
    assert single["range"]["covered_s"] == answer["range"]["covered_s"] == 60


def test_comparison_after_a_clock_set_back_has_each_interval(site: InProcess, past: Past) -> None:
    for number in range(8):
        past.finish({"a": 10**number})
    past.set_back(4)
    past.finish({"a": 10**8})
    past.finish({"a": 10**9})
    queries: list[dict[str, Any]] = [{}, {"since": BEGIN}]
    for query in queries:  # the range before has two intervals that begin at BEGIN + 40
        answer = found(site, history=2, compare="interval", **query)
        check(past, answer, 0, past.finished[-2:], 20 if query else 10)
    before = found(site, history=2, compare="interval")["compared"]["range"]
    assert before["counts"]["a"] == 10**3 + 10**4 + 10**8


def test_number_of_steps_is_not_exceeded_after_a_clock_set_back(site: InProcess, past: Past) -> None:
    for _ in range(9):
        past.finish({"a": 1})
    past.set_back(6)
    past.finish({"a": 1})
    for n in (1, 2, 3):
        spans = found(site, step="30s", history=n)["history"]["spans"]
        assert [span["start"] for span in spans] == [BEGIN, BEGIN + 30, BEGIN + 60][-n:]


def test_counts_beyond_2_53_are_exact(site: InProcess, past: Past) -> None:
    large = 2**62 - 1
    past.finish({"a": large})
    past.finish({"a": 1})
    past.count({"a": 2**60})
    answer = found(site, step="1m", since=BEGIN, compare="interval")
    assert answer["range"] == {
        "start": BEGIN,
        "end": BEGIN + 20,
        "covered_s": 20,
        "counts": {"a": large + 1, "b": 0},
        "sum": large + 1,
    }
    assert answer["sums"] == {
        "last": 1, "current": 2**60, "total": large + 1 + 2**60, "history": [large + 1],
    }  # fmt: skip
    assert found(site, history=1, compare="interval")["compared"]["history"] == [large]


@only_keys
def test_newest_steps_reach_back_from_the_last_interval(site: InProcess, past: Past) -> None:
    for number in range(10):
        past.finish({"a": number + 1})
    assert found(site, step="30s", history=2)["sums"]["history"] == [7 + 8 + 9, 10]
    assert found(site, step="30s", history=2, until=BEGIN + 60)["sums"]["history"] == [1 + 2 + 3, 4 + 5 + 6]
    assert found(site, step="30s", history=9, since=BEGIN + 20)["sums"]["history"] == [3, 15, 24, 10]
    assert found(site, step="30s")["range"]["sum"] == 55
    assert found(site, step="30s", history=0)["history"] == {"begin": None, "spans": [], "counts": {}}


def test_range_before_the_history_has_the_begin_of_it(site: InProcess, past: Past) -> None:
    assert found(site, since=BEGIN - 100)["history"]["begin"] is None  # nothing has finished
    past.finish({"a": 1})
    past.skip(2)
    past.finish({"a": 1})
    for more in ({}, {"step": "30s"}, {"until": BEGIN - 50}, {"history": 1}):
        assert found(site, since=BEGIN - 100, **more)["history"]["begin"] == BEGIN
    for since in (BEGIN - 5, BEGIN, BEGIN + 10, BEGIN + 1000):
        assert found(site, since=since)["history"]["begin"] is None
    assert found(site)["history"]["begin"] is None


def test_weeks_begin_on_monday(store: Store, server: Server) -> None:
    settings = {"events": ["a"], "intervals": ["1d"], "history": 60}
    config = from_dicts({"g": settings}, server.config)
    day, group = config.group("g").intervals[0], config.group("g")
    for number in range(15):
        store.rotation.rotate(group, day, BEGIN + number * DAY_S)
        store.commits.commit(group, "test", number, number + 1, {"a": 1}, BEGIN + number * DAY_S + 1)
    with serving(config, store) as site:
        answer = site.get("/api/v1/groups/g/1d", step="1w").json
        assert [span["n_intervals"] for span in answer["history"]["spans"]] == [6, 7, 1]
        assert answer["history"]["spans"][1]["start"] % (7 * DAY_S) == 4 * DAY_S  # 1970 began on a Thursday


@only_keys
def test_fractions_of_seconds_are_compared_exactly(store: Store, server: Server) -> None:
    config = from_dicts({"g": {"events": ["a"], "intervals": ["0.4s"], "history": 60}}, server.config)
    group = config.group("g")
    (interval,) = group.intervals
    for number in range(41):
        store.rotation.rotate(group, interval, BEGIN + 0.4 * number + 0.01)
        store.commits.commit(group, "test", number, number + 1, {"a": 2**number}, BEGIN + 0.4 * number + 0.02)
    counts = [2**number for number in range(40)]
    with serving(config, store) as site:
        answer = site.get("/api/v1/groups/g/0.4s", history=20, compare="interval").json
        assert answer["compared"]["history"] == counts[19:39]
        assert answer["compared"]["last"]["counts"] == {"a": 2**38}
        assert {span["covered_s"] for span in answer["history"]["spans"]} == {0.4}
        for n in range(1, 10):
            summed = site.get("/api/v1/groups/g/0.4s", history=n, step="0.8s", compare="interval").json
            assert summed["sums"]["history"] == [2**at + 2 ** (at + 1) for at in range(40 - 2 * n, 40, 2)]
            before = counts[40 - 4 * n : 40 - 2 * n]
            assert summed["compared"]["range"]["sum"] == sum(before)
            assert sum(summed["compared"]["history"]) == pytest.approx(sum(before))


@only_keys
def test_comparison_adds_up_events_that_are_gone(store: Store, server: Server) -> None:
    settings = {"intervals": ["10s"], "history": 60, "auto_declare_events": True, "totals": False}
    config = from_dicts({"g": settings}, server.config)
    past = Past(store, config, "g")
    past.finish({"gone": 5, "a": 1})
    past.finish({"a": 2})
    with serving(config, store) as site:
        answer = found(site, history=1, compare="interval")
        assert (answer["events"], answer["compared"]["history"]) == (["a", "gone"], [6])
        assert answer["compared"]["last"]["counts"] == {"gone": 5, "a": 1}
        assert answer["compared"]["last"]["sum"] == answer["compared"]["range"]["sum"] == 6
        assert found(site, history=1, compare="interval", order="change")["events"] == ["gone", "a"]
        assert found(site, history=1)["events"] == ["a"]


# Events


def many(past: Past, n: int) -> list[str]:
    names = [f"e{number:05}" for number in range(n)]
    chance = random.Random(1)
    past.finish({each: chance.randrange(1, 9) for each in names})
    past.finish({each: chance.randrange(1, 9) for each in names})
    past.count({each: chance.randrange(1, 9) for each in names})
    return ["b", "a", *names]


def pages(site: InProcess, **query: Any) -> Iterator[Any]:
    cursor = None
    while True:
        answer = found(site, cursor=cursor, **query)
        yield answer
        cursor = answer["next"]
        if cursor is None:
            return


def test_pages_of_10_000_events_have_each_event_once(site: InProcess, past: Past) -> None:
    names = many(past, 9_998)
    for order in (None, "-event", "-current", "change"):
        answers = list(pages(site, limit=2_500, order=order, compare="interval", history=2))
        listed = [event for answer in answers for event in answer["events"]]
        assert (len(answers), len(listed), set(listed)) == (4, 10_000, set(names))
        assert {answer["n_events"] for answer in answers} == {10_000}
        for answer in answers:
            assert set(answer["last"]["counts"]) == set(answer["events"])
            assert answer["sums"] == answers[0]["sums"]
        if order is None:
            assert listed == names
        if order == "-current":
            shown = [count for answer in answers for count in answer["current"]["counts"].values()]
            values = {event: c for answer in answers for event, c in answer["current"]["counts"].items()}
            assert [values[event] for event in listed] == sorted(shown, reverse=True)


@only_keys
def test_first_page_of_many_events_is_small(site: InProcess, past: Past) -> None:
    names = [f"https://www.example.org/{number:03}" for number in range(300)]
    for number in range(60):
        past.finish(dict.fromkeys(names, 1000 + number))
    answer = site.get(PATH, history=60, top=6, order="-last")
    assert len(answer.body) < 60_000
    compared = site.get(PATH, history=60, compare="interval")
    assert len(gzip.compress(compared.body, 3)) < 30_000
    assert len(answer.json["events"]) == 100
    assert len(answer.json["history"]["counts"]) == 100
    assert len(answer.json["history"]["spans"]) == 60


@only_keys
def test_cursor_is_stale_once_an_interval_has_finished(site: InProcess, past: Past) -> None:
    many(past, 10)
    next_of = {
        order: found(site, limit=4, order=order, compare="interval")["next"]
        for order in (None, "event", "-event", "last", "-sum", "-change", "-current", "-total")
    }
    past.count({"e00003": 1})
    for growing in (
        "-current",
        "-total",
    ):  # another event is larger now, but the first page has the same ones
        past.count({found(site, limit=1, order=growing)["events"][0]: 1})
    for finished in ("last", "-sum", "-change"):
        assert found(site, limit=4, order=finished, compare="interval", cursor=next_of[finished])["events"]
    past.count({found(site, limit=1, order="current")["events"][0]: 100})
    past.finish({"new": 3})
    for order, cursor in next_of.items():
        query: dict[str, Any] = {"limit": 4, "order": order, "compare": "interval", "cursor": cursor}
        if order in (None, "event", "-event"):
            assert len(found(site, **query)["events"]) == 4
        else:
            status, detail = problem(site, **query)
            assert (status, detail.split(":")[0]) == (409, "cursor"), order


@only_keys
def test_cursor_by_name_survives_the_end_of_its_event(site: InProcess, past: Past) -> None:
    past.finish({"c": 1, "d": 1, "e": 1})

    def behind(event: str, order: str | None = None) -> Any:
        cursor = parse_cursor(found(site, limit=1, order=order)["next"])
        assert isinstance(cursor, NameCursor)
        return found(site, order=order, cursor=str(cursor._replace(event_id=event)))["events"]

    assert behind("c") == behind("cc") == ["d", "e"]
    assert behind("cc", "-event") == ["c", "b", "a"]
    assert behind("b") == ["a", "c", "d", "e"]


@only_keys
@pytest.mark.parametrize("other", [{"order": "event"}, {"order": "-event"}, {"filter": "e"}, {"event": "c"}])
def test_cursor_by_name_serves_only_requests_for_the_same_rows(
    site: InProcess, past: Past, other: dict[str, str]
) -> None:
    past.finish({"c": 1, "d": 1, "e": 1})
    cursor = found(site, limit=1)["next"]
    assert found(site, cursor=cursor)["events"] == ["a", "c", "d", "e"]
    assert problem(site, cursor=cursor, **other)[0] == 422
    assert site.get("/api/v1/groups/split/10s", cursor=cursor).status == 422


@pytest.mark.parametrize(
    ("words", "events"),
    [
        ("", ["b", "a", "c d", "e%f", "\u202eg"]),
        ("TWO", ["b"]),
        ("strasse", ["a"]),
        ("1 straSSE", ["a"]),
        ("d c", ["c d"]),
        ("%", ["e%f"]),
        ("\u202e", ["\u202eg"]),
        ("a b", []),
        ("\0", []),
        ("*", []),
        ("x" * 1000, []),
    ],
)
@only_keys
def test_filter_finds_words_in_ids_and_labels(
    site: InProcess, past: Past, words: str, events: list[str]
) -> None:
    counts = {"b": 1, "a": 2, "c d": 4, "e%f": 8, "\u202eg": 16}
    past.finish(counts)
    answer = found(site, filter=words, top=100)
    assert (answer["events"], answer["n_events"]) == (events, len(events))
    expected = sum(counts[each] for each in events)
    assert (answer["sums"]["last"], answer["sums"]["total"]) == (expected, expected)
    assert answer["sums"]["history"] == [expected]
    assert set(answer["history"]["counts"]) == set(answer["labels"]) | set(events) == set(events)
    assert answer["top"] == sorted(events, key=lambda each: -counts[each])


@only_keys
def test_orders_sort_by_value_with_unknown_last(site: InProcess, past: Past) -> None:
    past.finish({"a": 1, "c": 5})
    past.finish({"a": 3, "b": 9, "d": 2})
    past.count({"b": 1, "e": 7})
    expected = {
        "last": ["d", "a", "b", "c", "e"],
        "-last": ["b", "a", "d", "c", "e"],
        "-current": ["e", "b", "a", "c", "d"],
        "-sum": ["b", "c", "a", "d", "e"],
        "total": ["d", "a", "c", "e", "b"],
        "-event": ["e", "d", "c", "b", "a"],
        "-change": ["a", "c", "b", "d", "e"],  # c has gone; b had no count before
    }
    for order, events in expected.items():
        assert found(site, order=order, compare="interval")["events"] == events, order
    assert found(site, order="-change", compare="interval", top=2)["top"] == ["b", "c"]


@only_keys
def test_session_times_and_buckets_are_no_rows(site: InProcess, store: Store, config: Config) -> None:
    visits = Past(store, config, "visits")
    visits.finish({"shop": 2, "shop:ms": 90_000, "blog": 1})
    visits.count({"blog": 1, "blog:ms": 5})
    answer = found(site, "visits", limit=1, order="-last", top=2)
    assert (answer["events"], answer["n_events"], answer["open_sessions"]) == (["shop"], 2, 0)
    assert answer["last"]["counts"] == {"shop": 2, "shop:ms": 90_000}
    assert (answer["sums"]["last"], answer["sums"]["current"], answer["range"]["sum"]) == (3, 1, 3)
    assert answer["history"]["counts"] == {"shop": [2], "blog": [1], "shop:ms": [90_000]}
    histogram = Past(store, config, "g")
    histogram.finish({"t": 3, "t:le:0.5": 2, "t:le:1": 3, "other:le:1": 4})
    answer = found(site, filter="t:")
    assert answer["events"] == []
    answer = found(site, filter="t", history=1)
    assert (answer["events"], answer["sums"]["last"]) == (["b", "a", "other:le:1", "t"], 7)
    assert answer["last"]["counts"]["t:le:0.5"] == 2


@only_keys
def test_answer_without_the_current_interval_depends_on_finished_ones(site: InProcess, past: Past) -> None:
    past.finish({"a": 1})
    first = site.get(PATH, current="false")
    past.count({"a": 1, "new": 1})
    again = site.get(PATH, current="false")
    assert first.headers["etag"] == again.headers["etag"]
    times = {"server_time": 0, "overdue_s": 0}
    assert {**first.json, **times} == {**again.json, **times}
    assert (again.json["current"], again.json["totals"], again.json["sums"]["current"]) == (None, None, None)
    for order in ("current", "-total"):
        assert problem(site, current="false", order=order)[0] == 422


# Entity tags and CSV


@only_keys
def test_etag_changes_only_with_the_counts(site: InProcess, past: Past) -> None:
    past.finish({"a": 1})
    tag = site.get(PATH).headers["etag"]
    assert tag.startswith('W/"')
    unchanged = site.get(PATH, {"If-None-Match": f'"other", {tag}'})
    assert (unchanged.status, unchanged.body, unchanged.headers["etag"]) == (304, b"", tag)
    assert unchanged.headers["cache-control"] == "private, no-cache"
    assert unchanged.headers["vary"] == "Accept"
    assert site.get(PATH, {"If-None-Match": "*"}).status == 304
    assert site.get(PATH, {"If-None-Match": '"other"'}).status == 200
    others = [site.get(PATH, limit=1), site.get(PATH, compare="day"), site.get(PATH, format="csv")]
    assert len({tag, *(each.headers["etag"] for each in others)}) == 4
    past.count({"a": 1})
    changed = site.get(PATH, {"If-None-Match": tag})
    assert (changed.status, changed.json["current"]["counts"]["a"]) == (200, 1)


@only_keys
def test_groups_and_alerts_have_an_etag_without_times(site: InProcess, past: Past) -> None:
    for path in ("/api/v1/groups", "/api/v1/alerts"):
        first, second = site.get(path), site.get(path)
        assert first.body != second.body  # another time
        assert site.get(path, {"If-None-Match": first.headers["etag"]}).status == 304


def test_etag_ignores_unstable_fields_only() -> None:
    content = {"now": 1, "groups": [{"name": "g", "overdue_s": 3, "now": 4}], "counts": {"overdue_s": 5}}
    changes: list[dict[str, Any]] = [{"now": 2}, {"groups": [{"name": "g", "overdue_s": 9, "now": 4}]}]
    unstable = ("now", "groups.overdue_s")
    tag = document(content, unstable).etag
    assert {document({**content, **change}, unstable).etag for change in changes} == {tag}
    changes = [{"groups": [{"name": "g", "overdue_s": 3, "now": 5}]}, {"counts": {"overdue_s": 6}}]
    assert tag not in {document({**content, **change}, unstable).etag for change in changes}
    for fields in ((), ("now",), unstable):
        assert json.loads(document(content, fields).body) == content


HOSTILE = ['"quoted", and\nmore', "a,b", "=1+1", "\u202e雪", "bad \udcff"]


@only_keys
def test_csv_has_the_history_of_all_matching_events(site: InProcess, past: Past) -> None:
    past.finish({**dict.fromkeys(HOSTILE, 2), "a": 1})
    past.finish({"a": 2**60})
    past.finish({"c": 1})
    answer = site.get(PATH, {"Accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == "attachment; filename=g-10s.csv"
    text = answer.body.decode("utf-8", "surrogateescape")
    head, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert head == ["start", "end", "event", "count"]
    spans = [[str(BEGIN + at), str(BEGIN + at + 10)] for at in (0, 10, 20)]
    assert [row for row in rows if row[2] in HOSTILE] == [[*spans[0], each, "2"] for each in sorted(HOSTILE)]
    assert [row[3] for row in rows if row[2] == "a"] == ["1", str(2**60), "0"]
    assert [row for row in rows if row[2] == "c"] == [[*spans[2], "c", "1"]]
    assert text.count("\r\n") == 1 + len(rows)
    summed = site.get(PATH, format="csv", step="1m", since=BEGIN, filter="a", limit=1).body.decode()
    assert summed == f"start,end,event,count\r\n{BEGIN},{BEGIN + 30},a,{2**60 + 1}\r\n"
    assert site.get(PATH, {"Accept": "text/csv"}, format="json").json["n_events"] == 8
    assert site.get(PATH, {"Accept": "text/csv;q=0.1, application/json"}).json["n_events"] == 8


# Limits and hostile requests


@only_keys
def test_range_with_too_much_to_add_up_is_rejected(
    site: InProcess, past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        past.finish({"a": 1, f"e{number}": 1})
    query: dict[str, Any] = {"since": BEGIN, "step": "30s"}
    assert len(found(site, **query)["history"]["spans"]) == 3
    for name, value, detail in (
        ("MOST_SUMMED", 8, "since, until: the range has more than 8 intervals or 5,000,000 counts to read"),
        ("MOST_SUMMED_COUNTS", 9, "since, until: the range has more than 50,000 intervals or 9 counts"),
        ("MOST_INTERVALS", 2, "step: the range has more than 2 steps or 1,000,000 counts in them"),
        ("MOST_COUNTS", 5, "step: the range has more than 10,000 steps or 5 counts in them"),
    ):
        with monkeypatch.context() as limited:
            limited.setattr(steps, name, value)
            status, found_detail = problem(site, **query)
        assert status == 422
        assert found_detail.startswith(detail)
    monkeypatch.setattr(steps, "MOST_SUMMED", 8)
    status, found_detail = problem(site, since=BEGIN, history=1)
    assert (status, found_detail[:40]) == (422, "since, until: the range has more than 8 ")


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"step": "15s"}, "step: '15s' is not a multiple of the interval '10s'"),
        ({"step": "1s"}, "step: '1s' is not a multiple"),
        ({"step": "soon"}, "step: 'soon' is not an interval"),
        ({"step": "9" * 3000 + "h"}, "step: '999"),
        ({"step": "-1h"}, "step: '-1h' is not an interval"),
        ({"order": "change"}, "order: the order by change needs the parameter 'compare'"),
        ({"order": "size"}, "query 'order': Input should be 'event', "),
        ({"compare": "year"}, "query 'compare': Input should be 'interval', 'day' or 'week', not 'year'"),
        ({"limit": 0}, "query 'limit': Input should be greater than or equal to 1, not '0'"),
        ({"limit": 10_001}, "query 'limit'"),
        ({"top": 101}, "query 'top'"),
        ({"current": "maybe"}, "query 'current'"),
        ({"format": "xml"}, "query 'format'"),
        ({"since": "2h", "until": "3h"}, "since: '2h' is after until: '3h'"),
        ({"cursor": ""}, "cursor: '' is not the 'next' of an answer"),
        ({"cursor": "é\0"}, "cursor: "),
        ({"cursor": "A" * 5000}, "cursor: "),
        ({"filter": "x" * 1001}, "query 'filter': String should have at most 1000 characters, not 'xxx"),
        ({"cursor": "===="}, "cursor: "),
        ({"cursor": str(ValueCursor(3, "0" * 24, ""))}, "cursor: it is of a request for other rows"),
        ({"cursor": str(NameCursor("0" * 24, "a")), "order": "last"}, "cursor: it is of a request"),
    ],
)
@only_keys
def test_invalid_query_is_answered_422(site: InProcess, past: Past, query: Any, detail: str) -> None:
    status, text = problem(site, **query)
    assert status == 422
    assert text.startswith(detail)
    assert len(text) < 600


@only_keys
def test_forged_cursor_is_stale(site: InProcess, past: Past) -> None:
    past.finish({"c": 1})
    for cursor in (ValueCursor(999_999_999, "0" * 24, ""), ValueCursor(1, "f" * 24, "1-1")):
        assert problem(site, order="last", cursor=str(cursor))[0] == 409


@only_keys
def test_group_without_any_interval_has_no_figures(site: InProcess) -> None:
    answer = found(site, compare="day", order="-change", top=5)
    assert (answer["last"], answer["current"], answer["range"], answer["top"]) == (None, None, None, [])
    assert answer["sums"] == {"last": None, "current": None, "total": 0, "history": []}
    assert answer["compared"] == {"by_s": DAY_S, "last": None, "range": None, "history": []}
    assert found(site, step="1h")["history"]["spans"] == []


def test_size_of_change_grows_with_ratio_and_size() -> None:
    assert size_of_change(0, 0) == 0
    assert size_of_change(20_000, 10_000) > size_of_change(20, 10) > size_of_change(3, 1)
    assert size_of_change(510, 10) > size_of_change(101_000, 100_000)
    assert size_of_change(10, 0) == size_of_change(0, 10)


def test_orders_are_the_documented_ones() -> None:
    assert len(set(event_rows.Order.__args__)) == 12  # type: ignore[attr-defined]
