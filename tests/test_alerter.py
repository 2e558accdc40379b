"""`ecl alert`: states in Redis, followers, acknowledgement and replay, with a real server."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest

from event_count_logger.alerts.acknowledgement import NotFiring, acknowledge
from event_count_logger.alerts.alerter import Alerter
from event_count_logger.alerts.group_alerts import GroupAlerts
from event_count_logger.alerts.notification import notification
from event_count_logger.alerts.outbox import Entry, StoredOutbox
from event_count_logger.alerts.replay import replayed
from event_count_logger.alerts.staleness import reason_of_staleness
from event_count_logger.alerts.status import examine
from event_count_logger.alerts.transitions import Progress
from event_count_logger.cli.alert import _duration, _log_start
from event_count_logger.cli.alert_arguments import parse
from event_count_logger.config import AlertRule, Config, from_dicts
from event_count_logger.errors import Rejected
from event_count_logger.logs import Log
from event_count_logger.store import Field, MasterInfo, Store
from tests.fixtures import Run, Write
from tests.servers import Server, wait_until

LOG = Log("event_count_logger.alert")


class Setup:
    """A group whose intervals of one minute end at once, and a target that writes a file."""

    def __init__(self, server: Server, folder: Path, **group: Any) -> None:
        self.server = server
        self.file = folder / "sent"
        self.target = {"command": ["sh", "-c", f"cat >>{self.file}; echo >>{self.file}"]}
        self.group_settings = {"events": ["ok", "error"], "intervals": ["1m"], **group}
        self.rules: list[dict[str, Any]] = [
            {"name": "errors", "group": "g", "event": "error", "above": 10, "notify": "script"}
        ]
        self.store = Store(self.config.redis)
        self.end = self.config.groups["g"].intervals[0].start_of(self.store.client.server_time()) - 6000
        self.n = 0
        self.finish()

    @property
    def config(self) -> Config:
        return from_dicts(
            {"g": self.group_settings},
            self.server.config,
            notify={"script": self.target},
            alerts=self.rules,
        )

    def finish(self, *counts: int) -> None:
        """End one interval for each count of errors; without any, begin the first one."""
        group = self.config.groups["g"]
        if not counts:
            self.store.rotation.rotate(group, group.intervals[0], self.end + 0.5)
        for count in counts:
            batch = {"error": count} if count else {}
            self.store.commits.commit(group, "test", self.n, self.n + 1, batch, self.end + 1)
            self.n += 1
            self.end += 60
            self.store.rotation.rotate(group, group.intervals[0], self.end + 0.5)

    def record_master(self, seen_s: int = 0) -> None:
        """Record a heartbeat of the master, as that of some seconds ago."""
        self.store.masters.record([self.config.groups["g"]], MasterInfo("host", 1, "2.0.0", 1.0))
        ((field, value),) = self.server.client.hgetall("g:@masters").items()
        seen, _, described = str(value).partition(" ")
        self.server.client.hset("g:@masters", field, f"{int(seen) - seen_s} {described}")

    def sent(self) -> list[dict[str, Any]]:
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [json.loads(line) for line in lines if line]

    def kinds(self) -> list[tuple[str, str, float]]:
        return [(each["alert"], each["kind"], each["value"]) for each in self.sent()]

    @contextmanager
    def alerter(self, config: Config | None = None) -> Iterator[Alerter]:
        config = config or self.config
        alerter = Alerter(config, Store(config.redis, LOG), LOG)
        try:
            alerter.step()
            yield alerter
        finally:
            alerter.close()

    def wait_for(self, alerter: Alerter, n: int) -> None:
        def step() -> bool:
            for each in alerter._groups:
                each.not_before = each.next_follow = each.next_look = each.next_delivery = 0.0
            alerter.step()
            return len(self.sent()) >= n and not self.store.alerts.fields(
                self.config.groups["g"], "notifications"
            )

        wait_until(step, what=f"{n} notifications, and not {self.sent()}")


@pytest.fixture
def setup(server: Server, tmp_path: Path) -> Iterator[Setup]:
    made = Setup(server, tmp_path)
    yield made
    made.store.close()


@pytest.mark.parametrize("group", [{}, {"layout": "hash", "auto_declare_events": True}])
def test_crossings_are_notified_and_resolved(server: Server, tmp_path: Path, group: dict[str, Any]) -> None:
    setup = Setup(server, tmp_path, **group)
    with setup.alerter() as alerter:
        setup.finish(10, 11, 12, 3, 50)
        setup.wait_for(alerter, 3)
    assert setup.kinds() == [("errors", "firing", 11), ("errors", "resolved", 3), ("errors", "firing", 50)]
    assert [each["end"] for each in setup.sent()] == [setup.end - 180, setup.end - 60, setup.end]
    first, second, _ = setup.sent()
    assert first["since"] == second["since"] == first["end"]


def test_restart_loses_no_breach_and_repeats_none(setup: Setup) -> None:
    with setup.alerter() as alerter:
        setup.finish(11)
        setup.wait_for(alerter, 1)
    setup.finish(12, 0, 13)
    with setup.alerter() as alerter:
        setup.wait_for(alerter, 3)
    with setup.alerter() as alerter:
        setup.wait_for(alerter, 3)
    assert [each["kind"] for each in setup.sent()] == ["firing", "resolved", "firing"]


def test_two_services_send_each_notification_once(setup: Setup) -> None:
    with setup.alerter() as first, setup.alerter() as second:
        for round in range(1, 6):
            setup.finish(11, 0)
            first.step()
            second.step()
            setup.wait_for(second if round % 2 else first, 2 * round)
        setup.wait_for(first, 10)
    assert [each["kind"] for each in setup.sent()] == ["firing", "resolved"] * 5


def test_row_of_breaches_continues_after_a_restart(setup: Setup) -> None:
    setup.rules[0]["for"] = 3
    with setup.alerter():
        setup.finish(11, 11)
    with setup.alerter() as alerter:
        setup.finish(11)
        setup.wait_for(alerter, 1)
    assert setup.kinds() == [("errors", "firing", 11)]


def test_first_start_ignores_old_intervals(setup: Setup) -> None:
    setup.finish(11, 12)
    with setup.alerter() as alerter:
        alerter.step()
        setup.finish(13)
        setup.wait_for(alerter, 1)
    assert setup.kinds() == [("errors", "firing", 13)]


def test_first_start_notices_an_alert_of_the_last_intervals(server: Server, tmp_path: Path) -> None:
    setup = Setup(server, tmp_path)
    server.client.flushall()
    setup.end = setup.config.groups["g"].intervals[0].start_of(setup.store.client.server_time()) - 180
    setup.rules[0]["for"] = 2
    setup.rules.append({**setup.rules[0], "name": "row of 3", "for": 3})
    setup.n = 0
    setup.finish()
    setup.finish(0, 11, 12)
    with setup.alerter() as alerter:
        setup.wait_for(alerter, 1)
    assert setup.kinds() == [("errors", "firing", 12)]


def test_intervals_that_are_gone_end_the_row(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    setup = Setup(server, tmp_path, history=2)
    setup.rules[0]["for"] = 2
    with setup.alerter() as alerter:
        setup.finish(11)
        setup.wait_for(alerter, 0)
    setup.finish(11, 11, 11, 11, 11)
    with setup.alerter() as alerter:
        setup.wait_for(alerter, 1)
    assert [each["end"] for each in setup.sent()] == [setup.end]
    assert "interval '1m': alerts were not evaluated for 3 intervals, which are gone" in caplog.text


def test_changed_rule_is_resolved_and_removed_rule_is_forgotten(setup: Setup) -> None:
    states = setup.config.groups["g"]
    setup.rules.append({**setup.rules[0], "name": "other"})
    with setup.alerter() as alerter:
        setup.finish(11)
        setup.wait_for(alerter, 2)
        assert {"rule:errors", "rule:other"} < setup.store.alerts.fields(states, "states").keys()
        setup.rules[0] |= {"above": 20, "for": 2}
        del setup.rules[1]
        alerter.use(setup.config)
        setup.finish(21, 12)
        setup.wait_for(alerter, 3)
    first, resolved = [each for each in setup.sent() if each["alert"] == "errors"]
    assert (resolved["kind"], resolved["limit"], resolved["since"]) == (
        "resolved",
        "above 20",
        first["since"],
    )
    assert setup.store.alerts.fields(states, "states").keys() == {"position:1m"}


def test_rule_with_another_interval_is_resolved_by_its_newest_one(setup: Setup) -> None:
    setup.group_settings["intervals"] = ["1m", "3000h"]
    setup.rules[0]["interval"] = "1m"
    group = setup.config.groups["g"]
    for at in (setup.end - 2e7, setup.end):
        setup.store.rotation.rotate(group, group.intervals[1], at)
    with setup.alerter() as alerter:
        setup.finish(11)
        setup.wait_for(alerter, 1)
        setup.rules[0] |= {"interval": "3000h", "for": 2}
        alerter.use(setup.config)
        setup.wait_for(alerter, 2)
    assert [each["kind"] for each in setup.sent()] == ["firing", "resolved"]


def test_notification_is_sent_after_the_last_rule_of_its_group_is_gone(setup: Setup) -> None:
    group, now = setup.config.groups["g"], setup.store.client.now()
    firing = notification(setup.config.alerts[0], "1m", "firing", Progress("", since=now, end=now), now)
    entry = Entry(firing, "script:0")
    assert setup.store.alerts.change(group, [], [Field("notifications", entry.key, str(entry))])
    setup.rules.clear()
    with setup.alerter() as alerter:
        setup.wait_for(alerter, 1)


def test_states_of_removed_rules_are_removed_in_spite_of_another_process(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = setup.config.groups["g"]
    setup.store.alerts.change(group, [], [Field("states", "rule:gone", "x")])
    alerts = GroupAlerts(setup.store, group, setup.config.alerts, setup.config.notify, LOG)
    alerts._load()
    setup.store.alerts.change(group, [], [Field("states", "rule:gone", "y")])
    assert not alerts.begin()
    assert alerts.begin()
    assert setup.store.alerts.fields(group, "states") == {}


def test_group_without_rules_is_forgotten(setup: Setup) -> None:
    with setup.alerter() as alerter:
        setup.finish(11)
        setup.wait_for(alerter, 1)
    rule, settings = {"name": "h", "group": "h", "stale": True}, {"intervals": ["1m"], "events": ["x"]}
    other = from_dicts({"g": settings, "h": settings}, setup.server.config, alerts=[rule])
    with setup.alerter(other):
        assert setup.store.alerts.fields(setup.config.groups["g"], "states") == {}


def test_state_of_a_split_group_is_in_its_first_shard(setup: Setup) -> None:
    group = from_dicts(
        {"g": {"events": ["x"], "intervals": ["1m"], "shards": 2}}, {"cluster": True, "nodes": ["a:1"]}
    ).groups["g"]
    assert setup.store.alerts.change(group, [], [Field("states", "a", "b"), Field("notifications", "c", "d")])
    assert setup.server.everything().keys() > {"{g#0}:@alerts", "{g#0}:@notifications"}


def test_repeats_stop_while_an_alert_is_acknowledged(setup: Setup) -> None:
    setup.rules[0]["repeat"] = "0.05s"
    rule = setup.config.alerts[0]
    with pytest.raises(NotFiring, match="alert 'errors' does not fire"):
        acknowledge(setup.config, rule, None)
    with setup.alerter() as alerter:
        setup.finish(11)
        setup.wait_for(alerter, 3)
        assert acknowledge(setup.config, rule, None) == "alert 'errors' is acknowledged until it is resolved"
        setup.wait_for(alerter, 3)
        n = len(setup.sent())
        setup.wait_for(alerter, n)
        assert "UTC" in acknowledge(setup.config, rule, 0.01)
        setup.wait_for(alerter, n + 2)
        acknowledge(setup.config, rule, 3600)
        setup.finish(0)
        setup.wait_for(alerter, n + 3)
    kinds = [each["kind"] for each in setup.sent()]
    assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("firing", "resolved", {"repeat"})
    numbers = [each["number"] for each in setup.sent() if each["kind"] == "repeat"]
    assert numbers == list(range(1, len(numbers) + 1))
    fields = setup.store.alerts.fields(setup.config.groups["g"], "states")
    assert fields.keys() == {"position:1m"}


def test_status_has_the_stored_times_of_a_firing_alert(setup: Setup) -> None:
    setup.rules.append({"name": "no master", "group": "g", "stale": True})
    with setup.alerter() as alerter:
        setup.finish(11)
        setup.wait_for(alerter, 1)
        errors, stale = examine(setup.config, setup.store)
        assert (errors.state, errors.since, errors.acknowledged_until) == ("firing", setup.end, None)
        assert stale.state == "firing"
        assert stale.since
        acknowledge(setup.config, setup.config.alerts[0], 3600)
        until = examine(setup.config, setup.store)[0].acknowledged_until
        assert until
        assert 3500 < until - setup.store.client.now() <= 3600
        acknowledge(setup.config, setup.config.alerts[0], None)
        errors = examine(setup.config, setup.store)[0]
        assert (errors.is_acknowledged, errors.acknowledged_until) == (True, None)
        setup.finish(0)
        assert examine(setup.config, setup.store)[0].since is None
        setup.wait_for(alerter, 2)
    assert setup.store.alerts.fields(setup.config.groups["g"], "states").keys() == {
        "position:1m", "rule:no master"
    }  # fmt: skip


def test_replay_prints_what_would_have_fired(setup: Setup) -> None:
    setup.finish(11, 12, 3, 50)
    setup.rules.append({"name": "no master", "group": "g", "stale": True})
    lines = list(replayed(setup.config, setup.store, 24 * 3600))
    assert lines[0].startswith("group 'g', interval 1m: from ")
    assert ["FIRING" in line for line in lines[1:4]] == [True, False, True]
    assert "RESOLVED: errors: group 'g', 'error' was 3 in 1m, no longer above 10, after 2m" in lines[2]
    assert lines[4] == "alert 'no master': not replayed: staleness has no history"
    assert len(list(replayed(setup.config, setup.store, 1))) == 1
    assert setup.store.alerts.fields(setup.config.groups["g"], "states") == {}


def test_rejected_state_is_reported_once_and_retried(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    setup.server.client.set("g:@alerts", "x")
    with setup.alerter() as alerter:
        for _ in range(3):
            alerter._groups[0].not_before = alerter._groups[0].next_follow = 0.0
            assert alerter.step() > 0.1
        assert caplog.text.count("Alerts of group 'g' are not evaluated, retrying: Redis rejects") == 1
        setup.server.client.delete("g:@alerts")
        setup.wait_for(alerter, 0)
        setup.finish(11)
        setup.wait_for(alerter, 1)


def test_service_without_redis_continues_when_it_is_back(own_server: Server, tmp_path: Path) -> None:
    setup = Setup(own_server, tmp_path)
    with setup.alerter() as alerter:
        own_server.kill()
        for each in alerter._groups:
            each.next_follow = each.next_look = 0.0
        assert alerter.step() > 0.1, "it does not ask without a pause"
        assert alerter.step() > 0.1
        own_server.start()
        setup.finish(11)
        setup.wait_for(alerter, 1)
    (service,) = setup.store.services.of(setup.config.groups["g"])
    assert (service.kind, service.stopped) == ("alert", True)
    assert service.position("1m") == setup.store.reads.newest_position(
        setup.config.groups["g"], setup.config.groups["g"].intervals[0]
    )
    setup.store.close()


def test_outage_of_redis_is_notified_from_memory(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("event_count_logger.alerts.outage.OUTAGE_AFTER_S", 0.2)
    setup = Setup(own_server, tmp_path)
    setup.rules.append({"name": "stale", "group": "g", "stale": True, "notify": "script"})
    with setup.alerter() as alerter:
        wait_until(lambda: alerter.step() and len(setup.sent()) == 1)
        own_server.kill()

        def step(n: int) -> bool:
            for each in alerter._groups:
                each.not_before = each.next_follow = each.next_delivery = 0.0
            alerter.step()
            return len(setup.sent()) >= n

        wait_until(lambda: step(2))
        alerter.use(setup.config)
        own_server.start()
        wait_until(lambda: step(3))
    found = [(each["alert"], each["kind"], "Redis is unavailable" in each["text"]) for each in setup.sent()]
    assert found == [("stale", "firing", False), ("stale", "firing", True), ("stale", "resolved", False)]
    setup.store.close()


# Staleness


def test_group_is_stale_without_master_or_rotation(setup: Setup) -> None:
    rule, group = AlertRule("no master", "g", stale=True), setup.config.groups["g"]
    reason, for_s = reason_of_staleness(rule, group, setup.store)
    assert reason == "interval 1m is overdue"
    assert 5900 < for_s < 6200
    setup.server.client.flushall()
    assert reason_of_staleness(rule, group, setup.store) == ("no master has started interval 1m", 0)
    setup.store.rotation.rotate(group, group.intervals[0])
    assert reason_of_staleness(rule, group, setup.store) == ("", 0), "a master of version 1.1 may run"
    setup.store.masters.record([group], MasterInfo("host", 1, "2.0.0", 1.0))
    assert reason_of_staleness(rule, group, setup.store) == ("", 0)
    setup.server.client.set("g:1m:cur:@ts", f"{setup.end}")
    assert reason_of_staleness(rule, group, setup.store)[0] == "interval 1m is overdue"


def test_group_without_living_master_is_stale(server: Server, tmp_path: Path) -> None:
    setup = Setup(server, tmp_path, intervals=["100h"])
    rule, group = AlertRule("no master", "g", stale=True), setup.config.groups["g"]
    setup.store.rotation.rotate(group, group.intervals[0])
    setup.record_master()
    assert reason_of_staleness(rule, group, setup.store) == ("", 0)
    setup.record_master(seen_s=16)
    reason, for_s = reason_of_staleness(rule, group, setup.store)
    assert (reason, 16 <= for_s < 60) == ("it has no master", True)


def test_stale_rule_fires_and_is_resolved(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    setup.rules[0] = {"name": "no master", "group": "g", "stale": True, "notify": "script"}
    with setup.alerter() as alerter:
        setup.wait_for(alerter, 1)
        setup.finish(*[0] * 100)
        group = setup.config.groups["g"]
        setup.store.rotation.rotate(group, group.intervals[0])
        setup.wait_for(alerter, 2)
    assert [each["kind"] for each in setup.sent()] == ["firing", "resolved"]
    assert "interval 1m is overdue" in setup.sent()[0]["text"]


@pytest.mark.parametrize("interval", ["1m", "100h"])
def test_stale_alert_has_the_same_id_if_redis_lost_its_state(
    interval: str, server: Server, tmp_path: Path
) -> None:
    setup = Setup(server, tmp_path, intervals=[interval])
    setup.rules[0] = {"name": "no master", "group": "g", "stale": True, "notify": "script"}
    group = setup.config.groups["g"]
    if interval == "100h":
        setup.store.rotation.rotate(group, group.intervals[0])
        setup.record_master(seen_s=1000)
    ids = set()
    for _ in range(3):
        alerts = GroupAlerts(setup.store, group, setup.config.alerts, setup.config.notify, LOG)
        assert alerts.look()
        (entry,) = StoredOutbox(setup.store, group).entries()
        assert entry.notification.since % 1 == 0, "it does not depend on the time of the check"
        ids.add(entry.notification.id)
        setup.server.client.delete("g:@alerts", "g:@notifications")
    assert len(ids) == 1


def test_interval_that_never_began_is_stale_after_a_while(setup: Setup) -> None:
    rule = AlertRule("no master", "g", stale=True, notify=("script",))
    alerts = GroupAlerts(setup.store, setup.config.groups["g"], [rule], setup.config.notify, LOG)
    assert alerts._without_start(rule, "no master", 100.0, 100.0) == ("", 100.0)
    assert alerts._without_start(rule, "no master", 110.0, 110.0) == ("", 100.0)
    assert alerts._without_start(rule, "no master", 116.0, 116.0) == ("no master", 100.0)
    assert alerts._without_start(rule, "", 117.0, 117.0) == ("", 117.0)


# The script


def test_fields_change_in_one_step_or_not_at_all(store: Store, any_server: Server) -> None:
    group = from_dicts({"g": {"events": ["x"], "intervals": ["1m"]}}).groups["g"]
    a, b, c = (Field("states", "a", "1"), Field("states", "b", "x y"), Field("notifications", "c", "é\n"))
    missing = Field("states", "a", "")
    assert store.alerts.change(group, [missing], [a, b, c])
    after = {"g:@alerts": {"a": "1", "b": "x y"}, "g:@notifications": {"c": "é\n"}}
    assert any_server.everything() == after
    assert not store.alerts.change(group, [b, missing], [Field("states", "b", "2")])
    assert not store.alerts.change(group, [Field("notifications", "c", "d")], [Field("states", "b", "2")])
    assert any_server.everything() == after
    assert store.alerts.change(group, [a, c], [missing, Field("notifications", "c", "")])
    assert any_server.everything() == {"g:@alerts": {"b": "x y"}}
    any_server.client.set("g:@notifications", "x")
    with pytest.raises(Rejected, match="WRONGTYPE"):
        store.alerts.change(group, [], [a])
    assert any_server.everything() == {"g:@alerts": {"b": "x y"}, "g:@notifications": "x"}


# The command


def test_command_tests_acknowledges_and_replays(
    setup: Setup, run: Run, config_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {
        "redis": setup.server.config,
        "groups": {"g": setup.group_settings},
        "notify": {"script": setup.target, "broken": {"command": ["false"]}},
        "alerts": [
            {**setup.rules[0], "name": "many errors", "notify": ["script"]},
            {**setup.rules[0], "name": "broken", "notify": ["broken", "script"]},
            {**setup.rules[0], "name": "silent", "notify": []},
        ],
    }
    file = config_file(content)
    done = run("ecl", "alert", file, "--test", "many errors")
    assert (done.returncode, done.stdout, done.stderr) == (0, "target 'script': sent\n", "")
    assert [each["kind"] for each in setup.sent()] == ["test"]
    done = run("ecl", "alert", file, "--test", "broken")
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, "target 'broken': not sent: exit status 1")
    done = run("ecl", "alert", file, "ack", "many erors")
    assert (done.returncode, done.stderr) == (
        1, "ERROR: there is no alert 'many erors' (configured: many errors, broken, silent)\n"
    )  # fmt: skip
    setup.rules[0]["name"] = "many errors"
    with setup.alerter() as alerter:
        setup.finish(11)
        setup.wait_for(alerter, 3)
    for words in (["ack", "many errors"], ["ack", file, "many errors"]):
        done = run("ecl", "alert", *words, "--for", "2h", ECL_CONFIG=str(file))
        assert done.stdout.startswith("alert 'many errors' is acknowledged until 20"), done.stderr
    done = run("ecl", "alert", file, "--replay", "24h")
    assert done.stdout.count("FIRING") == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ack"], "ack needs CONFIG and one NAME"),
        (["ack", "many errors"], "ack needs CONFIG and one NAME"),
        (["ecl.yml", "ack"], "ack needs CONFIG and one NAME"),
        (["ack", "ecl.yml", "many", "errors"], "ack needs CONFIG and one NAME"),
        (["ecl.yml", "other"], "unexpected argument 'other'"),
    ],
)
def test_wrong_arguments_are_explained(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ECL_CONFIG", raising=False)
    with pytest.raises(click.UsageError, match=re.escape(message)):
        parse(tuple(words))


def test_options_of_other_uses_are_rejected(run: Run, config_file: Write) -> None:
    file = config_file({"groups": {"g": {"events": ["e"], "intervals": ["1m"]}}})
    done = run("ecl", "alert", file, "--for", "1h")
    assert (done.returncode, done.stderr) == (2, "ERROR: --for needs ack NAME\n")
    done = run("ecl", "alert", file, "--check", "--test", "many errors")
    assert done.stdout == "ECL UNKNOWN: --test and --check exclude each other\n"
    done = run("ecl", "alert", file)
    assert (done.returncode, done.stderr) == (1, f"ERROR: {file} has no section 'alerts'\n")


@pytest.mark.parametrize("given", ["0s", "9999999d"])
def test_length_of_time_beyond_all_limits_is_rejected(given: str) -> None:
    with pytest.raises(
        click.UsageError, match=f"--for: '{given}' is not a length of time above 0 and up to 277777h"
    ):
        _duration("--for", given)


def test_messages_of_an_alert_are_logged(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), setup.alerter() as alerter:
        setup.finish(11)
        setup.wait_for(alerter, 1)
    assert "FIRING: errors: group 'g', 'error' was 11 in 1m, above 10" in caplog.text
    assert "Sent to target 'script': FIRING: errors" in caplog.text


def test_start_warns_of_missing_program(caplog: pytest.LogCaptureFixture) -> None:
    notify = {"script": {"command": ["/nowhere/page"]}}
    _log_start(from_dicts({"g": {"intervals": ["5m"]}}, notify=notify), Log("test"))
    problem = "notify.script.command: there is no program '/nowhere/page'"
    assert caplog.messages[1:] == [f"Notifications are not sent: {problem}"]
