"""The background thread: it carries out each request."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from event_count_logger import process
from event_count_logger.config import GroupConfig
from event_count_logger.counting.syncer import Sender, Syncer
from event_count_logger.intervals import Interval
from tests.fixtures import Make
from tests.groups import event_group
from tests.servers import Server, wait_until


class Recorder:
    """A sender that is never due by itself, and records that it was sent."""

    config = GroupConfig("g", (Interval.parse("1h"),))
    released = False

    def __init__(self) -> None:
        self.sent = threading.Event()

    def prepare(self) -> None: ...

    def send(self, timeout_s: float) -> None:
        self.sent.set()

    def next_send(self, now: float) -> float:
        return now + 3600

    def send_at_once(self) -> None: ...

    def clear_wake_request(self) -> None: ...

    def has_unsent(self) -> bool:
        return not self.sent.is_set()

    def describe_unsent(self) -> str:
        return ""

    def retire(self) -> None: ...

    def dispose(self) -> str:
        return ""


class Looked(dict[Sender, float]):
    """Due times; calls `then` once, directly after a sender was found to be due at no time."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__()
        self._then: Callable[[], None] | None = then

    def get(self, *arguments: Any) -> Any:
        found = super().get(*arguments)
        if found == math.inf and self._then:
            then, self._then = self._then, None
            then()
        return found


@pytest.fixture
def sender() -> Recorder:
    return Recorder()


def test_request_during_planning_is_carried_out(sender: Recorder) -> None:
    syncer = Syncer()
    syncer._due = Looked(then=lambda: syncer.wake(sender))
    syncer.watch(sender)
    assert sender.sent.wait(60)


def test_flush_returns_after_the_send(sender: Recorder) -> None:
    syncer = Syncer()
    syncer.watch(sender)
    syncer.flush(sender, timeout_s=60)
    assert sender.sent.is_set()


class Restless(Recorder):
    """A sender that requests a send during each send, as counters under constant load."""

    def __init__(self, syncer: Syncer) -> None:
        super().__init__()
        self._syncer = syncer

    def send(self, timeout_s: float) -> None:
        super().send(timeout_s)
        if not self.released:
            self._syncer.wake(self)


@pytest.mark.parametrize("asked_for", [True, False])
def test_sender_under_constant_load_does_not_delay_others(sender: Recorder, asked_for: bool) -> None:
    syncer = Syncer()
    restless = Restless(syncer)
    syncer.wake(restless)
    assert restless.sent.wait(60)
    try:
        if asked_for:
            syncer.wake(sender)
        else:
            sender.next_send = lambda now: now + 0.1  # type: ignore[method-assign]
            syncer.watch(sender)
        assert sender.sent.wait(60)
    finally:
        restless.released = True


class Multiplying(Recorder):
    """A sender that adds another one when it is prepared."""

    released = False

    def __init__(self, syncer: Syncer) -> None:
        super().__init__()
        self._syncer = syncer

    def prepare(self) -> None:
        if not Multiplying.released:
            self._syncer.wake(Multiplying(self._syncer))


def test_due_sender_is_sent_while_new_ones_keep_coming(sender: Recorder) -> None:
    syncer = Syncer()
    syncer.wake(Multiplying(syncer))
    try:
        syncer.wake(sender)
        assert sender.sent.wait(60)
    finally:
        Multiplying.released = True


@pytest.fixture
def without_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which no background thread can run, with a syncer of its own."""
    monkeypatch.setattr(process, "has_threads", lambda: False)
    monkeypatch.setattr("event_count_logger.counting.syncer._syncer", process.PerProcess(Syncer))


@pytest.mark.usefixtures("without_thread")
def test_sender_without_a_thread_is_retried_by_later_events(own_server: Server, logger: Make) -> None:
    port = own_server.port
    group = {"events": ["a"], "intervals": ["1h"], "sync_interval": 60}
    events = logger({"g": group}, {"port": port})["g"]
    own_server.kill()
    events.log("a")
    own_server.start()
    logged = 1

    def is_counted() -> bool:
        nonlocal logged
        logged += 1
        events.log("a")
        return own_server.counts("g", "1h", "cur") == {"a": logged}

    wait_until(is_counted)


@pytest.mark.usefixtures("without_thread")
def test_second_group_without_a_thread_is_sent_after_an_outage(own_server: Server, logger: Make) -> None:
    group = {"events": ["a"], "intervals": ["1h"], "sync_interval": 60}
    ecl = logger({"one": group, "other": group}, own_server.config)
    own_server.kill()
    for name in ("one", "other"):
        ecl[name].log("a")
    own_server.start()
    wait_until(lambda: ecl["one"].log("a") or not event_group(ecl, "one").local.has_unsent())
    ecl["other"].log("a")
    assert own_server.counts("other", "1h", "cur") == {"a": 2}


def test_reminders_of_one_sender_make_no_queue(sender: Recorder) -> None:
    syncer = Syncer()
    syncer.watch(sender)
    syncer.flush(sender, timeout_s=60)
    wait_until(lambda: syncer._due.get(sender, 0) > time.monotonic() + 60)
    release = threading.Event()
    blocking = Recorder()
    blocking.send = lambda timeout_s: release.wait(60)  # type: ignore[method-assign, assignment]
    syncer.wake(blocking)
    wait_until(lambda: not syncer._inbox)
    for _ in range(1000):
        syncer.remind(sender)
    assert len(syncer._inbox) < 2
    release.set()


def test_log_handler_in_the_thread_does_not_wait_for_the_thread(sender: Recorder) -> None:
    syncer = Syncer()
    waited = threading.Event()

    def prepare() -> None:
        syncer.flush(sender, timeout_s=60)
        waited.set()

    sender.prepare = prepare  # type: ignore[method-assign]
    syncer.watch(sender)
    assert waited.wait(20)
