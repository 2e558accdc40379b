"""Each finished interval is once in the database, with its counts, whatever happens to the servers."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres_process import Postgres, postgres_binary

from event_count_logger.config import Config, Layout, from_dicts
from event_count_logger.errors import Rejected, Unavailable
from event_count_logger.export import connection, schema
from event_count_logger.export.database import Database
from event_count_logger.export.event_text import event_text
from event_count_logger.export.exporter import Exporter
from event_count_logger.export.faults import DatabaseFault, DatabaseUnusable
from event_count_logger.export.schema import SERIES
from event_count_logger.export.worker import ExportWorker
from event_count_logger.logs import Log
from event_count_logger.reading.reader import Snapshot
from event_count_logger.store import Store
from tests import groups
from tests.conftest import needs_debian
from tests.databases import connected, missed, query, totals, unix_spans
from tests.finished import BEGIN, Finishing
from tests.servers import Server, wait_until

GROUP: dict[str, Any] = {"events": ["a", "b"], "intervals": ["5s"], "history": 10_000}
FIRST = BEGIN // 5 * 5


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    needs_debian("postgresql", postgres_binary("postgres") or "postgres")
    server = Postgres("fsync=off")
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/counts.db"
    server: Postgres = request.getfixturevalue("postgres")
    server.empty()
    return server.url


class Export:
    """A group whose intervals are finished and exported by hand."""

    def __init__(self, server: Server, url: str, group: dict[str, Any], **settings: Any) -> None:
        group = {"layout": groups.layout, **group}
        self.config = from_dicts({"g": group}, server.config, export={"url": url, **settings})
        self.store = Store(self.config.redis)
        self.url = url
        self.made: list[Database] = []

    @property
    def finishing(self) -> Finishing:
        return Finishing(self.store, self.config.groups["g"])

    def exporter(self) -> Exporter:
        """Returns a new exporter, as after a restart."""
        assert self.config.export
        self.made.append(Database(self.config.export))
        return Exporter(self.config, self.store, self.made[-1], Log("event_count_logger.export"))

    def once(self) -> None:
        self.exporter().export_all()

    def close(self) -> None:
        self.store.close()
        for database in self.made:
            database.close()


@pytest.fixture
def make(server: Server, url: str) -> Iterator[Callable[..., Export]]:
    made: list[Export] = []

    def make(group: dict[str, Any] = GROUP, **settings: Any) -> Export:
        made.append(Export(server, url, group, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


Make = Callable[..., Export]


def step(exporter: Exporter) -> float:
    """One step of all series, without the wait before it."""
    for export in exporter._exports:
        export.due_at = 0
    return exporter.step()


def test_history_is_exported_once_over_repeated_runs(make: Make, url: str, layout: Layout) -> None:
    export = make()
    finishing = export.finishing
    for number in range(3):
        finishing.finish({"a": number, "x": 5})
    export.once()
    export.once()
    assert totals(url) == {"a": 3, "b": 0, "x": 15}
    finishing.finish({"b": 7}, n_merged=3)
    export.once()
    assert totals(url) == {"a": 3, "b": 7, "x": 15}
    assert unix_spans(url) == [(FIRST + 5 * n, FIRST + 5 * m) for n, m in ((0, 1), (1, 2), (2, 3), (3, 6))]
    assert missed(url) == [0, 0, 0, 0]


def test_batches_of_many_intervals_are_complete(make: Make, url: str) -> None:
    export = make({**GROUP, "intervals": ["0.1s"]})
    finishing = export.finishing
    for number in range(203):
        finishing.finish({"a": number})
    export.once()
    assert (totals(url)["a"], len(unix_spans(url))) == (finishing.total["a"], 203)
    assert unix_spans(url)[1] == (BEGIN + 0.1, BEGIN + 0.2)


def test_dropped_intervals_are_a_number_in_the_next_row(
    make: Make, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    export = make({**GROUP, "history": 2})
    finishing = export.finishing
    for _ in range(5):
        finishing.finish({"a": 1})
    export.once()
    assert (missed(url), caplog.messages) == ([3, 0], [])
    for _ in range(6):
        finishing.finish({"a": 1})
    export.once()
    assert missed(url) == [3, 0, 4, 0]
    assert caplog.messages == [
        "Group 'g', interval '5s': 4 intervals not exported: the history no longer held them"
    ]


def test_counts_and_event_ids_of_any_kind_are_stored(make: Make, url: str, server: Server) -> None:
    export = make({**GROUP, "auto_declare_events": True})
    finishing = export.finishing
    texts = ['it\'s "quoted"', "\\", "😀", "a" * 512, "\\u0000", "\\udcff", "{a}", "%s :x ? %(y)s", "A"]
    raw = ["\udcff", "nul\0", "\udcff" * 300, "b" * 5000]
    counts = dict.fromkeys([*texts, *raw], 1) | {"a": 2**63 - 1, "b": -(2**63) + 1}
    finishing.finish(counts)
    export.once()
    found = totals(url)
    assert found.pop("a") == 2**63 - 1
    assert found.pop("b") == -(2**63) + 1
    assert set(found) == {event_text(event_id) for event_id in [*texts, *raw]}
    assert len(found) == len(texts) + len(raw)
    assert set(texts) - set(found) == {"\\u0000"}
    assert {"\\u005cu0000", "\\u005cudcff", "\\udcff", "nul\\u0000"} < set(found)
    assert all(len(event.encode()) <= 512 for event in found)


@pytest.mark.parametrize("shards", [1, 3])
def test_exporters_at_once_write_each_interval_once(make: Make, url: str, shards: int) -> None:
    export = make({**GROUP, "shards": shards} if shards > 1 else GROUP)
    finishing = export.finishing
    for number in range(150):
        finishing.finish({"a": number})
    exporters = [export.exporter() for _ in range(3)]
    barrier = threading.Barrier(len(exporters))
    failures: list[Exception] = []

    def run(exporter: Exporter) -> None:
        barrier.wait()
        while True:
            try:
                return exporter.export_all()
            except DatabaseFault as error:
                failures.append(error)

    threads = [threading.Thread(target=run, args=(exporter,)) for exporter in exporters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []  # not even as both begin the same series
    assert totals(url)["a"] == finishing.total["a"]
    assert len(unix_spans(url)) == 150
    assert missed(url) == [0] * 150


class LostAnswers(Database):
    """A database whose connection breaks after each second commit."""

    n = 0

    def append(self, *arguments: Any) -> Any:
        after = super().append(*arguments)
        self.n += 1
        if self.n % 2:
            raise DatabaseFault("here", "the connection broke after the commit")
        return after


def test_commit_whose_answer_is_lost_is_not_repeated(make: Make, url: str) -> None:
    export = make()
    finishing = export.finishing
    assert export.config.export
    database = LostAnswers(export.config.export)
    export.made.append(database)
    exporter = Exporter(export.config, export.store, database, Log("event_count_logger.export"))
    for _ in range(6):
        finishing.finish({"a": 1})
        try:
            step(exporter)
        except DatabaseFault:
            step(exporter)
    assert database.n >= 6
    assert (totals(url)["a"], len(unix_spans(url))) == (6, 6)


def test_data_of_redis_lost_and_clock_set_back_continues(make: Make, url: str, server: Server) -> None:
    export = make()
    finishing = export.finishing
    exporter = export.exporter()
    for _ in range(5):
        finishing.finish({"a": 1})
    exporter.export_all()
    with server.client as client:
        client.flushall()
    finishing.restart(BEGIN - 50)
    for _ in range(3):
        finishing.finish({"a": 10})
        for _ in range(3):  # the first step notices the restart
            step(exporter)
    export.once()
    assert (totals(url)["a"], len(unix_spans(url))) == (35, 8)


@pytest.mark.parametrize("begin", [BEGIN - 20, BEGIN + 25])
def test_history_that_restarted_while_no_exporter_ran_is_exported(
    make: Make, url: str, server: Server, begin: int
) -> None:
    export = make()
    finishing = export.finishing
    for _ in range(5):
        finishing.finish({"a": 1})
    export.once()
    with server.client as client:
        client.flushall()
    finishing.restart(begin)
    for _ in range(12):  # beyond the position, also if the clock was set back
        finishing.finish({"a": 10})
    export.once()
    assert (totals(url)["a"], missed(url)) == (125, [0] * 17)
    assert query(url, "SELECT restarts FROM ecl_series") == [(1,)]


@pytest.mark.parametrize("shards", [1, 2])
def test_restored_backup_of_redis_doubles_nothing(
    make: Make, url: str, server: Server, shards: int, caplog: pytest.LogCaptureFixture
) -> None:
    export = make({**GROUP, "shards": shards} if shards > 1 else GROUP)
    finishing = export.finishing
    for _ in range(3):
        finishing.finish({"a": 1})
    restore = server.remember()
    for _ in range(4):
        finishing.finish({"a": 1})
    export.once()
    restore()
    for _ in range(6):
        export.once()
    assert (totals(url)["a"], len(unix_spans(url))) == (7, 7)
    assert len([m for m in caplog.messages if "the history in Redis was restarted" in m]) == 1


def test_old_intervals_are_deleted_with_their_counts(make: Make, url: str) -> None:
    now = int(make().store.client.server_time())
    export = make(keep="1h")
    finishing = Finishing(export.store, export.config.groups["g"], now - 3600 - 5 * 150)
    for _ in range(200):
        finishing.finish({"a": 1})
    for _ in range(2):
        export.once()
        spans = unix_spans(url)
        n_expired = (export.store.client.server_time() - now) / 5  # intervals since the test began
        assert 48 - n_expired <= len(spans) <= 52
        assert totals(url)["a"] == len(spans)
        assert min(end for _, end in spans) >= now - 3600


def test_entry_that_cannot_be_read_holds_up_its_own_series_only(
    make: Make, url: str, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    export = make({**GROUP, "intervals": ["5s", "10s"]})
    finishing = export.finishing
    finishing.finish({"a": 1})
    with server.client as client:
        client.xadd("g:5s:@history", {"start": "x"})
    for _ in range(3):
        export.store.rotation.rotate(export.config.groups["g"], finishing.group.intervals[1], BEGIN + 20)
    exporter = export.exporter()
    for _ in range(3):
        step(exporter)
    assert totals(url)["a"] == 2
    (message,) = caplog.messages
    assert message.startswith("Group 'g', interval '5s': not exported: Redis rejects the request (key g:5s:")
    with pytest.raises(Rejected):
        export.once()


def test_export_once_without_redis_fails(make: Make, url: str) -> None:
    export = make()
    config = from_dicts({"g": GROUP}, {"port": 1}, export={"url": url})
    assert config.export
    export.made.append(Database(config.export))
    with pytest.raises(Unavailable):
        Exporter(config, Store(config.redis), export.made[-1], Log("event_count_logger.export")).export_all()


def test_migration_runs_the_missing_steps_once(make: Make, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    export = make()
    finishing = export.finishing
    finishing.finish({"a": 1})
    export.once()
    done: list[int] = []

    def step(connection: Any) -> None:
        done.append(1)
        connection.exec_driver_sql("ALTER TABLE ecl_series ADD COLUMN note INTEGER")

    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, step))
    for _ in range(2):
        finishing.finish({"a": 1})
        export.once()
    assert (done, totals(url)["a"]) == ([1], 3)
    assert query(url, "SELECT version FROM ecl_schema") == [(2,)]
    assert query(url, "SELECT note FROM ecl_series") == [(None,)]


def test_tables_of_a_newer_version_are_left_unchanged(make: Make, url: str) -> None:
    export = make()
    export.finishing.finish({"a": 1})
    export.once()
    with connected(url) as connection:
        connection.exec_driver_sql("UPDATE ecl_schema SET version = 7")
        connection.commit()
    with pytest.raises(DatabaseUnusable, match="its tables have version 7, and this program knows up to 1"):
        export.once()


def test_days_follow_the_time_zone_of_the_session(make: Make, postgres: Postgres, url: str) -> None:
    if not url.startswith("postgresql"):
        pytest.skip("SQLite has no time zones")
    export = make({**GROUP, "intervals": ["1h"]})
    finishing = export.finishing
    for _ in range(5):  # 22:00 to 03:00 in UTC
        finishing.finish({"a": 1})
    export.once()
    for zone, days in (("UTC", [2, 3]), ("Europe/Prague", [1, 4]), ("America/New_York", [5])):
        with connected(url) as connection:
            connection.exec_driver_sql(f"SET TIME ZONE '{zone}'")
            statement = "SELECT count FROM ecl_daily WHERE event = 'a' ORDER BY day"
            assert [count for (count,) in connection.exec_driver_sql(statement)] == days


def test_database_outage_delays_the_export_and_is_logged_once(
    make: Make, postgres: Postgres, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    if not url.startswith("postgresql"):
        pytest.skip("SQLite has no server")
    export = make()
    finishing = export.finishing
    worker = ExportWorker(export.exporter(), Log("event_count_logger.export"))
    step(worker.exporter)
    worker.start()
    finishing.finish({"a": 1})
    wait_until(lambda: totals(url).get("a") == 1)
    postgres.kill()
    try:
        finishing.finish({"a": 1})
        wait_until(lambda: worker.fault)
        assert "ecl-postgres" in worker.fault
    finally:
        postgres.start()
    wait_until(lambda: totals(url)["a"] == 2)
    wait_until(lambda: not worker.fault)
    worker.stop(20)
    lost, found = caplog.messages
    assert lost.endswith("; retrying, finished intervals stay in Redis")
    assert found == "The database answers again; the export continues"


def test_stopped_exporter_in_a_transaction_holds_up_no_other(
    make: Make, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not url.startswith("postgresql"):
        pytest.skip("SQLite has no server that ends a transaction")
    export = make()
    export.once()
    export.finishing.finish({"a": 1})
    assert export.config.export
    stopped = connection.DatabaseConnection(export.config.export)
    usual = connection._LIMIT_IDLE_TRANSACTION
    monkeypatch.setattr(connection, "_LIMIT_IDLE_TRANSACTION", usual.replace("60s", "200ms"))
    with pytest.raises(DatabaseFault, match="idle-in-transaction"), stopped.transaction() as held:
        monkeypatch.setattr(connection, "_LIMIT_IDLE_TRANSACTION", usual)  # for the transactions of others
        held.execute(SERIES.update().values(restarts=0))
        export.once()
        assert totals(url)["a"] == 1
        held.execute(SERIES.update().values(restarts=0))
    stopped.close()


def test_counts_that_the_database_rejects_hold_up_their_series_only(make: Make, url: str) -> None:
    export = make({**GROUP, "intervals": ["5s", "10s"]})
    export.once()
    rule = "ALTER TABLE ecl_counts ADD CHECK (series_id <> 1)"
    if url.startswith("sqlite"):
        action = "BEGIN SELECT RAISE(ABORT, 'no'); END"
        rule = f"CREATE TRIGGER rule BEFORE INSERT ON ecl_counts WHEN NEW.series_id = 1 {action}"
    with connected(url) as begun:
        begun.exec_driver_sql(rule)
        begun.commit()
    finishing = export.finishing
    rotation, longer = export.store.rotation, finishing.group.intervals[1]
    rotation.rotate(finishing.group, longer, BEGIN)
    finishing.finish({"a": 1})
    rotation.rotate(finishing.group, longer, BEGIN + 20)
    exporter = export.exporter()
    for _ in range(2):
        with pytest.raises(DatabaseFault):
            step(exporter)
    assert totals(url) == {"a": 1, "b": 0}


def test_transaction_leaves_no_prepared_statement_to_a_pooler(make: Make, url: str) -> None:
    if not url.startswith("postgresql"):
        pytest.skip("SQLite has no pooler")
    export = make().config.export
    assert export
    database = connection.DatabaseConnection(export)
    with database.transaction() as begun:
        for _ in range(10):
            begun.exec_driver_sql("SELECT 1")
        assert begun.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar() == 0
    database.close()


def test_value_that_the_driver_rejects_is_a_fault(make: Make, url: str) -> None:
    export = make()
    export.once()
    assert export.config.export
    database = connection.DatabaseConnection(export.config.export)
    with pytest.raises(DatabaseFault), database.transaction() as begun:
        begun.execute(SERIES.update().values(restarts=2**70))
    database.close()


def test_asynchronous_driver_is_rejected() -> None:
    config = from_dicts({"g": GROUP}, export={"url": "postgresql+psycopg_async://me@db/ecl"})
    assert config.export
    with pytest.raises(DatabaseUnusable, match="its driver is asynchronous"):
        Database(config.export)


def test_hanging_database_is_logged_once(caplog: pytest.LogCaptureFixture, make: Make) -> None:
    worker = ExportWorker(make().exporter(), Log("event_count_logger.export"))
    worker.watch()
    assert worker.fault == ""
    worker.exporter.progressed_at -= 31
    for _ in range(2):
        worker.watch()
    assert worker.fault == "The database has not answered for 30 s"
    assert len(caplog.messages) == 1


def test_any_history_is_exported_exactly_through_faults(make: Make, url: str, chance: random.Random) -> None:
    export = make({**GROUP, "history": 40})
    finishing = export.finishing
    exporter = export.exporter()
    append = Database.append
    for _ in range(60):
        for _ in range(chance.choice([0, 1, 3, 20])):
            finishing.finish(
                {event: chance.randrange(1000) for event in chance.sample("abcdef", 3)},
                chance.choice([1, 1, 4]),
            )
        fault = chance.choice(["none", "none", "before", "after", "restart"])
        if fault == "restart":
            exporter = export.exporter()
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Database, "append", _faulty(append, fault))
                step(exporter)
        except DatabaseFault:
            pass
    step(exporter)
    while finishing.n and step(exporter) == 0:
        pass
    export.once()
    assert sum(missed(url)) + len(unix_spans(url)) == finishing.n
    if not any(missed(url)):
        assert totals(url) == {"a": 0, "b": 0} | dict(finishing.total)


def _faulty(append: Any, fault: str) -> Any:
    def faulty(self: Database, series: Any, snapshots: list[Snapshot]) -> Any:
        if fault == "before":
            raise DatabaseFault("here", "down")
        after = append(self, series, snapshots)
        if fault == "after":
            raise DatabaseFault("here", "the answer was lost")
        return after

    return faulty


@pytest.mark.parametrize("secret", ["hush5", "p@s/w d%"])
def test_errors_do_not_show_the_password(secret: str, tmp_path: Path) -> None:
    for scheme in ("postgresql+psycopg", "nodatabase", "postgresql+nodriver"):
        settings = {"url": f"{scheme}://me@127.0.0.1:1/db", "password": secret}
        config: Config = from_dicts({"g": GROUP}, export=settings)
        assert config.export and secret not in f"{config} {config.export}"
        try:
            database = Database(config.export)
            database.prepare()
            pytest.fail("there is no database")
        except (DatabaseFault, DatabaseUnusable) as error:
            assert secret not in str(error)
            assert str(error).startswith(f"Database {scheme}://***@127.0.0.1:1/db")


def test_export_of_a_series_reports_its_position(make: Make, url: str) -> None:
    export = make()
    finishing = export.finishing
    finishing.finish({"a": 1})
    exporter = export.exporter()
    group = export.config.groups["g"]
    assert exporter.positions(group) == {}
    exporter.export_all()
    assert exporter.positions(group) == {"5s": f"{(FIRST + 5) * 1000}-1"}
