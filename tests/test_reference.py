"""Generated pages match the code; documents name only commands, options and extras that exist."""

from __future__ import annotations

import json
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import click
import jsonschema_rs
import pytest
import yaml
from reference_parts import example, http_api
from reference_parts.__main__ import PAGES
from reference_parts.settings import SECTIONS, Section, plain_default

from event_count_logger import config
from event_count_logger.cli.ecl import ecl
from event_count_logger.config.settings import Setting, Table
from tests.conftest import ROOT

DOCS = ROOT / "docs"

#: All documents for users.
DOCUMENTS = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]

#: Defaults in sentences, such as "`history` intervals (60 if not configured)".
DEFAULT = re.compile(r"`(\w+)`([^`]{0,80}?) \((\S+)( \w+)? if not (?:configured|given)\b")

#: Statuses of most routes, which the page of the HTTP API lists once.
ANY_ROUTE = {"200", "401", "403", "503"}

UNITS = {" days": 24 * 3600, " hours": 3600, " seconds": 1}


def tables() -> dict[str, Table]:
    """Returns the tables of settings in the modules of the configuration, by name."""
    return {
        name: value
        for module in pkgutil.iter_modules(config.__path__, f"{config.__name__}.")
        for name, value in vars(import_module(module.name)).items()
        if isinstance(value, dict) and value and all(isinstance(each, Setting) for each in value.values())
    }


@pytest.mark.parametrize("name", PAGES)
def test_generated_page_matches_the_code(name: str) -> None:
    assert (ROOT / name).read_text() == PAGES[name](), "run scripts/reference"


@pytest.mark.parametrize("name", sorted(tables()))
def test_each_setting_is_in_the_reference(name: str) -> None:
    page = PAGES["docs/configuration.md"]()
    for setting in tables()[name]:
        assert f"`{setting}`" in page


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.path)
def test_each_setting_has_a_meaning_and_a_version(section: Section) -> None:
    for entry in section.table.values():
        assert entry.meaning.endswith(".")
        assert re.fullmatch(r"[0-9]+\.[0-9]+", entry.since)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_default_in_a_sentence_is_that_of_the_setting(document: Path) -> None:
    for name, between, number, unit in DEFAULT.findall(document.read_text()):
        entries = [section.table[name] for section in SECTIONS if name in section.table]
        written = number.replace(",", "")
        if unit in UNITS and written.isdecimal():
            defaults = {entry.default for entry in entries}
            assert int(written) * UNITS[unit] in defaults, (name, between, number + unit)
        else:
            assert written in {plain_default(entry) for entry in entries}, (name, between, number)


def test_default_in_a_sentence_is_found() -> None:
    text = (DOCS / "guarantees.md").read_text()
    assert {name for name, *_ in DEFAULT.findall(text)} >= {"source_ttl", "max_events"}


def test_each_commented_setting_of_the_example_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_NAME", "node-7")
    written = [
        re.sub("^( *)# ?", r"\1", each.text) if each.is_off else each.text
        for each in example.lines((ROOT / "example_config.yml").read_text())
    ]
    content = yaml.safe_load("\n".join(written))
    assert set(content) >= {"redis", "groups", "serve", "grafana", "tail", "spool"}, json.dumps(content)
    assert config.from_dicts(**content).warnings == ()


def test_each_route_has_a_section_with_its_parts() -> None:
    page = (DOCS / "http-api.md").read_text()
    for name, route in http_api.routes():
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert section, name
        body = route.get("requestBody", {"content": {"application/json": {"schema": {"properties": {}}}}})
        fields = body["content"]["application/json"]["schema"]["properties"]
        for part in (*http_api.parameters(route), *fields):
            assert re.search(rf'[`"]{part}[`"]', section, re.IGNORECASE), (name, part)
        for status in set(http_api.statuses(route)) - ANY_ROUTE:
            assert re.search(rf"\b{status}\b", section), (name, status)


def test_each_field_of_an_answer_is_on_the_page_of_the_api() -> None:
    page = (DOCS / "http-api.md").read_text()
    schemas = http_api.description()["components"]["schemas"]
    fields = {
        field for name, each in schemas.items() if "Validation" not in name for field in each["properties"]
    }
    assert len(fields) > 20
    assert {field for field in fields if not re.search(rf'[`"]{field}[`"]', page)} == set()


def test_each_operation_has_words_and_an_example_of_its_schema() -> None:
    description = http_api.description()
    tags = {tag["name"] for tag in description["tags"]}
    for name, route in http_api.routes():
        assert set(route["tags"]) <= tags, name
        assert route["summary"], name
        assert route["description"], name
        for status in ("200", "201"):
            content = route["responses"].get(status, {}).get("content", {}).get("application/json", {})
            assert "schema" not in content or content["schema"] == {} or "example" in content, name
            if "example" in content:
                schema = {**content["schema"], "components": description["components"]}
                jsonschema_rs.validate(schema, content["example"])
        for parameter in route.get("parameters", []):
            if "example" in parameter:
                jsonschema_rs.validate(parameter["schema"], parameter["example"])
            else:
                assert parameter["in"] != "path", (name, parameter["name"])


def test_each_command_is_in_the_reference() -> None:
    page = (DOCS / "commands.md").read_text()
    for name in ecl.list_commands(click.Context(ecl)):
        assert f"\n## ecl {name}\n" in page


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_option_in_a_document_exists(document: Path) -> None:
    context = click.Context(ecl)
    for name, rest in re.findall(r"\becl[ _](\w+)((?: [^|;`#\n]*)?)", document.read_text()):
        command = ecl.get_command(context, name)
        if command:
            known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            assert set(re.findall(r"(?<= )--?[a-z][a-z-]*", rest)) <= known, (name, rest)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_extra_in_a_document_exists(document: Path) -> None:
    known = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    for extras in re.findall(r"event-count-logger\[(.+?)\]", document.read_text()):
        assert set(extras.split(",")) <= set(known)
