"""The graphs for Munin, and a real munin-node that serves them."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import Address, FaultProxy

from event_count_logger.config import GroupConfig, RedisConfig, from_dicts
from event_count_logger.errors import NotConfigured
from event_count_logger.intervals import Interval
from event_count_logger.reading.reader import Snapshot
from event_count_logger.render import munin
from event_count_logger.render.munin_graphs import Graph, find, suggestions
from event_count_logger.store import Store
from tests.conftest import BIN, ROOT, needs_debian
from tests.days import Days
from tests.fixtures import Run, Start, Write
from tests.servers import Server, free_port, wait_until

PLUGIN = ROOT / "munin" / "ecl_"

#: Event IDs that are unusual as a field name, a file name or a line of Munin.
AWKWARD = [
    "/api/ip",
    "400_bad",
    "root",
    "é",
    "a b",
    "a:b",
    "a.b",
    "ok.value 5",
    "x#y",
    "back\\",
    "graph_title",
]
AWKWARD += [
    " ",
    "\u00a0",
    "\u2028multigraph x",
    "x # timeout",
    "# Timed out",
    "50%",
    "..",
    "x" * 512,
    "@overflow",
]

GROUPS = {
    "web": {"events": ["ok", "error"], "intervals": ["24h"], "title": "The web", "unit": "requests"},
    "awkward": {"events": AWKWARD[:-1], "intervals": ["24h"]},
    "dynamic": {"auto_declare_events": True, "intervals": ["24h"]},
    "under_score": {"events": ["a"], "intervals": ["48h", "24h"]},
    "secret": {"events": ["a"], "intervals": ["24h"], "hidden": True},
}


def graph(*events: str, intervals: str = "5m", **settings: Any) -> Graph:
    spec = {"events": list(events), "intervals": intervals.split(), **settings}
    return find(from_dicts({"g": spec}), "ecl_g")[0]


def snapshot(counts: dict[str, int], **differences: Any) -> Snapshot:
    values: dict[str, Any] = {"start": 0.0, "end": 300.0, "now": 301.0, "overdue_s": 0, "counts": counts}
    return Snapshot(group="g", interval="5m", half="last", **{**values, **differences})


# Names


def test_event_id_that_is_a_field_name_is_kept() -> None:
    names = ["ok", "_x", "A_9", "x" * 64, "value", "Root", "deadbeef", "graph", "__root"]
    assert [munin.field_name(name) for name in names] == names


def test_generated_field_names_are_stable() -> None:
    assert munin.field_name("a b") == "a_b_c8687a08aa5d6ed2044328fa6a697ab8"
    assert munin.field_name("root") == "root_4813494d137e1631bba301d5acab6e7b"
    assert munin.field_name("400_bad") == "_00_bad_d461d82d50a13ec4850418f4cfbe61e1"


@pytest.mark.parametrize("event_id", AWKWARD)
def test_any_other_event_id_gets_a_generated_name(event_id: str) -> None:
    name = munin.field_name(event_id)
    assert re.fullmatch("[A-Za-z_][A-Za-z0-9_]{1,63}", name)
    assert name != event_id


def test_generated_field_name_cannot_collide() -> None:
    hostile = {munin.field_name(event_id) for event_id in AWKWARD}
    names = {munin.field_name(event_id) for event_id in (*AWKWARD, *hostile)}
    assert len(hostile) == len(AWKWARD)
    assert len(names) == 2 * len(AWKWARD)


# Graphs


CONFIG = from_dicts(
    {
        "web": {"intervals": ["5s", "1h", "5m", "0.5h"]},
        "web_1h": {"intervals": ["24h"]},
        "quick": {"intervals": ["5s", "10s"]},
        "mixed": {"intervals": ["5s", "1h"]},
        "secret": {"intervals": ["5m"], "hidden": True},
        "all": {"intervals": ["300s"]},
    }
)


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("ecl_web", ["web_5m"]),
        ("ecl_web_5s", ["web_5s"]),
        ("ecl_web_0.5h", ["web_0.5h"]),
        ("ecl_web_1h", ["web_1h_24h"]),
        ("ecl_quick", ["quick_5s"]),
        ("ecl_mixed", ["mixed_5s"]),
        ("ecl_all_300s", ["all_300s"]),
        ("ecl_all", ["web_1h", "web_5m", "web_0.5h", "web_1h_24h", "quick_5s", "mixed_1h", "all_300s"]),
    ],
)
def test_plugin_name_selects_graphs(name: str, drawn: list[str]) -> None:
    assert [graph.name for graph in find(CONFIG, name)] == drawn


NAMES = "(use ecl_GROUP, ecl_GROUP_INTERVAL or ecl_all) (configured: web, web_1h, quick, mixed, all)"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ecl_nothing", f"'ecl_nothing' names no group {NAMES}"),
        ("ecl_", f"'ecl_' names no group {NAMES}"),
        ("ecl_web_7m", "group 'web' has no interval '7m' (configured: 5s, 1h, 5m, 0.5h)"),
        ("ecl_web_", "group 'web' has no interval '' (configured: 5s, 1h, 5m, 0.5h)"),
        ("ecl_secret", "group 'secret' is hidden ('hidden: true' in its configuration)"),
        ("ecl_secret_5m", "group 'secret' is hidden ('hidden: true' in its configuration)"),
    ],
)
def test_unknown_plugin_name_is_an_error(name: str, message: str) -> None:
    with pytest.raises(NotConfigured) as error:
        find(CONFIG, name)
    assert str(error.value) == message


def test_each_suggestion_selects_its_graph() -> None:
    assert suggestions(CONFIG) == [
        "all",
        "web_5m",
        "web_0.5h",
        "web_1h_24h",
        "quick_5s",
        "mixed_1h",
        "all_300s",
    ]


def test_graph_has_the_configured_settings() -> None:
    drawn = graph("ok", "not ok", title="My # site", unit="requests", labels={"not ok": "failed"})
    assert munin.config(drawn, ["ok", "not ok"]) == (
        "graph_title My _ site\n"
        "graph_vlabel requests per 5m\n"
        "graph_category events\n"
        "graph_args --base 1000 --lower-limit 0\n"
        "graph_scale no\n"
        "ok.label ok\n"
        "ok.type GAUGE\n"
        "ok.min 0\n"
        "ok.draw LINE1\n"
        "not_ok_f54b952a5a360e360a67ee0816f576e8.label failed\n"
        "not_ok_f54b952a5a360e360a67ee0816f576e8.type GAUGE\n"
        "not_ok_f54b952a5a360e360a67ee0816f576e8.min 0\n"
        "not_ok_f54b952a5a360e360a67ee0816f576e8.draw LINE1\n"
        "not_ok_f54b952a5a360e360a67ee0816f576e8.info not ok\n"
    )


def test_title_of_secondary_graph_names_its_interval() -> None:
    config = from_dicts({"g": {"intervals": ["1h", "5m"], "title": "Site"}})
    titles = [munin.config(graph, []).partition("\n")[0] for graph in find(config, "ecl_all")]
    assert titles == ["graph_title Site (1h)", "graph_title Site"]


def test_rules_about_one_event_are_its_limits() -> None:
    rules: list[dict[str, Any]] = [
        {"event": "a b", "above": 100, "for": 3},
        {"event": "a b", "above": 50.5},
        {"event": "a b", "below": 1},
        {"event": "a b", "above": 20, "severity": "warning"},
        {"event": ["ok"], "below": 2, "severity": "warning"},
        # These are no limits of a field of this graph.
        {"event": "ok", "above": 1, "interval": "1h"},
        {"event": "ok", "above": "5%", "of": "*"},
        {"event": ["ok", "a b"], "above": 3},
        {"event": "o*", "above": 3},
        {"event": "ok", "above": 3, "group": "h"},
        {"stale": True},
    ]
    named = [
        {"name": f"{number}", "group": "g", **({} if "stale" in rule else {"interval": "5m"}), **rule}
        for number, rule in enumerate(rules)
    ]
    spec = {"events": ["ok", "a b"], "intervals": ["5m", "1h"]}
    found = from_dicts({"g": spec, "h": spec}, alerts=named)
    lines = munin.config(find(found, "ecl_g")[0], ["ok", "a b"], found.alerts).splitlines()
    name = munin.field_name("a b")
    assert [line for line in lines if ".warning" in line or ".critical" in line] == [
        "ok.warning 2:",
        f"{name}.warning :20",
        f"{name}.critical 1:50.5",
    ]


@pytest.mark.parametrize("event_id", AWKWARD)
def test_labels_are_escaped(event_id: str) -> None:
    lines = munin.config(graph("a"), [event_id]).splitlines()[5:]
    name = munin.field_name(event_id)
    assert [line.split(" ")[0] for line in lines[:4]] == [
        f"{name}.{key}" for key in ("label", "type", "min", "draw")
    ]
    label = lines[0].partition(" ")[2]
    assert 1 <= len(label) <= 58
    assert label.strip() == label
    assert not set(label) & set("#\\\n\r")


def test_long_label_is_shortened_and_info_is_complete() -> None:
    event_id = "a" * 100 + "b" * 100
    assert f".label {'a' * 16}…{'b' * 16}\n" in munin.config(graph("a"), [event_id])
    assert f".info {event_id}\n" in munin.config(graph("a"), [event_id])


def test_group_with_sessions_draws_open_ones_and_their_length() -> None:
    drawn = graph("shop", sessions={})
    lines = munin.config(drawn, ["shop"]).splitlines()
    labels = [line.partition(".label ")[2] for line in lines if ".label " in line]
    assert labels == ["shop", "open sessions", "mean length in seconds"]
    names = [line.partition(".")[0] for line in lines if ".label " in line][1:]
    last = snapshot({"shop": 4, "shop:ms": 10_000})
    assert munin.session_values(drawn.group, last, 3) == f"{names[0]}.value 3\n{names[1]}.value 2.500\n"
    assert munin.session_values(drawn.group, snapshot({"shop:ms": 5}), 0).endswith(".value U\n")
    assert munin.session_values(drawn.group, None, None) == f"{names[0]}.value U\n{names[1]}.value U\n"


@pytest.mark.parametrize("is_away", [False, True])
def test_plugin_draws_no_milliseconds_of_sessions(
    is_away: bool, server: Server, config_file: Write, run: Run
) -> None:
    redis = {"port": free_port()} if is_away else server.config
    groups = {"visits": {"events": ["shop"], "intervals": ["24h"], "sessions": {}}}
    file = config_file({"redis": redis, "groups": groups})
    printed = run("ecl", "munin", "--config", file, "ecl_visits", "config").stdout
    assert [line for line in printed.splitlines() if line.startswith("shop") and ".label" in line] == [
        "shop.label shop"
    ]


def test_missing_event_is_0() -> None:
    assert (
        munin.values(["ok", "error"], snapshot({"ok": 2**63 - 1})) == f"ok.value {2**63 - 1}\nerror.value 0\n"
    )


@pytest.mark.parametrize(
    "unknown",
    [
        None,
        snapshot({"ok": 1}, overdue_s=12.5),
        snapshot({"ok": 1}, overdue_s=None),
        snapshot({"ok": 0}, start=None, end=None),
    ],
)
def test_unknown_count_is_u(unknown: Snapshot | None) -> None:
    assert munin.values(["ok", "error"], unknown) == "ok.value U\nerror.value U\n"


# The command and the plugin


@pytest.fixture
def days(server: Server) -> Iterator[Days]:
    days = Days(from_dicts(GROUPS, server.config))
    yield days
    days.close()


@pytest.fixture
def file(server: Server, config_file: Write) -> Path:
    return config_file(json.dumps({"redis": server.config, "groups": GROUPS}))


@pytest.fixture
def file_without_redis(config_file: Write) -> Path:
    redis = {"host": "127.0.0.1", "port": free_port(), "socket_timeout": 0.5}
    return config_file(json.dumps({"redis": redis, "groups": GROUPS}), "away.yml")


@pytest.fixture
def munin_directory(tmp_path: Path) -> Callable[..., Path]:
    """Create a directory like /etc/munin: links to plugins, and their configuration."""

    def make(file: Path, *names: str, plugin: Path = PLUGIN, **environment: object) -> Path:
        directory = tmp_path / "munin"
        for part in ("plugins", "plugin-conf.d", "state"):
            (directory / part).mkdir(parents=True, exist_ok=True)
        for name in names:
            (directory / "plugins" / name).symlink_to(plugin)
        settings = {"ecl_config": file, "ecl_command": BIN / "ecl", **environment}
        lines = [f"env.{name} {value}" for name, value in settings.items() if value]
        # By default, munin-node uses a user without permissions here.
        user = ["user root"] if os.geteuid() == 0 else []
        (directory / "plugin-conf.d" / "ecl").write_text("\n".join(["[ecl_*]", *user, *lines, ""]))
        (directory / "munin-node.conf").write_text("host_name here.example\n")
        return directory

    return make


class Node:
    """A real munin-node, and one connection to it."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self._process = process
        self._port = port
        wait_until(self._connect, what="munin-node starts")

    def _connect(self) -> bool:
        assert self._process.poll() is None, self._process.communicate()
        try:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=20)
        except ConnectionRefusedError:
            return False
        self._stream = self._socket.makefile("rw", encoding="utf-8", newline="\n")
        return self._stream.readline().startswith("# munin node at here.example")

    def line(self, question: str) -> str:
        """Send a command, and return its answer of one line."""
        self._stream.write(f"{question}\n")
        self._stream.flush()
        return self._stream.readline().rstrip("\n")

    def lines(self, question: str) -> list[str]:
        """Send a command, and return its answer up to the line with a dot."""
        first = self.line(question)
        return [first, *iter(lambda: self._stream.readline().rstrip("\n"), ".")] if first != "." else []

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


#: Perl code that sets the directories of munin-node, which has no option for them; loaded by PERL5LIB.
DEFAULTS = """package Munin::Common::Defaults;
do '/usr/share/perl5/Munin/Common/Defaults.pm' or die;
our $MUNIN_CONFDIR = '{directory}';
our $MUNIN_PLUGSTATE = '{directory}/state';
1;
"""


@pytest.fixture
def node(start: Start) -> Iterator[Callable[[Path], Node]]:
    """Start munin-node with a directory like /etc/munin, on a free port of the loopback interface."""
    needs_debian("munin-node", "munin-node")
    opened: list[Node] = []

    def run(directory: Path) -> Node:
        port = free_port()
        user = ["user root", "group root"] if os.geteuid() == 0 else []
        lines = ["host_name here.example", "host 127.0.0.1", f"port {port}", "allow ^127\\.0\\.0\\.1$"]
        lines += [f"log_file {directory}/log", f"pid_file {directory}/pid", "background 0", "setsid 0", *user]
        (directory / "munin-node.conf").write_text("\n".join([*lines, ""]))
        (directory / "perl" / "Munin" / "Common").mkdir(parents=True)
        defaults = directory / "perl" / "Munin" / "Common" / "Defaults.pm"
        defaults.write_text(DEFAULTS.replace("{directory}", str(directory)))
        environment = {**os.environ, "PERL5LIB": str(directory / "perl")}
        opened.append(Node(start(shutil.which("munin-node"), "--foreground", env=environment), port))
        return opened[-1]

    yield run
    for each in opened:
        each.close()


def fetch(node: Node, name: str) -> dict[str, str]:
    """Returns the values by field."""
    return dict(line.replace(".value", "").split(" ") for line in node.lines(f"fetch {name}"))


def test_munin_node_serves_one_group(
    node: Callable[[Path], Node], munin_directory: Callable[..., Path], file: Path, days: Days
) -> None:
    days.count("web", {"ok": 54}, days_ago=1)
    days.rotate("web")
    asked = node(munin_directory(file, "ecl_web", "ecl_under_score_24h"))
    assert sorted(asked.line("list").split()) == ["ecl_under_score_24h", "ecl_web"]
    assert asked.lines("nodes") == ["here.example"]
    config = asked.lines("config ecl_web")
    assert config[:2] == ["graph_title The web", "graph_vlabel requests per 24h"]
    assert [line for line in config if "label " in line][1:] == ["ok.label ok", "error.label error"]
    assert asked.lines("fetch ecl_web") == ["ok.value 54", "error.value 0"]
    assert asked.lines("fetch ecl_under_score_24h") == ["a.value U"]
    assert asked.lines("fetch ecl_secret") == ["# Unknown service"]


def test_dirtyconfig_prints_values_with_the_settings(
    node: Callable[[Path], Node], munin_directory: Callable[..., Path], file: Path, days: Days
) -> None:
    days.count("web", {"ok": 3}, days_ago=1)
    days.rotate("web")
    asked = node(munin_directory(file, "ecl_web"))
    assert not [line for line in asked.lines("config ecl_web") if ".value" in line]
    assert asked.line("cap multigraph dirtyconfig") == "cap multigraph dirtyconfig"
    assert asked.lines("config ecl_web")[-2:] == ["ok.value 3", "error.value 0"]


def test_munin_node_serves_all_groups_except_hidden_ones(
    node: Callable[[Path], Node], munin_directory: Callable[..., Path], file: Path, days: Days
) -> None:
    days.count("dynamic", {"é": 2}, days_ago=1)
    days.rotate("dynamic")
    asked = node(munin_directory(file, "ecl_all"))
    assert asked.line("list") == ""
    asked.line("cap multigraph")
    assert asked.line("list") == "ecl_all"
    graphs = [
        "ecl_web_24h",
        "ecl_awkward_24h",
        "ecl_dynamic_24h",
        "ecl_under_score_48h",
        "ecl_under_score_24h",
    ]
    for question in ("config ecl_all", "fetch ecl_all"):
        headings = [line for line in asked.lines(question) if line.startswith("multigraph")]
        assert headings == [f"multigraph {graph}" for graph in graphs]
    assert f"{munin.field_name('é')}.value 2" in asked.lines("fetch ecl_all")


def test_unusual_events_reach_munin_unmixed(
    node: Callable[[Path], Node], munin_directory: Callable[..., Path], file: Path, days: Days
) -> None:
    counts = {event_id: number for number, event_id in enumerate(AWKWARD, 1)}
    days.count("awkward", counts, days_ago=1)
    days.rotate("awkward")
    asked = node(munin_directory(file, "ecl_awkward"))
    assert fetch(asked, "ecl_awkward") == {munin.field_name(each): str(counts[each]) for each in AWKWARD}
    config = asked.lines("config ecl_awkward")
    assert len([line for line in config if re.match(r"\w+\.label \S", line)]) == len(AWKWARD)
    assert f"{munin.field_name('é')}.label é" in config


def test_event_not_logged_again_is_0(
    node: Callable[[Path], Node], munin_directory: Callable[..., Path], file: Path, days: Days
) -> None:
    days.count("dynamic", {"a": 1}, days_ago=2)
    days.rotate("dynamic", days_ago=1)
    days.count("dynamic", {"b": 2}, days_ago=1)
    days.rotate("dynamic")
    assert fetch(node(munin_directory(file, "ecl_dynamic")), "ecl_dynamic") == {"a": "0", "b": "2"}


def test_stale_counts_are_u_until_a_master_runs(
    node: Callable[[Path], Node], munin_directory: Callable[..., Path], file: Path, days: Days
) -> None:
    days.count("web", {"ok": 1}, days_ago=2)
    days.rotate("web", days_ago=1)
    days.count("web", {"ok": 2}, days_ago=1)
    asked = node(munin_directory(file, "ecl_web"))
    assert fetch(asked, "ecl_web") == {"ok": "U", "error": "U"}
    days.rotate("web")
    assert fetch(asked, "ecl_web") == {"ok": "2", "error": "0"}


#: `ecl` that waits a minute for a rotation in progress.
PATIENT = """
from event_count_logger.cli.ecl import ecl
from event_count_logger.reading import rotation_wait
rotation_wait._GRACE_PART = rotation_wait._LONGEST_GRACE_S = 60
ecl()
"""


def test_munin_waits_for_rotation_in_progress(start: Start, server: Server, config_file: Write) -> None:
    """A read right after a boundary waits for the master, like in ecl_reader."""
    connects, begins = threading.Event(), threading.Event()

    def upstream() -> Address:
        connects.set()
        begins.wait(30)
        return "127.0.0.1", server.port

    proxy = FaultProxy(upstream)  # the plugin has started, but reads nothing before the boundary
    group = GroupConfig("g", (Interval.parse("4s"),), ("a",))
    redis = {"host": "127.0.0.1", "port": proxy.port, "socket_timeout": 30}
    file = config_file({"redis": redis, "groups": {"g": {"events": ["a"], "intervals": ["4s"]}}})
    plugin = start(sys.executable, "-c", PATIENT, "munin", "--config", file, "ecl_g")
    assert connects.wait(30)
    store = Store(RedisConfig(**server.config))
    begin = group.intervals[0].end_of(store.client.server_time())
    store.commits.commit(group, "test", 0, 1, {"a": 5}, now=begin - 1)
    wait_until(lambda: store.client.server_time() >= begin + 0.01)
    begins.set()
    wait_until(lambda: store.client.server_time() >= begin + 0.4)
    assert plugin.poll() is None
    store.rotation.rotate(group, group.intervals[0])
    assert plugin.communicate(timeout=60) == ("a.value 5\n", "")
    store.close()
    proxy.close()


def test_munin_waits_for_unavailable_server_once(run: Run, own_server: Server, config_file: Write) -> None:
    redis = {**own_server.config, "socket_timeout": 0.5}
    file = config_file(json.dumps({"redis": redis, "groups": GROUPS}))
    own_server.stall()
    done = run("ecl", "munin", "ecl_all", ecl_config=file)
    own_server.go_on()
    assert done.returncode == 0
    assert done.stderr.count("WARNING") == 1
    assert "ok.value U\n" in done.stdout
    assert done.stdout.count("multigraph ecl_") == 5


def test_rejected_group_does_not_hide_other_graphs(run: Run, server: Server, file: Path, days: Days) -> None:
    days.count("web", {"ok": 6}, days_ago=1)
    days.count("dynamic", {"later": 7}, days_ago=1)
    for group in ("web", "dynamic"):
        days.rotate(group)
    with server.client as client:
        client.set("awkward:24h:last:@events", "not a set")
    done = run("ecl", "munin", "ecl_all", ecl_config=file)
    assert "ok.value 6\n" in done.stdout
    assert "later.value 7\n" in done.stdout
    assert f"{munin.field_name('é')}.value U\n" in done.stdout
    assert "awkward:24h" in done.stderr


def test_graphs_without_redis_have_unknown_values(
    node: Callable[[Path], Node], munin_directory: Callable[..., Path], file_without_redis: Path
) -> None:
    directory = munin_directory(file_without_redis, "ecl_web", "ecl_all")
    asked = node(directory)
    asked.line("cap multigraph")
    assert "ok.label ok" in asked.lines("config ecl_web")
    assert asked.lines("fetch ecl_web") == ["ok.value U", "error.value U"]
    assert {line.split()[1] for line in asked.lines("fetch ecl_all") if ".value" in line} == {"U"}
    assert "cannot be reached" in (directory / "log").read_text()


@pytest.fixture
def munin_run(munin_directory: Callable[..., Path]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a plugin like munin-node; the first argument is its directory."""
    needs_debian("munin-node", "munin-run")

    def run(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        places = {"config": "munin-node.conf", "servicedir": "plugins", "sconfdir": "plugin-conf.d"}
        options = [f"--{option}={directory / place}" for option, place in places.items()]
        return subprocess.run(
            ["munin-run", *options, "--ignore-systemd-properties", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **environment},
        )

    return run


def test_munin_run_prints_output_of_plugin(
    munin_run: Run,
    munin_directory: Callable[..., Path],
    file: Path,
    days: Days,
) -> None:
    days.count("web", {"ok": 7}, days_ago=1)
    days.rotate("web")
    directory = munin_directory(file, "ecl_web", "ecl_secret", "ecl_")
    assert munin_run(directory, "ecl_web").stdout == "ok.value 7\nerror.value 0\n"
    dirty = munin_run(directory, "ecl_web", "config", MUNIN_CAP_DIRTYCONFIG="1").stdout
    assert dirty.endswith("error.draw LINE1\nok.value 7\nerror.value 0\n")
    assert munin_run(directory, "ecl_", "autoconf").stdout == "yes\n"
    suggested = munin_run(directory, "ecl_", "suggest").stdout.split()
    assert suggested == ["all", "web_24h", "awkward_24h", "dynamic_24h", "under_score_48h", "under_score_24h"]
    hidden = munin_run(directory, "ecl_secret")
    assert (hidden.returncode, hidden.stdout) == (1, "")
    assert "ERROR: group 'secret' is hidden" in hidden.stderr


def run_plugin(
    *arguments: str, plugin: Path = PLUGIN, **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run([plugin, *arguments], capture_output=True, text=True, timeout=60, env=clean)


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"ecl_command": "/not/there"}, "no (the command /not/there is not there: set env.ecl_command)\n"),
        ({"ecl_command": "/bin/false"}, "no (/bin/false munin fails)\n"),
        (
            {},
            "no (no configuration given: set env.ecl_config in /etc/munin/plugin-conf.d, "
            "or use --config or ECL_CONFIG)\n",
        ),
        ({"ecl_config": "/not/there.yml"}, "no (/not/there.yml: "),
    ],
)
def test_autoconf_without_configuration_is_no(environment: dict[str, Any], why: str) -> None:
    done = run_plugin("autoconf", **{"ecl_command": str(BIN / "ecl"), **environment})
    assert done.stdout.startswith(why)
    assert (done.stdout.count("\n"), done.returncode, done.stderr) == (1, 0, "")


def test_autoconf_without_redis_is_no(file_without_redis: Path) -> None:
    done = run_plugin("autoconf", ecl_command=str(BIN / "ecl"), ecl_config=str(file_without_redis))
    assert re.fullmatch(r"no \(Redis at .* cannot be reached: .*\)\n", done.stdout)
    assert done.returncode == 0


def test_autoconf_without_shown_groups_is_no(server: Server, config_file: Write) -> None:
    file = config_file({"redis": server.config, "groups": {"secret": GROUPS["secret"]}})
    done = run_plugin("autoconf", ecl_command=str(BIN / "ecl"), ecl_config=str(file))
    assert (done.stdout, done.returncode) == (f"no ({file}: all groups are hidden)\n", 0)


def script(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)
    return file


def installation(directory: Path, plugin: str, commands: str, ecl: str = 'echo "$@"') -> Path:
    """Make the files of an installation; returns a link to the plugin, as in /etc/munin/plugins."""
    (directory / plugin).parent.mkdir(parents=True)
    shutil.copy(PLUGIN, directory / plugin)
    for name in ("ecl", "ecl_reader"):
        script(directory / commands / name, f"#!/bin/sh\n{ecl}\n")
    link = directory / "ecl_web"
    link.symlink_to(directory / plugin)
    return link


INSTALLED = "share/event-count-logger/munin/ecl_", "bin"


@pytest.mark.parametrize("places", [("munin/ecl_", ".venv/bin"), INSTALLED])
def test_plugin_runs_command_of_its_installation(places: tuple[str, str], tmp_path: Path) -> None:
    link = installation(tmp_path, *places)
    path = f"{BIN}:/usr/bin:/bin"
    assert run_plugin(plugin=link, PATH=path).stdout == "munin ecl_web fetch\n"
    assert run_plugin("config", plugin=link, PATH=path).stdout == "munin ecl_web config\n"
    other = run_plugin("suggest", plugin=link, ecl_command="/bin/echo")
    assert other.stdout == "munin ecl_web suggest\n"


def test_copied_plugin_runs_our_ecl_in_path_not_common_lisp(tmp_path: Path) -> None:
    copy = tmp_path / "a" / "b" / "plugins" / "ecl_web"
    copy.parent.mkdir(parents=True)
    shutil.copy(PLUGIN, copy)
    lisp = script(tmp_path / "lisp" / "ecl", "#!/bin/sh\necho lisp\n").parent
    installation(tmp_path / "ours", *INSTALLED)
    path = f"{lisp}:/usr/bin:/bin"
    found = run_plugin(plugin=copy, PATH=f"{path}:{tmp_path / 'ours' / 'bin'}")
    assert found.stdout == "munin ecl_web fetch\n"
    needs = f"no ecl beside {copy.parent}, in {path} or in /usr/local/bin: link this file, do not copy it, "
    missing = run_plugin(plugin=copy, PATH=path)
    assert (missing.returncode, missing.stderr) == (1, f"ERROR: {needs}or set env.ecl_command\n")


def test_interpreter_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    link = installation(tmp_path, *INSTALLED)
    script(tmp_path / "bin" / "ecl", "#!/not/there/python3\n")
    done = run_plugin(plugin=link)
    assert re.fullmatch(
        r"ERROR: the user \w+ cannot run /not/there/python3, which \S+ needs: set another user\n", done.stderr
    )
    assert run_plugin("autoconf", plugin=link).stdout.startswith("no (the user ")


def test_home_of_another_user_is_not_used(tmp_path: Path) -> None:
    link = installation(tmp_path, *INSTALLED, ecl='echo "${HOME-of the user}"')
    assert run_plugin(plugin=link, HOME="/not/there").stdout == "of the user\n"
    assert run_plugin(plugin=link, HOME=str(tmp_path)).stdout == f"{tmp_path}\n"


def test_munin_run_finds_interpreter_with_its_own_path(
    munin_run: Run, munin_directory: Callable[..., Path], file: Path, days: Days, tmp_path: Path
) -> None:
    days.count("web", {"ok": 7}, days_ago=1)
    days.rotate("web")
    link = installation(tmp_path / "prefix", *INSTALLED)
    for name in ("ecl", "ecl_reader"):
        (tmp_path / "prefix" / "bin" / name).unlink()
        (tmp_path / "prefix" / "bin" / name).symlink_to(BIN / name)
    directory = munin_directory(file, "ecl_web", plugin=link, ecl_command="")
    assert munin_run(directory, "ecl_web").stdout == "ok.value 7\nerror.value 0\n"


def test_manual_of_plugin_has_no_errors() -> None:
    needs_debian("perl", "podchecker")
    done = subprocess.run(["podchecker", PLUGIN], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, f"{PLUGIN} pod syntax OK.\n")
