"""`ecl status` on alerters."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from event_count_logger.config import from_dicts
from event_count_logger.reading.status import examine, with_services
from event_count_logger.render import nagios
from event_count_logger.render.state import faults
from event_count_logger.render.status import as_json
from event_count_logger.store import ServiceInfo, Store
from tests.servers import Server

ALERTER = ServiceInfo("alert", "db1", 4711, "2.0.0", 1_795_000_000.0)


class Watched:
    """Two groups with alerts, one of which has a target."""

    def __init__(self, server: Server) -> None:
        groups = {name: {"events": ["a"], "intervals": ["5m"]} for name in ("notifies", "is_shown")}
        rules: list[dict[str, Any]] = [
            {"name": name, "group": name, "event": "a", "above": 1} for name in groups
        ]
        rules[0]["notify"] = ["script"]
        notify = {"script": {"command": ["true"]}}
        self.config = from_dicts(groups, server.config, notify=notify, alerts=rules)
        self.store = Store(self.config.redis)

    def beat(self, **changes: Any) -> None:
        self.store.services.record(self.config.groups["notifies"], replace(ALERTER, **changes))

    def faults(self) -> list[tuple[str, str]]:
        status = with_services(examine(self.config, self.store), self.config, self.store)
        return [
            fault for fault in faults(status) if fault[0].startswith("NOT ") and "STARTED" not in fault[0]
        ]


def test_notifying_group_without_alerter_is_critical(server: Server) -> None:
    watched = Watched(server)
    fault = ("NOT WATCHED", "no alerter for 1 of 1 group (start ecl alert)")
    assert watched.faults() == [fault]
    assert nagios.state(": ".join(fault)) == nagios.State.CRITICAL
    watched.beat(stopped=True)
    assert watched.faults() == [fault]


def test_group_with_alerter_is_ok(server: Server) -> None:
    watched = Watched(server)
    watched.beat()
    assert watched.faults() == []


@pytest.mark.parametrize("others", [0, 1])
def test_fault_of_all_alerters_is_shown(server: Server, others: int) -> None:
    watched = Watched(server)
    watched.beat(fault="not sent to target 'script', retrying")
    for number in range(others):
        watched.beat(pid=number)
    reason = ("NOT NOTIFIED", "alerts of 1 of 1 group: not sent to target 'script', retrying")
    assert watched.faults() == ([] if others else [reason])
    status = with_services(examine(watched.config, watched.store), watched.config, watched.store)
    found = json.loads(as_json(status, None, "OK"))
    assert [each["group"] for each in found["alerters"]] == ["notifies"]
    assert len(found["services"]) == 1 + others
