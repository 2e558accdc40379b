"""`ecl check --rules`: the trial of rules on a sample of lines, and its output."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from event_count_logger.config import Config, from_file
from event_count_logger.render import rule_trial
from event_count_logger.sources.tail import trial as trials
from event_count_logger.sources.tail.formats.text_format import TextFormat
from event_count_logger.sources.tail.rules.time_limit import Found, TimeLimit
from event_count_logger.sources.tail.trial import Sample, Trial, try_rules
from tests.fixtures import Run, Write
from tests.servers import free_port

ACCESS = {
    "match": r'"(?P<method>[A-Z]+) \S+" (?P<status>\d+) (?P<bytes>\S+)',
    "events": ["status_{status}"],
    "counts": {"bytes": "{bytes}"},
    "rules": [{"where": {"status": r"5\d\d"}, "events": ["failed"]}],
    "else": [{"match": "start", "events": ["start"]}],
}
ERROR = {"match": "error", "events": ["error"]}
GROUPS = {
    "g": {"intervals": ["5m"], "auto_declare_events": True, "sessions": {}},
    "declared": {"intervals": ["5m"], "events": ["error"]},
}
LINES = b'"GET /" 200 10\n"GET /" 503 20\n"GET /" 200 x\nstart\n"GET /error" 200 1\nother\x1b[1m\n'

Try = Callable[..., Trial]


def entry(file: str, *rules: Mapping[str, Any], group: str = "g") -> dict[str, Any]:
    return {"file": file, "group": group, "rules": rules}


@pytest.fixture
def configure(config_file: Write) -> Callable[..., Path]:
    """Writes a configuration whose Redis cannot be reached."""

    def configure(*entries: Mapping[str, Any]) -> Path:
        redis = {"host": "127.0.0.1", "port": free_port()}
        return config_file(json.dumps({"redis": redis, "groups": GROUPS, "tail": entries}))

    return configure


@pytest.fixture
def try_lines(configure: Callable[..., Path]) -> Try:
    """Tries rules on lines."""

    def try_lines(
        data: bytes, *rules: Mapping[str, Any], group: str = "g", limit: type[TimeLimit] = TimeLimit
    ) -> Trial:
        config: Config = from_file(configure(entry("app.log", *rules, group=group)))
        return try_rules(config.tail[0], config.group(group), Sample(data, False), {}, limit())

    return try_lines


def numbers(trial: Trial) -> dict[str, tuple[int, int]]:
    return {rule.name: (rule.n_tried, rule.n_matched) for rule in trial.rules}


def test_trial_lists_rules_as_configured_with_lines_tried_and_matched(try_lines: Try) -> None:
    trial = try_lines(LINES, ACCESS, ERROR)
    assert list(numbers(trial).items()) == [
        ("rules[0]", (6, 4)),
        ("rules[0].rules[0]", (4, 1)),
        ("rules[0].else[0]", (2, 1)),
        ("rules[1]", (6, 1)),
    ]
    assert (trial.n_lines, trial.is_complete) == (6, True)
    assert all(rule.seconds > 0 for rule in trial.rules)


def test_trial_shows_largest_counts_of_each_rule(try_lines: Try) -> None:
    trial = try_lines(LINES, ACCESS, ERROR)
    assert [rule.examples for rule in trial.rules] == [
        [("bytes", 31), ("status_200", 3), ("status_503", 1)],
        [("failed", 1)],
        [("start", 1)],
        [("error", 1)],
    ]


def test_trial_shows_unmatched_lines_and_reason_of_skips(try_lines: Try) -> None:
    trial = try_lines(LINES * 5, ACCESS, ERROR)
    assert trial.reserved == {"@unmatched": 5, "@skipped": 5}
    assert trial.unmatched == ["other\x1b[1m"] * 3
    assert trial.faults == ["rules[0]: 'x' is not a whole number from 0 to 10^12; number not counted"]


def test_trial_counts_the_same_in_chunks_of_any_size(try_lines: Try, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = try_lines(LINES * 5, ACCESS, ERROR)
    monkeypatch.setattr(trials, "_FIRST_CHUNK", 1)
    monkeypatch.setattr(trials, "_CHUNK", 40)
    parts = try_lines(LINES * 5, ACCESS, ERROR)
    assert numbers(parts) == numbers(whole)
    assert (parts.n_lines, parts.reserved, parts.unmatched) == (
        whole.n_lines,
        whole.reserved,
        whole.unmatched,
    )
    assert [rule.tally.counts for rule in parts.rules] == [rule.tally.counts for rule in whole.rules]


def test_trial_names_events_that_the_group_would_not_count(try_lines: Try) -> None:
    data = b"error\nwarning\n" + b"x" * 600 + b"\n"
    trial = try_lines(data, {"match": r"(?P<word>\w+)", "events": ["{word}"]}, group="declared")
    assert trial.reserved == {"@skipped": 1}
    assert len(trial.faults) == 2
    assert "is not an event ID" in trial.faults[0]
    assert trial.faults[1] == "'warning' is not an event of group 'declared'"


def test_trial_shows_session_actions(try_lines: Try) -> None:
    session = {"id": "{id}", "event": "visit", "action": "start"}
    trial = try_lines(b"in 1\nin 2\n", {"match": r"in (?P<id>\d)", "session": session})
    assert trial.rules[0].examples == [("session start", 2)]


def test_trial_skips_lines_that_are_too_long_or_too_slow(try_lines: Try) -> None:
    data = b"a" * 40 + b"!\n" + b"a" * 40 + b"?\n" + b"a" * ((1 << 20) + 1) + b"\naa\n"
    trial = try_lines(data, {"match": "!", "events": ["b"]}, {"match": "^(a+)+$", "events": ["a"]})
    assert (trial.reserved, trial.unmatched) == ({"@skipped": 3}, [])
    assert numbers(trial) == {"rules[0]": (3, 0), "rules[1]": (3, 1)}
    assert trial.faults == [
        "rules[1] takes too long for a line: line skipped",
        "a line or record has more than 1 MiB: skipped",
    ]


def test_trial_of_very_slow_rules_ends_early(try_lines: Try, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "_FIRST_CHUNK", 8)
    monkeypatch.setattr(trials, "TRIAL_S", 0)
    trial = try_lines(b"a\n" * 100, ERROR)
    assert (trial.n_lines, trial.is_complete) == (4, False)
    assert "ended early, after 4 lines" in rule_trial.render(trial)


def test_trial_without_rules_has_no_table(try_lines: Try) -> None:
    assert rule_trial.render(try_lines(b"a\n")) == "  @unmatched: 1\n"


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?i)fatal", ": (?i) compares each character"),
        ("fatal (?P<word>(?i:x))", ": (?i) compares each character"),
        ("^(?P<word>.*) fatal", ": leave out the wildcard"),
        (r"(\bfatal|x)", r": \b is tried at each character"),
        ("(a|b)*c", ""),
    ],
)
def test_slow_rule_is_marked_with_its_reason(try_lines: Try, pattern: str, reason: str) -> None:
    trial = try_lines(LINES, ERROR, {**ERROR, "match": pattern}, ERROR)
    for rule, seconds in zip(trial.rules, (0.003, 0.0201, 0.004), strict=True):
        rule.seconds = seconds
    (note,) = [note for note in rule_trial.render(trial).splitlines() if "SLOW" in note]
    assert note.startswith(f"  SLOW: rules[1] takes 5 times the median time{reason}")


@pytest.mark.parametrize("times", [(0.001, 0.0049, 0.001), (0.0001, 0.0009, 0.0001), (0.1, 0.1, 0.1)])
def test_rule_of_usual_or_short_time_is_not_marked(try_lines: Try, times: tuple[float, ...]) -> None:
    trial = try_lines(LINES, *[ERROR] * len(times))
    for rule, seconds in zip(trial.rules, times, strict=True):
        rule.seconds = seconds
    assert "SLOW" not in rule_trial.render(trial)


def compute() -> None:
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        pass


@pytest.mark.parametrize("delay", [partial(time.sleep, 0.1), compute])
def test_rule_is_not_marked_for_a_delay_of_one_search(try_lines: Try, delay: Callable[[], None]) -> None:
    class DelayedOnce(TimeLimit):
        is_delayed = False

        def search(self, pattern: re.Pattern[str], *args: Any, **options: Any) -> tuple[Found, list[int]]:
            if pattern.pattern == "error" and not self.is_delayed:
                self.is_delayed = True
                delay()
            return super().search(pattern, *args, **options)

    trial = try_lines(LINES, {"match": "start"}, ERROR, {"match": "other"}, limit=DelayedOnce)
    assert "SLOW" not in rule_trial.render(trial)


def test_sample_of_one_file_is_tried_with_the_entries_that_follow_it(
    run: Run, configure: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "app.log.1").write_bytes(LINES)
    config = configure(
        entry("other.log", ERROR), entry("app.log", ACCESS, ERROR), entry("*.log", group="declared")
    )
    done = run("ecl", "check", config, "--rules", tmp_path / "app.log.1")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:3] == [
        f"{tmp_path}/app.log.1: 0.1 kB",
        "",
        f"tail[1], {tmp_path}/app.log, group 'g': 6 lines",
    ]
    assert [line.split()[0] for line in lines[3:]] == [
        "rule",
        "rules[0]",
        "rules[0].rules[0]",
        "rules[0].else[0]",
        "rules[1]",
        "@skipped:",
        "@unmatched:",
        "not",
        "unmatched:",
    ]
    assert re.match(
        r'  rules\[0\] +"\(\?P<method>\[A-Z\]\+\) \\S\+" \(\?P<st… +6 +4 +[0-9.]+  bytes 31, ', lines[4]
    )
    assert re.fullmatch(r"  rules\[0\]\.rules\[0\]  status: 5\\d\\d +4 +1 +[0-9.]+  failed 1", lines[5])
    assert lines[-1] == r"  unmatched: other\x1b[1m"


def test_control_characters_in_the_name_of_a_sample_are_escaped(
    run: Run, configure: Callable[..., Path], tmp_path: Path
) -> None:
    sample = tmp_path / "a\x1b[1m.log"
    sample.write_bytes(b"an error\n")
    done = run("ecl", "check", configure(entry(f"{sample}", ERROR)), "--rules", sample)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        f"{tmp_path}/a\\x1b[1m.log: 0.0 kB\n\ntail[0], {tmp_path}/a\\x1b[1m.log, group 'g': 1 line\n"
    )


def test_file_is_followed_unless_its_name_only_starts_alike(
    configure: Callable[..., Path], tmp_path: Path
) -> None:
    followed = from_file(configure(entry("app.log", ERROR))).tail[0]
    for name, expected in (
        ("app.log", True),
        ("app.log-20261125", True),
        ("app.log.bak", False),
        ("a", False),
    ):
        (tmp_path / name).touch()
        values = trials.values_of_path(followed, str(tmp_path / name))
        assert (values is not None) is expected


def test_standard_input_is_tried_with_all_entries(run: Run, configure: Callable[..., Path]) -> None:
    config = configure(entry("a.log", ERROR), entry("b.log", ERROR, group="declared"))
    done = run("ecl", "check", config, "--rules", "-", input="an error\nno newline")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "standard input: 0.0 kB\nNo entry of 'tail' follows standard input: all are tried.\n"
    )
    assert [line[:7] for line in done.stdout.splitlines() if line.startswith("tail[")] == [
        "tail[0]",
        "tail[1]",
    ]
    assert done.stdout.count("unmatched: no newline") == 2


def test_large_sample_is_cut_at_the_end_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "SAMPLE_BYTES", 7)
    log = tmp_path / "app.log"
    for text, lines in (("abc\ndef", "abc\ndef\n"), ("abc\ndefg\n", "abc\n"), ("abcdefghi\n", ""), ("", "")):
        log.write_text(text)
        with log.open("rb") as stream:
            sample = Sample.read(stream)
        chunks = [chunk for chunk, _ in sample.chunks(TextFormat())]
        assert b"".join(chunks).decode() == lines


def test_sample_is_read_in_the_encoding_of_its_entry(config_file: Write) -> None:
    given = {**entry("app.log", {"match": "ö", "events": ["o"]}), "encoding": "utf-16"}
    config = from_file(config_file(json.dumps({"groups": GROUPS, "tail": [given]})))
    sample = Sample("ö\nx\n".encode("utf-16"), False)
    trial = try_rules(config.tail[0], config.group("g"), sample, {}, TimeLimit())
    assert numbers(trial) == {"rules[0]": (2, 1)}


def test_events_contain_parts_of_the_path_of_the_sample(
    run: Run, configure: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "a.log").touch()
    (tmp_path / "a.log.1").write_bytes(LINES)
    rule = {"match": "error", "events": ["error_{name}_{file.name}"]}
    done = run(
        "ecl", "check", configure(entry("(?P<name>[a-z]+).log", rule)), "--rules", tmp_path / "a.log.1"
    )
    assert " error_a_a.log 1\n" in done.stdout


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.log", "cannot be read: No such file or directory"),
        (".", "cannot be read: Is a directory"),
        ("empty.log", "has no lines to try the rules on"),
        ("app.log.gz", "is compressed (use for example zcat, and --rules -)"),
    ],
)
def test_sample_without_lines_is_an_error(
    run: Run, configure: Callable[..., Path], tmp_path: Path, name: str, reason: str
) -> None:
    for each in ("empty.log", "app.log.gz"):
        (tmp_path / each).touch()
    sample = tmp_path / name
    done = run("ecl", "check", configure(entry("app.log", ERROR)), "--rules", sample)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"ERROR: {sample} {reason}\n")


def test_check_of_rules_without_section_tail_is_an_error(run: Run, config_file: Write) -> None:
    config = config_file(json.dumps({"groups": GROUPS}))
    done = run("ecl", "check", config, "--rules", "-", input="line\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ERROR: {config} has no section 'tail'\n"
