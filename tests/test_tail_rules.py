"""Rules of the section `tail`: the counts of lines, and problems of rules."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from types import FrameType
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from event_count_logger.config import TailTime, Template, from_file
from event_count_logger.errors import ConfigError
from event_count_logger.sources.tail.matching import Matcher
from event_count_logger.sources.tail.rules.tally import MatchedAction, Tally
from event_count_logger.sources.tail.rules.time_limit import TimeLimit
from event_count_logger.sources.tail.rules.times import read_time
from tests.fixtures import Write

ACCESS = {
    "match": r'"(?P<method>[A-Z]+) \S+ HTTP/[^"]+" (?P<status>\d{3}) (?P<bytes>\S+)',
    "events": ["status_{status}", "method_{method}", "request", "{{{method}}} {status}"],
    "counts": {"bytes_sent": "{bytes}", "bytes_{status}": "{bytes}"},
}
ERROR = {"match": "error", "events": ["error"]}
GROUPS = {
    "g": {"intervals": ["5m"], "auto_declare_events": True, "sessions": {"timeout": "5m"}},
    "declared": {"intervals": ["5m"], "events": ["error"]},
}

Count = Callable[..., Tally]


@pytest.fixture
def count(config_file: Write) -> Count:
    """Applies rules to lines."""

    def count(data: bytes, *rules: dict[str, Any], **settings: Any) -> Tally:
        entry = {"file": "app.log", "group": "g", "rules": list(rules), **settings}
        config = from_file(config_file(json.dumps({"groups": GROUPS, "tail": [entry]})))
        return Matcher(config.tail[0], TimeLimit()).tally(data)

    return count


def counts(tally: Tally) -> dict[str, int]:
    return {event_id: n for event_id, n in tally.counts.items() if n}


def test_all_events_and_counts_of_a_line_are_counted(count: Count) -> None:
    tally = count(
        b'1.2.3.4 "GET /a HTTP/1.1" 200 100\n1.2.3.4 "GET / HTTP/2" 404 0\n"POST / HTTP/1.1" 200 3\n', ACCESS
    )
    assert counts(tally) == {
        "status_200": 2,
        "status_404": 1,
        "method_GET": 2,
        "method_POST": 1,
        "request": 3,
        "{GET} 200": 1,
        "{GET} 404": 1,
        "{POST} 200": 1,
        "bytes_sent": 103,
        "bytes_200": 103,
    }
    assert tally.faults == {}


def test_each_matching_rule_counts_and_other_lines_are_unmatched(count: Count) -> None:
    data = b'error "GET /error HTTP/1.1" 200 1\nerror\n\nother\n"GET / HTTP/1.1" 200 1\n'
    tally = count(data, {**ACCESS, "events": ["request"], "counts": {}}, ERROR)
    assert counts(tally) == {"request": 2, "error": 2, "@unmatched": 2}


def test_numbers_of_rule_without_matching_line_are_not_counted(count: Count) -> None:
    numbers = {"ms": "{ms}", "ms_{ms}": "{ms}", "us": {"value": "{ms}", "times": 1000}}
    tally = count(b"other\n", {"match": r"took (?P<ms>\d+)", "counts": numbers})
    assert counts(tally) == {"@unmatched": 1}


def test_lines_without_rules_are_unmatched(count: Count) -> None:
    assert counts(count(b"a\nb\n")) == {"@unmatched": 2}


def test_text_like_a_reserved_event_is_skipped(count: Count) -> None:
    tally = count(b"@unmatched\n@malformed\nx\n", {"match": "(?P<a>.*)", "events": ["{a}"]})
    assert counts(tally) == {"x": 1, "@skipped": 2}
    assert "'@unmatched' is not an event ID" in tally.faults["event"]


def test_unmatched_group_of_a_pattern_drops_its_event_only(count: Count) -> None:
    rule = {
        "match": "^(?P<a>a)?(?P<n>[0-9]+)?b",
        "events": ["a {a}", "n {n}", "line"],
        "counts": {"sum": "{n}", "sum {a}": "{n}"},
    }
    assert counts(count(b"ab\n3b\nb\n", rule)) == {"a a": 1, "n 3": 1, "line": 3, "sum": 3}


@pytest.mark.parametrize(
    ("numbers", "total", "n_skipped"),
    [
        ("0 1000000000000 5", 1_000_000_000_005, 0),
        ("1 1000000000001 2", 3, 1),
        ("- 1_0 +1 -1 1.5 ١ 99999999999999999999 7", 7, 7),
        ("007 08", 15, 0),
        (f"{512:015} {10**12:040}", 1_000_000_000_512, 0),
    ],
)
def test_whole_numbers_up_to_a_limit_are_added(
    count: Count, numbers: str, total: int, n_skipped: int
) -> None:
    rule = {"match": "(?P<n>.*)", "counts": {"sum": "{n}"}}
    tally = count("".join(f"{number}\n" for number in numbers.split()).encode(), rule)
    assert tally.counts["sum"] == total
    assert tally.counts["@skipped"] == n_skipped
    assert len(tally.faults) == (n_skipped > 0)


def test_number_in_a_path_that_is_not_utf_8_is_skipped(config_file: Write) -> None:
    entry = {"file": "(?P<n>.*).log", "group": "g", "rules": [{"counts": {"n": "{n}"}}]}
    config = from_file(config_file(json.dumps({"groups": GROUPS, "tail": [entry]})))
    tally = Matcher(config.tail[0], TimeLimit()).tally(b"line\n", {"n": os.fsdecode(b"1\xff")})
    assert counts(tally) == {"@skipped": 1}


def test_line_ends_at_lf_or_crlf_only(count: Count) -> None:
    rule = {"match": "^(?P<all>.*)$", "events": ["{all}"]}
    data = "a\r\na\nb\u2028b\nb\x0bb\nc\rc\n\r\n".encode()
    assert list(counts(count(data, rule))) == ["a", "b\u2028b", "b\x0bb", "c\rc", ""]


def test_invalid_utf_8_is_replaced(count: Count) -> None:
    rule = {"match": "^(?P<all>.*)$", "events": ["{all}"]}
    assert list(counts(count(b"\xff\xfe\na\xe2\n\x00\n", rule))) == ["\ufffd\ufffd", "a\ufffd", "\x00"]


@pytest.mark.parametrize("length", [40, 20_000])
def test_pattern_beyond_its_time_limit_skips_only_its_line(count: Count, length: int) -> None:
    slow = {"match": "^(?P<all>(a+)+)$", "events": ["slow"]}
    begin = time.process_time()
    tally = count(b"aaa\n" + b"a" * length + b"!\naaaa\nerror\n", slow, ERROR)
    assert time.process_time() - begin < 30, "hours without a time limit"
    assert counts(tally) == {"slow": 2, "error": 1, "@skipped": 1}
    assert list(tally.faults.values()) == ["rules[0] takes too long for a line: line skipped"]


def test_time_limit_reached_as_the_last_line_ends_is_handled() -> None:
    limit = TimeLimit()

    def trace(frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        if frame.f_code is not TimeLimit.search.__code__:
            return None
        if event == "line" and limit._remaining() == 0:  # a second of CPU time passes at each further line
            limit._tick(signal.SIGVTALRM, None)
            limit._tick(signal.SIGVTALRM, None)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        found, too_slow = limit.search(re.compile("a"), ["a", "b"])
    finally:
        sys.settrace(before)
    assert (len(found), too_slow) == (2, [1])


def test_interrupted_search_leaves_no_timer() -> None:
    lines: Any = ["a", None]  # a TypeError in place of an exception of another signal handler
    with pytest.raises(TypeError):
        TimeLimit().search(re.compile("a"), lines)
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


def test_long_line_matches_like_a_short_one(count: Count) -> None:
    rule = {"match": r"(?<=x)\b(?P<word>y+)|^(?P<first>a)b|(?P<last>z)$", "events": ["{first}", "{last}"]}
    for filler in (b"", b" " * 20_000):
        assert counts(count(b"ab" + filler + b"z\n" + filler + b"-ab z\n", rule)) == {"a": 1, "z": 1}


def test_long_line_takes_no_quadratic_time(count: Count) -> None:
    begin = time.process_time()
    tally = count(b"a" * 300_000 + b"\nx=1\n", {"match": r"\w+=", "events": ["x"]})
    assert time.process_time() - begin < 30, "minutes in quadratic time"
    assert counts(tally) == {"x": 1, "@skipped": 1}


SSHD = b"sshd: accepted root\nsshd: accepted ann\nsshd: closed\ncron: ran root\n\n"
APP = r"^(?P<app>\w+): (?P<rest>.*)"


def test_nested_rules_see_lines_and_values_of_the_outer_rule(count: Count) -> None:
    deepest = {"where": {"user": "root"}, "events": ["{app} {user}!"]}
    inner = {"match": r"accepted (?P<user>\w+)", "events": ["{app} {user}"], "rules": [deepest]}
    tally = count(SSHD, {"match": APP, "events": ["{app}"], "rules": [inner]})
    assert counts(tally) == {
        "sshd": 3,
        "cron": 1,
        "sshd root": 1,
        "sshd ann": 1,
        "sshd root!": 1,
        "@unmatched": 1,
    }


def test_else_has_the_lines_that_its_rule_does_not_match(count: Count) -> None:
    other = {"match": "cron", "events": ["cron"], "else": [{"events": ["neither"]}]}
    tally = count(SSHD, {"match": "sshd", "events": ["sshd"], "else": [other]})
    assert counts(tally) == {"sshd": 3, "cron": 1, "neither": 1}


def test_first_hides_its_lines_from_later_rules_of_its_list(count: Count) -> None:
    inner = [{"match": "ran", "events": ["ran"]}]
    first = {"match": "root", "events": ["root"], "first": True, "rules": inner}
    tally = count(SSHD, first, {"match": "sshd", "events": ["sshd"]}, {"match": "o", "events": ["o"]})
    assert counts(tally) == {"root": 2, "ran": 1, "sshd": 2, "o": 1, "@unmatched": 1}


@pytest.mark.parametrize("condition", ["match", "where"])
def test_many_rules_with_first_each_have_their_lines(count: Count, condition: str) -> None:
    def rule(number: int) -> dict[str, Any]:
        conditions = {"match": f'"{number}"'} if condition == "match" else {"where": {"n": number}}
        return {**conditions, "first": True, "events": [f"n{number % 10}_{{a}}"]}

    lines = b"".join(b'{"n": "%d", "a": "a", "b": "b"}\n' % number for number in range(2000))
    tally = count(lines, *map(rule, range(0, 2000, 2)), {"match": "b", "events": ["{b}"]}, format="json")
    assert counts(tally) == {**{f"n{digit}_a": 200 for digit in range(0, 10, 2)}, "b": 1000}


def test_rule_with_many_conditions_has_its_lines(count: Count) -> None:
    values = {f"v{number}": "x" for number in range(1500)}
    rule = {"where": values, "events": ["{v0}"]}
    data = [json.dumps(values), json.dumps({**values, "v1400": "y"})]
    assert counts(count("\n".join([*data, ""]).encode(), rule, format="json")) == {"x": 1, "@unmatched": 1}


def test_first_in_a_nested_list_does_not_hide_from_outer_rules(count: Count) -> None:
    inner = [{"match": "root", "first": True, "events": ["root"]}, {"events": ["no root"]}]
    tally = count(SSHD, {"match": "sshd", "rules": inner}, {"match": "root", "events": ["again"]})
    assert counts(tally) == {"root": 1, "no root": 2, "again": 2, "@unmatched": 1}


def test_where_matches_whole_values_and_captures(count: Count) -> None:
    rules = [
        {"match": APP, "where": {"rest": r"accepted (?P<user>.+)"}, "events": ["accepted {user}"]},
        {"match": APP, "where": {"app": "ssh|cron"}, "events": ["exact {app}"]},
        {"match": r"(?P<app>\w+)(?P<no>!)?", "where": {"no": ".*"}, "events": ["took part"]},
    ]
    assert counts(count(SSHD, *rules)) == {
        "accepted root": 1,
        "accepted ann": 1,
        "exact cron": 1,
        "@unmatched": 2,
    }


def test_where_sees_the_captures_of_conditions_before_it(count: Count) -> None:
    conditions = {"request": r"(?P<method>\w+) (?P<path>.*)", "method": "GET", "path": "/(?P<page>.*)"}
    rules = [{"match": '"(?P<request>.*)"', "where": conditions, "events": ["{method}_{page}"]}]
    assert counts(count(b'"GET /a"\n"POST /b"\n"GET c"\n', *rules)) == {"GET_a": 1, "@unmatched": 2}


def test_later_condition_replaces_captures_of_the_same_name(count: Count) -> None:
    conditions = {"second": "(?P<x>.*)", "x": "2", "first": "(?P<x>.*)"}
    rules = [{"match": '(?P<x>first)"', "where": conditions, "events": ["{x}"]}]
    data = b'{"first": "1", "second": "2"}\n{"first": "2", "second": "1"}\n'
    assert counts(count(data, *rules, format="json")) == {"1": 1, "@unmatched": 1}


def test_events_whose_texts_mean_the_same_each_count(count: Count) -> None:
    rule = {
        "match": "(?P<n>.+)",
        "counts": {"{n|map}": "{n}", "{n|map:n}": "{n}"},
        "buckets": {"{n|map}": {"value": "{n}", "at": [4]}, "{n|map:n}": {"value": "{n}", "at": [6]}},
    }
    assert counts(count(b"5\n", rule, maps={"n": {"5": "five"}})) == {"five": 12, "five:le:6": 1}


def test_where_takes_whole_numbers_and_booleans_for_their_text(count: Count) -> None:
    rule = {"match": r"(?P<a>\S+) (?P<b>\S+)", "where": {"a": 15, "b": True}, "events": ["yes"]}
    assert counts(count(b"15 true\n1x5 true\n15 True\n", rule)) == {"yes": 1, "@unmatched": 2}


def test_rule_without_conditions_has_all_lines(count: Count) -> None:
    assert counts(count(b"a\n\n", {"events": ["line"]})) == {"line": 2}


def test_slow_condition_skips_the_line_for_all_rules(count: Count) -> None:
    inner = [{"where": {"all": "(a+)+"}, "events": ["a"]}]
    tally = count(
        b"aaa\n" + b"a" * 40 + b"!\n", {"match": "^(?P<all>.*)$", "events": ["line"], "rules": inner}
    )
    assert counts(tally) == {"line": 1, "a": 1, "@skipped": 1}
    assert list(tally.faults) == ["rules[0].rules[0] is slow"]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("{a|lower}", {"x": 1, "é": 1}),
        ("{a|upper} {b}", {"X 1": 1}),
        ("{b|default:-}", {"1": 1, "-": 1}),
        ("{b|default:}.", {"1.": 1, ".": 1}),
        ("{a|map}", {"mapped": 1, "É": 1}),
        ("{b|map:names|upper}", {"ONE": 1}),
        ("{b|map:names|default:no:ne}", {"one": 1, "no:ne": 1}),
    ],
)
def test_filters_change_the_values_of_placeholders(
    count: Count, event: str, expected: dict[str, int]
) -> None:
    rule = {"match": r"(?P<a>\w)(?: (?P<b>\d))?", "events": [event]}
    maps = {"a": {"X": "mapped"}, "names": {"1": "one"}}
    assert counts(count("X 1\nÉ\n".encode(), rule, maps=maps)) == expected


@pytest.mark.parametrize(
    ("number", "total", "n_skipped"),
    [
        ({"value": "{a}", "times": 1000}, 8579, 1),
        ({"value": "{a}", "times": 0.5}, 4, 1),
        ({"value": "{b} - {a}"}, 5, 2),
        ({"value": "{b}-{a}", "times": 10}, 64, 1),
        ({"value": "{b}"}, 15, 0),
        ({"value": "{c|default:2}"}, 6, 0),
    ],
)
def test_numbers_have_factors_and_differences(
    count: Count, number: dict[str, Any], total: int, n_skipped: int
) -> None:
    rule = {"match": r"^(?P<a>\S+) (?P<b>\d+)(?P<c>x)?", "counts": {"sum": number}}
    tally = count(b"0.579 2\n8 13\n- 0\n", rule)
    assert (tally.counts["sum"], tally.counts["@skipped"]) == (total, n_skipped)


def test_factor_does_not_add_up_rounding_errors(count: Count) -> None:
    rule = {"match": "(?P<s>.+)", "counts": {"ms": {"value": "{s}", "times": 1000}}}
    assert counts(count(b"0.001\n0.057\n" * 5000, rule)) == {"ms": 290_000}


def test_buckets_count_numbers_up_to_each_bound(count: Count) -> None:
    histogram = {"value": "{us}", "times": 0.000001, "at": [0.1, 0.25, 1, 5.0]}
    rule = {"match": r"(?P<app>\w) (?P<us>\S+)", "buckets": {"{app}": histogram}}
    tally = count(b"a 100000\na 100001\na 250000\na 9e6\na x\nb 0\n", rule)
    assert counts(tally) == {
        "a:le:0.1": 1,
        "a:le:0.25": 3,
        "a:le:1": 3,
        "a:le:5": 3,
        "a": 4,
        "@skipped": 1,
        **{f"b{bound}": 1 for bound in (":le:0.1", ":le:0.25", ":le:1", ":le:5", "")},
    }


def test_buckets_of_declared_events_are_declared(config_file: Write) -> None:
    histogram = {"value": "{n}", "at": [0.1, 2]}
    rules = [{"match": "x", "else": [{"match": "(?P<n>.+)", "buckets": {"error": histogram}}]}]
    entry = {"file": "a.log", "group": "declared", "rules": rules}
    config = from_file(config_file({"groups": GROUPS, "tail": [entry]}))
    assert config.groups["declared"].events == ("error", "error:le:0.1", "error:le:2")


def session_rule(**settings: Any) -> dict[str, Any]:
    session = {"id": "{pid}", "event": "{module}", "action": "heartbeat"}
    return {"match": r"^(?P<time>.{19}) (?P<pid>\d+)( (?P<module>\w+))?", "session": session, **settings}


def test_line_reports_an_action_of_a_session(count: Count) -> None:
    time_ = {"value": "{time}", "format": "%Y-%m-%d %H:%M:%S", "zone": "Europe/Berlin"}
    end = {"match": "(?P<pid>[0-9]+) ends", "session": {"id": "{pid}", "action": "end"}}
    data = b"2026-07-01 12:00:00 7 shop\n2026-01-01 12:00:00 8 shop\n2026-07-01 12:00:00 9\n7 ends\n"
    tally = count(data, session_rule(time=time_), end)
    assert tally.actions == [
        MatchedAction("7", "shop", "heartbeat", datetime(2026, 7, 1, 10, tzinfo=timezone.utc).timestamp()),
        MatchedAction("8", "shop", "heartbeat", datetime(2026, 1, 1, 11, tzinfo=timezone.utc).timestamp()),
        MatchedAction("7", None, "end", None),
    ]


def test_actions_are_in_the_order_of_the_lines(count: Count) -> None:
    start = {"match": r"(?P<id>\d+) starts", "session": {"id": "{id}", "event": "shop", "action": "start"}}
    end = {"match": r"(?P<id>\d+) ends", "session": {"id": "{id}", "action": "end"}}
    tally = count(b"1 starts\n1 ends\n2 starts\n1 starts\n", end, {"match": "s", "rules": [start]})
    found = [(action.id, action.action) for action in tally.actions]
    assert found == [("1", "start"), ("1", "end"), ("2", "start"), ("1", "start")]


def test_unreadable_time_skips_the_session(count: Count) -> None:
    time_ = {"value": "{time}", "format": "%Y-%m-%d %H:%M:%S"}
    tally = count(b"2026-02-30 12:00:00 7 shop\n", session_rule(time=time_, events=["line"]))
    assert counts(tally) == {"line": 1, "@skipped": 1}
    assert tally.actions == []
    (message,) = tally.faults.values()
    assert "'2026-02-30 12:00:00' is not a time of the format '%Y-%m-%d %H:%M:%S'" in message


@pytest.mark.parametrize(
    ("text", "format", "expected"),
    [
        ("25/Nov/2026:03:00:00 +0100", "%d/%b/%Y:%H:%M:%S %z", "2026-11-25T03:00:00+01:00"),
        ("Jan  1 00:30:00", "%b %d %H:%M:%S", "2026-01-01T00:30:00+01:00"),
        ("2026-11-25 03:00:00.123456789", "%Y-%m-%d %H:%M:%S.%f", "2026-11-25T03:00:00.123456+01:00"),
        ("2026-11-25 03:00:00,5", "%Y-%m-%d %H:%M:%S,%f", "2026-11-25T03:00:00.500000+01:00"),
        ("1764000000", "epoch", "2025-11-24T16:00:00+00:00"),
        ("1764000000.25", "epoch", "2025-11-24T16:00:00.250000+00:00"),
        ("1764000000250", "epoch_ms", "2025-11-24T16:00:00.250000+00:00"),
        ("2026-11-25T03:00:00", "iso", "2026-11-25T03:00:00+01:00"),
        ("2026-11-25 03:00:00.123456789Z", "iso", "2026-11-25T03:00:00.123456+00:00"),
        ("20261125T030000,5-0230", "iso", "2026-11-25T03:00:00.500000-02:30"),
        ("2026-11-25T03:00:00+02", "iso", "2026-11-25T03:00:00+02:00"),
        ("2026-11-25t03:00z", "iso", "2026-11-25T03:00:00+00:00"),
        ("Dec 31 23:59:59", "%b %d %H:%M:%S", "2025-12-31T23:59:59+01:00"),
    ],
)
def test_missing_zone_and_year_of_a_time_are_added(text: str, format: str, expected: str) -> None:
    zone = ZoneInfo("Europe/Berlin")
    rule = TailTime(Template.parse("{time}"), format, zone)
    found = read_time(text, rule, datetime(2026, 1, 1, 1, tzinfo=zone))
    assert found == datetime.fromisoformat(expected).timestamp()


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("Jan  1 00:00:01", "2026-12-31T23:59:59", "2027-01-01T00:00:01"),
        ("Jan  2 00:00:00", "2026-12-31T23:59:59", "2026-01-02T00:00:00"),
        ("Feb 29 12:00:00", "2028-02-28T13:00:00", "2028-02-29T12:00:00"),
        ("Feb 29 12:00:00", "2029-01-10T00:00:00", "2028-02-29T12:00:00"),
        ("Feb 29 12:00:00", "2028-02-28T11:00:00", "2024-02-29T12:00:00"),
        ("Feb 29 12:00:00", "2104-01-01T00:00:00", "2096-02-29T12:00:00"),
    ],
)
def test_missing_year_is_the_latest_not_after_tomorrow(text: str, now: str, expected: str) -> None:
    rule = TailTime(Template.parse("{time}"), "%b %d %H:%M:%S", timezone.utc)
    found = read_time(text, rule, datetime.fromisoformat(f"{now}+00:00"))
    assert found == datetime.fromisoformat(f"{expected}+00:00").timestamp()


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("Feb 30 12:00:00", "%b %d %H:%M:%S"),
        ("29", "%b %d %H:%M:%S"),
        ("x", "epoch"),
        ("-1", "epoch_ms"),
        ("9" * 40, "epoch"),
        ("2026-11-25", "iso"),
        ("2026-13-25T03:00:00", "iso"),
        ("2026-11-25T03:00:00+99:00", "iso"),
    ],
)
def test_time_of_another_format_is_rejected(text: str, format: str) -> None:
    rule = TailTime(Template.parse("{time}"), format, timezone.utc)
    with pytest.raises(ValueError, match=f"is not a time of the format '{format}'"):
        read_time(text, rule, datetime(2026, 1, 1, 1, tzinfo=timezone.utc))


FILE = """\
groups:
  g: {intervals: [5m], auto_declare_events: true}
  declared: {intervals: [5m], events: [error]}
  timed: {intervals: [5m], auto_declare_events: true, sessions: {}}
tail:
"""


def rule(settings: str, group: str = "g") -> str:
    """Returns a rule with the placeholder n; `settings` are on line 8."""
    return f"- file: a.log\n  group: {group}\n  rules: [{{match: '(?P<n>x)', {settings}}}]\n"


def test_rules_of_an_unknown_group_are_checked(config_file: Write) -> None:
    with pytest.raises(ConfigError) as caught:
        from_file(config_file(FILE + "- {file: a.log, group: web, rules: [{match: '('}]}\n"))
    assert [problem.path for problem in caught.value.problems] == ["tail[0].group", "tail[0].rules[0].match"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- file: a.log\n  rules: []\n", "6: tail[0].group: is missing"),
        (
            "- {file: a.log, group: web, rules: []}\n",
            "6: tail[0].group: 'web' is not a group (there are: g, ",
        ),
        ("- {file: a.log, group: g}\n", "6: tail[0].rules: is missing"),
        ("- {group: g, rules: []}\n", "6: tail[0].file: is missing"),
        (
            "- {file: a.log, group: g, rules: [], rule: 1}\n",
            "6: tail[0].rule: is not known (did you mean 'rules'?)",
        ),
        ("  file: a.log\n", "5: tail: {'file': 'a.log'} is not a list of entries"),
        (
            "- {file: a.log, group: g, rules: {match: x}}\n",
            "6: tail[0].rules: {'match': 'x'} is not a list",
        ),
        ("- {file: a.log, group: g, rules: [x]}\n", "6: tail[0].rules[0]: is not a mapping of settings"),
        (
            "- {file: a.log, group: g, rules: [{match: '(x'}]}\n",
            "6: tail[0].rules[0].match: '(x' is not a regular expression: missing )",
        ),
        (
            "- {file: a.log, group: g, rules: []}\n- {file: ./a.log, group: g, rules: []}\n",
            "7: tail[1].file: './a.log' is followed for group 'g' twice",
        ),
        (
            rule("events: ['a_{m}']"),
            "8: tail[0].rules[0].events[0]: '{m}' is not captured by the pattern, which captures file, file",
        ),
        (
            rule("events: ['a{']"),
            "8: tail[0].rules[0].events[0]: 'a{' is not a template: the brace at character 2",
        ),
        (
            rule("events: ['@a']"),
            "8: tail[0].rules[0].events[0]: '@a' is not an event ID: it begins with '@'",
        ),
        (
            rule("events: [eror]", "declared"),
            "8: tail[0].rules[0].events[0]: 'eror' is not an event of group 'declared' (did you mean 'error'",
        ),
        (
            rule("counts: {other: '{n}'}", "declared"),
            "8: tail[0].rules[0].counts.other: 'other' is not an event of group 'declared'",
        ),
        (rule("counts: {a: 1}"), "8: tail[0].rules[0].counts.a: 1 is not a string: put it in quotes"),
        (rule("counts: {a: 'x{n}'}"), "8: tail[0].rules[0].counts.a: 'x{n}' is not one placeholder"),
        (
            rule("session: {id: '{n}', event: a, action: start}"),
            "8: tail[0].rules[0].session: group 'g' has no sessions",
        ),
        (
            rule("session: {id: '{n}', event: a, action: stop}", "timed"),
            "8: tail[0].rules[0].session.action: 'stop' is not 'start', 'heartbeat' or 'end'",
        ),
        (
            rule("session: {id: '{n}', action: start}", "timed"),
            "8: tail[0].rules[0].session.event: is missing: only the action 'end' needs none",
        ),
        (
            rule("session: {id: '{n}', event: a, action: end}, time: {value: '{n}', format: '%Q'}", "timed"),
            "8: tail[0].rules[0].time.format: '%Q' is not a format of times",
        ),
        (
            rule(
                "session: {id: '{n}', event: a, action: end}, time: {value: '{n}', format: '%j', zone: Mars}",
                "timed",
            ),
            "8: tail[0].rules[0].time.zone: 'Mars' is not a time zone",
        ),
        (
            rule("rules: [{match: '(?P<m>x)', events: ['{n}{m}{o}']}]"),
            "8: tail[0].rules[0].rules[0].events[0]: '{o}' is not captured by the pattern, which captures",
        ),
        (rule("else: [{events: ['{n}']}]"), "8: tail[0].rules[0].else[0].events[0]: '{n}' is not captured"),
        (
            rule("where: {m: x}"),
            "8: tail[0].rules[0].where.m: is not the name of a captured value (there are: file, file",
        ),
        (
            "- file: a.log\n  group: g\n  rules:\n  - match: #5xx\n    events: [a]\n",
            "9: tail[0].rules[0].match: is empty (quote text that begins with '#')",
        ),
        (rule("where: {n: 1.10}"), "8: tail[0].rules[0].where.n: 1.1 is not a string: put it in quotes"),
        (rule("where: {n: [x]}"), "8: tail[0].rules[0].where.n: ['x'] is not a string"),
        (rule("where: {n: '('}"), "8: tail[0].rules[0].where.n: '(' is not a regular expression"),
        (
            rule("where: {n: '[[:print:]]'}"),
            "8: tail[0].rules[0].where.n: '[[:print:]]' has the POSIX class [:print:], which Python's "
            "regular expressions lack: write  -~ instead, for example [ -~]",
        ),
        (
            rule("where: {n: '(?a)(?u)x'}"),
            "8: tail[0].rules[0].where.n: '(?a)(?u)x' is not a regular expression: ASCII and UNICODE flags",
        ),
        (rule("first: 3"), "8: tail[0].rules[0].first: 3 is not true or false"),
        (rule("counts: {a: {times: 3}}"), "8: tail[0].rules[0].counts.a.value: is missing"),
        (
            rule("counts: {a: {value: '{n}', times: 0}}"),
            "8: tail[0].rules[0].counts.a.times: 0 is not a number above 0",
        ),
        (
            rule("counts: {a: {value: '{n} + {n}'}}"),
            "8: tail[0].rules[0].counts.a.value: '{n} + {n}' is not one placeholder, such as '{bytes}', or",
        ),
        (rule("counts: {a: {value: '{m}'}}"), "8: tail[0].rules[0].counts.a.value: '{m}' is not captured"),
        (
            rule("buckets: {a: {value: '{n}', at: [2, 1]}}"),
            "8: tail[0].rules[0].buckets.a.at: [2, 1] is not a list of numbers that rise",
        ),
        (
            rule("buckets: {'{n}': {value: '{n}', at: [2]}}", "declared"),
            "8: tail[0].rules[0].buckets.{n}: has placeholders, but group 'declared' has no 'auto_declare",
        ),
        (
            rule("events: ['{n|map}']"),
            "8: tail[0].rules[0].events[0]: there is no map 'n' (there are: none)",
        ),
        (
            rule("events: ['{n|trim}']"),
            "8: tail[0].rules[0].events[0]: '{n|trim}' is not a template: 'trim' is not a filter (there",
        ),
        (
            rule("session: {id: '{n}', event: a, action: end}, time: {value: '{n}', format: when}", "timed"),
            "8: tail[0].rules[0].time.format: 'when' is not a format of times: it is none of epoch, ",
        ),
        *(
            (
                rule(
                    "session: {id: a, event: a, action: end}, "
                    f"time: {{value: '{{n}}', format: '{format}'}}",
                    "timed",
                ),
                f"8: tail[0].rules[0].time.format: '{format}' has no day: it needs %d with %m or %b",
            )
            for format in ("%H:%M:%S", "%d %H:%M", "%Y %U")
        ),
        (
            rule(f"buckets: {{a: {{value: '{{n}}', at: [1{'0' * 400}]}}}}"),
            "8: tail[0].rules[0].buckets.a.at[0]: 1000000000000000000000000000",
        ),
        (
            rule(f"buckets: {{{'x' * 490}: {{value: '{{n}}', at: [1, 1.0e+30]}}}}"),
            f"8: tail[0].rules[0].buckets.{'x' * 490}: leaves no room for a bound, with which it has 525 ",
        ),
        (
            rule("session: {id: '{n}', event: 'a:ms', action: start}", "timed"),
            "8: tail[0].rules[0].session.event: 'a:ms' is not an event of sessions: it ends with ':ms'",
        ),
        *(
            (
                f'- {{group: g, rules: [], {name}: "\\ud800"}}\n',
                f"6: tail[0].{name}: '\\ud800' contains '\\ud800', which UTF-8 does not have",
            )
            for name in ("file", "directory")
        ),
        (
            "- file: a.log\n  group: g\n  rules: &rules [{match: x, rules: *rules}]\n",
            "8: tail[0].rules: are nested too deeply (an alias may stand within its own anchor)",
        ),
        (
            '- file: a.log\n  group: g\n  maps: {"\\x1b[1m": {a: b}}\n  rules: [{events: ["{file|map}"]}]\n',
            r"9: tail[0].rules[0].events[0]: there is no map 'file' (there are: \x1b[1m)",
        ),
        ("tail: []\n", "6: tail: is given twice"),
    ],
)
def test_problem_of_a_rule_has_its_place(config_file: Write, text: str, expected: str) -> None:
    path = config_file(FILE + text)
    with pytest.raises(ConfigError) as caught:
        from_file(path)
    (problem,) = caught.value.problems
    assert expected in str(problem).removeprefix(f"{path}:")


def test_same_files_may_count_in_several_groups(config_file: Write) -> None:
    entries = "- {file: a*.log, group: g, rules: []}\n- {file: a*.log, group: declared, rules: []}\n"
    path = config_file(f"{FILE}{entries}- {{file: a*.log, group: g, source: other, rules: []}}\n")
    ids = [entry.source_id for entry in from_file(path).tail]
    assert ids[2] == f"tail:other:{path.parent}/a*.log"
    assert ids[0] == ids[1] != ids[2]


def test_group_with_problems_is_not_reported_as_missing(config_file: Write) -> None:
    groups = {"g": {"intervals": ["5x"]}, "h": {"intervals": ["5m"]}}
    tail: list[dict[str, Any]] = [{"file": "a.log", "group": group, "rules": []} for group in ("g", "h")]
    with pytest.raises(ConfigError) as error:
        from_file(config_file({"groups": groups, "tail": tail}))
    assert [problem.path for problem in error.value.problems] == ["groups.g.intervals[0]"]
