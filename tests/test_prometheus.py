"""The metrics, the dashboard's queries and the alerts in a real Prometheus."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, needs_debian
from tests.monitoring import RULES, Monitoring
from tests.servers import wait_until

TESTS_OF_RULES = RULES.with_name("alerts_test.yml")
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}
VARIABLES = {each["name"]: each for each in DASHBOARD["templating"]["list"]}

ALERTS = {"EclExporterDown", "EclRedisDown", "EclNoMaster", "EclStale", "EclExportLate", "EclUnreadable"}
EXAMPLES = {"EclManyFailures", "EclHighShareOfFailures", "EclNewEvent"}


@pytest.fixture(scope="module")
def _watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    monitoring = Monitoring(tmp_path_factory.mktemp("monitoring"))
    yield monitoring
    monitoring.close()


@pytest.fixture
def watched(request: pytest.FixtureRequest) -> Monitoring:
    """A healthy system, shared by all tests that do not change it."""
    needs_debian("prometheus", "prometheus")
    monitoring: Monitoring = request.getfixturevalue("_watched")
    return monitoring


@pytest.fixture
def doomed(tmp_path: Path) -> Iterator[Monitoring]:
    """A system of its own, for a test that breaks it."""
    needs_debian("prometheus", "prometheus")
    monitoring = Monitoring(tmp_path)
    yield monitoring
    monitoring.close()


def test_totals_in_prometheus_equal_redis(watched: Monitoring) -> None:
    hostile = {'"quoted" \\ back\\slashed': 7, "é {x=1}": 2**53}
    watched.count("dynamic", hostile)
    totals = 'ecl_events_total{group="dynamic",event!="new"}'
    wait_until(lambda: len(watched.query(totals)) == 2)
    wait_until(lambda: {labels["event"]: value for labels, value in watched.query(totals)} == hostile)
    labels = '{group="dynamic",event="\\"quoted\\" \\\\ back\\\\slashed"}'
    wait_until(lambda: watched.value(f"ecl_events_total{labels}") == 7)


def test_prometheus_reads_time_of_first_count(watched: Monitoring) -> None:
    watched.count("dynamic", {"new": 150})
    labels = '{group="dynamic",event="new"}'
    wait_until(lambda: watched.value(f"ecl_events_total{labels}") == 150)
    with watched.server.client as client:
        first = float(client.hget("dynamic:@created", "new"))
    # Prometheus 2.55 and later adds a sample 0 at that time; others have it as a series.
    wait_until(
        lambda: (
            watched.value(f"min_over_time(ecl_events_total{labels}[5m])") == 0
            or watched.value(f"ecl_events_created{labels}") == first
        )
    )


def test_last_interval_in_prometheus_equals_redis(watched: Monitoring) -> None:
    # A scrape that times out removes all series until the next one.
    events = 'ecl_last_interval_events{group="web",interval="24h"}'
    last = wait_until(lambda: len(series := watched.query(events)) == 2 and series)
    found = {labels["event"]: value for labels, value in last}
    assert found == watched.server.counts("web", "24h", "last") == {"ok": 54, "error": 0}
    start = watched.yesterday // 86_400 * 86_400
    series = 'ecl_last_interval_{}_timestamp_seconds{{group="web",interval="24h"}}'
    wait_until(lambda: watched.value(series.format("start")) == start)
    wait_until(lambda: watched.value(series.format("end")) == start + 86_400)


def test_rates_in_prometheus_equal_counting_rate(watched: Monitoring) -> None:
    counter = 'ecl_events_total{group="web",event="error"}'
    wait_until(lambda: watched.value(counter) == 0)

    def increase() -> float:
        watched.count("web", {"error": 10})
        return watched.value(f"increase({counter}[30s])") or 0

    wait_until(lambda: increase() > 200, what="the counter increases")
    in_redis = watched.server.counts("web", "24h", "cur")["error"]
    wait_until(lambda: watched.value(counter) == in_redis)
    assert (watched.value(f"rate({counter}[30s])") or 0) > 200 / 30


def test_target_of_scrape_has_version_and_job(watched: Monitoring) -> None:
    # A scrape that times out removes all series until the next one.
    ((labels, one),) = wait_until(lambda: watched.query("ecl_build_info"))
    assert (labels["version"], one) == ("2.0.0", 1)
    wait_until(lambda: (watched.value("ecl_scrape_duration_seconds") or 0) > 0)
    wait_until(lambda: watched.value("ecl_scrape_errors_total") == 0)
    wait_until(lambda: {value for _, value in watched.query("ecl_masters")} == {1})


def expression(panel: dict[str, Any]) -> str:
    """Returns the query of a panel as Grafana sends it, with all variables set to all values."""
    (target,) = panel["targets"]
    text: str = target["expr"]
    for name, value in {"$__rate_interval": "1m", "$group": ".*", "$interval": ".*"}.items():
        text = text.replace(name, value)
    assert "$" not in text
    return text


@pytest.mark.parametrize("title", PANELS)
def test_each_dashboard_panel_has_data(watched: Monitoring, title: str) -> None:
    watched.count("web", {"ok": 1})
    found = wait_until(lambda: watched.query(expression(PANELS[title])), what=title)
    legend = PANELS[title]["targets"][0]["legendFormat"]
    wanted = {name for name in ("group", "interval", "event") if f"{{{{{name}}}}}" in legend}
    assert all(set(labels) == wanted for labels, _ in found)


@pytest.mark.parametrize("title", ["Events per second", "Totals"])
def test_only_milliseconds_of_sessions_are_in_no_panel(watched: Monitoring, title: str) -> None:
    watched.count("dynamic", {"plain:ms": 1})
    wanted = {("dynamic", "plain:ms"), ("visits", "shop")}

    def shown() -> set[tuple[str, str]]:
        found = watched.query(expression(PANELS[title]))
        return {(labels["group"], labels["event"]) for labels, _ in found}

    wait_until(lambda: wanted <= shown())
    assert ("visits", "shop:ms") not in shown()


@pytest.mark.parametrize(
    ("name", "expected"), [("group", ["dynamic", "visits", "web"]), ("interval", ["1s", "24h"])]
)
def test_each_dashboard_variable_has_values(watched: Monitoring, name: str, expected: list[str]) -> None:
    query = VARIABLES[name]["query"]["query"].replace("$group", ".*")
    series, label = query.removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
    wait_until(lambda: watched.label_values(series, label) == expected)


def test_dashboard_uses_the_chosen_data_source() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    asked = [*PANELS.values(), *(panel["targets"][0] for panel in PANELS.values())]
    asked += [variable for variable in VARIABLES.values() if variable["type"] == "query"]
    assert all(each["datasource"] == chosen for each in asked)


@pytest.mark.parametrize("command", [["check", "rules", RULES], ["test", "rules", TESTS_OF_RULES]])
def test_alert_rules_pass_promtool(command: list[str | Path]) -> None:
    needs_debian("prometheus", "promtool")
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_alert_fires_on_healthy_system(watched: Monitoring) -> None:
    names = {rule["name"] for group in watched._ask("rules")["groups"] for rule in group["rules"]}
    assert names == ALERTS | EXAMPLES
    wait_until(lambda: not watched.alerts())


def test_stopped_master_raises_stale_alert(doomed: Monitoring) -> None:
    doomed.count("web", {"ok": 5})
    stale = 'ecl_stale{group="web",interval="1s"}'
    wait_until(lambda: doomed.value(stale) == 0)
    doomed.master.send_signal(signal.SIGTERM)
    wait_until(lambda: doomed.value(stale) == 1, what="the interval is stale")
    wait_until(lambda: doomed.value('ecl_events_total{group="web",event="ok"}') == 5)
    wait_until(lambda: doomed.alerts() == {"EclStale", "EclNoMaster"})
    # The last interval has not changed since its start was read.
    series = 'ecl_last_interval_start_timestamp_seconds{group="web",interval="1s"}'
    start = wait_until(lambda: doomed.value(series))
    with doomed.server.client as client:
        assert client.get("web:1s:last:@ts") == str(int(start or 0))


def test_rejected_counts_are_missing_and_raise_alert(doomed: Monitoring) -> None:
    wait_until(lambda: doomed.query('ecl_masters{group="dynamic"}'))
    with doomed.server.client as client:
        client.set("dynamic:@totals", "something else")
    wait_until(lambda: not doomed.query('ecl_masters{group="dynamic"}'))
    wait_until(lambda: doomed.value("ecl_up") == 1)
    wait_until(lambda: doomed.query('ecl_events_total{group="web"}'))
    wait_until(lambda: doomed.alerts() == {"EclUnreadable"})


def test_stopped_redis_removes_all_counts(doomed: Monitoring) -> None:
    doomed.count("web", {"ok": 5})
    wait_until(lambda: doomed.value('ecl_events_total{group="web",event="ok"}') == 5)
    doomed.server.kill()
    wait_until(lambda: doomed.value("ecl_up") == 0, what="Redis is unavailable")
    assert doomed.query('{__name__=~"ecl_(events_total|last_interval.*|stale|masters)"}') == []
    wait_until(lambda: (doomed.value("ecl_scrape_errors_total") or 0) > 0)
    wait_until(lambda: doomed.alerts() == {"EclRedisDown"})
    doomed.server.start()
    wait_until(lambda: doomed.value("ecl_up") == 1, what="Redis is back")
    wait_until(lambda: doomed.value('ecl_events_total{group="web",event="ok"}') == 5)
