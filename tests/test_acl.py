"""The user of docs/deployment.md may do all that is needed, and `ecl check` names what is missing."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

from event_count_logger import EventCountLogger
from event_count_logger.alerts.acknowledgement import acknowledge
from event_count_logger.alerts.group_alerts import GroupAlerts
from event_count_logger.alerts.outbox import StoredOutbox
from event_count_logger.alerts.status import examine
from event_count_logger.config import from_dicts, from_file
from event_count_logger.logs import Log
from event_count_logger.store import Annotation, Store
from tests.conftest import ROOT
from tests.fixtures import Run, Write
from tests.servers import Server

TEXT = (ROOT / "docs/deployment.md").read_text()
LINES = [shlex.split(line) for line in re.findall(r"^(ACL SETUSER .*)$", TEXT, re.MULTILINE)]
(ONE_SERVER,) = (line for line in LINES if "-@all" in line)
(CLUSTER,) = (line for line in LINES if "+asking" in line)

#: Of a server alone, which no script needs.
CLIENT = {"eval", "evalsha", "ping", "select", "info", "config|get"}

#: What is tried, and may be denied. `scan` finds what version 1.1 counts.
NOT_NEEDED = {"client|setinfo", "client|maint_notifications", "client", "scan"}

GROUPS: dict[str, Any] = {
    "web": {"events": ["ok"], "auto_declare_events": True, "intervals": ["5m", "1h"], "sync_interval": 1},
    "http": {"auto_declare_events": True, "intervals": ["5m"], "sessions": {}},
}


def allow(server: Server, *more: str) -> dict[str, Any]:
    """Make the user of the document; returns how to come as that user."""
    with server.client as client:
        client.execute_command("ACL", "SETUSER", "ecl", "reset")
        client.execute_command(*ONE_SERVER)
        if more:
            client.execute_command("ACL", "SETUSER", "ecl", *more)
        client.execute_command("ACL", "LOG", "RESET")
    return {**server.config, "username": "ecl", "password": "SECRET"}


def denied(server: Server) -> set[str]:
    with server.client as client:
        return {str(entry["object"]) for entry in client.acl_log()}


def test_documented_user_has_exactly_the_needed_commands() -> None:
    tried = (ROOT / "event_count_logger/lua/probe.lua").read_text()
    in_scripts = {name.lower() for name in re.findall(r"try\('([A-Z]+)'", tried)}
    assert {word.removeprefix("+") for word in ONE_SERVER if word.startswith("+")} == in_scripts | CLIENT


def test_everything_works_for_the_documented_user(any_server: Server, run: Run, config_file: Write) -> None:
    export = {"url": "sqlite:///counts.db"}
    # A master rotates once only, so no interval may end before `ecl status`.
    groups = {name: {**spec, "intervals": ["12h", "24h"]} for name, spec in GROUPS.items()}
    file = config_file({"redis": allow(any_server), "groups": groups, "export": export})
    commands: list[list[object]] = [
        ["ecl", "master", file, "--once"],
        ["ecl", "log_event", file, "web", "ok"],
        ["ecl", "log_event", file, "http", "404", 3],
        ["ecl", "reader", file, "-g", "web", "-i", "12h", "--current"],
        ["ecl", "reader", file, "-g", "http", "--totals"],
        ["ecl", "munin", "ecl_all", "config"],
        ["ecl", "munin", "ecl_all"],
        ["ecl", "recover", file],
        ["ecl", "export", "--once", file],
        ["ecl", "status", file],
        ["ecl", "check", file],
    ]
    for command in commands:
        done = run(*command, ECL_CONFIG=str(file))
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    with EventCountLogger.from_file(file) as ecl:
        ecl["http"].session("id", "visit").heartbeat()
        ecl["web"].log("ok")
        assert ecl["web"].get_counts("12h", current=True) is not None
    config = from_file(file)
    store = Store(config.redis)
    later = store.client.server_time() + 48 * 3600
    for group in config.groups.values():
        for interval in group.intervals:
            assert store.rotation.rotate(group, interval, later).outcome == "rotated"
            store.reads.history(group, interval, 2)
    assert store.reads.open_sessions(config.group("http")) == 1
    store.close()
    assert denied(any_server) <= NOT_NEEDED


def test_documented_permissions_for_durability_are_enough(
    own_server: Server, run: Run, config_file: Write
) -> None:
    with own_server.client as client:
        client.config_set("appendfsync", "everysec")
    groups = {name: {**spec, "durability": "fsync"} for name, spec in GROUPS.items()}
    file = config_file({"redis": allow(own_server), "groups": groups})
    assert "'durability: fsync' cannot be kept" in run("ecl", "check", file).stdout
    allow(own_server, "+waitaof")
    assert run("ecl", "log_event", file, "web", "ok").returncode == 0
    assert own_server.counts("web", "1h", "cur") == {"ok": 1}

    groups = {name: {**spec, "durability": "replicas"} for name, spec in GROUPS.items()}
    file = config_file({"redis": allow(own_server), "groups": groups})
    assert "'durability: replicas' cannot be kept" in run("ecl", "check", file).stdout
    (line,) = (line for line in LINES if "+wait" in line)
    allow(own_server, *line[3:])
    assert "not confirmed by" in run("ecl", "check", file).stdout, "it has no replica"


def test_documented_permissions_for_purge_are_enough(server: Server, run: Run, config_file: Write) -> None:
    file = config_file({"redis": allow(server, "+scan"), "groups": GROUPS})
    server.client.set("web:5m:cur:old", 1)
    assert run("ecl", "purge", file, "web", "--yes", "--force").returncode == 0
    assert server.everything() == {}


def test_alerts_work_for_the_documented_user(server: Server) -> None:
    rule = {"group": "http", "event": "404", "below": 1, "notify": "script"}
    rules = [{"name": "few", **rule}, {"name": "stale", "group": "http", "stale": True}]
    notify = {"script": {"command": ["true"]}}
    config = from_dicts(GROUPS, allow(server), notify=notify, alerts=rules)
    store, group = Store(config.redis), config.groups["http"]
    now = store.client.server_time()
    for at in (now - 300, now):
        store.rotation.rotate(group, group.intervals[0], at)
    alerts = GroupAlerts(store, group, config.alerts, config.notify, Log("test"))
    assert alerts.begin()
    alerts.follow()
    alerts.look()
    outbox = StoredOutbox(store, group)
    (entry,) = outbox.entries()
    assert outbox.replace(entry, None)
    acknowledge(config, config.alerts[0], None)
    assert [found.state for found in examine(config, store)] == ["firing", "ok"]
    assert store.services.of(group) == []
    assert store.annotations.add(group, Annotation(now, "deploy"))
    assert len(store.annotations.between(group)) == 1
    store.close()
    assert denied(server) <= NOT_NEEDED


@pytest.mark.parametrize("layout", ["keys", "hash"])
def test_both_layouts_work_for_the_documented_user(
    layout: str, any_server: Server, run: Run, config_file: Write
) -> None:
    groups = {name: {**spec, "layout": layout} for name, spec in GROUPS.items()}
    file = config_file({"redis": allow(any_server), "groups": groups})
    config = from_file(file)
    store = Store(config.redis)
    for name, group in config.groups.items():
        assert run("ecl", "log_event", file, name, "ok").returncode == 0
        for hours in range(1, 4):
            later = store.client.server_time() + 3600 * hours
            assert store.rotation.rotate(group, group.intervals[0], later).outcome in ("started", "rotated")
    store.close()
    assert run("ecl", "migrate", file, "web", "--to", "hash", "--yes").returncode == 0
    assert run("ecl", "migrate", file, "web", "--to", "keys", "--yes").returncode == 0
    assert denied(any_server) <= NOT_NEEDED


@pytest.mark.parametrize("command", ["sadd", "xadd", "hvals", "evalsha", "time", "ping", "zcount"])
def test_check_names_a_command_that_is_missing(
    command: str, server: Server, run: Run, config_file: Write
) -> None:
    file = config_file({"redis": allow(server, f"-{command}"), "groups": GROUPS})
    done = run("ecl", "check", file)
    assert done.returncode == 1
    assert re.search(rf"groups? 'web'.*\b{command}\b", done.stdout, re.IGNORECASE), done.stdout


def test_check_needs_no_further_permissions(server: Server, run: Run, config_file: Write) -> None:
    file = config_file({"redis": allow(server, "-info", "-config"), "groups": GROUPS})
    assert run("ecl", "master", file, "--once").returncode == 0
    done = run("ecl", "check", file)
    assert done.returncode == 0, done.stdout
    assert "a server of unknown version" in done.stdout


def test_keys_of_other_groups_are_forbidden_to_a_limited_user(
    server: Server, run: Run, config_file: Write
) -> None:
    groups = {**GROUPS, "secret": {"intervals": ["5m"]}}
    file = config_file({"redis": allow(server), "groups": groups})
    done = run("ecl", "check", file)
    assert "group 'secret': the user has no permission for the keys of the group" in done.stdout
