"""The command `ecl export`: exit statuses, signals, heartbeats."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres_process import Postgres, postgres_binary

from event_count_logger.config import from_file
from event_count_logger.store import ServiceInfo, Store
from tests.conftest import needs_debian
from tests.databases import totals
from tests.finished import Finishing
from tests.fixtures import Run, Start, Write
from tests.servers import Server, wait_until

GROUPS: dict[str, Any] = {
    "g": {"events": ["a"], "intervals": ["5s"], "history": 1000},
    "other": {"events": ["a"], "intervals": ["5s"]},
}


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    needs_debian("postgresql", postgres_binary("postgres") or "postgres")
    server = Postgres("fsync=off")
    yield server
    server.close()


def finishing(path: Path, group: str = "g") -> Finishing:
    config = from_file(path)
    return Finishing(Store(config.redis), config.groups[group])


def exporters(path: Path, group: str = "g") -> list[ServiceInfo]:
    config = from_file(path)
    return Store(config.redis).services.of(config.groups[group])


def test_export_once_writes_beside_the_configuration(
    run: Run, server: Server, config_file: Write, tmp_path: Path
) -> None:
    export = {"url": "sqlite:///counts.db", "groups": ["g"]}
    file = config_file({"redis": server.config, "groups": GROUPS, "export": export})
    finished = finishing(file)
    finished.finish({"a": 3})
    done = run("ecl", "export", "--once", file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.glob("counts.db*")] == ["counts.db"]
    assert totals(f"sqlite:///{tmp_path}/counts.db") == {"a": 3}
    (exporter,) = exporters(file)
    assert (exporter.once, exporter.stopped, len(exporter.positions)) == (True, True, 1)


@pytest.mark.parametrize(
    ("export", "redis_port", "status", "message"),
    [
        (None, None, 1, "has no section 'export'"),
        (
            {"url": "postgresql+psycopg://u@127.0.0.1:1/d", "password": "hush5"},
            None,
            3,
            "ERROR: Database postgresql+psycopg://***@127.0.0.1:1/d: connection",
        ),
        ({"url": "sqlite:///counts.db"}, 1, 3, "cannot be reached"),
        (
            {"url": "postgresql+psycopg3://u:hush5@h/d"},
            None,
            2,
            "ERROR: Database postgresql+psycopg3://***@h/d cannot be used: Can't load plugin",
        ),
    ],
)
def test_export_once_that_fails_has_a_status_and_a_reason(
    export: Any,
    redis_port: int | None,
    status: int,
    message: str,
    run: Run,
    server: Server,
    config_file: Write,
) -> None:
    redis = {**server.config, "port": redis_port or server.port}
    sections = {"redis": redis, "groups": GROUPS, **({"export": export} if export else {})}
    done = run("ecl", "export", "--once", config_file(sections))
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr and "hush5" not in done.stderr
    assert "Traceback" not in done.stderr


def test_service_exports_until_sigterm_and_reloads(
    start: Start, run: Run, server: Server, postgres: Postgres, config_file: Write
) -> None:
    postgres.empty()
    sections: dict[str, Any] = {"redis": server.config, "groups": GROUPS}
    file = config_file({**sections, "export": {"url": postgres.url, "groups": ["g"]}})
    finished = finishing(file)
    finished.finish({"a": 1})
    process = start("ecl", "export", file)
    wait_until(lambda: exporters(file), what="the exporter has a heartbeat")
    finished.finish({"a": 2})
    wait_until(lambda: totals(postgres.url) == {"a": 3})
    other = finishing(file, "other")
    other.finish({"a": 7})
    config_file({**sections, "export": {"url": postgres.url, "groups": ["other"]}})
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: totals(postgres.url, "other") == {"a": 7})
    wait_until(lambda: exporters(file)[0].stopped, what="the exporter has left the first group")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    (exporter,) = exporters(file, "other")
    assert (exporter.kind, exporter.pid, exporter.stopped) == ("export", process.pid, True)
    assert process.stderr
    log = process.stderr.read()
    assert "Exporting 1 interval to postgresql+psycopg://***@/ecl" in log
    assert "Configuration reloaded: export changed" in log


def test_heartbeat_goes_on_while_the_database_hangs(
    start: Start, server: Server, postgres: Postgres, config_file: Write
) -> None:
    postgres.empty()
    sections: dict[str, Any] = {"redis": server.config, "groups": GROUPS}
    file = config_file({**sections, "export": {"url": postgres.url, "groups": ["g"]}})
    finished = finishing(file)
    finished.finish({"a": 1})
    process = start("ecl", "export", file)
    wait_until(lambda: exporters(file))
    wait_until(lambda: totals(postgres.url))
    postgres.stall()
    try:
        finished.finish({"a": 2})
        # The age at the first look may be close to 0.
        wait_until(lambda: exporters(file)[0].seen_s > 2, what="the last heartbeat is older than 2 s")
        wait_until(lambda: exporters(file)[0].seen_s < 2, what="the next heartbeat")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        postgres.resume()


def test_check_names_a_missing_driver_as_a_note(run: Run, server: Server, config_file: Write) -> None:
    sections = {
        "redis": server.config,
        "groups": GROUPS,
        "export": {"url": "postgresql+nodriver://u:hush5@h/d"},
    }
    done = run("ecl", "check", config_file(sections))
    (line,) = [line for line in done.stdout.splitlines() if "export" in line]
    assert (
        "NOTE: 'ecl export' cannot run on this machine: Database postgresql+nodriver://***@h/d cannot" in line
    )
    assert "hush5" not in done.stdout
