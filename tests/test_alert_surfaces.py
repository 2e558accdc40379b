"""Alerts on each surface: HTTP API, metrics, plugin of Nagios, and `ecl top`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from event_count_logger.alerts.fields import acknowledgement_field, progress_field
from event_count_logger.alerts.status import AlertStatus, examine
from event_count_logger.alerts.transitions import Acknowledgement, Progress, fingerprint
from event_count_logger.cli.alert import chosen_rule
from event_count_logger.cli.alert_check import check_alerts, print_prometheus_rules
from event_count_logger.config import Config, from_dicts
from event_count_logger.errors import Unavailable
from event_count_logger.render import alerts as render
from event_count_logger.render import top
from event_count_logger.render.nagios import State
from event_count_logger.render.nagios import render as as_plugin
from event_count_logger.store import Field
from event_count_logger.top.sample import Sampler, targets
from event_count_logger.top.view import View
from event_count_logger.top.watcher import Answer
from event_count_logger.web.queries import Queries
from tests.days import Days
from tests.fixtures import Run
from tests.servers import Server, free_port

GROUPS: dict[str, Any] = {
    "web": {"events": ["ok", "error"], "intervals": ["24h"]},
    "new": {"events": ["ok"], "intervals": ["24h"]},
    "secret": {"events": ["a"], "intervals": ["24h"], "hidden": True},
}
RULES: list[dict[str, Any]] = [
    {"name": 'many "errors"', "group": "web", "event": "error", "above": 10, "for": 2},
    {"name": "slow", "group": "web", "event": "ok", "below": 1.5, "severity": "warning"},
    {"name": "share", "group": "web", "event": "error", "of": ["error", "ok"], "above": "99%"},
    {"name": "soon", "group": "web", "event": "error", "above": 10, "for": 3},
    {"name": "nothing yet", "group": "new", "event": "ok", "below": 1},
    {"name": "hidden", "group": "secret", "event": "a", "below": 5},
]


@pytest.fixture
def days(server: Server) -> Iterator[Days]:
    """Two days on which `many "errors"` and `slow` breach their limits."""
    days = Days(from_dicts(GROUPS, server.config, alerts=RULES))
    days.finish("web", {"ok": 1000}, days_ago=3)
    days.finish("web", {"ok": 2000, "error": 11}, days_ago=2)
    days.finish("web", {"ok": 1, "error": 214})
    days.finish("secret", {"a": 3})
    yield days
    days.close()


def states(config: Config, days: Days) -> dict[str, str]:
    return {found.rule.name: found.state for found in examine(config, days.store)}


def test_states_come_from_the_history(days: Days) -> None:
    assert states(days.config, days) == {
        'many "errors"': "firing",
        "slow": "firing",
        "share": "firing",
        "soon": "pending",
        "nothing yet": "unknown",
        "hidden": "firing",
    }


def test_alert_is_unknown_not_ok_while_its_interval_is_overdue(
    days: Days, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = {"name": "calm", "group": "web", "event": "error", "above": 1000}
    config = from_dicts(GROUPS, server.config, alerts=[*RULES, calm])
    assert states(config, days)["calm"] == "ok"
    now = days.store.client.server_time()
    monkeypatch.setattr(type(days.store.client), "server_time", lambda *given: now + 86_400 + 16)
    found = states(config, days)
    assert {found["calm"], found["soon"]} == {"unknown"}
    assert found["slow"] == "firing"


def test_group_that_redis_rejects_has_unknown_states_only(days: Days, server: Server) -> None:
    stale = [{"name": f"stale {name}", "group": name, "stale": True} for name in ("web", "new")]
    config = from_dicts(GROUPS, server.config, alerts=[*RULES, *stale])
    with server.client as client:
        client.delete("web:24h:@history", "web:@masters")
        client.set("web:24h:@history", "something else")
        client.set("web:@masters", "something else")
    found = states(config, days)
    assert {found[rule["name"]] for rule in RULES[:4]} | {found["stale web"]} == {"unknown"}
    assert (found["hidden"], found["stale new"]) == ("firing", "firing")


def test_history_of_an_interval_is_read_once(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    history = type(days.store.reads).history

    def counting(self: Any, group: Any, interval: Any, count: int, most_counts: int) -> Any:
        asked.append(f"{group.name} {interval.name} {count}")
        return history(self, group, interval, count, most_counts)

    monkeypatch.setattr(type(days.store.reads), "history", counting)
    examine(days.config, days.store)
    assert asked == ["web 24h 3", "new 24h 1", "secret 24h 1"]


def test_api_has_alerts_of_groups_that_are_not_hidden(days: Days) -> None:
    document = json.loads(asyncio.run(Queries(days.config, days.store).alerts()).body)
    assert [each["name"] for each in document["alerts"]] == [rule["name"] for rule in RULES[:-1]]
    assert document["now"] > days.start(1)
    first, _, share, _, unknown = document["alerts"]
    assert first | {"since": None} == {
        "name": 'many "errors"',
        "group": "web",
        "interval": "24h",
        "event": ["error"],
        "limit": {"kind": "above", "value": 10, "percent": False, "of": []},
        "for": 2,
        "severity": "critical",
        "stale": False,
        "state": "firing",
        "value": 214,
        "reason": "",
        "since": None,
        "acknowledged": False,
        "acknowledged_until": None,
    }
    assert share["limit"] == {"kind": "above", "value": 99, "percent": True, "of": ["error", "ok"]}
    assert (unknown["state"], unknown["value"]) == ("unknown", None)


@pytest.mark.parametrize("in_openmetrics", [True, False])
def test_metrics_have_known_alerts_of_groups_that_are_not_hidden(days: Days, in_openmetrics: bool) -> None:
    page = asyncio.run(Queries(days.config, days.store).metrics(in_openmetrics))
    assert [line for line in page.split("\n") if line.startswith("ecl_alert")] == [
        'ecl_alert_firing{alert="many \\"errors\\"",group="web"} 1',
        'ecl_alert_firing{alert="slow",group="web"} 1',
        'ecl_alert_firing{alert="share",group="web"} 1',
        'ecl_alert_firing{alert="soon",group="web"} 0',
    ]


def status(number: int, state: Any, value: float | None = None, **changes: Any) -> AlertStatus:
    return AlertStatus(from_dicts(GROUPS, alerts=RULES).alerts[number], "24h", state, value, **changes)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], State.OK),
        ([status(0, "pending"), status(1, "ok")], State.OK),
        ([status(1, "firing"), status(0, "unknown")], State.WARNING),
        ([status(1, "firing"), status(0, "firing", is_acknowledged=True)], State.CRITICAL),
        ([status(0, "unknown"), status(1, "ok")], State.UNKNOWN),
    ],
)
def test_state_of_the_plugin_is_the_worst_of_firing_alerts(found: list[AlertStatus], expected: State) -> None:
    assert render.state(found) == expected


def test_line_of_the_plugin_names_firing_and_unknown_alerts() -> None:
    found = [
        status(1, "firing", 0.75),
        status(0, "firing", 1214.0, is_acknowledged=True),
        status(2, "firing", 99.5),
        status(4, "unknown"),
        status(3, "pending", 11.0),
    ]
    assert as_plugin(State.CRITICAL, render.sentence(found), render.values(found)) == (
        'ECL CRITICAL: 5 alerts, 3 firing; many "errors" (web: 1,214, above 10, acknowledged); '
        "share (web: 99.50%, above 99%); slow (web: 0.75, below 1.5); unknown: nothing yet | "
        "alerts=5;;;0 firing=3;;;0 pending=1;;;0 unknown=1;;;0"
    )


@pytest.mark.parametrize(
    ("names", "expected"),
    [([], 2), (["soon"], 0), (["slow", "soon"], 1), (["nothing yet"], 3)],
)
def test_check_exits_with_the_state(
    days: Days, names: list[str], expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        check_alerts(days.config, [chosen_rule(days.config, name) for name in names])
    assert end.value.code == expected
    assert capsys.readouterr().out.startswith(f"ECL {State(expected).name}: {len(names) or len(RULES)} alert")


def test_check_without_redis_raises() -> None:
    with pytest.raises(Unavailable):
        check_alerts(from_dicts(GROUPS, {"port": free_port()}, alerts=RULES))


def test_error_of_check_is_the_state_unknown(run: Run) -> None:
    done = run("ecl", "alert", "missing.yml", "--check")
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout == "ECL UNKNOWN: missing.yml: cannot be read: No such file or directory\n"


def test_rule_file_leaves_out_rules_of_hidden_groups(capsys: pytest.CaptureFixture[str]) -> None:
    print_prometheus_rules(from_dicts(GROUPS, alerts=RULES))
    printed = capsys.readouterr()
    assert '- alert: "many \\"errors\\""\n' in printed.out
    assert '"secret"' not in printed.out
    assert printed.err == (
        "WARNING: alert 'hidden' is left out: group 'secret' is hidden, and has no metrics\n"
    )


def test_top_shows_firing_alerts_above_the_counts_and_in_the_list(days: Days) -> None:
    sampler = Sampler(days.config, days.store)
    found = Answer(None, sampler.listing())
    size = top.Size(100, 10).with_alerts(found)
    lines = top.screen(View(), found, [], size, 0.0)
    assert len(lines) == 10
    assert lines[1].plain.startswith(
        ' CRITICAL many "errors": web · 24h: 214, above 10 · 2 more: share, slow '
    )
    first, second = (line.plain for line in lines[4:6])
    assert first.split()[0] == "web"
    assert 'CRITICAL many "errors": 214, above 10; also share, slow' in first
    assert second.split()[0] == "new"
    assert "CRITICAL" not in second
    target = targets(days.config)[0]
    one = Answer(target, sampler.sample(target, None))
    lines = top.screen(View(target), one, ["ok"], size, 0.0)
    assert lines[1].plain.startswith(" CRITICAL many ")
    assert len(lines) == 10


def test_top_without_firing_alert_has_no_line_for_alerts(days: Days, server: Server) -> None:
    calm = Days(from_dicts(GROUPS, server.config, alerts=RULES[3:4]))
    found = Answer(None, Sampler(calm.config, calm.store).listing())
    size = top.Size(100, 10).with_alerts(found)
    lines = top.screen(View(), found, [], size, 0.0)
    assert (size.rows, lines[1].plain.strip()) == (6, "2 groups · 2 with problems")
    calm.close()


def test_notes_of_ecl_alert_are_shown_with_firing_alerts(days: Days, server: Server) -> None:
    firing, soon = days.config.alerts[0], days.config.alerts[3]
    progress = Progress(fingerprint(firing), 2, since=86_400.0)
    fields = {
        progress_field(firing): str(progress),
        acknowledgement_field(firing): str(Acknowledgement(86_400.0, 9e9)),
        progress_field(soon): str(Progress(fingerprint(soon), 2)),
    }
    changes = [Field("states", name, value) for name, value in fields.items()]
    assert days.store.alerts.change(days.config.groups["web"], [], changes)
    found = {each.rule.name: each for each in examine(days.config, days.store)}
    first = found[firing.name]
    assert (first.since, first.is_acknowledged, first.acknowledged_until) == (86_400.0, True, 9e9)
    assert (found["slow"].since, found["soon"].since) == (None, None)
    with server.client as client:
        client.delete("web:@alerts")
        client.set("web:@alerts", "something else")
    assert states(days.config, days)[firing.name] == "firing"
