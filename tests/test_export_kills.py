"""Repeated kills of exporters, database and Redis: each finished interval is once in the database."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from postgres_process import Postgres, postgres_binary

from event_count_logger.config import from_file
from event_count_logger.store import Store
from tests.conftest import needs_debian
from tests.databases import missed, query, totals
from tests.finished import Finishing
from tests.fixtures import Start, Write
from tests.servers import Server, wait_until

#: Number of kills; ECL_EXPORT_KILLS in the environment changes it. About 100 intervals finish for each.
KILLS = int(os.environ.get("ECL_EXPORT_KILLS", "5"))
INTERVALS_PER_KILL = 100

#: Exporters at once.
N_EXPORTERS = 2


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    needs_debian("postgresql", postgres_binary("postgres") or "postgres")
    server = Postgres()
    yield server
    server.close()


class Scene:
    """Redis, a database and exporters, any of which may be killed; intervals finish meanwhile."""

    def __init__(
        self, file: Path, server: Server, postgres: Postgres | None, start: Start, chance: random.Random
    ) -> None:
        self.file = file
        self.server = server
        self.postgres = postgres
        self.chance = chance
        self.n_kills = dict.fromkeys(("exporter", "redis", "postgres"), 0)
        self._start = start
        self._exporters = [self._export() for _ in range(N_EXPORTERS)]

    def _export(self) -> Any:
        return self._start("ecl", "export", self.file, stderr=None)

    def kill(self) -> None:
        choices: list[tuple[str, Callable[[], None]]] = [
            ("exporter", self._kill_exporter),
            ("exporter", self._kill_exporter),
            ("redis", self._kill_redis),
        ]
        if self.postgres:
            choices.append(("postgres", self._kill_postgres))
        name, kill = self.chance.choice(choices)
        self.n_kills[name] += 1
        kill()

    def _kill_exporter(self) -> None:
        number = self.chance.randrange(N_EXPORTERS)
        self._exporters[number].kill()
        self._exporters[number].wait()
        self._exporters[number] = self._export()

    def _kill_redis(self) -> None:
        self.server.kill()
        time.sleep(self.chance.uniform(0, 0.3))
        self.server.start()

    def _kill_postgres(self) -> None:
        assert self.postgres
        self.postgres.kill()
        time.sleep(self.chance.uniform(0, 0.3))
        self.postgres.start()

    def stop(self) -> None:
        for exporter in self._exporters:
            exporter.terminate()
        # One that has just been started may get the signal before its handler is set.
        assert {exporter.wait(60) for exporter in self._exporters} <= {0, -signal.SIGTERM}


@pytest.mark.timeout(120 + 10 * KILLS)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_each_interval_is_exported_once_through_kills(
    database: str,
    own_server: Server,
    start: Start,
    config_file: Write,
    tmp_path: Path,
    chance: random.Random,
    request: pytest.FixtureRequest,
) -> None:
    postgres = request.getfixturevalue("postgres") if database == "postgresql" else None
    url = postgres.url if postgres else f"sqlite:///{tmp_path}/counts.db"
    group = {"events": ["a"], "intervals": ["5s"], "history": 50_000, "auto_declare_events": True}
    file = config_file({"redis": own_server.config, "groups": {"g": group}, "export": {"url": url}})
    config = from_file(file)
    finishing = Finishing(Store(config.redis), config.groups["g"])
    finishing.finish({"a": 1})
    scene = Scene(file, own_server, postgres, start, chance)
    done = threading.Event()

    def finish() -> None:
        some = random.Random(chance.random())
        while not done.is_set() or finishing.n < KILLS * INTERVALS_PER_KILL:
            events = some.sample("abcdefgh", some.randrange(1, 5))
            finishing.finish({event: some.randrange(1, 1000) for event in events}, some.choice([1, 1, 1, 3]))
            time.sleep(0.003)

    thread = threading.Thread(target=finish)
    thread.start()
    try:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0, 2))
            scene.kill()
    finally:
        done.set()
        thread.join()
    wait_until(lambda: _n_exported(url) >= finishing.n, 60, f"{finishing.n} intervals are exported")
    scene.stop()
    print(f"{finishing.n:,} intervals, kills: {scene.n_kills}")
    assert (_n_exported(url), sum(missed(url))) == (finishing.n, 0)
    assert totals(url) == dict(finishing.total)
    with own_server.client as client:
        in_redis = client.hgetall("g:@totals")
    assert {event: int(total) for event, total in in_redis.items()} == totals(url)


def _n_exported(url: str) -> int:
    try:
        return int(query(url, "SELECT count(*) FROM ecl_intervals")[0][0])
    except sqlalchemy.exc.DatabaseError:
        return 0
