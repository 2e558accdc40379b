"""Delivery of notifications: programs that hang or fail, retries, order, and apprise with a real server."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from event_count_logger.alerts import delivery as module
from event_count_logger.alerts.addresses import Address, addresses, send
from event_count_logger.alerts.delivery import Delivery, retry_s
from event_count_logger.alerts.notification import Notification, notification
from event_count_logger.alerts.outbox import Entry, MemoryOutbox
from event_count_logger.alerts.transitions import Kind, Progress
from event_count_logger.config import AlertRule, NotifyConfig, Threshold
from event_count_logger.logs import Log
from tests.servers import wait_until

LOG = Log("event_count_logger.alert")


def made(kind: Kind = "firing", name: str = "errors", at: float = 0.0) -> Notification:
    rule = AlertRule(name, "g", ("error",), above=Threshold(10))
    now = time.time() + at
    return notification(rule, "5m", kind, Progress("", 1, now, 11.0, now - 300, now), now)


class Receiver:
    """A target whose program runs a shell command with its input on standard input."""

    def __init__(self, folder: Path, script: str, timeout_s: float = 20) -> None:
        self.file = folder / "received"
        text = f'read -r line; {script}; printf "%s\\n" "$line" >>{self.file}'
        self.config = NotifyConfig(command=("sh", "-c", text), timeout_s=timeout_s)

    def received(self) -> list[dict[str, Any]]:
        text = self.file.read_text() if self.file.exists() else ""
        return [json.loads(line) for line in text.splitlines()]


@contextmanager
def delivering(**targets: NotifyConfig) -> Iterator[tuple[Delivery, MemoryOutbox]]:
    delivery = Delivery(LOG)
    delivery.use(targets)
    try:
        yield delivery, MemoryOutbox()
    finally:
        delivery.stop()


def test_program_gets_the_notification_on_standard_input(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path, "true")
    (address,) = addresses({"script": receiver.config}, ["script"])
    notification = made()
    assert send(address, notification) is None
    assert receiver.received() == [json.loads(notification.to_json())]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["false"], "exit status 1"),
        (["sh", "-c", "echo secret >&2; echo secret; exit 3"], "exit status 3"),
        (["sh", "-c", "kill -9 $$"], "killed by signal 9"),
        (["/nowhere/secret"], "the program cannot be started: No such file or directory"),
        (["true"], None),
    ],
)
def test_failure_of_a_program_has_a_reason(command: list[str], reason: str | None) -> None:
    assert send(Address("script", 0, "", tuple(command), 20), made()) == reason


def test_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    script = f"sleep 1000 & echo $! >{file}.new; mv {file}.new {file}; wait"
    for timeout_s in (0.5, 2, 8, 32):  # on a busy machine, the program may start too late
        reason = send(Address("script", 0, "", ("sh", "-c", script), timeout_s), made())
        assert reason == f"no end within {timeout_s:g} s"
        if file.exists():
            break

    def is_gone() -> bool:
        with suppress(ProcessLookupError, FileNotFoundError):  # it may go between the two looks
            os.kill(pid, 0)
            return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
        return True

    pid = int(file.read_text())

    wait_until(is_gone, what="its child is killed")


def test_process_outside_of_the_group_does_not_hold_an_attempt(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    script = f"setsid sh -c 'echo $$ >{file}.new; mv {file}.new {file}; exec sleep 60' <&0 & exec sleep 60"
    long = replace(made(), text="x" * 1_000_000)
    reason = send(Address("script", 0, "", ("sh", "-c", script), 40), long, file.exists)
    pid = int(wait_until(file.read_text))
    os.kill(pid, signal.SIGKILL)  # raises if the attempt has lasted as long as the process
    assert reason == "the service is stopping"


def test_target_that_hangs_does_not_delay_others(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path, "true")
    hangs = NotifyConfig(command=("sleep", "1000"), timeout_s=60)
    with delivering(script=receiver.config, hangs=hangs) as (delivery, outbox):
        for name in ("a", "b", "c"):
            outbox.add([Entry(made(name=name), "hangs:0"), Entry(made(name=name), "script:0")])
        delivery.dispatch(outbox)
        wait_until(lambda: len(receiver.received()) == 3)
        wait_until(lambda: {entry.to for entry in outbox.entries()} == {"hangs:0"})
    assert {entry.to for entry in outbox.entries()} == {"hangs:0"}
    assert len([entry for entry in outbox.entries() if entry.not_before == 0]) == 3, "no claim is left"


def test_failed_notification_is_retried_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_FIRST_RETRY_S", 0.05)
    marker = tmp_path / "works"
    receiver = Receiver(tmp_path, f"test -e {marker} || exit 1")
    with delivering(script=receiver.config) as (delivery, outbox):
        kinds: list[Kind] = ["firing", "repeat", "resolved"]
        entries = [Entry(made(kind, at=at), "script:0") for at, kind in enumerate(kinds, -3)]
        outbox.add(reversed(entries))

        def has_failed() -> bool:
            delivery.dispatch(outbox)
            return any(entry.n_failed > 1 for entry in outbox.entries())

        wait_until(has_failed)
        assert [str(each) for each in delivery.failing] == ["'script'"]
        marker.touch()

        def is_empty() -> bool:
            delivery.dispatch(outbox)
            return not outbox.entries()

        wait_until(is_empty)
        assert delivery.failing == []
    assert [each["kind"] for each in receiver.received()] == kinds
    assert caplog.text.count("Alert 'errors': not sent to target 'script', retrying: exit status 1") == 1
    assert "Notifications to target 'script' are sent again" in caplog.text


def test_pauses_between_attempts_grow_up_to_a_limit() -> None:
    assert [retry_s(n) for n in (1, 2, 3, 7, 100)] == [5, 10, 20, 300, 300]


def test_entry_that_another_process_has_claimed_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver(tmp_path, "true")
    now = time.time()
    monkeypatch.setattr(MemoryOutbox, "now", lambda outbox: now)
    with delivering(script=receiver.config) as (delivery, outbox):
        first, second = Entry(made(at=-2), "script:0"), Entry(made("resolved", at=-1), "script:0")
        claimed = Entry(first.notification, "script:0", not_before=now + 20)
        outbox.add([claimed, second])
        assert delivery.dispatch(outbox) == pytest.approx(20)
        assert not outbox.replace(second, None, behind=claimed.key)
        now += 20
        time_left = wait_until(lambda: not delivery.dispatch(outbox) or len(receiver.received()) == 2)
        assert time_left
    assert [each["kind"] for each in receiver.received()] == ["firing", "resolved"]


def test_notification_waits_for_an_earlier_one_that_another_process_sends(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path, "true")
    first, second = Entry(made(at=-2), "script:0"), Entry(made("resolved", at=-1), "script:0")
    with delivering(script=receiver.config) as (delivery, outbox):
        outbox.add([replace(first, not_before=time.time() + 200), second])
        (address,) = addresses({"script": receiver.config}, ["script"])
        assert delivery._worker(address).put(outbox, second, behind=first.key)
        wait_until(lambda: not delivery._running._taken)
    assert receiver.received() == []


def test_each_notification_names_the_previous_one_of_its_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Entry(made(at=at, name=name), "script:0") for at, name in [(-3, "a"), (-2, "b"), (-1, "a")]]
    found: list[str] = []

    def put(worker: object, outbox: object, entry: Entry, behind: str) -> bool:
        found.append(behind)
        return True

    monkeypatch.setattr(module._Worker, "put", put)
    with delivering(script=NotifyConfig(command=("true",))) as (delivery, outbox):
        outbox.add(entries)
        delivery.dispatch(outbox)
    assert found == ["", "", entries[0].key]


def test_notification_to_an_unknown_target_waits_for_another_service() -> None:
    entry = Entry(made(at=-500), "new:0")
    with delivering(script=NotifyConfig(command=("true",))) as (delivery, outbox):
        outbox.add([entry])
        assert delivery.dispatch(outbox)
        assert outbox.entries() == [entry]


def test_notification_is_sent_after_the_clock_was_set_back(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path, "true")
    with delivering(script=receiver.config) as (delivery, outbox):
        outbox.add([Entry(made(), "script:0", n_failed=3, not_before=time.time() + 3600)])
        delivery.dispatch(outbox)
        wait_until(receiver.received)


def test_first_address_keeps_its_id_when_its_target_gets_a_second_one() -> None:
    one, two = (NotifyConfig(urls=urls) for urls in (("json://a",), ("json://a", "json://b")))
    assert [each.id for each in addresses({"ops": one}, ["ops"])] == ["ops:0"]
    assert [each.id for each in addresses({"ops": two}, ["ops"])] == ["ops:0", "ops:1"]
    assert [str(each) for each in addresses({"ops": two}, ["ops"])] == ["'ops' (URL 1)", "'ops' (URL 2)"]


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([Entry(made(at=-25 * 3600), "script:0")], "it was not sent within 24 hours"),
        ([Entry(made(at=-601), "gone:0")], "the target is no longer configured"),
        ([Entry(made(at=-1), "script:0"), Entry(made(), "script:0", 1, time.time() + 200)], "1 newer ones"),
    ],
)  # fmt: skip
def test_notification_that_cannot_be_sent_is_given_up(
    entries: list[Entry],
    reason: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_ENTRIES", 1)
    with delivering(script=NotifyConfig(command=("false",))) as (delivery, outbox):
        outbox.add(entries)
        delivery.dispatch(outbox)
        assert outbox.entries() == entries[1:]
    target = entries[0].to.removesuffix(":0")
    assert f"Alert 'errors': notification 'firing' to target '{target}' was given up: {reason}" in caplog.text


# apprise


class _Http(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        server.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if server.hangs.is_set():
            server.may_end.wait(20)
        self.send_response(server.status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Http)
        self.received: list[dict[str, Any]] = []
        self.status = 200
        self.hangs, self.may_end = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, args=[0.05])
        self.thread.start()

    def address(self, timeout_s: float = 20) -> Address:
        """An address whose own time-outs are longer, with a password and a token."""
        url = f"json://user:hunter2@127.0.0.1:{self.server_port}/s3cret?cto=30&rto=30"
        return Address("ops", 0, url, (), timeout_s, is_only=False)


@pytest.fixture
def http() -> Iterator[_Server]:
    server = _Server()
    yield server
    server.may_end.set()
    server.shutdown()
    server.thread.join()
    server.server_close()


def test_apprise_sends_title_text_and_type(
    http: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(0)")  # a file of the user, not the module
    monkeypatch.chdir(tmp_path)
    firing = made()
    assert send(http.address(), firing) is None
    (got,) = http.received
    assert (got["title"], got["message"], got["type"]) == (firing.title, firing.text, "failure")


def test_failure_of_apprise_shows_no_secret(http: _Server, caplog: pytest.LogCaptureFixture) -> None:
    http.status = 503
    address = http.address()
    with delivering(ops=NotifyConfig(urls=(address.url, "nosuch://s3cret"))) as (delivery, outbox):
        outbox.add([Entry(made(), "ops:0"), Entry(made(), "ops:1")])
        delivery.dispatch(outbox)
        wait_until(lambda: all(entry.n_failed for entry in outbox.entries()))
    assert "Alert 'errors': not sent to target 'ops' (URL 1), retrying: HTTP status 503" in caplog.text
    assert "'ops' (URL 2), retrying: apprise does not know this URL" in caplog.text
    assert "s3cret" not in caplog.text + repr(address) + str(address)
    assert "hunter2" not in caplog.text + repr(address) + str(address)


def test_server_that_hangs_ends_the_attempt_in_time(http: _Server) -> None:
    http.hangs.set()
    assert send(http.address(1.5), made()) == "no end within 1.5 s"
