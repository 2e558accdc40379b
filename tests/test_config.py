"""Configurations in files and dictionaries: problems, values and defaults."""

from __future__ import annotations

import copy
import logging
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from event_count_logger import ConfigError, EventCountLogger
from event_count_logger.config import Config, History, RedisConfig, SessionsConfig, from_dicts, from_file
from tests.fixtures import Write

KNOWN_GROUP_KEYS = (
    "intervals, events, auto_declare_events, sync_interval, sync_limit, max_events, history, totals, "
    "expire_after, layout, hidden, title, unit, labels, shards, sessions, spool, spool_dir, durability, "
    "source_ttl"
)
YAML_BOOLEANS = "YAML reads on, off, yes and no as true and false; put it in quotes"
YAML_MAPPING = "YAML reads 'a: b' as a mapping; put it in quotes"
NOT_YAML = "is not valid YAML:"
QUOTE = "(quote text that begins with '&', '*' or '!')"
SECTIONS = "is not a mapping with the sections 'groups' and 'redis'"
NOT_AN_INTERVAL = "is not an interval (use <number><s|m|h|d|w>, for example 5m)"
ADDRESSES = "(use redis://..., rediss://..., unix://...)"


def web(settings: str) -> str:
    """Returns a file with `settings` of a group, from line 4 on."""
    return f"groups:\n  web:\n    intervals: [5m]\n    {settings}\n"


def redis(settings: str) -> str:
    """Returns a file with `settings` of Redis, from line 2 on."""
    return f"redis:\n  {settings}\ngroups: {{web: {{intervals: [5m]}}}}\n"


def intervals(written: str) -> str:
    return f"groups:\n  web:\n    intervals: {written}\n"


def problems(path: Path) -> list[str]:
    """Returns the problems of a file, without the path of its directory."""
    with pytest.raises(ConfigError) as caught:
        from_file(path)
    return [str(problem).removeprefix(f"{path.parent}/") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            intervals("[5m, 5x]"),
            f"3: groups.web.intervals[1]: '5x' {NOT_AN_INTERVAL}",
        ),
        (
            intervals("[300]"),
            f"3: groups.web.intervals[0]: 300 {NOT_AN_INTERVAL}",
        ),
        (
            intervals("[0.05s]"),
            "3: groups.web.intervals[0]: '0.05s' is not an interval from 0.1s to 100000h",
        ),
        (
            intervals("[1.0005s]"),
            "3: groups.web.intervals[0]: '1.0005s' is not a whole number of milliseconds",
        ),
        (intervals("[1h, 60s, 1M]"), "3: groups.web.intervals[2]: '1M' is as long as '60s'"),
        (intervals("[24h, 1d]"), "3: groups.web.intervals[1]: '1d' is as long as '24h'"),
        (
            intervals("[]"),
            "3: groups.web.intervals: is empty: a group needs at least one interval, for example [5m]",
        ),
        (intervals("5m"), "3: groups.web.intervals: '5m' is not a list (write [5m] for a single one)"),
        (
            "groups:\n  web:\n    events: [a]\n",
            "2: groups.web.intervals: is missing (for example intervals: [5m])",
        ),
        ("groups:\n  web:\n", "2: groups.web: an empty value is not a mapping of settings"),
        ("groups: [web]\n", "1: groups: ['web'] is not a mapping of group names to groups"),
        (
            "groups:\n  my web: {intervals: [5m]}\n",
            "2: groups.my web: 'my web' is not a group name (use letters, digits, '_', '-' and '.')",
        ),
        (web("events: abc"), "4: groups.web.events: 'abc' is not a list (write [abc] for a single one)"),
        (
            web("events: ['@ts']"),
            "4: groups.web.events[0]: '@ts' is not an event ID: it begins with '@', which is reserved",
        ),
        (web("events: [a, '']"), "4: groups.web.events[1]: '' is not an event ID: it is empty"),
        (
            web('events: ["a\\tb"]'),
            "4: groups.web.events[0]: 'a\\tb' is not an event ID: it contains control characters",
        ),
        (
            web(f"events: [{'é' * 257}]"),
            f"4: groups.web.events[0]: '{'é' * 27}...{'é' * 28}' is not an event ID: it has 514 bytes in "
            "UTF-8, more than 512",
        ),
        (web("event: [a]"), "4: groups.web.event: is not known (did you mean 'events'?)"),
        (
            web("sync-intervall: 1"),
            "4: groups.web.sync_intervall: is not known (did you mean 'sync_interval'?)",
        ),
        (web("sync_interval: 5s"), "4: groups.web.sync_interval: '5s' is not a number of seconds, 0 or more"),
        (
            web("sync_interval: .inf"),
            "4: groups.web.sync_interval: inf is not a number of seconds, 0 or more",
        ),
        (web("sync_interval: -1"), "4: groups.web.sync_interval: -1 is not a number of seconds, 0 or more"),
        (
            web("sync_interval: off"),
            "4: groups.web.sync_interval: false is not a number of seconds, 0 or more",
        ),
        (
            web("sync_interval: 0\n    sync_limit: 10"),
            "5: groups.web.sync_limit: is given beside 'sync_interval: 0', with which every count is sent at "
            "once; remove one of them",
        ),
        (web("sync_limit: 0"), "4: groups.web.sync_limit: 0 is not a whole number above 0"),
        (web("sync_limit: 1.5"), "4: groups.web.sync_limit: 1.5 is not a whole number above 0"),
        (
            web("auto_declare_events: maybe"),
            "4: groups.web.auto_declare_events: 'maybe' is not true or false",
        ),
        (
            web("events: [a, b, c]\n    max_events: 2"),
            "5: groups.web.max_events: 2 is too few for 3 declared events",
        ),
        (web("title: ''"), "4: groups.web.title: '' is empty"),
        (web("title: '  '"), "4: groups.web.title: '  ' is empty"),
        (web("unit: ''"), "4: groups.web.unit: '' is empty"),
        (web("labels: {a: ''}"), "4: groups.web.labels[a]: '' is empty"),
        (
            web("expire_after: 99999999999999h"),
            "4: groups.web.expire_after: '99999999999999h' is not a length of time above 0 and up to 277777h",
        ),
        (
            web("expire_after: 72"),
            "4: groups.web.expire_after: 72 is not a length of time (use <number><s|m|h|d|w|y>, for "
            "example 72h)",
        ),
        (
            web("history: 1000000000"),
            "4: groups.web.history: 1000000000 is not a whole number from 0 to 100000, "
            "a length of time, or a mapping of intervals to these",
        ),
        (
            web("history: {5m: -1}"),
            "4: groups.web.history[5m]: -1 is not a whole number from 0 to 100000, or a length of time "
            "(for example 7d)",
        ),
        (
            web("history: 1 week"),
            "4: groups.web.history: '1 week' is not a length of time (use <number><s|m|h|d|w|y>, for "
            "example 1w)",
        ),
        (web("history: 3y"), "4: groups.web.history: '3y' has 315,360 intervals of '5m', more than 100,000"),
        (
            web("history: {5m: 3y}"),
            "4: groups.web.history[5m]: '3y' has 315,360 intervals of '5m', more than 100,000",
        ),
        (
            web("history: {1h: 3y}"),
            "4: groups.web.history[1h]: is not an interval of the group (configured: 5m)",
        ),
        (web("sessions: [a]"), "4: groups.web.sessions: is not a mapping of settings"),
        (
            web("sessions:\n      timeout: 900"),
            "5: groups.web.sessions[timeout]: 900 is not a length of time (use <number><s|m|h|d|w|y>, for "
            "example 72h)",
        ),
        (
            web("sessions:\n      expire_after: 0"),
            "5: groups.web.sessions[expire_after]: 0 is not a length of time (use <number><s|m|h|d|w|y>, for "
            "example 72h)",
        ),
        (
            web("sessions:\n      max_sessions: -1"),
            "5: groups.web.sessions[max_sessions]: -1 is not a whole number, 0 or more",
        ),
        (
            web("sessions:\n      timout: 15m"),
            "5: groups.web.sessions[timout]: is not known (did you mean 'timeout'?)",
        ),
        (
            web("sessions:\n      ttl: 15m"),
            "5: groups.web.sessions[ttl]: is not known (known here: timeout, expire_after, max_sessions)",
        ),
        (
            web(f"events: [{'x' * 510}]\n    sessions:"),
            f"4: groups.web.events: '{'x' * 27}...{'x' * 28}' is not an event of sessions: it leaves no room "
            "for ':ms', with which it has 513 bytes in UTF-8, more than 512",
        ),
        (redis("port: 65536"), "2: redis.port: 65536 is not a TCP port (1 to 65535)"),
        (redis("db: -1"), "2: redis.db: -1 is not the number of a database (0 or more)"),
        (redis("hots: a"), "2: redis.hots: is not known (did you mean 'host'?)"),
        (redis("socket_timeout: 0"), "2: redis.socket_timeout: 0 is not a number of seconds above 0"),
        (redis("url: 'http://a'"), f"2: redis.url: 'http://a' is not an address of Redis {ADDRESSES}"),
        (
            redis("host: a\n  embedded: b"),
            "2: redis.host: is given beside 'embedded': only one of them can be the address of Redis",
        ),
        ("groups: {web: {intervals: [5m]}}\nredis: [a]\n", "2: redis: is not a mapping of settings"),
        (
            "groups: {web: {intervals: [5m]}}\nreddis: {host: a}\n",
            "2: reddis: is not known (did you mean 'redis'?)",
        ),
    ],
)
def test_problem_has_line_path_and_expectation(config_file: Write, text: str, expected: str) -> None:
    assert problems(config_file(text)) == [f"ecl.yml:{expected}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (web("events: [on, ok]"), f"4: groups.web.events[0]: true is not a string: {YAML_BOOLEANS}"),
        (web("events: [ok, No]"), f"4: groups.web.events[1]: false is not a string: {YAML_BOOLEANS}"),
        (web("events: [404]"), "4: groups.web.events[0]: 404 is not a string: put it in quotes, '404'"),
        (web("events: [1.5]"), "4: groups.web.events[0]: 1.5 is not a string: put it in quotes, '1.5'"),
        (web("events: [ok, ~]"), "4: groups.web.events[1]: an empty value is not a string"),
        (
            web("events:\n      - a: b"),
            f"5: groups.web.events[0]: {{'a': 'b'}} is not a string: {YAML_MAPPING}",
        ),
        (web("events: [a: b]"), f"4: groups.web.events[0]: {{'a': 'b'}} is not a string: {YAML_MAPPING}"),
        (web("sync_limit: 1\n    sync_limit: 2"), "5: groups.web.sync_limit: is given twice"),
        ("groups:\n  a: {intervals: [5m]}\n  a: {intervals: [1h]}\n", "3: groups.a: is given twice"),
        (redis("host: a\n  host: b"), "3: redis.host: is given twice"),
        ("redis: {}\ngroups: {}\nredis: {}\n", "3: redis: is given twice"),
        ("groups: {}\ndurability: replicas\ndurability: memory\n", "3: durability: is given twice"),
        (web("labels: {a: b,\n      a: c}"), "5: groups.web.labels[a]: is given twice"),
        (
            "groups: {}\ntail:\n  - rules: []\n    file: a\n    file: b\n",
            "5: tail[0].file: is given twice",
        ),
        ("groups:\n  4: {intervals: [5m]}\n", "2: groups.4: 4 is not a string: put it in quotes, '4'"),
        (redis("port: on"), "2: redis.port: true is not a TCP port (1 to 65535)"),
        (redis("password: on"), "2: redis.password: is not a string: put it in quotes"),
        ("groups:\n\tweb: {}\n", f"2: {NOT_YAML} found character '\\t' that cannot start any token"),
        ("groups: *web\n", f"1: {NOT_YAML} found undefined alias {QUOTE}"),
        ("groups: {web: {intervals: [5m}\n", f"1: {NOT_YAML} expected ',' or ']', but got '}}'"),
        ("groups:\n  web: a: b\n", f"2: {NOT_YAML} mapping values are not allowed here"),
        ("groups: {}\n---\ngroups: {}\n", f"2: {NOT_YAML} but found another document"),
        ("groups:\n  [a, b]: {}\n", f"2: {NOT_YAML} found unhashable key"),
        (
            "groups: !!python/object/apply:os.abort []\n",
            f"1: {NOT_YAML} could not determine a constructor for the tag {QUOTE}",
        ),
        ("- groups\n", f"1: ['groups'] {SECTIONS}"),
        ("groups\n", f"1: 'groups' {SECTIONS}"),
    ],
)
def test_yaml_trap_is_explained(config_file: Write, text: str, expected: str) -> None:
    assert problems(config_file(text)) == [f"ecl.yml:{expected}"]


@pytest.mark.parametrize("written", ["1:30", "0x1F", "017", "1_000"])
def test_event_that_yaml_reads_as_a_number_is_rejected(config_file: Write, written: str) -> None:
    (problem,) = problems(config_file(web(f"events: [ok, {written}]")))
    assert problem.startswith("ecl.yml:4: groups.web.events[1]: ")
    assert "is not a string: put it in quotes" in problem


def test_all_problems_of_a_file_are_listed_in_line_order(config_file: Write) -> None:
    text = """\
redis:
  port: 0
  db: x
groups:
  web:
    events: [ok, 404, on]
    intervals: [5m, 5x]
    sync_limit: 0
  api:
    colour: red
    evnts: [a]
"""
    assert problems(config_file(text)) == [
        "ecl.yml:2: redis.port: 0 is not a TCP port (1 to 65535)",
        "ecl.yml:3: redis.db: 'x' is not the number of a database (0 or more)",
        "ecl.yml:6: groups.web.events[1]: 404 is not a string: put it in quotes, '404'",
        f"ecl.yml:6: groups.web.events[2]: true is not a string: {YAML_BOOLEANS}",
        f"ecl.yml:7: groups.web.intervals[1]: '5x' {NOT_AN_INTERVAL}",
        "ecl.yml:8: groups.web.sync_limit: 0 is not a whole number above 0",
        "ecl.yml:9: groups.api.intervals: is missing (for example intervals: [5m])",
        f"ecl.yml:10: groups.api.colour: is not known (known here: {KNOWN_GROUP_KEYS})",
        "ecl.yml:11: groups.api.evnts: is not known (did you mean 'events'?)",
    ]


def test_problem_has_file_line_and_path_as_attributes(config_file: Write) -> None:
    path = config_file(intervals("[5x]"))
    with pytest.raises(ConfigError) as caught:
        from_file(path)
    assert isinstance(caught.value, ValueError)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.path) == (str(path), 3, "groups.web.intervals[0]")
    assert problem.fatal


def test_problem_of_a_dictionary_has_a_path_and_no_line() -> None:
    with pytest.raises(ConfigError) as caught:
        from_dicts({"web": {"intervals": ["5m"], "events": [404]}}, {"port": "x"})
    assert [str(problem) for problem in caught.value.problems] == [
        "groups.web.events[0]: 404 is not a string: put it in quotes, '404'",
        "redis.port: 'x' is not a TCP port (1 to 65535)",
    ]


def test_problem_behind_an_alias_has_the_line_of_its_cause(config_file: Write) -> None:
    text = "defaults: &defaults\n  intervals: [5x]\ngroups:\n  web:\n    <<: *defaults\n    events: [ok]\n"
    (problem,) = problems(config_file(text))
    assert problem.startswith("ecl.yml:2: groups.web.intervals[0]: '5x' is not an interval")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "redis: {host: a}\n", "groups:\n", "groups: {}\n"])
def test_file_without_groups_is_a_warning(config_file: Write, text: str) -> None:
    config = from_file(config_file(text))
    assert config.groups == {}
    assert [warning.message for warning in config.warnings] == ["is empty: there is nothing to count"]


def test_missing_file_is_a_problem(tmp_path: Path) -> None:
    assert problems(tmp_path / "ecl.yml") == ["ecl.yml: cannot be read: No such file or directory"]


def test_directory_instead_of_a_file_is_a_problem(tmp_path: Path) -> None:
    assert problems(tmp_path) == [f"{tmp_path.name}: cannot be read: Is a directory"]


@pytest.mark.parametrize("content", [bytes(range(256)), b"\x7fELF\x02\x01\x01\0\0", b"groups: \xff\xfe\n"])
def test_binary_file_is_not_yaml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ecl.yml"
    path.write_bytes(content)
    (problem,) = problems(path)
    assert problem.startswith(f"ecl.yml: {NOT_YAML} ")
    assert "\n" not in problem


def test_file_nested_too_deeply_is_a_problem(config_file: Write) -> None:
    assert problems(config_file("[" * 5000)) == ["ecl.yml: is not usable YAML: nested too deeply"]


def test_rules_nested_too_deeply_are_a_problem(config_file: Write) -> None:
    rules = "{rules: [" * 250 + "]}" * 250
    groups = "groups: {g: {intervals: [5m]}}\n"
    (problem,) = problems(config_file(f"{groups}tail: [{{file: a.log, group: g, rules: [{rules}]}}]\n"))
    assert problem.endswith("nested too deeply")


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_file_with_bom_or_crlf_is_read(tmp_path: Path, prefix: bytes, end: bytes) -> None:
    path = tmp_path / "ecl.yml"
    path.write_bytes(prefix + web("events: [ok]").encode().replace(b"\n", end))
    assert from_file(path).groups["web"].events == ("ok",)


def test_file_with_all_sections_is_read(config_file: Write) -> None:
    text = """\
logging: {level: [any, thing], groups: {}}
common: &common
  intervals: [5m, 1.5H]
  sync_interval: 0.5
redis: {host: redis.example, port: "6380", db: 3, socket_timeout: 2}
groups:
  web:
    <<: *common
    events: [ok, "404", 'a:b', ok]
  dns-queries:
    intervals: [10s]
    auto_declare_events: yes
    sync_limit: 10
    max_events: 20
"""
    config = from_file(config_file(text))
    web, dns = config.groups.values()
    assert config.warnings == ()
    assert config.redis.location == "redis.example:6380/3"
    assert (config.redis.socket_timeout, config.redis.socket_connect_timeout) == (2.0, 2.0)
    assert (web.name, web.events, web.sync_interval) == ("web", ("ok", "404", "a:b"), 0.5)
    assert [(each.name, each.length_s) for each in web.intervals] == [("5m", 300), ("1.5H", 5400)]
    assert (dns.name, dns.events, dns.auto_declare_events) == ("dns-queries", (), True)
    assert (dns.sync_limit, dns.max_events, dns.direct) == (10, 20, False)


def test_embedded_directory_is_relative_to_the_file(
    config_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config_file(redis("embedded: data"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert from_file(f"../{path.name}").redis.embedded == tmp_path / "data"


# Dictionaries, as in version 1.1


@pytest.mark.parametrize(
    "events",
    [
        ["a", "b"],
        ("a", "b"),
        {"a": 1, "b": 2}.keys(),
        (each for each in "ab"),
        {"a", "b"},
        frozenset("ab"),
    ],
    ids=lambda events: type(events).__name__,
)
def test_events_may_come_in_any_collection(events: Any) -> None:
    config = from_dicts({"web": {"events": events, "intervals": ["5m"]}})
    assert set(config.groups["web"].events) == {"a", "b"}


@pytest.mark.parametrize("written", [["5m", "1h"], ("5m", "1h"), {"5m": 1, "1h": 2}.keys()])
def test_intervals_may_come_in_any_collection(written: Any) -> None:
    group = from_dicts({"web": {"intervals": written}}).groups["web"]
    assert [interval.name for interval in group.intervals] == ["5m", "1h"]


@pytest.mark.parametrize("mapping", [dict, OrderedDict, MappingProxyType])
def test_settings_may_come_in_any_mapping(mapping: Any) -> None:
    groups = mapping({"web": mapping({"events": ["a"], "intervals": ["5m"]})})
    config = from_dicts(groups, mapping({"host": "h"}))
    assert config.groups["web"].events == ("a",)
    assert config.redis.host == "h"


def test_hyphen_in_a_setting_means_underscore() -> None:
    settings = {
        "intervals": ["5m"],
        "auto-declare-events": True,
        "sync-interval": 2,
        "sync-limit": 3,
        "max-events": 4,
    }
    config = from_dicts({"my-group": settings}, {"socket-timeout": 5})
    group = config.groups["my-group"]
    assert group.auto_declare_events
    assert (group.sync_interval, group.sync_limit, group.max_events) == (2.0, 3, 4)
    assert config.redis.socket_timeout == 5


@pytest.mark.parametrize("written", [0, 0.0, -0.0, "0", "0s"])
def test_sync_interval_of_zero_is_at_once_and_not_direct(written: object) -> None:
    group = from_dicts({"web": {"intervals": ["5m"], "sync_interval": written}}).groups["web"]
    assert (group.sync_interval, group.at_once, group.direct) == (0.0, True, False)


@pytest.mark.parametrize(
    ("settings", "direct"), [({}, True), ({"sync_interval": 0.5}, False), ({"sync_limit": 10}, False)]
)
def test_group_without_sync_interval_of_zero_is_not_at_once(settings: dict[str, Any], direct: bool) -> None:
    group = from_dicts({"web": {"intervals": ["5m"], **settings}}).groups["web"]
    assert (group.at_once, group.direct) == (False, direct)


@pytest.mark.parametrize(
    ("given", "location"),
    [
        (None, "localhost:6379/0"),
        ({}, "localhost:6379/0"),
        ({"host": "h", "port": "6380", "db": "1"}, "h:6380/1"),
        ({"host": None, "port": None, "db": None, "password": None}, "localhost:6379/0"),
        ({"url": "redis://h:1/2", "host": None}, "redis://h:1/2"),
        ({"decode_responses": True, "retry_on_timeout": True, "encoding": "latin-1"}, "localhost:6379/0"),
    ],
)
def test_redis_settings_of_any_form_are_accepted(given: dict[str, Any] | None, location: str) -> None:
    config = from_dicts({"web": {"intervals": ["5m"]}}, given)
    assert config.redis.location == location
    assert config.warnings == ()


@pytest.mark.parametrize(
    "name", ["events", "auto_declare_events", "sync_interval", "sync_limit", "max_events"]
)
def test_none_means_the_default(name: str) -> None:
    assert (
        from_dicts({"web": {"intervals": ["5m"], name: None}}).groups
        == from_dicts({"web": {"intervals": ["5m"]}}).groups
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("sessions:", SessionsConfig(900, 72 * 3600, 100_000)),
        ("sessions: {}", SessionsConfig(900, 72 * 3600, 100_000)),
        ("sessions: {timeout: 0, max-sessions: 0, expire_after: 1.5h}", SessionsConfig(0, 5400, 0)),
        ("sync_limit: 2", None),
    ],
)
def test_sessions_have_defaults_and_settings(
    config_file: Write, written: str, expected: SessionsConfig | None
) -> None:
    config = from_file(config_file(web(written)))
    assert config.group("web").sessions == expected
    assert config.warnings == ()


def test_declared_event_of_sessions_has_an_event_for_its_time() -> None:
    group = {"intervals": ["5m"], "events": ["b", "a", "a:ms"], "sessions": {}, "labels": {"b:ms": "Time"}}
    config = from_dicts({"web": group})
    assert config.group("web").events == ("b", "a", "a:ms", "b:ms")
    assert config.warnings == ()


def test_session_expiry_shorter_than_its_timeout_is_a_warning(config_file: Write) -> None:
    path = config_file(web("sessions:\n      timeout: 2m\n      expire_after: 60s"))
    (warning,) = from_file(path).warnings
    assert str(warning) == (
        f"{path}:6: groups.web.sessions[expire_after]: 60 s is less than the timeout of 120 s: a new session "
        "begins before a gap can count in full"
    )


def test_unknown_key_of_a_group_is_a_warning() -> None:
    config = from_dicts({"web": {"intervals": ["5m"], "description": "visits", 7: None}})
    assert [str(warning) for warning in config.warnings] == [
        f"groups.web.description: is not known (known here: {KNOWN_GROUP_KEYS})",
        f"groups.web.7: is not known (known here: {KNOWN_GROUP_KEYS})",
    ]
    assert list(config.groups) == ["web"]


def test_label_of_an_undeclared_event_is_a_warning() -> None:
    group = {"intervals": ["5m"], "events": ["error"], "labels": {"eror": "Errors", "x": "X", "error": "E"}}
    assert [str(warning) for warning in from_dicts({"web": group}).warnings] == [
        "groups.web.labels[eror]: is not a declared event (did you mean 'error'?)",
        "groups.web.labels[x]: is not a declared event",
    ]
    assert from_dicts({"web": {**group, "auto_declare_events": True}}).warnings == ()


def test_group_is_split_into_shards() -> None:
    config = from_dicts(
        {"web": {"intervals": ["5m"], "shards": 3}, "one": {"intervals": ["5m"], "shards": 1}}
    )
    (warning,) = config.warnings
    assert str(warning) == (
        "groups.web.shards: 3 shards have no effect without a cluster, whose nodes they are spread over"
    )
    web, one = config.groups.values()
    assert [shard.prefix for shard in web.shards] == ["{web#0}", "{web#1}", "{web#2}"]
    assert [shard.label for shard in web.shards] == ["web#0", "web#1", "web#2"]
    assert {web.shard_of(f"source {number}") for number in range(30)} == set(web.shards)
    assert web.shard_of("source") == web.shard_of("source")
    assert one.shards == (one,)
    assert one.shard_of("source") is one


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("shards: 0", "4: groups.web.shards: 0 is not a whole number from 1 to 1024"),
        ("shards: 1025", "4: groups.web.shards: 1025 is not a whole number from 1 to 1024"),
        ("shards: 2.5", "4: groups.web.shards: 2.5 is not a whole number from 1 to 1024"),
        (
            "{shards: 2, sessions: {}}",
            "4: groups.web.shards: is given beside 'sessions', which need all counts in one place",
        ),
        (
            "{shards: 2, history: 1}",
            "4: groups.web.history: 1 is too few for interval '5m': with 'shards', counts are added up from "
            "the history, which must have 2 finished intervals or more",
        ),
    ],
)
def test_shards_that_cannot_work_are_rejected(config_file: Write, settings: str, expected: str) -> None:
    lines = "\n    ".join(settings.strip("{}").split(", "))
    found = [line for line in problems(config_file(web(lines))) if "no effect" not in line]
    assert [line.partition(" ")[2] for line in found] == [expected.partition(" ")[2]]


def test_longest_history_and_expiry_are_accepted() -> None:
    settings = {"intervals": ["5m"], "history": 100_000, "expire_after": "277777h"}
    group = from_dicts({"web": settings}).group("web")
    assert (group.history, group.expire_after) == (History.of(100_000), 277_777 * 3600)


def test_warnings_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    EventCountLogger({"web": {"intervals": ["5m"], "description": "visits"}})
    assert caplog.messages == [
        f"Configuration: groups.web.description: is not known (known here: {KNOWN_GROUP_KEYS})"
    ]


def test_dictionaries_are_not_changed() -> None:
    groups = {"web": {"sync-interval": 1, "intervals": ["5m"], "extra": 1, "events": None}}
    redis = {"port": "1", "password": "x", "host": None}
    before = copy.deepcopy((groups, redis))
    from_dicts(groups, redis)
    assert (groups, redis) == before


def test_configuration_is_immutable() -> None:
    config = from_dicts({"web": {"intervals": ["5m"]}})
    with pytest.raises(AttributeError):
        config.redis.port = 1  # type: ignore[misc]
    with pytest.raises(AttributeError):
        config.groups["web"].sync_limit = 1  # type: ignore[misc]


# Passwords

SECRET = "hush5"


@pytest.mark.parametrize(
    ("given", "location"),
    [
        ({"password": SECRET}, "localhost:6379/0"),
        ({"username": "me", "password": SECRET}, "localhost:6379/0"),
        ({"url": f"redis://:{SECRET}@h:1/2"}, "redis://***@h:1/2"),
        ({"url": f"rediss://me:{SECRET}@h"}, "rediss://***@h"),
        ({"url": f"unix://me:{SECRET}@/run/redis.sock"}, "unix://***@/run/redis.sock"),
    ],
)
def test_password_is_not_in_dumped_configuration_or_log(
    given: dict[str, Any], location: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.DEBUG),
        EventCountLogger({"web": {"intervals": ["5m"]}}, given, "DEBUG") as ecl,
    ):
        assert ecl.config.redis.location == location
        assert location in ecl.dump_config()
        assert SECRET not in ecl.dump_config() + caplog.text


@pytest.mark.parametrize(
    "given",
    [
        {"password": [SECRET]},
        {"password": SECRET, "port": "x"},
        {"pasword": SECRET},
        {"passwd": SECRET},
        {"username": [SECRET]},
        {"url": f"redis://me:{SECRET}@h:port"},
        {"url": f"http://me:{SECRET}@h"},
        {"url": f"redis://me:{SECRET}@[::1"},
        {"url": f"redis://me:{SECRET}@h", "host": "h"},
    ],
)
def test_password_is_not_in_messages(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dicts({"web": {"intervals": ["5m"]}}, given)
    assert SECRET not in f"{caught.value} {caught.value.problems!r}"


def test_password_is_not_in_the_repr_of_a_configuration(config: Callable[..., Config]) -> None:
    assert SECRET not in repr(config({}, {"password": SECRET}))
    assert SECRET not in repr(RedisConfig(options={"password": SECRET}))


MORE_REDIS_PROBLEMS = {
    "{url: 'redis://h', db: 3}": "redis.db: is given beside 'url': write it into the address",
    "{url: 'redis://h/abc'}": "redis.url: '/abc' in the address is not the number of a database",
    "{url: 'redis://h?foo=bar'}": "redis.url: 'foo' cannot stand in the address",
    "{url: 'redis://h?socket_timeout=1'}": "redis.url: 'socket_timeout' cannot stand in the address",
    "{url: 'unix:///s?db=x'}": "redis.url: 'db' in the address: 'x' is not the number of a database",
    "{url: 'redis:/h'}": "redis.url: 'redis:/h' is not an address of Redis",
    "{url: 'REDIS://h'}": "redis.url: 'REDIS://h' is not an address of Redis",
    "{url: 'redis://h', port: 1}": "redis.port: is given beside 'url'",
    "{url: 'redis://h?ssl_ca_certs=ca.pem'}": "redis.url: 'ssl_ca_certs' cannot stand in the address",
    "{url: 'rediss://h?ssl_colour=red'}": "redis.url: 'ssl_colour' cannot stand in the address",
    '{ssl_ca_certs: "a\\0b", ssl: true}': "redis.ssl_ca_certs: 'a\\x00b' contains a NUL",
    '{host: "a\\0b"}': "redis.host: 'a\\x00b' contains a NUL",
    "{embedded: 'redis://h'}": "redis.embedded: is not a directory (an address with :// goes into 'url')",
    "{hots:h}": "redis.hots: is not known (did you mean 'host'?; a setting and its value need a blank",
    "{host: 'a b'}": "redis.host: is not the name of a host",
    "{socket_timeout: 1.0e+30}": "redis.socket_timeout: 1e+30 is not a number of seconds above 0",
    "{socket_keepalive_options: {a: b}}": "redis.socket_keepalive_options: {'a': 'b'} is not a mapping",
    "{socket-timeout: 1, socket_timeout: 2}": "redis.socket_timeout: is given twice, also as",
}


@pytest.mark.parametrize("redis", MORE_REDIS_PROBLEMS)
def test_invalid_or_repeated_address_of_redis_is_rejected(redis: str, config_file: Write) -> None:
    (problem,) = problems(config_file(f"groups: {{web: {{intervals: [5m]}}}}\nredis: {redis}\n"))
    assert problem.startswith(f"ecl.yml:2: {MORE_REDIS_PROBLEMS[redis]}")


@pytest.mark.parametrize(
    "section", ["source: {a: 1}", "spooler: [1]", "durable: {}", "server: {}", "tails: x"]
)
def test_foreign_section_that_resembles_a_setting_is_accepted(section: str, config_file: Write) -> None:
    assert from_file(config_file(f"groups: {{web: {{intervals: [5m]}}}}\n{section}\n")).groups


def test_slip_in_a_setting_for_all_groups_is_an_error(config_file: Write) -> None:
    (problem,) = problems(config_file("groups: {web: {intervals: [5m]}}\ndurabilty: replicas\n"))
    assert problem == "ecl.yml:2: durabilty: is not known (did you mean 'durability'?)"


SECRET_PLACES = [
    "'redis://:hunter2@h'",
    "[{password: hunter2}]",
    "{url: 'u:hunter2@h:6379'}",
    "{url: 'redis://:hunter2@h', port: 1}",
    "{url: [redis://:hunter2@h]}",
    "{url: 'redis://:hunter2?x@h:99999'}",
    "{host: 'redis://:hunter2@h'}",
    "{password: [hunter2]}",
    "{password:hunter2}",
    "{password: *hunter2}",
    "{password: !hunter2 x}",
    "{password: !hunter2!x y}",
    "{password: &hunter2 x, username: &hunter2 y}",
    "{url: 'redis://me:hunter2'}",
    "{url: 'redis://:hunter2:6379/0'}",
    "{embedded: 'redis://:hunter2@h'}",
    "{db: 'redis://:hunter2@h'}",
    "{cluster: true, nodes: ['me:hunter2@h:6379']}",
    "{cluster: true, nodes: 'redis://:hunter2@h:6379'}",
    "{sentinel: {nodes: ['redis://:hunter2@h:26379'], service: ecl}}",
    "{sentinel: {nodes: ['h:26379'], service: ecl, password:hunter2}}",
]


@pytest.mark.parametrize("redis", SECRET_PLACES)
def test_problem_does_not_show_a_misplaced_password(redis: str, config_file: Write) -> None:
    found = problems(config_file(f"groups: {{web: {{intervals: [5m]}}}}\nredis: {redis}\n"))
    assert found
    assert "hunter2" not in str(found)


def test_password_in_a_url_is_not_printed() -> None:
    redis = from_dicts({}, {"url": "redis://user:hunter2@h:1"}).redis
    assert "hunter2" not in f"{redis!r} {redis.location}"


def test_merged_group_may_override_merged_settings(config_file: Write) -> None:
    text = "groups:\n  old: &o {events: [a], intervals: [5m]}\n  new:\n    <<: *o\n    events: [b]\n"
    assert from_file(config_file(text)).groups["new"].events == ("b",)


def test_huge_value_is_shown_short(config_file: Write) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (problem,) = problems(
        config_file("\n".join([*lines, "groups: {web: {intervals: [5m], events: [*a11]}}"]))
    )
    assert len(problem) < 300


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            r'groups: {web: {intervals: [5m], events: [a], labels: {"a\x1b[1m\n": 1}}}',
            r"ecl.yml:1: groups.web.labels[a\x1b[1m\n]: 'a\x1b[1m\n' is not an event ID",
        ),
        (
            r'groups: {web: {intervals: [5m], events: "a\x1b[1m"}}',
            r"ecl.yml:1: groups.web.events: 'a\x1b[1m' is not a list",
        ),
    ],
)
def test_control_characters_are_escaped_in_messages(config_file: Write, text: str, expected: str) -> None:
    (problem,) = problems(config_file(text))
    assert problem.startswith(expected)
    assert problem.isprintable()


def test_history_is_a_number_or_a_time_for_each_interval() -> None:
    lengths = {"5m": "7d", "1d": "3y", "7s": "0.01s"}
    settings = {"intervals": ["5m", "1h", "1d", "7s"], "history": lengths}
    group = from_dicts({"web": settings}).group("web")
    assert list(map(group.n_history, group.intervals)) == [2016, 60, 1095, 1]
    alike = from_dicts({"web": settings | {"history": lengths | {"5m": "168h"}}}).group("web")
    assert alike == group and hash(alike) == hash(group)


@pytest.mark.parametrize(
    ("length", "n"), [("0", 0), ("0d", 0), ("2m", 1), ("5m", 1), ("301s", 2), ("1.1h", 14)]
)
def test_history_in_time_covers_that_time(length: str, n: int) -> None:
    group = from_dicts(
        {"web": {"intervals": ["5m"], "history": length if length[1:] else int(length)}}
    ).group("web")
    assert (group.n_history(group.intervals[0]), group.keeps_history(group.intervals[0])) == (n, n > 0)


def test_week_and_seven_days_are_different_intervals() -> None:
    group = from_dicts({"web": {"intervals": ["1w", "7d"]}}).group("web")
    assert [interval.name for interval in group.intervals] == ["1w", "7d"]
