"""Dashboards of Grafana, whose panel macropower-analytics-panel sends to `ecl serve`."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from event_count_logger.config import from_dicts, from_file
from event_count_logger.errors import ConfigError, NotConfigured
from event_count_logger.sources.grafana_panel import MissingValue, destination
from tests.fixtures import Start, Write
from tests.servers import Server
from tests.serving import Serving

DASHBOARDS = {"auto_declare_events": True, "intervals": ["24h"], "sessions": {"timeout": "75s"}}
DECLARED = {"events": ["Known"], "intervals": ["24h"], "sessions": {}}
GROUPS: dict[str, Any] = {"dashboards": DASHBOARDS, "web": {"events": ["a"], "intervals": ["24h"]}}

#: As version 2.1.0 of the panel makes it (src/payload.ts), in a browser that shows Grafana 7.
PAYLOAD: dict[str, Any] = {
    "uuid": "5b1c9b0e-4d0f-4f0e-9a55-0d6f3e4f2a77",
    "type": "start",
    "hasFocus": True,
    "options": {
        "server": "http://localhost:8917/write",
        "dashboard": "$__dashboard",
        "showDetails": True,
        "postStart": True,
        "postHeartbeat": True,
        "heartbeatInterval": 60,
        "heartbeatAlways": False,
        "postEnd": True,
        "flatten": False,
    },
    "host": {
        "hostname": "localhost",
        "port": "3000",
        "protocol": "http:",
        "buildInfo": {"version": "7.2.2", "commit": "x", "env": "production", "edition": "Open Source"},
        "licenseInfo": {"hasLicense": False, "expiry": 0, "stateInfo": ""},
    },
    "dashboard": {"name": "Night shift", "uid": "b_1UbypGz"},
    "user": {
        "isSignedIn": True,
        "id": 1,
        "login": "admin",
        "email": "admin@localhost",
        "name": "admin",
        "lightTheme": False,
        "orgCount": 1,
        "orgId": 1,
        "orgName": "Main Org.",
        "orgRole": "Admin",
        "isGrafanaAdmin": True,
        "timezone": "browser",
        "locale": "en-US",
        "hasEditPermissionInFolders": True,
    },
    "variables": [
        {"name": "customer", "label": None, "type": "query", "multi": True, "values": ["Nobody Ltd."]},
        {"name": "license", "label": "License", "type": "datasource", "multi": False, "values": []},
    ],
    "timeRange": {"from": 1599964000, "to": 1600007200, "raw": {"from": "now-6h", "to": "now"}},
    "timeZone": "utc",
    "timeOrigin": 1600000000,
    "time": 1600000000,
}


def changed(**changes: Any) -> dict[str, Any]:
    """Returns the payload with other values; '__' stands for '.'."""
    payload = copy.deepcopy(PAYLOAD)
    for path, value in changes.items():
        *steps, last = path.split("__")
        place = payload
        for step in steps:
            place = place[step]
        place[last] = value
    return payload


@pytest.fixture
def serve(server: Server, start: Start, config_file: Write) -> Callable[..., Serving]:
    def serve(*options: str, groups: Any = GROUPS, **sections: Any) -> Serving:
        content = {"redis": server.config, "groups": groups, **sections}
        return Serving(start, config_file(content), *options)

    return serve


def test_dashboard_is_counted_and_timed_from_its_payloads(
    serve: Callable[..., Serving], server: Server
) -> None:
    site = serve()
    actions = [("start", 0), ("heartbeat", 60), ("heartbeat", 60), ("blur", 120), ("end", 1000)]
    for type, at in actions:
        # Browsers send to another origin what the panel declares as JSON as plain text.
        payload = json.dumps(changed(type=type, time=PAYLOAD["time"] + at)).encode()
        status, content, _ = site.ask("POST", "/write", payload, Content_Type="text/plain;charset=UTF-8")
        assert (status, content) == (201, b"")
    time_ms = (60 + 60 + 75) * 1000
    assert server.counts("dashboards", "24h", "cur") == {"Night shift": 1, "Night shift:ms": time_ms}
    log = site.stop()
    assert log.count("[INFO]") == len(actions)
    assert log.count("unknown type 'blur', treated as a heartbeat") == 1


@pytest.mark.parametrize(
    ("times", "options", "time_s"),
    [
        ([0, 3600], {"heartbeatInterval": 60}, 3600),
        ([0, 60, 120, 3600], {"heartbeatInterval": 60}, 60 + 60 + 75),
        ([0, 10, 3600], {"heartbeatInterval": 8}, 10 + 10),
        ([0, 60, 3600], {}, 60 + 900),
        ([0, 60, 3600], {"heartbeatInterval": "60"}, 60 + 900),
        ([0, 60, 3600], {"heartbeatInterval": 0}, 60 + 900),
        ([0, 60, 3600], None, 60 + 900),
    ],
)
def test_auto_timeout_follows_the_heartbeat_interval(
    times: list[int], options: Any, time_s: int, serve: Callable[..., Serving], server: Server
) -> None:
    site = serve("--no-session-log", groups={"dashboards": {**DASHBOARDS, "sessions": {"timeout": "auto"}}})
    types = ["start", *["heartbeat"] * (len(times) - 2), "end"]
    for type, at in zip(types, times, strict=True):
        payload = changed(type=type, time=PAYLOAD["time"] + at, options=options)
        assert site.post("/write", payload) == (201, None)
    counts = server.counts("dashboards", "24h", "cur")
    assert counts == {"Night shift": 1, "Night shift:ms": time_s * 1000}


def test_group_without_sessions_is_not_found(serve: Callable[..., Serving], server: Server) -> None:
    status, document = serve(grafana={"group": "{user.login}"}, groups={"admin": GROUPS["web"]}).post(
        "/write", PAYLOAD
    )
    assert (status, document["detail"]) == (404, "group 'admin' has no sessions")


def test_restart_between_two_payloads_changes_no_figure(
    own_server: Server, start: Start, config_file: Write
) -> None:
    site = Serving(start, config_file({"redis": own_server.config, "groups": GROUPS}))
    for type, at in (("start", 0), ("heartbeat", 70), ("end", 80.5)):
        assert site.post("/write", changed(type=type, time=PAYLOAD["time"] + at)) == (201, None)
        for each in (site, own_server):
            each.kill()
            each.start()
    assert own_server.counts("dashboards", "24h", "cur") == {"Night shift": 1, "Night shift:ms": 80_500}


def test_unsaved_dashboard_is_logged_and_not_counted(serve: Callable[..., Serving], server: Server) -> None:
    site = serve()
    assert site.post("/write", changed(dashboard__uid="new")) == (201, None)
    assert server.counts("dashboards", "24h", "cur") == {}
    assert '"uid": "new"' in site.stop()


@pytest.mark.parametrize(
    ("options", "logged", "with_variables"),
    [([], True, True), (["--no-variable-log"], True, False), (["--no-session-log"], False, False)],
)
def test_each_payload_is_one_log_line_if_configured(
    serve: Callable[..., Serving], options: list[str], logged: bool, with_variables: bool
) -> None:
    site = serve(*options)
    hostile = changed(user__name="x\n2026-11-25T00:00:00 [INFO] forged\u2028\x1b[2J\x7f\x85")
    assert site.post("/write", hostile)[0] == 201
    log = site.stop()
    lines = log.splitlines()
    assert len(lines) == logged
    assert ("Nobody Ltd." in log) == with_variables
    if logged:
        found = re.fullmatch(r"\S+ \[INFO\] Session data: (\{[ -~]*\})", lines[0])
        assert found, lines
        del hostile["variables"]
        assert hostile.items() <= json.loads(found[1]).items()


def test_invalid_payload_is_rejected(serve: Callable[..., Serving], server: Server) -> None:
    site = serve("--no-session-log")
    missing = [
        {key: PAYLOAD[key] for key in PAYLOAD if key != name} for name in ("uuid", "time", "dashboard")
    ]
    wrong: list[tuple[Any, str]] = [
        *zip(missing, ("uuid", "time", "dashboard"), strict=True),
        (changed(uuid=""), "uuid"),
        (changed(uuid=7), "uuid"),
        (changed(uuid="a\nb"), "uuid"),
        (changed(type=7), "type"),
        (changed(time="1600000000"), "time"),
        (changed(time=-1), "time"),
        (changed(time=1600000000000), "time"),
        (changed(dashboard="x"), "dashboard"),
        (changed(dashboard__name=None), "dashboard.name"),
        (changed(dashboard__name=True), "dashboard.name"),
        (changed(dashboard__name=""), "dashboard.name"),
        (changed(dashboard__name="@home"), "event"),
        (changed(dashboard__name="x" * 512), "event"),
        (changed(host="x"), "host"),
        (changed(user=[]), "user"),
        (changed(options=1), "options"),
        (changed(variables={}), "variables"),
        (changed(variables=["x"]), "variables.0"),
        ([], ""),
        (b"", ""),
        (b"{", ""),
        (b'"x"', ""),
        (b'{"uuid": "u", "time": 1, "dashboard": {"name": 1e999}}', ""),
    ]
    for payload, field in wrong:
        status, document = site.post("/write", payload)
        assert (status, document.get("field", "")) == (400, field), document
    assert site.post("/write", b" " * (1 << 20) + b"{}")[0] == 413
    assert server.counts("dashboards", "24h", "cur") == {}


def test_group_and_event_follow_the_configured_templates(
    serve: Callable[..., Serving], server: Server
) -> None:
    names = {"group": "{host.hostname}-{user.orgId}", "event": "{dashboard.uid}/{user.login}"}
    site = serve(groups={"localhost-1": DASHBOARDS, "other": DECLARED}, grafana=names)
    assert site.post("/write", PAYLOAD) == (201, None)
    assert server.counts("localhost-1", "24h", "cur") == {"b_1UbypGz/admin": 1}
    status, document = site.post("/write", changed(user__orgId=2))
    assert (status, document["detail"]) == (404, "there is no group 'localhost-2'")


def test_undeclared_event_is_not_an_error_for_the_panel(
    serve: Callable[..., Serving], server: Server
) -> None:
    site = serve("--no-session-log", groups={"dashboards": DECLARED})
    for name in ("Unknown", "Known", "Unknown"):
        assert site.post("/write", changed(dashboard__name=name)) == (201, None)
    assert server.counts("dashboards", "24h", "cur") == {"Known": 1}
    assert site.stop().count("Event 'Unknown' of group 'dashboards' is not declared: not counted") == 1


def test_sessions_are_kept_during_an_outage(own_server: Server, start: Start, config_file: Write) -> None:
    site = Serving(start, config_file({"redis": own_server.config, "groups": GROUPS}), "--no-session-log")
    own_server.kill()
    for type, at in (("start", 0), ("heartbeat", 60)):
        assert site.post("/write", changed(type=type, time=PAYLOAD["time"] + at)) == (201, None)
    own_server.start()
    assert site.post("/write", changed(type="end", time=PAYLOAD["time"] + 70)) == (201, None)
    site.stop()
    assert own_server.counts("dashboards", "24h", "cur") == {"Night shift": 1, "Night shift:ms": 70_000}


# Names


@pytest.mark.parametrize("groups", [{"web": GROUPS["web"]}, {"a": DASHBOARDS, "b": DECLARED}])
def test_group_without_a_setting_is_the_only_one_with_sessions(groups: Any) -> None:
    assert destination(from_dicts(GROUPS), PAYLOAD) == ("dashboards", "Night shift")
    with pytest.raises(NotConfigured, match=r"groups have the setting 'sessions': .*'grafana\.group'"):
        destination(from_dicts(groups), PAYLOAD)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("{a}", "1"),
        ("<{b.c}-{b.d}>", "<x-2.5>"),
        ("{a}{a}", "11"),
        ("é {b.c}", "é x"),
        ("{{{a}}}", "{1}"),
    ],
)
def test_template_is_filled_from_the_payload(text: str, filled: str) -> None:
    config = from_dicts(GROUPS, grafana={"event": text})
    assert destination(config, {"a": 1, "b": {"c": "x", "d": 2.5}}) == ("dashboards", filled)


@pytest.mark.parametrize("path", ["none", "a.b", "b", "b.none", "flag", "list"])
def test_template_without_a_value_names_the_field(path: str) -> None:
    config = from_dicts(GROUPS, grafana={"event": f"x {{{path}}}"})
    with pytest.raises(MissingValue) as missing:
        destination(config, {"a": 1, "b": {}, "flag": True, "list": ["x"]})
    assert missing.value.path == path


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("{event: '{dashboard.name'}", "grafana.event: '{dashboard.name' is not a template"),
        ("{event: '{}'}", "grafana.event: '{}' is not a template"),
        ("{event: 'a}'}", "grafana.event: 'a}' is not a template"),
        ("{event: '{a..b}'}", "grafana.event: '{a..b}' is not a template"),
        ("{event: ''}", "grafana.event: '' is empty"),
        ("{group: none}", "grafana.group: there is no group 'none'"),
        ("{group: web}", "grafana.group: group 'web' has no setting 'sessions'"),
        ("{dashboard: x}", "grafana.dashboard: is not known"),
        ("{event: a, event: b}", "grafana.event: is given twice"),
    ],
)
def test_invalid_section_is_rejected(config_file: Write, section: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        from_file(config_file(f"grafana: {section}\ngroups: {GROUPS}".replace("True", "true")))
    assert f"ecl.yml:1: {problem}" in str(refused.value)
