"""Formats of log files: records, fields, malformed lines, and reading in pieces."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from event_count_logger.config import TailConfig, from_file
from event_count_logger.errors import ConfigError
from event_count_logger.sources.tail.formats.framing import Until
from event_count_logger.sources.tail.formats.record_framing import framing_of
from event_count_logger.sources.tail.formats.text_format import TextFormat
from event_count_logger.sources.tail.inputs.record_buffer import RecordBuffer
from event_count_logger.sources.tail.matching import Matcher
from event_count_logger.sources.tail.rules.time_limit import TimeLimit
from tests.fixtures import Run, Write
from tests.servers import Server

GROUPS = {"g": {"intervals": ["24h"], "auto_declare_events": True}}

Entry = Callable[..., TailConfig]
Count = Callable[..., dict[str, int]]


@pytest.fixture
def entry(config_file: Write) -> Entry:
    """Returns the entry with these settings, and one rule that counts events."""

    def entry(*events: str, **settings: Any) -> TailConfig:
        given = {"file": "app.log", "group": "g", "rules": [{"events": events}], **settings}
        (found,) = from_file(config_file(json.dumps({"groups": GROUPS, "tail": [given]}))).tail
        return found

    return entry


@pytest.fixture
def count(entry: Entry) -> Count:
    """Returns the counts of some lines."""

    def count(data: bytes, *events: str, **settings: Any) -> dict[str, int]:
        return nonzero(Matcher(entry(*events, **settings), TimeLimit()).tally(data, {"file": "a"}).counts)

    return count


def nonzero(counts: Counter[str]) -> dict[str, int]:
    return {event_id: n for event_id, n in counts.items() if n}


TIME = "2026-11-25T03:00:00.5Z"


def docker(text: str, stream: str = "stdout", time: str | None = TIME) -> bytes:
    fields = {"log": text, "stream": stream, "time": time}
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def cri(text: str, tag: str = "F", stream: str = "stdout", time: str = TIME) -> bytes:
    return f"{time} {stream} {tag} {text}\n".encode()


def part(format: str, text: str, seconds: float, stream: str = "stdout") -> bytes:
    """Returns a part at some seconds after 3 o'clock; `|` in the text ends the line."""
    at = f"2026-11-25T03:{int(seconds // 60):02}:{seconds % 60:09.6f}789Z"
    line, end = text.rstrip("|"), text[-1:] == "|"
    return docker(line + end * "\n", stream, at) if format == "docker" else cri(line, "PF"[end], stream, at)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b'"x"', "x"),
        (b'"\\u00e9 \\n\\ud83d\\ude00"', "é \n😀"),
        (b'"\\ud83d x"', "\ufffd x"),
        (b'"\\udead"', "\ufffd"),
        (b"1.50", "1.50"),
        (b"-0", "-0"),
        (b"1E400", "1E400"),
        (b"9" * 5000, "9" * 5000),
        (b"true", "true"),
        (b"false", "false"),
        (b'""', ""),
        (b"null", None),
        (b"[]", None),
        (b'{"a":1}', None),
    ],
)
def test_json_value_is_its_text_and_numbers_are_as_written(
    count: Count, value: bytes, text: str | None
) -> None:
    expected = {"line": 1} if text is None else {f"={text}": 1, "line": 1}
    assert count(b'{"v": ' + value + b"}\n", "={v}", "line", format="json") == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"[103,114,255]", "gr\ufffd"),
        (b'["53","6"]', "53"),
        (b"[[52],[53]]", "4"),
        (b'[[52],"6"]', "4"),
        (b'["6",[52]]', "6"),
        *((value, None) for value in (b"[]", b"[null]", b'[{"a":1}]', b"[256]", b"[[[52]]]")),
        (b"[" * 900 + b"]" * 900, None),
    ],
)
def test_journal_value_is_text_bytes_or_the_first_of_several(
    count: Count, value: bytes, text: str | None
) -> None:
    expected = {"line": 1} if text is None else {f"={text}": 1, "line": 1}
    assert count(b'{"V":' + value + b"}\n", "={V}", "line", format="journal") == expected


def test_json_name_with_dots_is_a_key_or_leads_into_values(count: Count) -> None:
    data = b'{"a.b": 1, "a": {"b": 2, "c.d": 3, "e": [{"f": 4}, 5]}}\n'
    names = ("a.b", "a.c.d", "a.e.0.f", "a.e.1", "a.e.2", "a.e.f", "a", "a.x", "a.b.c")
    expected = {"a.b=1": 1, "a.c.d=3": 1, "a.e.0.f=4": 1, "a.e.1=5": 1}
    assert count(data, *(f"{name}={{{name}}}" for name in names), format="json") == expected


def test_conditions_and_patterns_apply_to_lines_of_json(count: Count) -> None:
    data = b"".join(
        json.dumps({"level": level, "status": status, "ms": 0.25}).encode() + b"\n"
        for level, status in (("error", 500), ("error", 404), ("info", 503), ("info", 200))
    )
    rules = [
        {"where": {"level": "error", "status": r"5\d\d"}, "events": ["failed"]},
        {"where": {"status": 404}, "events": ["missing"]},
        {"match": '"level": "info"', "events": ["info"], "counts": {"us": {"value": "{ms}", "times": 1000}}},
    ]
    assert count(data, rules=rules, format="json") == {"failed": 1, "missing": 1, "info": 2, "us": 500}


@pytest.mark.parametrize(
    ("format", "line"),
    [
        *(
            ("json", line)
            for line in (
                *(b"", b" ", b"text", b"[1]", b"1", b'"x"', b"null", b"{", b'{"a":1}}', b'{"a":1}{"a":1}'),
                *(
                    b'{"a":1',
                    b',"a":2}',
                    b'{"a":NaN}',
                    b'{"a":-Infinity}',
                    b"{'a':1}",
                    b'{"a":01}',
                    b'{"a":}',
                ),
                *(b"[" * 100_000, b'{"a":' * 100_000, b'{"a":"\t"}', b'{"a":"\\x"}'),
            )
        ),
        *(("logfmt", line) for line in (b"", b"only words", b'a="x', b'a="x"y', b'a=1 "x"', b"=1", b'a"b=1')),
        *(("csv", line) for line in (b'"x', b'x"y",1', b'"x"y,1', b'"a""', b'1,"')),
        *(
            ("docker", line)
            for line in (
                b"",
                b"text",
                b"{}",
                b'{"log":null}',
                b'{"log":["x\\n"]}',
                b'{"log":"x\\n","time":[]}',
            )
        ),
        *(
            ("cri", line)
            for line in (
                *(b"", b"text", b"2026-11-25T03:00:00Z stdout", b"2026-11-25T03:00:00Z stdin F x"),
                *(b"2026-11-25T03:00:00Z stdout X x", b"03:00:00 stdout F x"),
            )
        ),
    ],
)
def test_line_of_another_format_is_malformed(count: Count, format: str, line: bytes) -> None:
    assert count(line + b"\n", "line", format=format) == {"@malformed": 1}


def test_values_of_logfmt_are_read_with_and_without_quotes(count: Count) -> None:
    data = b'level=info  msg="say \\"hi\\" \\u00e9\\n" url=/?a=b empty= flag "\n'.replace(b'flag "', b"flag")
    events = ("level={level}", "msg={msg}", "url={url}", "empty={empty}", "flag={flag}", "none={none}")
    assert count(data, *events, format="logfmt") == {
        "level=info": 1,
        'msg=say "hi" é\n': 1,
        "url=/?a=b": 1,
        "empty=": 1,
        "flag=true": 1,
    }


def test_fields_of_csv_have_numbers_and_names(count: Count) -> None:
    data = b'name;n\na;1\n"b;""x""";2;more\nshort\n"open\nname;n\n'
    csv = {"columns": ["name", "n"], "delimiter": ";"}
    assert count(data, "{name}:{n}", "3:{3}", format="csv", csv=csv) == {
        "a:1": 1,
        'b;"x":2': 1,
        "3:more": 1,
        "@malformed": 2,
    }
    assert count(b'a,"b,c"\n\n', "{2}", "line", format="csv") == {"b,c": 1, "line": 2}


@pytest.mark.parametrize("wrap", [docker, cri])
def test_lines_of_containers_are_unwrapped_with_stream_and_time(
    count: Count, wrap: Callable[..., bytes]
) -> None:
    end = "\n" if wrap is docker else ""
    data = wrap("GET / x" + end) + wrap("bad" + end, stream="stderr") + b"text\n" + wrap(end)
    rules = [{"match": "^(?P<word>[A-Za-z]+)", "events": ["{word} {stream} {time} {file}"]}]
    assert count(data, rules=rules, format=wrap.__name__) == {
        "GET stdout 2026-11-25T03:00:00.5Z a": 1,
        "bad stderr 2026-11-25T03:00:00.5Z a": 1,
        "@malformed": 1,
        "@unmatched": 1,
    }


PARTS = {
    "docker": [docker("a"), docker("x", "stderr"), docker("b"), docker("y\n", "stderr"), docker("c\r\n")],
    "cri": [cri("a", "P"), cri("x", "P", "stderr"), cri("b", "P"), cri("y", "F", "stderr"), cri("c", "F")],
}


@pytest.mark.parametrize("format", PARTS)
def test_parts_of_a_line_are_joined_by_their_stream(count: Count, format: str) -> None:
    rules = [{"match": "^(?P<all>.*)$", "events": ["{all} {stream}"]}]
    assert count(b"".join(PARTS[format]), rules=rules, format=format) == {"abc stdout": 1, "xy stderr": 1}
    without_end = b"".join(PARTS[format][:4])
    assert count(without_end, rules=rules, format=format) == {"ab stdout": 1, "xy stderr": 1}


def test_inner_format_reads_joined_parts_and_hides_outer_names(count: Count) -> None:
    data = cri('{"n": 1, "ti', "P") + cri('me": "inner"}') + cri('{"n": 2}') + cri("text")
    events = ["{n} {time} {file}"]
    assert count(data, *events, format=["cri", "json"]) == {
        "1 inner a": 1,
        "2 2026-11-25T03:00:00.5Z a": 1,
        "@malformed": 1,
    }
    wrapped = docker('n=1 file="own"\n')
    assert count(wrapped, *events, format=["docker", "logfmt"]) == {"1 2026-11-25T03:00:00.5Z own": 1}


def test_lines_are_joined_to_the_one_before_that_begins_a_record(count: Count) -> None:
    data = b"rest\n1 error\n at a\r\n at b\n2 fine\n\n3 error\n"
    rules = [
        {"match": r"(?s)^(?P<all>\d.*)$", "events": ["{all}"]},
        {"match": "(?m)^ at b$", "events": ["b"]},
    ]
    assert count(data, rules=rules, multiline={"start": r"^\d"}) == {
        "1 error\n at a\n at b": 1,
        "2 fine\n": 1,
        "3 error": 1,
        "b": 1,
        "@unmatched": 1,
    }


def test_multiline_joins_unwrapped_lines_with_the_values_of_the_first(count: Count) -> None:
    data = cri("1 error") + cri(" at ", "P") + b"text\n" + cri("2", "F", "stderr") + cri("a") + cri(" at b")
    rules = [{"match": r"(?s)^(?P<all>\d.*)$", "events": ["{all} {stream}"]}]
    assert count(data, rules=rules, format="cri", multiline={"start": r"^\d"}) == {
        "1 error stdout": 1,
        "2\n at a\n at b stderr": 1,
        "@malformed": 1,
    }


def test_slow_search_in_a_joined_record_skips_it(entry: Entry) -> None:
    data = b"1\n" + b"x\n" * 100_000 + b"2 y\n"
    config = entry(rules=[{"match": r"[x\n]*y", "events": ["y"]}], multiline={"start": r"^\d"})
    begin = time.process_time()
    tally = Matcher(config, TimeLimit()).tally(data)
    assert nonzero(tally.counts) == {"@skipped": 1, "y": 1}
    assert time.process_time() - begin < 30, "hours without a time limit"


@pytest.mark.parametrize(("n", "start"), [(50, r"^\d|^(x+x+)+y"), (200_000, r"[xz]*y|^\d")])
def test_slow_start_pattern_skips_the_record_of_the_line(entry: Entry, n: int, start: str) -> None:
    data = b"1\n" + b"x" * n + b"\n2\n"
    config = entry("line", multiline={"start": start})
    begin = time.process_time()
    tally = Matcher(config, TimeLimit()).tally(data)
    assert nonzero(tally.counts) == {"@skipped": 1, "line": 1}
    assert time.process_time() - begin < 30, "hours without a time limit"
    assert "multiline.start takes too long for a line" in f"{tally.faults}"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            "format: xml",
            "format: 'xml' is not a format (there are: text, json, logfmt, csv, journal, docker, cri)",
        ),
        ("format: [json, docker]", "is not a format in another one: name docker or cri first"),
        ("format: [docker, cri]", "is not a format in another one"),
        ("format: [json, logfmt]", "is not a format in another one"),
        ("format: []", "is not a format in another one"),
        ("format: {a: 1}", "is not a format (there are"),
        (
            "format: docker",
            "'{x}' is not captured by the pattern, which captures file, file.name, stream, time",
        ),
        ("format: csv", "which captures file, file.name, 1, 2, ..."),
        ("format: csv, csv: {columns: [a, b]}", "which captures file, file.name, a, b, 1, 2, ..."),
        ("format: csv, csv: {columns: [x, b, x]}", "csv.columns: ['x', 'b', 'x'] has a name twice"),
        ("format: csv, csv: {columns: [x], delimiter: ', '}", "csv.delimiter: ', ' is not one character"),
        ("format: json, csv: {columns: [x]}", "csv: has no effect without 'format: csv'"),
        (
            "format: json, multiline: {start: x}",
            "multiline: joins lines of text, and not of the format 'json'",
        ),
        ("multiline: {start: '('}", "multiline.start: '(' is not a regular expression"),
        ("multiline: {}", "multiline.start: is missing"),
    ],
)
def test_problem_of_a_format_is_found(config_file: Write, settings: str, expected: str) -> None:
    groups = "groups: {g: {intervals: [24h], auto_declare_events: true}}\n"
    entry = f"{{file: a.log, group: g, rules: [{{events: ['{{x}}']}}], {settings}}}"
    with pytest.raises(ConfigError) as caught:
        from_file(config_file(f"{groups}tail: [{entry}]\n"))
    assert expected in str(caught.value)


def test_journal_has_no_format_of_containers(config_file: Write) -> None:
    groups = "groups: {g: {intervals: [24h], auto_declare_events: true}}\n"
    entry = "{input: journald, group: g, rules: [], format: docker, multiline: {start: x}}"
    with pytest.raises(ConfigError) as caught:
        from_file(config_file(f"{groups}tail: [{entry}]\n"))
    assert [problem.path for problem in caught.value.problems] == ["tail[0].multiline", "tail[0].format"]


def read(config: TailConfig, *steps: tuple[bytes, Until]) -> list[bytes]:
    """Returns the chunks that are read after each step, which adds data."""
    buffer = RecordBuffer(TextFormat("utf-8", framing_of(config, TimeLimit())))
    return [b"|".join(filter(None, buffer.take(data, until))) for data, until in steps]


def test_reading_stops_in_front_of_parts_without_their_end(entry: Entry) -> None:
    for format, lines in PARTS.items():
        *parts, last = lines
        config = entry(format=format)
        step = Until.RECORD
        assert read(config, *((line, step) for line in lines)) == [b""] * 4 + [b"".join(lines)], format
        first, second = lines[:2], lines[3]
        assert read(config, (last + second + b"".join(first), step)) == [last + second]
        assert read(config, (second[:-9], step), (second[-9:] + parts[0], step)) == [b"", second]


def test_backslash_and_n_do_not_end_a_line_of_docker(entry: Entry) -> None:
    lines = [docker("C:\\new\\n"), docker("\n")]
    assert read(entry(format="docker"), *((line, Until.RECORD) for line in lines)) == [b"", b"".join(lines)]


def test_parts_behind_a_forced_end_are_skipped(entry: Entry) -> None:
    for format, (a, x, b, y, c) in PARTS.items():
        line, record = Until.LINE, Until.RECORD
        steps = [(a + x, line), (b, record), (y + c + c, record), (y, record)]
        assert read(entry(format=format), *steps) == [a + x, b"", c, y]
        steps = [(a, Until.FILE), (c[:9], Until.FILE), (c[9:], record), (c, record)]
        assert read(entry(format=format), *steps) == [a, c[:9] + b"\n", b"", c]


@pytest.mark.parametrize("format", PARTS)
def test_line_without_its_last_part_waits_for_5_s_of_the_log(entry: Entry, count: Count, format: str) -> None:
    steps = [
        part(format, "open", 0, "stderr"),
        *(part(format, f"{n}|", n) for n in range(1, 6)),
        part(format, "late|", 5.000001),
        part(format, "again", 6, "stderr"),
        part(format, "rest|", 10, "stderr"),
    ]
    config = entry("line", format=format)
    first, second = b"".join(steps[:7]), b"".join(steps[7:])
    assert read(config, *((step, Until.RECORD) for step in steps)) == [b""] * 6 + [first, b"", second]
    rules = [{"match": "^(?P<all>.*)$", "events": ["{all} {time}"]}]
    counts = count(b"".join(steps), rules=rules, format=format)
    assert counts.keys() >= {
        "open 2026-11-25T03:00:00.000000789Z",
        "againrest 2026-11-25T03:00:06.000000789Z",
    }
    assert sum(counts.values()) == 8


@pytest.mark.parametrize(
    ("first", "second", "is_joined"),
    [
        ("2026-11-25T23:59:58Z", "2026-11-26T00:00:03Z", True),
        ("2026-11-25T23:59:58Z", "2026-11-26T00:00:03.1Z", False),
        ("2026-11-25T23:59:58.9Z", "2026-11-26T01:00:03.900000999+01:00", True),
        ("2026-11-25T23:59:58Z", "2026-11-25T18:30:04-05:30", False),
        ("2026-11-25T23:59:60Z", "2026-11-25T23:59:54Z", False),
        ("2026-11-25T23:59:58Z", "2026-11-25T23:59:53Z", True),
        ("2026-02-30T23:59:58Z", "2026-11-25T23:59:53Z", True),
        ("2026-11-25T23:59:58Z", "2026-11-26T23:59:58", True),
    ],
)
def test_parts_are_joined_by_their_times_in_any_zone(
    count: Count, first: str, second: str, is_joined: bool
) -> None:
    for format, data in (
        ("cri", cri("a", "P", time=first) + cri("b", time=second)),
        ("docker", docker("a", time=first) + docker("b\n", time=second)),
    ):
        assert count(data, "line", format=format) == {"line": 1 if is_joined else 2}


def test_parts_without_times_are_joined(count: Count) -> None:
    data = docker("a", time=None) + docker("c\n", "stderr") + docker("b\n", time=None)
    assert count(data, "line", format="docker") == {"line": 2}


@pytest.mark.parametrize("format", PARTS)
def test_rest_behind_a_forced_end_counts_if_it_is_late_or_not_next(entry: Entry, format: str) -> None:
    begin, other = part(format, "a", 0), part(format, "x|", 1, "stderr")
    record = Until.RECORD
    for rest in (part(format, "b", 3) + part(format, "c|", 5), part(format, "bc|", 5)):
        assert read(entry(format=format), (begin, Until.LINE), (rest + other, record)) == [begin, other]
    late = part(format, "b|", 5.1)
    assert read(entry(format=format), (begin, Until.LINE), (late, record)) == [begin, late]
    both = other + part(format, "b|", 3)
    assert read(entry(format=format), (begin, Until.LINE), (both, record)) == [begin, both]


@pytest.mark.parametrize("settings", [{}, {"multiline": {"start": "^[0-4]"}}], ids=["lines", "multiline"])
@pytest.mark.parametrize("format", PARTS)
def test_lines_of_parts_are_the_same_if_read_in_pieces_and_again(
    entry: Entry, chance: random.Random, format: str, settings: dict[str, Any]
) -> None:
    limit = TimeLimit()
    rules = [{"match": r"(?s)^(?P<all>.*)$", "events": ["{all}"]}]
    config = entry(rules=rules, format=format, **settings)
    matcher, text = Matcher(config, limit), TextFormat("utf-8", framing_of(config, limit))
    for _ in range(40):
        data, now = b"", 100.0
        for _ in range(chance.randrange(1, 60)):
            now += chance.choice([0, 0.5, 2, 4, 6, -3])
            end = chance.choice(["", "|", "|"])
            data += part(format, f"{chance.randrange(10)}{end}", now, chance.choice(["stdout", "stderr"]))
        buffer, counts, begin = RecordBuffer(text), Counter[str](), 0
        while begin < len(data):
            end_of_piece = begin + chance.choice([10, 100, 1000])
            for chunk in buffer.take(data[begin:end_of_piece], Until.RECORD):
                counts += matcher.tally(chunk).counts
            begin = end_of_piece
            if buffer.offset and chance.random() < 0.3:
                begin = buffer.offset
                buffer = RecordBuffer(text)
                buffer.skip(data[:begin])
        for chunk in buffer.take(b"", Until.FILE):
            counts += matcher.tally(chunk).counts
        assert nonzero(counts) == nonzero(matcher.tally(data).counts)


@pytest.mark.parametrize("format", PARTS)
def test_endless_line_is_divided_equally_if_it_is_read_again(
    entry: Entry, chance: random.Random, format: str
) -> None:
    limit = TimeLimit()
    config = entry("line", format=format)
    matcher, text = Matcher(config, limit), TextFormat("utf-8", framing_of(config, limit))
    lines, now = [], 0.0
    for _ in range(500):
        now += chance.uniform(0, 2)
        lines.append(part(format, "x" * 8000, now, "stderr"))
        if chance.random() < 0.1:
            lines.append(part(format, "y|", now))
    data = b"".join(lines)
    buffer, n = RecordBuffer(text), 0
    for begin in range(0, len(data), 1 << 16):
        n += sum(
            matcher.tally(chunk).counts["line"]
            for chunk in buffer.take(data[begin:][: 1 << 16], Until.RECORD)
        )
        offset = buffer.offset
        if offset:
            buffer = RecordBuffer(text)
            buffer.skip(data[:offset])
            assert list(buffer.take(data[offset : begin + (1 << 16)], Until.RECORD)) == []
    n += sum(matcher.tally(chunk).counts["line"] for chunk in buffer.take(b"", Until.FILE))
    assert n == matcher.tally(data).counts["line"]


def test_parts_before_complete_lines_are_not_continued_later(entry: Entry) -> None:
    a, x, b, c = cri("a", "P"), cri("x", "F", "stderr"), cri("b"), cri("c", "P", "stderr")
    steps = [(a, Until.LINE), (x + b, Until.RECORD), (c, Until.LINE), (b + b, Until.RECORD)]
    assert read(entry(format="cri"), *steps) == [a, x + b, c, b + b]


def test_record_of_several_lines_ends_in_front_of_the_next(entry: Entry) -> None:
    config = entry(multiline={"start": "^[0-9]"})
    step = Until.RECORD
    steps = [(b"rest\n1\n a\n", step), (b" b\n2", step), (b"\n", step), (b" c\n3\n d\n", step)]
    assert read(config, *steps) == [b"rest\n", b"", b"1\n a\n b\n", b"2\n c\n"]


def test_lines_behind_a_forced_end_of_their_record_are_skipped(entry: Entry) -> None:
    config = entry(multiline={"start": "^[0-9]"})
    steps = [(b"1\n a\n b", Until.LINE), (b"\n c\n2\n", Until.RECORD), (b" d\n", Until.FILE)]
    assert read(config, *steps) == [b"1\n a\n", b"", b"2\n d\n"]
    wrapped = entry(format="cri", multiline={"start": "^[0-9]"})
    lines = [cri("1"), cri(" a"), cri(" b", "P"), cri("c"), b"text\n", cri("2"), cri(" d", "P")]
    steps = [(b"".join(lines[:3]), Until.LINE), (b"".join(lines[3:]), Until.RECORD), (b"", Until.LINE)]
    assert read(wrapped, *steps) == [b"".join(lines[:3]), lines[4], b"".join(lines[5:])]


def test_records_of_any_encoding_are_framed(entry: Entry) -> None:
    for encoding in ("utf-16-le", "cp037"):
        config = entry(multiline={"start": "^[0-9]$"})
        buffer = RecordBuffer(TextFormat(encoding, framing_of(config, TimeLimit())))
        data = "1\r\n a\r\n2\r\nx b\r\n3\r\n".encode(encoding)
        assert b"".join(buffer.take(data, Until.RECORD)) == b"1\r\n a\r\n2\r\nx b\r\n"


def test_tail_counts_formats_with_malformed_lines(
    server: Server, run: Run, config_file: Write, tmp_path: Path
) -> None:
    rules = [{"match": "GET", "events": ["{status}"], "counts": {"bytes": "{size}"}}]
    where = [{"where": {"stream": "stderr"}, "events": ["error"]}]
    entries = [
        {"file": "web.log", "group": "g", "format": ["docker", "json"], "rules": rules},
        {"file": "app.log", "group": "h", "format": "cri", "multiline": {"start": "^E"}, "rules": where},
    ]
    groups = {"g": GROUPS["g"], "h": GROUPS["g"]}
    config = config_file(json.dumps({"redis": server.config, "groups": groups, "tail": entries}))
    web, app = tmp_path / "web.log", tmp_path / "app.log"
    get = '{"method": "GET", "status": 200, "size": 1e1}\n'
    web.write_bytes(docker(get) + docker("started\n") + docker(get.replace("1e1", "7")) + docker(get[:20]))
    app.write_bytes(cri("E 1", "F", "stderr") + cri(" at", "P", "stderr"))
    done = run("ecl", "tail", "--from", "start", "--once", config)
    assert done.returncode == 0
    assert "rules[0]: '1e1' is not a whole number" in done.stderr
    with web.open("ab") as file:
        file.write(docker(get[20:]) + docker(get))
    with app.open("ab") as file:
        file.write(cri(" x", "F", "stderr") + cri(" at y", "F", "stderr") + cri("E 2", "F", "stdout"))
    assert run("ecl", "tail", "--once", config).returncode == 0
    assert server.counts("g", "24h", "cur") == {"200": 3, "bytes": 7, "@malformed": 2, "@skipped": 2}
    assert server.counts("h", "24h", "cur") == {"error": 1, "@unmatched": 1}


#: Lines from which damaged data is made: settings, and lines.
SAMPLES: dict[str, tuple[dict[str, Any], list[bytes]]] = {
    "text": ({}, [b"x", b"", "é".encode()]),
    "json": ({"format": "json"}, [b'{"a":{"b":"\\ud83dx"},"n":1.5}', b'{"x":[1,{"y":null}]}', b"{}"]),
    "logfmt": ({"format": "logfmt"}, [b'a=x b="\\"y\\"" c', b"d=1 e= x"]),
    "csv": ({"format": "csv", "csv": {"columns": ["a", "b"]}}, [b'x,"y,""z"""', b"1,2", b"a,b"]),
    "docker": ({"format": "docker"}, [line[:-1] for line in [*PARTS["docker"], docker('"x\\n\n')]]),
    "cri": ({"format": "cri"}, [line[:-1] for line in PARTS["cri"]]),
    "docker_json": (
        {"format": ["docker", "json"]},
        [
            line[:-1]
            for line in (docker('{"a":'), docker('"x"}\n'), docker('{"a":1}\n', "stderr"), docker("x\n"))
        ],
    ),
    "cri_logfmt": (
        {"format": ["cri", "logfmt"]},
        [
            line[:-1]
            for line in (cri("a=1 b", "P"), cri("=2"), cri("c=x", "F", "stderr"), cri("c", "P", "stderr"))
        ],
    ),
    "multiline": ({"multiline": {"start": "^[0-9]( x)?$"}}, [b"1 x", b" at x", b"", b"2"]),
    "cri_multiline": (
        {"format": "cri", "multiline": {"start": "^[0-9]( x)?$"}},
        [
            line[:-1]
            for line in (cri("1 x"), cri("2", "P"), cri(" at x"), cri("3", "F", "stderr"), cri("y", "P"))
        ],
    ),
    "docker_multiline": (
        {"format": "docker", "multiline": {"start": "^[0-9]( x)?$"}},
        [line[:-1] for line in (docker("1 x\n"), docker("2"), docker(" at x\n"), docker("3\n", "stderr"))],
    ),
}

EVENTS = ("line", "a={a|default:-}", "x={x|default:-}", "s={stream|default:-}", "b={a.b|default:-}")
CSV_EVENTS = ("line", "a={a|default:-}", "2={2|default:-}", "9={9|default:-}")


def damaged(lines: list[bytes], chance: random.Random) -> Iterator[bytes]:
    """Yield lines, some of which are cut, changed, or of random bytes."""
    for _ in range(chance.randrange(200)):
        line = chance.choice(lines)
        damage = chance.random()
        if damage < 0.1:
            line = line[: chance.randrange(len(line) + 1)]
        elif damage < 0.2 and line:
            place = chance.randrange(len(line))
            line = line[:place] + chance.randbytes(1) + line[place + 1 :]
        elif damage < 0.3:
            line = chance.randbytes(chance.randrange(30))
        yield line.replace(b"\n", b"\r") + chance.choice([b"\n", b"\n", b"\n", b"\r\n"])


def names_of(settings: dict[str, Any]) -> tuple[str, ...]:
    formats = settings.get("format", "text")
    if "csv" in formats:
        return CSV_EVENTS
    is_open = "json" in formats or "logfmt" in formats
    if is_open:
        return EVENTS
    return ("line", "s={stream}") if formats in ("docker", "cri") else ("line",)


def n_records(data: bytes, config: TailConfig) -> int:
    """Returns the number of records: lines, or lines of programs, without headers of CSV."""
    lines = data.replace(b"\r\n", b"\n").decode(errors="replace").split("\n")[:-1]
    if not config.wrapper:
        return len(lines) - (config.parser == "csv") * lines.count("a,b")
    n = 0
    opened: dict[str | None, float | None] = {}  # times of first parts
    for line in lines:
        stream, is_last, time = (cri_part if config.wrapper == "cri" else docker_part)(line)
        at = seconds(time)
        for other, begin in tuple(opened.items()):
            if at is not None and begin is not None and abs(at - begin) > 5:
                del opened[other]
                n += 1
        begin = opened.pop(stream, at)
        if is_last:
            n += 1
        else:
            opened[stream] = begin
    return n + len(opened)


def seconds(text: str | None) -> float | None:
    try:
        if re.fullmatch("[0-9TZ:.-]+", text or ""):
            text = f"{text}".replace(":60.", ":59.")  # a leap second
            return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
    except ValueError:
        pass
    return None


def cri_part(line: str) -> tuple[str, bool, str | None]:
    form = r"\d{4}-\d\d-\d\dT[^ ]+ std(out|err) [PF](:[^ ]*)?( .*)?"
    if not re.fullmatch(form, line, re.DOTALL | re.ASCII):
        return "", True, None
    time, stream, rest = line.split(" ", 2)
    return stream, rest[0] == "F", time


def docker_part(line: str) -> tuple[str | None, bool, str | None]:
    try:
        fields = json.loads(line, parse_constant=int)
        texts = [fields["log"], fields.get("stream"), fields.get("time")]
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", True, None
    is_part = all(isinstance(text, str | None) for text in texts) and texts[0] is not None
    return (texts[1], texts[0].endswith("\n"), texts[2]) if is_part else ("", True, None)


@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_lines_count_once_each_and_in_any_pieces(
    entry: Entry, chance: random.Random, name: str
) -> None:
    settings, lines = SAMPLES[name]
    limit = TimeLimit()
    rules = [{"match": "[a-z0-9]", "events": names_of(settings)}]
    config = entry(rules=rules, **settings)
    matcher = Matcher(config, limit)
    format = TextFormat("utf-8", framing_of(config, limit))
    for _ in range(60):
        data = b"".join(damaged(lines, chance))
        whole = matcher.tally(data) if data else None
        if whole and not config.multiline:
            totals = ("line", "@unmatched", "@malformed", "@skipped")
            assert sum(whole.counts[each] for each in totals) == n_records(data, config)
        buffer, pieces = RecordBuffer(format), Counter[str]()
        begin = 0
        while begin < len(data):
            size = chance.choice([1, 10, 100, 5000])
            for chunk in buffer.take(data[begin : begin + size], Until.RECORD):
                pieces += matcher.tally(chunk).counts
            begin += size
        for chunk in buffer.take(b"", Until.FILE):
            pieces += matcher.tally(chunk).counts
        assert nonzero(pieces) == (nonzero(whole.counts) if whole else {})
