"""Patterns of log files with captures, and the placeholders for the path of a file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from event_count_logger.config import from_file
from event_count_logger.config.path_pattern import PathPattern, absolute, placeholders
from event_count_logger.errors import ConfigError
from event_count_logger.sources.tail.formats.text_format import TextFormat
from event_count_logger.sources.tail.inputs.discovery import Checkpoint
from event_count_logger.sources.tail.inputs.registry import Registry
from tests.fixtures import Run, Write
from tests.servers import Server

ENTRY = "groups: {{g: {{intervals: [5m]}}}}\ntail:\n- {{file: '{file}', group: g, rules: []}}\n"


@pytest.mark.parametrize(
    ("pattern", "path", "captures"),
    [
        ("/a/b.log", "/a/b.log", {}),
        ("/a/b.log", "/a/bxlog", None),
        ("/a/(?P<b>[[x]+).log", "/a/[x.log", {"b": "[x"}),
        ("/a/*/?.log", "/a/b/c.log", {}),
        ("/a/*/?.log", "/a/b/d/c.log", None),
        ("/a/[bc]*.log", "/a/cd.log", {}),
        ("/a/[!bc]*.log", "/a/cd.log", None),
        ("/a/**/c.log", "/a/c.log", {}),
        ("/a/**/c.log", "/a/b/b/c.log", {}),
        ("/a/**", "/a/b/c", {}),
        ("/a/[[]*.log", "/a/[d.log", {}),
        ("/a/[]x].log", "/a/].log", {}),
        ("/a/[!]-a].log", "/a/b.log", {}),
        ("/a/[&&~~||^-].log", "/a/|.log", {}),
        ("/a/[0-9-].log", "/a/-.log", {}),
        ("/a/[b/c].log", "/a/[b/c].log", {}),
        ("/a/(?P<host>[[b]+)/x.log", "/a/[b/x.log", {"host": "[b"}),
        ("/a/(?P<host>[^/]+)/x.log", "/a/b.c/x.log", {"host": "b.c"}),
        ("/a/(?P<host>[a-z]+)/x.log", "/a/b.c/x.log", None),
        (
            "/a/(?P<host>(b|c){2})-(?P<n>\\d+)(?P<end>\\.[()])*",
            "/a/bc-17.)x",
            {"host": "bc", "n": "17", "end": ".)"},
        ),
        ("/a/(?P<host>[^/)(]+)(?P<rest>\\(.*\\))", "/a/b()", {"host": "b", "rest": "()"}),
    ],
)
def test_pattern_matches_and_captures_parts_of_a_path(
    pattern: str, path: str, captures: dict[str, str] | None
) -> None:
    assert PathPattern(pattern).captures(path) == captures


def test_captures_stand_for_asterisks_and_keep_their_regular_expression() -> None:
    text = absolute("../log/(?P<host>[^/.]+|//)/./a.log", "/srv/conf")
    assert text == "/srv/log/(?P<host>[^/.]+|//)/./a.log"
    assert PathPattern(text).glob == "/srv/log/*/./a.log"
    assert absolute("./a/../b.log", "/srv/conf") == "/srv/conf/b.log"


def test_path_gives_placeholders_before_and_after_rotation(tmp_path: Path) -> None:
    for name in ("one", "two", "2025", "2026"):
        (tmp_path / "real" / name).mkdir(parents=True)
    (tmp_path / "log").symlink_to("real")
    (tmp_path / "real" / "current").symlink_to("2026")
    for name in ("one/a.log", "one/a.log.1", "two/a.log", "2025/a.log", "2026/a.log", "two/b.log"):
        (tmp_path / "real" / name).write_text("")
    registry = Registry(PathPattern(f"{tmp_path}/log/(?P<host>[a-z]+)/a.log"), TextFormat(), print)
    registry.begin(from_start=True)
    found = sorted(registry.files.values(), key=lambda file: (file.constants["host"], file.is_rotated))
    directory = os.path.realpath(tmp_path / "real")
    assert [(file.constants["host"], file.constants["file"]) for file in found] == [
        ("current", f"{directory}/2026/a.log"),
        ("one", f"{directory}/one/a.log"),
        ("one", f"{directory}/one/a.log"),
        ("two", f"{directory}/two/a.log"),
    ]
    assert {file.constants["file.name"] for file in found} == {"a.log"}
    registry.close()


def test_rotated_file_below_a_symbolic_link_keeps_its_captures(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "one").symlink_to("real")
    log = tmp_path / "one" / "a.log"
    log.write_text("line\n")
    pattern = PathPattern(f"{tmp_path}/(?P<host>one|two)/a.log")
    registry = Registry(pattern, TextFormat(), print)
    registry.begin(from_start=False)
    checkpoint = registry.checkpoint(1)
    registry.close()
    log.rename(f"{log}.1")  # and the next one was not created yet
    registry.resume(checkpoint)
    (file,) = registry.files.values()
    assert file.constants["host"] == "one"
    registry.close()


def test_captures_of_a_link_to_a_file_outlive_the_link(tmp_path: Path) -> None:
    pattern = PathPattern(f"{tmp_path}/(?P<host>[a-z]+).log")
    (tmp_path / "17").write_text("line\n")
    link = tmp_path / "one.log"
    link.symlink_to("17")
    registry = Registry(pattern, TextFormat(), print)
    registry.begin(from_start=False)
    link.unlink()
    for _ in range(2):
        checkpoint = Checkpoint.parse(str(registry.checkpoint(1)))
        registry.close()
        registry = Registry(pattern, TextFormat(), print)
        registry.resume(checkpoint)
        (file,) = registry.files.values()
        assert file.constants["host"] == "one"
    registry.close()


def test_checkpoint_has_captures_only_if_the_path_does_not_show_them(tmp_path: Path) -> None:
    (tmp_path / "one.log").write_text("line\n")
    registry = Registry(PathPattern(f"{tmp_path}/(?P<host>[a-z]+).log"), TextFormat(), print)
    registry.begin(from_start=False)
    checkpoint = registry.checkpoint(1)
    assert len(json.loads(str(checkpoint))[2][0]) == 8
    assert Checkpoint.parse(str(checkpoint)) == checkpoint
    registry.close()


def test_entry_knows_its_placeholders_and_keeps_its_source_id(config_file: Write) -> None:
    path = config_file(ENTRY.format(file="log/(?P<host>[^/]+)/*.log"))
    (entry,) = from_file(path).tail
    assert placeholders(entry.file) == ("file", "file.name", "host")
    assert entry.source_id.endswith(f"{path.parent}/log/(?P<host>[^/]+)/*.log")


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("a/(?P<host>[^/]+/b", "the capture at character 3 has no closing parenthesis"),
        ("a/(?P<host>**)", "a capture in it is not a regular expression: nothing to repeat"),
        ("a/(?P<host>b)(?P<host>c)", "a capture in it is not a regular expression: redefinition of group"),
        ("[z-a].log", "the range z-a of a wildcard in it is empty"),
    ],
)
def test_invalid_pattern_is_a_problem_of_the_file(config_file: Write, file: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_file(config_file(ENTRY.format(file=file)))
    assert f"tail[0].file: '{file}' is not a pattern of paths: {reason}" in str(caught.value)


@pytest.mark.parametrize("name", ["file", "directory"])
def test_path_that_is_not_utf8_is_a_problem_of_its_setting(config_file: Write, name: str) -> None:
    tail = [{name: "a\udcff", "group": "g", "rules": []}]
    with pytest.raises(ConfigError) as caught:
        from_file(config_file(json.dumps({"groups": {"g": {"intervals": ["5m"]}}, "tail": tail})))
    assert f"tail[0].{name}: 'a\\udcff' contains '\\udcff', which UTF-8 does not have" in str(caught.value)


def test_path_is_counted_in_event_names(server: Server, run: Run, tmp_path: Path) -> None:
    for host in ("one", "two"):
        (tmp_path / host).mkdir()
        (tmp_path / host / "a.log").write_text("line\n" * (1 + (host == "two")))
    rules = [{"match": "line", "events": ["{host}_{file.name}", "{file}"]}]
    tail = [{"file": "(?P<host>[a-z]+)/a.log", "group": "g", "rules": rules}]
    groups = {"g": {"intervals": ["24h"], "auto_declare_events": True}}
    config = tmp_path / "ecl.yml"
    config.write_text(json.dumps({"redis": server.config, "groups": groups, "tail": tail}))
    run("ecl", "tail", "--from", "start", "--once", config)
    assert server.counts("g", "24h", "cur") == {
        "one_a.log": 1,
        "two_a.log": 2,
        f"{tmp_path}/one/a.log": 1,
        f"{tmp_path}/two/a.log": 2,
    }
    config.write_text(config.read_text().replace("{host}", "{hosts}"))
    problem = run("ecl", "check", config).stdout
    assert "'{hosts}' is not captured by the pattern, which captures file, file.name, host" in problem
