"""The page of the Python API: it is complete, and its examples print what they say."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import griffe
import pytest
import yaml
from reference_parts import api_objects as api
from reference_parts.api_parts import COMPACT, PARTS, WITHOUT_EXAMPLE

import event_count_logger
from event_count_logger import EventCountLogger, EventCountLoggerMaster, config, testing
from event_count_logger.config import RedisConfig
from event_count_logger.store import Store
from tests.conftest import ROOT
from tests.pages import matches
from tests.servers import Server

PAGE = (ROOT / "docs" / "api.md").read_text()
(SETTINGS,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SETUP = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[0]

#: Each section of the page, by its heading.
SECTIONS = dict(re.findall(r"^####? `?([\w.]+)[^\n]*\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE))
EXAMPLES = {
    name: example
    for name, text in SECTIONS.items()
    for example in re.findall(r"^Example:\n\n```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
}


@cache
def things() -> dict[str, griffe.Object]:
    """Returns the objects on the page, by heading. Parses late: each test process imports this file."""
    return {api.title(path): api.find(path) for part in PARTS for path in part.names}


def classes() -> dict[str, griffe.Class]:
    return {name: each for name, each in things().items() if isinstance(each, griffe.Class)}


def functions() -> dict[str, griffe.Function]:
    return {name: each for name, each in things().items() if isinstance(each, griffe.Function)}


def methods() -> dict[str, tuple[griffe.Class, griffe.Function]]:
    return {
        f"{name}.{method}": (each, function)
        for name, each in classes().items()
        for method, function in api.methods(each).items()
    }


@pytest.fixture
def names(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names that the examples use, with the counts that the page describes in Redis."""
    settings = yaml.safe_load(SETTINGS) | {"redis": server.config}
    path = tmp_path / "ecl.yml"
    path.write_text(yaml.safe_dump(settings))
    monkeypatch.chdir(tmp_path)
    exported = {name: getattr(event_count_logger, name) for name in event_count_logger.__all__}
    for_tests = {name: getattr(testing, name) for name in testing.__all__}
    found = {**exported, **for_tests, "asyncio": asyncio, "config": config, "threading": threading}
    exec(SETUP, found)
    with contextlib.closing(Store(RedisConfig(**server.config))) as store:
        store.commits.commit(found["reader"].group, "test", 0, 1, {"ok": 4}, time.time() - 3600)
    master = EventCountLoggerMaster.from_file(path, log_level="ERROR")
    master.rotate_due()
    master.close()
    ecl: EventCountLogger = found["ecl"]
    yield found
    ecl.close()


@pytest.mark.parametrize("name", EXAMPLES)
def test_api_example_prints_what_its_comments_say(names: dict[str, Any], name: str) -> None:
    shown = re.findall(r"^ *(?:print|asyncio\.run)\(.*  # (?:prints )?(.*)$", EXAMPLES[name], re.MULTILINE)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(EXAMPLES[name], names)
    assert matches(output.getvalue(), "".join(f"{line}\n" for line in shown))


def test_api_page_has_each_public_name() -> None:
    assert {*event_count_logger.__all__, *testing.__all__} <= {each.split(".")[-1] for each in things()}
    assert SECTIONS.keys() >= things().keys()


def test_each_public_class_has_an_example() -> None:
    shown = {name.split(".")[0] for name in EXAMPLES}
    assert classes().keys() - set(WITHOUT_EXAMPLE) <= shown


def test_each_public_class_and_function_has_a_docstring() -> None:
    of_classes = {name: function for name, (_, function) in methods().items()}
    assert [name for name, each in (functions() | classes() | of_classes).items() if not each.docstring] == []


def test_each_public_attribute_has_a_meaning() -> None:
    for name, each in classes().items():
        documented = {attribute for base in (each, *each.mro()) for attribute in api.meanings(base)}
        assert api.attributes(each).keys() <= documented, name


def test_each_parameter_is_in_a_docstring() -> None:
    missing = {
        f"{name}: {parameter.name}"
        for name, (owner, function) in methods().items()
        if owner.name not in COMPACT
        for parameter in function.parameters
        if parameter.name not in ("self", "cls")
        if not re.search(rf"\b{parameter.name}\b", documentation(owner, function.name))
    }
    assert missing == set()


def test_each_type_in_a_signature_is_on_the_page() -> None:
    of_all = functions() | {name: function for name, (_, function) in methods().items()}
    used = {
        each.name
        for function in of_all.values()
        for annotation in (function.returns, *(each.annotation for each in function.parameters))
        for each in names_in(annotation)
        if each.canonical_path.startswith(f"{api.PACKAGE}.")
    }
    assert len(used) > 10
    assert {name for name in used if not name.startswith("_")} <= api.anchors().keys()


def documentation(of: griffe.Class, method: str) -> str:
    """Returns the docstrings of a method and its class, and those of the base classes."""
    classes = [of, *of.mro()]
    things = [*classes, *(each.members[method] for each in classes if method in each.members)]
    return "\n".join(each.docstring.value for each in things if each.docstring)


def names_in(annotation: str | griffe.Expr | None) -> list[griffe.ExprName]:
    parts = annotation.iterate(flat=True) if isinstance(annotation, griffe.Expr) else ()
    return [each for each in parts if isinstance(each, griffe.ExprName)]
