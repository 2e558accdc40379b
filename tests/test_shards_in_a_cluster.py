"""A split group in a cluster: its shards are on several nodes, and are read and followed as one."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from event_count_logger import Snapshot
from event_count_logger.config import from_file
from event_count_logger.reading.group_reader import GroupReader
from event_count_logger.reading.scrape import Scraper
from event_count_logger.store import Store
from tests.conftest import ROOT, needs_debian
from tests.fixtures import Run, Start, Write
from tests.servers import Cluster, wait_until

GROUP: dict[str, Any] = {
    "auto_declare_events": True,
    "intervals": ["0.5s", "1h"],
    "history": 1000,
    "sync_interval": 0.1,
    "shards": 8,
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    needs_debian("redis-server", "redis-server")
    needs_debian("redis-tools", "redis-cli")
    directory = tmp_path / "cluster"
    directory.mkdir()
    cluster = Cluster(directory)
    yield cluster
    cluster.close()


def test_workers_a_master_and_a_follower_agree_while_slots_move(
    cluster: Cluster, start: Start, config_file: Write, run: Run
) -> None:
    path = config_file({"redis": cluster.config, "groups": {"g": GROUP}})
    config = from_file(path)
    assert config.warnings == ()
    group, store = config.groups["g"], Store(config.redis)
    nodes = {cluster.master_of(shard.prefix).port for shard in group.shards}
    assert len(nodes) > 1
    start("ecl_master", path)
    reader, (interval, _) = GroupReader(group, store), group.intervals
    wait_until(
        lambda: all(store.reads.start(shard, interval) for shard in group.shards), what="all shards begin"
    )
    follower = reader.follower("0.5s", reader.position("0.5s"))
    program = ROOT / "tests" / "programs" / "log_times.py"
    workers = [start(sys.executable, program, path, 2.5, "g") for _ in range(4)]
    snapshots: list[Snapshot] = []

    def follow() -> int:
        snapshot, wait_s = follower.step()
        if snapshot:
            snapshots.append(snapshot)
        else:
            time.sleep(min(wait_s, 0.05))
        return sum(one.counts.get("e", 0) for one in snapshots)

    wait_until(lambda: follow() > 100, what="some intervals have finished")
    moved = group.shards[0].prefix
    source = cluster.master_of(moved)
    target = next(node for node in cluster.masters() if node is not source)
    cluster.move(moved, target)
    wait_until(lambda: follow() >= 0 and all(worker.poll() is not None for worker in workers))
    logged = sum(len(json.loads(worker.communicate()[0])) for worker in workers)
    wait_until(lambda: follow() == logged, what="all is finished")
    assert all(one.end == next_one.start for one, next_one in pairwise(snapshots))
    assert sum(one.missed for one in snapshots) == 0
    (metrics,) = Scraper(config.shown_groups, store).scrape().groups
    assert metrics.totals and metrics.totals.counts == {"e": logged}
    ok = "OK: 1 master, 2 intervals in time"
    wait_until(lambda: run("ecl", "status", path).stdout.splitlines()[-1] == ok, what="the status is OK")
    store.close()
