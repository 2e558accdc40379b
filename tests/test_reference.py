"""The pages that come from the code are those of this code, and leave nothing out."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import voluptuous as vol
from reference_parts import words
from reference_parts.__main__ import DOCS, PAGES
from reference_parts.settings import IGNORED, SCHEMAS, SECTIONS, NothingSaid, Section, settings

from event_count_logger.cli.ecl import ecl
from event_count_logger.config.model import RedisConfig
from tests.conftest import ROOT

#: All that is written for users.
DOCUMENTS = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_the_code_is(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run scripts/reference"


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_setting_is_in_the_reference(name: str) -> None:
    (section,) = (each for each in SECTIONS if each.schema_name == name)
    named = {setting.name for setting in settings(section)} | set(IGNORED)
    assert {str(key) for key in SCHEMAS[name].schema} <= named
    assert all(f"| `{name}` |" in PAGES["configuration.md"]() for name in named - set(IGNORED))


def test_a_setting_of_which_nothing_is_said_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCHEMAS, "NEW", vol.Schema({"strange": object}))
    section = Section("new", "NEW", RedisConfig)
    with pytest.raises(NothingSaid, match=r"^new\.strange has no meaning: .* RedisConfig"):
        list(settings(section))


def test_nothing_is_said_of_settings_that_are_gone() -> None:
    there = {f"{section.path}.{key}" for section in SECTIONS for key in section.schema.schema}
    assert {*words.MEANINGS, *words.DEFAULTS} <= there


def test_every_command_is_in_the_reference() -> None:
    page = (DOCS / "commands.md").read_text()
    for name in ecl.list_commands(click.Context(ecl)):
        assert f"\n## ecl {name}\n" in page


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_option_that_is_named_exists(document: Path) -> None:
    context = click.Context(ecl)
    for name, rest in re.findall(r"\becl[ _](\w+)((?: [^|;`#\n]*)?)", document.read_text()):
        command = ecl.get_command(context, name)
        if command:
            known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            assert set(re.findall(r"(?<= )--?[a-z][a-z-]*", rest)) <= known, (name, rest)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_extra_that_is_named_exists(document: Path) -> None:
    known = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    for extras in re.findall(r"event-count-logger\[(.+?)\]", document.read_text()):
        assert set(extras.split(",")) <= set(known)
