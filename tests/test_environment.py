"""Environment variables in configurations."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from event_count_logger import ConfigError
from event_count_logger.config import Config, History, from_dicts, from_file
from event_count_logger.config.export_settings import EXPORT
from event_count_logger.config.group_settings import FOR_ALL_GROUPS, GROUP, SESSIONS
from event_count_logger.config.model import GRAFANA, SERVE
from event_count_logger.config.redis_settings import REDIS, SENTINEL
from event_count_logger.config.rule_settings import TAIL_RULE, TAIL_SESSION, TAIL_TIME
from event_count_logger.config.settings import Table
from event_count_logger.config.tail_settings import TAIL as TAIL_ENTRY
from tests.fixtures import Run, Write
from tests.servers import Server

TAIL = """\
groups:
  http: {auto_declare_events: true, intervals: [1h]}
tail:
  - file: access.log
    group: http
    source: "${NODE_NAME}"
    rules:
      - {match: '^(?P<code>\\d+)$', events: ['status_{code}']}
"""


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NODE_NAME": "node-7", "SECRET": "hush5", "PORT": "6400", "EMPTY": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("UNSET", raising=False)


def title(written: str) -> str | None:
    return from_dicts({"web": {"intervals": ["1h"], "title": written}}).groups["web"].title


def problems(make: Callable[[], Config]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        make()
    return [str(problem) for problem in caught.value.problems]


def test_source_of_a_log_file_is_the_name_of_the_node(config_file: Write) -> None:
    (entry,) = from_file(config_file(TAIL)).tail
    assert entry.source_id == f"tail:node-7:{entry.file}"
    pattern = entry.rules[0].pattern
    assert pattern and pattern.pattern == r"^(?P<code>\d+)$"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("${NODE_NAME}", "node-7"),
        ("a ${NODE_NAME}:${PORT}", "a node-7:6400"),
        ("a${EMPTY}b", "ab"),
        ("$${NODE_NAME}", "${NODE_NAME}"),
        ("$$${NODE_NAME}", "$node-7"),
        ("$$5 and 6$", "$5 and 6$"),
        ("$NODE_NAME $", "$NODE_NAME $"),
    ],
)
def test_references_in_a_text_are_replaced(written: str, expected: str) -> None:
    assert title(written) == expected


def test_values_are_replaced_at_every_depth_and_keys_are_not(config_file: Write) -> None:
    text = """\
redis: {cluster: true, nodes: ["${NODE_NAME}:${PORT}"], password: "${SECRET}"}
groups:
  web:
    events: &events ["${NODE_NAME}", "a"]
    intervals: ["${PORT}s"]
    history: "${PORT}"
    spool: "${NO}"
    labels: {"${NODE_NAME}": "on ${NODE_NAME}", "a": "$$"}
  again: {intervals: [1h], events: *events}
other: {text: "${UNSET"}
"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO", "no")
        config = from_file(config_file(text))
    web = config.groups["web"]
    assert (web.events, web.history, web.spool) == (("node-7", "a"), History.of(6400), False)
    assert config.groups["again"].events == web.events
    assert (config.redis.nodes, config.redis.options) == ((("node-7", 6400),), {"password": "hush5"})
    assert (web.intervals[0].name, repr(web.intervals[0].name)) == ("6400s", "'6400s'")
    assert web.labels == {"${NODE_NAME}": "on node-7", "a": "$"}


def test_dollars_in_values_of_version_1_1_are_unchanged() -> None:
    groups = {"web": {"intervals": ["1h"], "events": ["a$$b", "${", "$${x"]}}
    config = from_dicts(groups, {"username": "me$$", "password": "pa$$w${ord$"})
    assert config.groups["web"].events == ("a$$b", "${", "$${x")
    assert config.redis.options == {"username": "me$$", "password": "pa$$w${ord$"}
    assert from_dicts({}, {"url": "redis://:a$$b@h"}).redis.url == "redis://:a$$b@h"


def test_credential_with_a_variable_has_escapes_too() -> None:
    assert from_dicts({}, {"password": "$$${SECRET}$${x}"}).redis.options["password"] == "$hush5${x}"


@pytest.mark.parametrize(
    ("old", "new", "place", "fault"),
    [
        (
            "NODE_NAME",
            "UNSET",
            "6: tail[0].source",
            "refers to environment variable UNSET, which is not set (write $${UNSET} for the text ${UNSET})",
        ),
        (
            "{NODE_NAME}",
            "{NODE-NAME}",
            "6: tail[0].source",
            "has a '${' without a name and a '}' (write $${ for the text ${)",
        ),
        ("NODE_NAME}", "NODE_NAME", "6: tail[0].source", "has a '${' without"),
        ("{NODE_NAME}", "{}", "6: tail[0].source", "has a '${' without"),
        ("group: http", "group: '${UNSET}'", "5: tail[0].group", "refers to environment variable UNSET"),
        ("[1h]", "['${UNSET}h']", "2: groups.http.intervals[0]", "refers to environment variable UNSET"),
        ("intervals", "sync-interval: '${UNSET}', intervals", "2: groups.http.sync-interval", "refers to"),
        ("NODE_NAME", "EMPTY", "6: tail[0].source", "'${EMPTY}' is empty"),
    ],
)
def test_reference_that_cannot_be_replaced_is_one_problem(
    old: str, new: str, place: str, fault: str, config_file: Write
) -> None:
    path = config_file(TAIL.replace(old, new))
    (problem,) = problems(lambda: from_file(path))
    assert problem.startswith(f"{path}:{place}: {fault}")


def test_unquoted_reference_in_flow_yaml_gets_a_hint(config_file: Write) -> None:
    path = config_file("groups: {web: {intervals: [1h], title: ${NODE_NAME}}}")
    (problem,) = problems(lambda: from_file(path))
    assert problem.endswith("but got '{' (quote text that contains '{', such as ${NAME})")


def test_unset_variable_in_dictionaries_is_a_problem_with_its_path() -> None:
    (problem,) = problems(lambda: from_dicts({"web": {"intervals": ["1h"], "title": "${UNSET}"}}))
    assert problem.startswith("groups.web.title: refers to environment variable UNSET, which is not set")


@pytest.mark.parametrize(
    "redis",
    [
        {"port": "${SECRET}"},
        {"db": "${SECRET}"},
        {"host": "a b${SECRET}"},
        {"socket_timeout": "${SECRET}"},
        {"url": "${SECRET}"},
        {"url": "redis://:${SECRET}@h:port"},
        {"url": "redis://:hush5${SECRET}"},
        {"cluster": True, "nodes": ["${SECRET}"]},
        {"cluster": True, "nodes": "${SECRET}"},
        {"password": "a${hush5}b"},
        {"url": "redis://:${hush5}@h"},
        {"password": "hush5${UNSET}"},
        {"sentinel": {"nodes": ["${SECRET}"], "service": "x", "password": "${hush5}"}},
    ],
)
def test_problem_shows_no_value_of_a_variable(redis: dict[str, Any]) -> None:
    found = problems(lambda: from_dicts({"web": {"intervals": ["1h"]}}, redis))
    assert found
    assert "hush5" not in str(found)


#: Values that some settings reject, or that are no name of a group or event.
SECRETS = [
    "TOPSECRET",
    "TOPSECRET{",
    "{TOPSECRET}",
    "@TOPSECRET",
    "@" + "TOPSECRET" * 10,
    "TOPSECRET%Q",
    "(TOPSECRET",
    "(?P<TOPSECRET!>x)",
    "(?P<TOPSECRET>x)",
    "TOPSECRET\nTOPSECRET",
    "redis://h/TOPSECRET",
    "redis://h?TOPSECRET=1",
    "redis://h?db=TOPSECRET",
    "redis://u:TOPSECRET@",
    "TOPSECRET:99999",
]

WEB: dict[str, Any] = {"intervals": ["1h"], "sessions": {}}
TIME = {"value": "{x}", "format": "%Y %j"}
ENTRY = {"file": "a.log", "group": "web", "rules": []}


def in_rule(key: str, value: object) -> dict[str, Any]:
    return {"tail": [{**ENTRY, "rules": [{"match": "x", "events": ["{missing}"], key: value}]}]}


#: For each table of settings, a configuration with one of them.
TABLES: dict[str, tuple[Table, Callable[[str, object], dict[str, Any]]]] = {
    "for all groups": (FOR_ALL_GROUPS, lambda key, value: {key: value}),
    "group": (GROUP, lambda key, value: {"groups": {"web": {**WEB, key: value}}}),
    "sessions": (SESSIONS, lambda key, value: {"groups": {"web": {**WEB, "sessions": {key: value}}}}),
    "serve": (SERVE, lambda key, value: {"serve": {key: value}}),
    "grafana": (GRAFANA, lambda key, value: {"grafana": {key: value}}),
    "redis": (REDIS, lambda key, value: {"redis": {key: value}}),
    "sentinel": (
        SENTINEL,
        lambda key, value: {"redis": {"sentinel": {"nodes": ["h:1"], "service": "s", key: value}}},
    ),
    "tail": (TAIL_ENTRY, lambda key, value: {"tail": [{**ENTRY, key: value}]}),
    "rule": (TAIL_RULE, in_rule),
    "session": (
        TAIL_SESSION,
        lambda key, value: in_rule("session", {"id": "{x}", "action": "end", key: value}),
    ),
    "time": (TAIL_TIME, lambda key, value: in_rule("time", {**TIME, key: value})),
    "export": (EXPORT, lambda key, value: {"export": {"url": "sqlite:///a.db", key: value}}),
}


@pytest.mark.parametrize("shape", [lambda text: text, lambda text: [text], lambda text: {"a": text}])
@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("table", TABLES)
def test_no_setting_shows_the_value_of_a_variable(
    table: str, secret: str, shape: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALUE", secret)
    settings, make = TABLES[table]
    for key in settings:
        for text in ("${VALUE}", "a${VALUE}b"):
            try:
                found = from_dicts(**{"groups": {"web": WEB}, **make(key, shape(text))}).warnings
            except ConfigError as error:
                found = tuple(error.problems)
            assert not re.search("TOPSECRET", str([str(each) for each in found]), re.IGNORECASE), key


@pytest.mark.parametrize(
    ("secret", "key", "written", "fault"),
    [
        ("TOPSECRET{", "events", ["${VALUE}"], "'${VALUE}' is not a template: the brace at character 10"),
        ("TOPSECRET", "events", ["@${VALUE}"], "'@${VALUE}' is not an event ID: it begins with '@'"),
        ("x", "events", ["${VALUE}{"], "'${VALUE}{' is not a template: the brace at character 2"),
        (
            "(TOPSECRET",
            "match",
            "${VALUE}",
            "'${VALUE}' is not a regular expression: error at character 1",
        ),
        (
            "(?P<TOPSECRET!>x)",
            "match",
            "${VALUE}",
            "'${VALUE}' is not a regular expression: error at character 5",
        ),
        ("TOPSECRET", "time", {**TIME, "zone": "${VALUE}"}, "'${VALUE}' is not a time zone"),
    ],
)
def test_problem_shows_text_with_a_variable_as_written(
    secret: str, key: str, written: object, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALUE", secret)
    tail = [{**ENTRY, "rules": [{"match": "(?P<x>)", key: written}]}]
    (problem, *_) = problems(lambda: from_dicts({"web": WEB}, tail=tail))
    assert fault in problem


def test_host_called_redis_is_no_secret_in_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "redis")
    (problem,) = problems(lambda: from_dicts({"web": WEB}, {"url": "redis://${HOST}:port"}))
    assert problem.endswith("is not an address of Redis (use redis://..., rediss://..., unix://...)")


def test_variable_that_is_not_a_number_is_shown_by_its_name() -> None:
    (problem,) = problems(lambda: from_dicts({"web": {"intervals": ["1h"], "history": "${SECRET}"}}))
    assert problem.startswith("groups.web.history: '${SECRET}' is not a length of time (use <number>")


def test_value_that_contains_itself_is_expanded_once(config_file: Write) -> None:
    path = config_file('groups: {web: {intervals: [1h], events: &all ["${NODE_NAME}", *all]}}')
    (problem,) = problems(lambda: from_file(path))
    assert "events[1]: ['${NODE_NAME}', [...]] is not a string" in problem


def test_commands_read_the_environment(run: Run, server: Server, config_file: Write) -> None:
    group = {"events": ["node-7"], "intervals": ["1h"]}
    file = config_file({"redis": {**server.config, "port": "${ECL_PORT}"}, "groups": {"web": group}})
    assert run("ecl", "log_event", file, "web", "node-7", ECL_PORT=str(server.port)).returncode == 0
    assert server.counts("web", "1h", "cur") == {"node-7": 1}
    refused = run("ecl", "check", file)
    place = f"{file}:1: redis.port: refers to environment variable ECL_PORT, which is not set"
    assert (refused.returncode, refused.stdout.startswith(place)) == (1, True)
