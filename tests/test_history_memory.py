"""The estimate of the memory that the history takes in Redis."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import pytest

from event_count_logger.config import Config, Layout, RedisConfig, from_dicts
from event_count_logger.reading import history_memory
from event_count_logger.reading.history_memory import HistoryMemory
from event_count_logger.store import Store
from tests.servers import Server

BEGIN = 1_700_000_000
N_ENTRIES = 12


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    with contextlib.closing(Store(RedisConfig(**server.config), timeout_s=30)) as store:
        yield store


def config_of(layout: Layout, **settings: object) -> Config:
    group = {"auto_declare_events": True, "intervals": ["10s"], "layout": layout, "history": N_ENTRIES}
    return from_dicts({"g": group | settings}, {})


@pytest.mark.parametrize("n_events", [1, 400, 600])
def test_estimate_is_near_the_memory_that_redis_uses(
    store: Store, server: Server, layout: Layout, n_events: int
) -> None:
    config = config_of(layout)
    group = config.group("g")
    (interval,) = group.intervals
    batch = {f"event{number:05}": 120 + number % 700 for number in range(n_events)}
    for at in range(N_ENTRIES + 2):
        store.rotation.rotate(group, interval, BEGIN + 10 * at)
        store.commits.commit(group, "source", at, at + 1, batch, BEGIN + 10 * at)
    with server.client as client:
        history = list(client.scan_iter("g:10s:@history*"))
        used = sum(client.memory_usage(key, samples=0) or 0 for key in history)
    (found,) = history_memory.estimate(config, store)
    assert (found.n_intervals, found.n_events) == (N_ENTRIES, n_events)
    if n_events > 1:  # otherwise the memory of the key itself is most of it
        assert used / 1.5 < found.n_bytes < used * 2.2  # Valkey 9 needs less for a large hash
    else:
        assert found.n_bytes < used * 2


def memory_of(n_bytes: int) -> list[HistoryMemory]:
    return [HistoryMemory("web", "5s", 17_280, 1, n_bytes), HistoryMemory("web", "1h", 60, 1, 1)]


def test_small_history_is_not_mentioned() -> None:
    assert list(history_memory.fact(memory_of(10_000_000))) == []
    assert list(history_memory.fact(memory_of(20_000_000))) == [
        "history takes up to 20 MB in Redis with the events in use now: group 'web', interval '5s' 20 MB "
        "(17,280 intervals of 1 event); group 'web', interval '1h' 0 MB (60 intervals of 1 event)"
    ]


@pytest.mark.parametrize(
    ("servers", "n_bytes", "words"),
    [
        ({"a": {}}, 2**30 - 1, ""),
        ({"a": {"maxmemory": "0"}}, 2**30 + 1, "more than 1,074 MB: group 'web', interval '5s'"),
        ({"a": {"maxmemory": "1"}}, 10_000_000, ""),
        ({"a": {"maxmemory": "100000000"}}, 49_999_999, ""),
        ({"a": {"maxmemory": "100000000"}}, 50_000_000, "more than half of its maxmemory (100 MB)"),
        ({"a": {"maxmemory": "100000000"}, "b": {"maxmemory": "100000000"}}, 50_000_000, ""),
    ],
)
def test_history_that_is_too_large_is_a_problem(
    servers: Mapping[str, Mapping[str, str]], n_bytes: int, words: str
) -> None:
    problems = list(history_memory.problem(memory_of(n_bytes), servers))
    assert bool(problems) == bool(words)
    assert all(words in problem for problem in problems)


def test_declared_event_without_a_count_takes_memory_in_the_layout_keys_only(store: Store) -> None:
    for layout, n_events in (("keys", 2), ("hash", 0)):
        (found,) = history_memory.estimate(config_of(layout, events=["a", "b"]), store)  # type: ignore[arg-type]
        assert found.n_events == n_events
