"""Exporters and their delay in `ecl status` and in the metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from event_count_logger.config import Config, from_dicts
from event_count_logger.reading.scrape import Scraper
from event_count_logger.reading.status import Status, examine, with_services
from event_count_logger.render import nagios, openmetrics
from event_count_logger.render import status as render
from event_count_logger.render.state import faults, summary
from event_count_logger.store import ServiceInfo, Store
from tests.finished import BEGIN, Finishing
from tests.servers import Server

EXPORTER = ServiceInfo("export", "db1", 4711, "2.0.0", BEGIN)
GROUP: dict[str, Any] = {"events": ["a"], "intervals": ["5s"]}


class Exported:
    """A group that is exported, with a few finished intervals."""

    def __init__(self, server: Server, **group: Any) -> None:
        groups = {"g": {**GROUP, **group}, "secret": {**GROUP, "hidden": True, "intervals": ["24h"]}}
        export = {"url": "sqlite:///counts.db", "groups": ["g", "secret"]}
        self.config: Config = from_dicts(groups, server.config, export=export)
        self.store = Store(self.config.redis)
        self.group = self.config.groups["g"]
        self.finishing = Finishing(self.store, self.group, self.store.client.server_time() // 5 * 5 - 5000)

    def finish(self, n: int) -> str:
        """Finish some intervals; return the position of the last one."""
        for _ in range(n):
            self.finishing.finish({"a": 1})
        return str(self.store.reads.newest_position(self.group, self.group.intervals[0]))

    def beat(self, position: str = "", **changes: Any) -> None:
        for group in self.config.groups.values():
            positions = {"5s": position} if position and group.name == "g" else {}
            self.store.services.record(group, replace(EXPORTER, positions=positions, **changes))

    def status(self) -> Status:
        return with_services(examine(self.config, self.store), self.config, self.store)

    def fault(self) -> tuple[str, str]:
        found = [fault for fault in faults(self.status()) if "EXPORT" in fault[0] or fault[0] == "BEHIND"]
        return found[0] if found else ("OK", "")

    def metrics(self) -> dict[str, float]:
        scrape = Scraper(self.config.groups.values(), self.store, self.config.exported).scrape()
        lines = openmetrics.render(scrape, "2.0.0").splitlines()
        found = [line.rsplit(" ", 1) for line in lines if line.startswith("ecl_export") and '"g"' in line]
        return {name.partition("{")[0]: float(value) for name, value in found}


def test_export_without_exporter_is_a_fault(server: Server) -> None:
    exported = Exported(server)
    exported.finish(2)
    assert exported.fault() == (
        "NOT EXPORTED",
        "no exporter for 2 of 2 intervals (start ecl export)",
    )
    assert nagios.state("NOT EXPORTED: x") == nagios.state("BEHIND: x") == nagios.State.WARNING
    assert exported.metrics()["ecl_exporters"] == 0
    assert exported.metrics()["ecl_export_behind_intervals"] == 2


def test_export_up_to_the_last_interval_is_ok(server: Server) -> None:
    exported = Exported(server)
    exported.beat(exported.finish(2))
    assert exported.fault() == ("OK", "")
    assert exported.metrics() == {
        "ecl_exporters": 1,
        "ecl_export_behind_intervals": 0,
        "ecl_export_waiting_seconds": 0,
    }
    exported.beat(exported.finish(1), once=True, stopped=True)
    assert exported.fault() == ("OK", "")
    exported.beat(stopped=True)
    assert exported.fault()[0] == "NOT EXPORTED"


@pytest.mark.parametrize(("history", "fault"), [("3h", "OK"), ("2h", "BEHIND")])
def test_export_from_time_to_time_may_take_half_of_the_history(
    history: str, fault: str, server: Server
) -> None:
    exported = Exported(server, history=history)
    exported.beat(exported.finish(1), once=True, stopped=True)
    exported.finish(1)  # 5,000 s ago
    assert exported.fault()[0] == fault


@pytest.mark.parametrize("shards", [1, 2])
def test_interval_that_waits_for_its_export_is_a_fault(server: Server, shards: int) -> None:
    exported = Exported(server, **({"shards": shards} if shards > 1 else {}))
    exported.beat(exported.finish(2))
    exported.finish(3)
    word, description = exported.fault()
    assert (word, description.partition(" by ")[0]) == ("BEHIND", "export of 1 of 2 intervals late")
    metrics = exported.metrics()
    assert metrics["ecl_export_behind_intervals"] == 3
    assert 4900 < metrics["ecl_export_waiting_seconds"] < 5100


def test_fault_of_the_database_is_shown(server: Server) -> None:
    exported = Exported(server)
    exported.beat(exported.finish(1), fault="Database d: down")
    assert exported.fault() == ("BEHIND", "export of 2 of 2 intervals: Database d: down")
    text = render.render(exported.status(), None, {"secret"})
    assert "export  db1   4711  2.0.0" in text
    assert " ago: Database d: down" in text
    assert "secret" not in text
    assert "export of 2" in summary(exported.status())
    exported.store.services.record(exported.group, replace(EXPORTER, pid=2))  # one that has no fault
    assert exported.fault()[1] == "export of 1 of 2 intervals: Database d: down"


def test_json_has_services_and_exports(server: Server) -> None:
    exported = Exported(server)
    exported.beat(exported.finish(1))
    exported.finish(1)
    document = render.as_json(exported.status(), None, "OK: x", {"secret"})
    assert '"kind": "export"' in document and "secret" not in document
    (export,) = [each for each in exported.status().exports if not each.hidden]
    assert (export.behind, export.n_exporters, export.is_late) == (1, 1, True)
