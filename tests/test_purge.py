"""`ecl purge`: all keys of a group, and no other."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from event_count_logger import keys
from event_count_logger.config import History
from event_count_logger.intervals import Interval
from event_count_logger.store import Store
from tests.conftest import BIN
from tests.fixtures import Run, Start, Write
from tests.groups import group_of
from tests.servers import Server, free_port, wait_until

OTHER: dict[str, Any] = {"other": {"events": ["e"], "intervals": ["1s"]}}

#: Keys of a group `web`.
OWN = [
    "web:5m:cur:ok",
    "web:1.5h:last:a:b",
    "web:5m:cur:@ts",
    "web:5m:cur",
    "web:5m:last",
    "web:5M:@history",
    "web:@sources",
    "web:@request:k",
    "web:@intervals",
    "{web}:5m:cur:ok",
    "{web}:@masters",
    "{web#0}:5m:cur:ok",
    "{web#17}:@totals",
]

#: Keys of other groups and of other programs.
FOREIGN = [
    "web2:5m:cur:ok",
    "my.web:5m:cur:ok",
    "my:web:5m:cur:ok",
    "{web2}:5m:cur:ok",
    "{web#x}:5m:cur:ok",
    "x{web}:5m:cur:ok",
    "web",
    "web:session:123",
    "web:5m",
    "web:5m:other",
    "web:5m:currency",
    "web:5m:lastname",
    "web:5m:cur\n",
    "web:cur:5m",
    "webx5m:cur:@ts",
    "other:5m:cur:web:5m:cur:ok",
]


@pytest.fixture
def config(server: Server, config_file: Write) -> Path:
    return config_file({"redis": server.config, "groups": OTHER})


@pytest.mark.parametrize("key", OWN)
def test_keys_of_a_group_belong_to_it(key: str) -> None:
    assert keys.belongs_to(key, "web")


@pytest.mark.parametrize("key", FOREIGN)
def test_foreign_keys_do_not_belong_to_a_group(key: str) -> None:
    assert not keys.belongs_to(key, "web")


def test_dot_in_a_name_is_a_dot() -> None:
    assert keys.belongs_to("a.b:@sources", "a.b")
    assert not keys.belongs_to("axb:@sources", "a.b")


def test_purge_deletes_exactly_the_keys_of_the_group(server: Server, run: Run, config: Path) -> None:
    for key in (*OWN, *FOREIGN):
        server.client.set(key, 1)
    server.client.set(b"web:5m:cur:\xff", 1)
    done = run("ecl", "purge", "--yes", config, "web")
    assert (done.returncode, done.stdout) == (0, f"deleted {len(OWN) + 1} keys of group 'web'\n"), done.stderr
    assert set(server.client.keys()) == set(FOREIGN)


def test_purge_leaves_no_key_of_a_counted_and_rotated_group(
    any_server: Server, store: Store, run: Run, config_file: Write
) -> None:
    group = group_of("gone", [Interval.parse("1m"), Interval.parse("1h")], history=History.of(9))
    for n, now in enumerate((100, 4000, 8000)):
        store.commits.commit(group, "s", n, n + 1, {f"e{i}": 1 for i in range(3000)}, now)
        for interval in group.intervals:
            store.rotation.rotate(group, interval, now)
    with any_server.client as client:
        before = client.dbsize()
    assert before > 6000
    done = run("ecl", "purge", "--yes", config_file({"redis": any_server.config, "groups": OTHER}), "gone")
    assert done.stdout == f"deleted {before:,} keys of group 'gone'\n"
    assert any_server.everything() == {}


def test_purge_asks_first(server: Server, run: Run, config: Path) -> None:
    server.client.set("gone:@sources", 1)
    for answer in ("n\n", "\n", ""):
        done = run("ecl", "purge", config, "gone", input=answer)
        assert done.returncode == 1
        assert "Delete 1 key of group 'gone' in 127.0.0.1:" in done.stderr
        assert done.stderr.endswith("ERROR: nothing was deleted\n")
        assert server.client.exists("gone:@sources")
    command = 'exec "$@" <&-'
    done = subprocess.run(
        ["sh", "-c", command, "sh", BIN / "ecl", "purge", config, "gone"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "ERROR: nothing was deleted")
    done = run("ecl", "purge", config, "gone", input="y\n")
    assert (done.returncode, done.stdout) == (0, "deleted 1 key of group 'gone'\n")
    assert not server.client.exists("gone:@sources")


def test_dry_run_of_purge_only_counts(server: Server, run: Run, config: Path) -> None:
    server.client.set("gone:@sources", 1)
    assert run("ecl", "purge", "--dry-run", config, "gone").stdout == "1 key of group 'gone'\n"
    done = run("ecl", "purge", "--dry-run", config, "other")
    assert done.stdout == f"0 keys of group 'other', which is in use: it is in {config}\n"
    assert server.client.exists("gone:@sources")


def test_nothing_to_delete_is_no_error(run: Run, config: Path) -> None:
    done = run("ecl", "purge", config, "gone")
    assert (done.returncode, done.stdout) == (0, "deleted 0 keys of group 'gone'\n")


def test_configured_group_is_only_purged_by_force(server: Server, run: Run, config: Path) -> None:
    server.client.set("other:@sources", 1)
    done = run("ecl", "purge", "--yes", config, "other")
    assert done.returncode == 1
    assert f"group 'other' is in use: it is in {config}" in done.stderr
    assert server.client.exists("other:@sources")
    done = run("ecl", "purge", "--yes", "--force", config, "other")
    assert (done.returncode, done.stdout) == (0, "deleted 1 key of group 'other'\n")
    assert "WARNING: group 'other' is in use, and will be created again" in done.stderr


def test_group_that_a_master_rotates_is_not_purged(
    server: Server, run: Run, start: Start, config: Path, config_file: Write
) -> None:
    more = {**OTHER, "gone": OTHER["other"]}
    master = start("ecl_master", config_file({"redis": server.config, "groups": more}, "more.yml"))
    wait_until(lambda: server.client.hlen("gone:@masters"))
    done = run("ecl", "purge", "--yes", config, "gone")
    assert done.returncode == 1
    assert f"(pid {master.pid}) rotates it" in done.stderr
    master.terminate()
    master.communicate(timeout=60)
    assert run("ecl", "purge", "--yes", config, "gone").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"), [((), "not 1 arguments"), (("a", "b"), "not 3"), (("*",), "'*'")]
)
def test_purge_accepts_exactly_one_full_group_name(
    arguments: tuple[str, ...], said: str, run: Run, config: Path
) -> None:
    done = run("ecl", "purge", config, *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_purge_without_redis_prints_an_error(run: Run, config_file: Write) -> None:
    done = run(
        "ecl", "purge", "--yes", config_file({"redis": {"port": free_port()}, "groups": OTHER}), "gone"
    )
    assert done.returncode == 3
    assert "cannot be reached" in done.stderr


def test_purge_without_permission_for_scan_names_no_key(
    own_server: Server, run: Run, config_file: Write
) -> None:
    own_server.client.execute_command("ACL", "SETUSER", "counter", "on", ">pw", "~*", "+@all", "-scan")
    redis = {**own_server.config, "username": "counter", "password": "pw"}
    done = run("ecl", "purge", "--dry-run", config_file({"redis": redis, "groups": OTHER}), "gone")
    assert done.returncode == 3
    assert done.stderr.startswith("ERROR: Redis rejects the request: ")
    assert "scan" in done.stderr
