"""The pages that come from the code are those of this code, and leave nothing out."""

from __future__ import annotations

import pytest
import voluptuous as vol

from event_count_logger.cli import main
from event_count_logger.config import rules, tail_rules
from event_count_logger.config.values import RedisConfig
from scripts.reference_parts import words
from scripts.reference_parts.__main__ import DOCS, PAGES
from scripts.reference_parts.settings import IGNORED, SECTIONS, NothingSaid, Section, settings

SCHEMAS = {
    name: value
    for module in (rules, tail_rules)
    for name, value in vars(module).items()
    if isinstance(value, vol.Schema)
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_the_code_is(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run scripts/reference"


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_setting_is_in_the_reference(name: str) -> None:
    (section,) = (each for each in SECTIONS if each.schema is SCHEMAS[name])
    named = {setting.name for setting in settings(section)} | set(IGNORED)
    assert {str(key) for key in SCHEMAS[name].schema} <= named
    assert all(f"| `{name}` |" in PAGES["configuration.md"]() for name in named - set(IGNORED))


def test_a_setting_of_which_nothing_is_said_is_named() -> None:
    section = Section("new", vol.Schema({"strange": object}), RedisConfig)
    with pytest.raises(NothingSaid, match=r"^new\.strange has no meaning: .* RedisConfig"):
        list(settings(section))


def test_nothing_is_said_of_settings_that_are_gone() -> None:
    there = {f"{section.path}.{key}" for section in SECTIONS for key in section.schema.schema}
    assert {*words.MEANINGS, *words.DEFAULTS} <= there


def test_every_command_is_in_the_reference() -> None:
    page = (DOCS / "commands.md").read_text()
    for name in main.list_commands(None):  # type: ignore[arg-type]
        assert f"\n## ecl {name}\n" in page
