"""Schedules of the protocol, explored: each is exact, and faults put into the code are found.

`scripts/explore` goes deeper.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import redis
from explore_parts import server as small

from event_count_logger.config import GroupConfig, RedisConfig
from event_count_logger.intervals import Interval
from event_count_logger.store import Commit, Store, client
from tests.conftest import ROOT
from tests.servers import Server

GROUP = GroupConfig("g", (Interval.parse("1h"), Interval.parse("2h")))


def explore(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "explore_parts", *arguments],
        cwd=ROOT / "scripts",
        env={**os.environ, "PYTHONPATH": str(ROOT), "ECL_NATIVE": "0"},
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_every_schedule_with_one_fault_is_exact() -> None:
    done = explore("--faults", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("all exact") == 4


@pytest.mark.parametrize(
    ("mutant", "faults"),
    [("generation-last", 2), ("no-abandon", 1), ("no-position-check", 1), ("prunes-the-living", 0)],
)
def test_mutant_of_the_protocol_is_found(mutant: str, faults: int) -> None:
    done = explore("--faults", str(faults), "--mutant", mutant)
    assert done.returncode == 1, done.stderr
    assert "is not exact" in done.stdout


class Wire:
    """A connection to the simulated server."""

    commands = ()

    def __init__(self, server: small.Server) -> None:
        self._server = server

    def exchange(self, requests: list[bytes], key: str, connect: bool) -> list[Any]:
        request, *notes = requests  # notes of intervals, which change no count
        return [self._server.answer(request), *(b"OK" for _ in notes)]

    def node(self, key: str) -> None:
        return None


def everything(client: redis.Redis) -> dict[str, Any]:
    read: dict[str, Callable[[str], Any]] = {
        "string": client.get,
        "hash": client.hgetall,
        "set": client.smembers,
    }
    types = {key: client.type(key) for key in client.scan_iter() if not key.endswith(":@intervals")}
    return {key: read[str(kind)](key) for key, kind in types.items() if kind != "list"}


def steps(chance: random.Random, now: int) -> list[Callable[[Store], Any]]:
    """Returns one random request of each kind."""
    source = chance.choice(["0" * 32 + ".0", "1" * 32 + ".0"])
    prev, events = chance.randrange(4), chance.sample("abc", chance.randrange(4))
    batch = {event: chance.randrange(1, 9) for event in events}
    return [
        lambda store: store.commits.commit(GROUP, source, prev, prev + 1, batch, now),
        lambda store: store.sources.position(GROUP, source),
        lambda store: store.sources.retire(GROUP, source),
        lambda store: store.sources.touch(GROUP, source, now),
        lambda store: store.sources.prune(GROUP, now),
    ]


def test_simulated_server_answers_like_a_real_one(
    server: Server, chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, simulated = Store(RedisConfig(**server.config)), small.Server()
    monkeypatch.setattr(client, "route_to", lambda *arguments: Wire(simulated))
    store = Store(RedisConfig())
    server.client.rpush("g:2h:cur:c", "in the way")
    simulated.rejected = {"g:2h:cur:c"}
    outcomes, now = set(), 1_000_000
    for _ in range(300):
        now += chance.choice([0, 60, 10_000])
        step = chance.choices(steps(chance, now), [10, 1, 1, 3, 2])[0]
        answer = step(store)
        assert answer == step(real)
        assert simulated.data == everything(server.client)
        outcomes.add(answer.outcome if isinstance(answer, Commit) else "")
    assert outcomes >= {"applied", "duplicate", "conflict", "refused"}
    real.close()
