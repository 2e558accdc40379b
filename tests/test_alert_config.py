"""The sections `notify` and `alerts` of a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from event_count_logger.alerts import target_checks
from event_count_logger.config import Config, from_dicts, from_file
from event_count_logger.errors import ConfigError
from tests.fixtures import Write

GROUPS = {
    "web": {"events": ["ok", "error", "status_500"], "intervals": ["5m"], "history": 3},
    "two": {"events": ["ok"], "intervals": ["5m", "1h"]},
    "open": {"auto_declare_events": True, "intervals": ["5m"]},
    "none": {"events": ["ok"], "intervals": ["5m"], "history": 0},
    "buckets": {"events": ["disk:le:5"], "intervals": ["5m"]},
}
NOTIFY = {"ops": ["${OPS_URL}"], "script": {"command": ["bin/page", "-v"], "timeout": "5s"}}
ERROR = {"group": "web", "event": "error", "above": 100}


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_URL", "mailto://user:secret@example.org")
    monkeypatch.setenv("LIMIT", "0")


def with_rule(**rule: Any) -> Config:
    return from_dicts(GROUPS, notify=NOTIFY, alerts=[{"name": "n", **rule}])


def problems(**sections: Any) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        from_dicts(GROUPS, **sections)
    return list(map(str, raised.value.problems))


@pytest.mark.parametrize(
    "rule",
    [
        ERROR,
        {**ERROR, "for": 3, "notify": ["ops", "script"], "repeat": "12h", "severity": "warning"},
        {"group": "web", "event": ["status_*", "error"], "above": "5%", "of": "*"},
        {"group": "web", "event": "ok", "below": 1},
        {"group": "web", "event": "error", "above": "100%", "of": "ok"},
        {"group": "two", "event": "ok", "above": 1, "interval": "1h"},
        {"group": "two", "stale": True, "notify": "script", "repeat": "1h"},
        {"group": "none", "stale": True},
        {"group": "buckets", "event": "disk:le:5", "above": 1},
        {"group": "open", "event": "any", "above": 1},
        {"group": "web", "event": ["@lost", "@overflow", "@skipped"], "above": 0},
    ],
)
def test_rule_that_can_fire_has_no_problem(rule: dict[str, Any]) -> None:
    assert len(with_rule(**rule).alerts) == 1


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"group": "wbe"}, "group: 'wbe' is not a group (configured: web, two, open, none, buckets)"),
        ({"group": "web"}, "needs one of 'above', 'below' and 'stale: true', and has none"),
        ({**ERROR, "below": 1}, "'below' and 'stale: true', and has 'above' and 'below'"),
        ({"group": "web", "above": 1}, "event: is missing (for example event: error)"),
        (
            {**ERROR, "event": "eror"},
            "event: 'eror' is not a declared event of group 'web' (configured: error, ok, status_500)",
        ),
        (
            {**ERROR, "event": ["error", "code_*"]},
            "event[1]: 'code_*' matches no declared event of group 'web' (configured: ",
        ),
        ({**ERROR, "above": "5%", "of": "okay"}, "of: 'okay' is not a declared event of group 'web'"),
        ({**ERROR, "event": "@lots"}, "event[0]: '@lots' is not an event (configured: @lost, "),
        ({**ERROR, "interval": "1h"}, "interval: '1h' is not an interval of group 'web' (configured: 5m)"),
        (
            {"group": "two", "event": "ok", "above": 1},
            "interval: is missing: group 'two' has several intervals (configured: 5m, 1h)",
        ),
        ({**ERROR, "for": 4}, "for: 4 is more than the 3 intervals in the history of group 'web'"),
        (
            {"group": "none", "event": "ok", "above": 1},
            "group: group 'none' keeps no history of interval '5m', which rules need",
        ),
        ({**ERROR, "above": -1}, "above: -1 is not 0 or more: counts are never negative"),
        ({**ERROR, "above": "x"}, "above: 'x' is not a number of 0 or more, or a percentage (for ex"),
        ({"group": "web", "event": "ok", "below": 0}, "below: 0 is never reached: counts are never negative"),
        ({"group": "web", "event": "ok", "below": "${LIMIT}"}, "below: '${LIMIT}' is never reached: counts"),
        ({**ERROR, "above": "5%"}, "of: is missing: a percentage in 'above' needs the events that are 100 %"),
        ({**ERROR, "of": "ok"}, "of: has no effect without a percentage, such as 'above: 5%'"),
        (
            {**ERROR, "above": "100%", "of": ["ok", "error"]},
            "above: 100% is never exceeded: 'event' is a part of 'of'",
        ),
        ({"group": "web", "stale": True, "for": 2}, "for: has no effect with 'stale: true'"),
        ({**ERROR, "notify": "opps"}, "notify: 'opps' is not a target in 'notify' (configured: ops, script)"),
        (
            {**ERROR, "notify": ["json://u:hunter2@h"]},
            "notify[0]: is a URL, not the name of a target in 'notify' (configured: ops, script)",
        ),
        ({**ERROR, "above": float("nan")}, "above: nan is not a number of 0 or more, or a percentage"),
        ({**ERROR, "above": 10**400}, "is not a number of 0 or more, or a percentage"),
        ({**ERROR, "repeat": "1h"}, "repeat: has no effect without 'notify'"),
    ],
)  # fmt: skip
def test_rule_that_cannot_work_is_reported(rule: dict[str, Any], problem: str) -> None:
    (found,) = problems(notify=NOTIFY, alerts=[{"name": "n", **rule}])
    assert found.startswith("alerts[0]")
    assert problem in found


@pytest.mark.parametrize("limit", ["1234567", "2.5", "12.5%", "1000000000000"])
def test_limit_is_shown_with_all_digits(limit: str) -> None:
    given = limit if "%" in limit else float(limit)
    rule = {**ERROR, "above": given, **({"of": "*"} if "%" in limit else {})}
    assert str(with_rule(**rule).alerts[0].above) == limit


def test_targets_are_urls_or_a_command() -> None:
    config = with_rule(**ERROR)
    assert config.notify["ops"].urls == ("mailto://user:secret@example.org",)
    assert config.notify["script"].command == (str(Path.cwd() / "bin/page"), "-v")
    assert config.notify["script"].timeout_s == 5
    curl = ["curl", "-H", "A: 1", "-H", "B: 2"]
    assert from_dicts(GROUPS, notify={"x": {"command": curl}}).notify["x"].command == tuple(curl)
    assert from_dicts(GROUPS, notify={"x": {"command": ["page"]}}).notify["x"].command == ("page",)
    assert "secret" not in repr(config)


def test_problems_of_targets_show_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_URL", "secret")
    notify = {
        "env": "${OPS_URL}",
        "list": ["json://ok", "secret"],
        "map": {"urls": {"json://secret": 1}},
        "both": {"urls": "json://secret", "command": ["x"]},
        "typo": {"url": "json://secret"},
        "empty": [],
        "missing": ["${UNSET}", "json://user:pass${secret}@host"],
        7: "json://secret",
    }
    found = problems(notify=notify, alerts=[{"name": "n", **ERROR, "notify": "typo"}])
    assert [each.partition(": ")[0] for each in found] == [
        "notify.missing[0]", "notify.missing[1]",
        "notify.env", "notify.list[1]", "notify.map.urls", "notify.both", "notify.typo.url",
        "notify.empty", "notify[7]",
    ]  # fmt: skip
    assert "secret" not in "".join(found)


def test_program_is_relative_to_the_configuration(config_file: Write, tmp_path: Path) -> None:
    file = config_file({"groups": GROUPS, "notify": {"script": {"command": ["bin/page"]}}})
    assert from_file(file).notify["script"].command == (str(tmp_path / "bin/page"),)


def test_check_finds_unknown_urls_and_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    notify = {"ops": ["json://localhost", "nosuch://secret"], "script": {"command": ["/nowhere/page"]}}
    config = from_dicts(GROUPS, notify=notify)
    assert list(target_checks.problems(config)) == [
        "notify.script.command: there is no program '/nowhere/page'",
        "notify.ops.urls[1]: apprise does not know this URL",
    ]
    monkeypatch.setattr("event_count_logger.alerts.addresses.find_spec", lambda name: None)
    missing, _ = target_checks.problems(config)  # the first one, and that of the program
    assert missing.startswith("section 'notify' has URLs, which need apprise: install the extra 'alert'")
