"""Groups with more events than fit into one request to an old server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from event_count_logger.config import GroupConfig, History
from event_count_logger.errors import Rejected
from event_count_logger.intervals import Interval
from event_count_logger.reading.reader import Reader
from event_count_logger.store import Store, client
from tests.servers import Server

ONE_M, ONE_H = Interval.parse("1m"), Interval.parse("1h")
NOW = 1_700_000_000.0
MANY = tuple(f"event {number}" for number in range(12_000))
GROUP = GroupConfig("g", (ONE_H,), events=MANY)
TOO_MANY = "takes 1400 words in one request, and this one has [0-9]+: use 'layout: hash'"


def limit(monkeypatch: pytest.MonkeyPatch, words: int, first_without: int = 99) -> None:
    """Limit the words of a request, as Redis 6.2 does; the servers of these tests have no limit."""
    monkeypatch.setattr(client, "_MOST_WORDS", words)
    monkeypatch.setattr(client, "_NO_LIMIT_SINCE", first_without)


def fill(store: Store, group: GroupConfig) -> None:
    """Write a last interval with 1 count of each event, and a current one with 2."""
    events = group.events
    batches = [dict.fromkeys(events[first : first + 1000], 1) for first in range(0, len(events), 1000)]
    for number, batch in enumerate(batches):
        store.commits.commit(group, f"source {number}", 0, 1, batch, NOW)
    assert store.rotation.rotate(group, ONE_H, NOW + 3600).outcome == "rotated"
    for number, batch in enumerate(batches):
        store.commits.commit(group, f"source {number}", 1, 2, dict.fromkeys(batch, 2), NOW + 3600)


@pytest.mark.parametrize("history", [60, 0])
def test_many_declared_events_are_read_in_several_requests(
    history: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = GroupConfig("g", (ONE_H,), events=MANY, history=History.of(history))
    fill(store, group)
    limit(monkeypatch, words=6_000)
    reading = store.reads.read(group, ONE_H, ["cur", "last"])
    assert reading.counts == {"cur": dict.fromkeys(MANY, 2), "last": dict.fromkeys(MANY, 1)}
    last, current, totals = Reader(store).read_with_totals(group, ONE_H)
    assert [last.counts, current.counts] == [dict.fromkeys(MANY, 1), dict.fromkeys(MANY, 2)]
    assert totals and totals.counts == dict.fromkeys(MANY, 3)
    assert (last.position is not None) == (history > 0)


def test_counters_without_an_index_are_read_among_many(store: Store, any_server: Server) -> None:
    any_server.client.set("g:1h:cur:event 11999", 5)  # by a program of version 1.1
    assert store.reads.read(GROUP, ONE_H, ["cur"]).counts == {"cur": {"event 11999": 5}}


def test_rotation_of_too_many_events_is_rejected_with_a_remedy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = replace(GROUP, events=MANY[:500])
    fill(store, group)
    before = store.reads.read(group, ONE_H, ["cur", "last"])
    limit(monkeypatch, words=1_400)
    for some, interval in ((group, ONE_H), (replace(group, intervals=(ONE_M,)), ONE_M)):
        with pytest.raises(Rejected, match=TOO_MANY):
            store.rotation.rotate(some, interval, NOW + 7200)
    monkeypatch.undo()
    assert replace(store.reads.read(group, ONE_H, ["cur", "last"]), now=before.now) == before


def test_rotation_of_many_events_works_on_a_new_server(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    group = replace(GROUP, events=MANY[:500])
    fill(store, group)
    limit(monkeypatch, words=1_400, first_without=7)
    assert store.rotation.rotate(group, ONE_H, NOW + 7200).outcome == "rotated"
