"""The steps of a batch, interrupted at each one, with each answer of Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from event_count_logger.config import GroupConfig, RedisConfig
from event_count_logger.counting.batch_sender import RETRY_REJECTED_S, BatchSender
from event_count_logger.counting.cells import Cells
from event_count_logger.counting.confirmed_counts import RECENT, ConfirmedCounts
from event_count_logger.counting.spool_format import State
from event_count_logger.errors import NotConnected, Rejected, Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log
from event_count_logger.store import Commit, Store, node
from event_count_logger.store.commits import Commits
from tests.servers import Server, wait_until

INTERVALS = (Interval.parse("1h"), Interval.parse("2h"))


class Cut(BaseException):
    """The process is killed here."""


class CuttableCells(Cells):
    """Raises directly before or after a state is written."""

    cut: tuple[str, State] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "state" and self.cut == ("before", value):
            raise Cut
        super().__setattr__(name, value)
        if name == "state" and self.cut == ("after", value):
            raise Cut


class CuttableCommits(Commits):
    """Commits that can lose a request or its answer, or deliver a lost request later."""

    cut: str | None = None
    lost: Callable[[], Commit] | None = None
    batches: list[dict[str, int]]

    def commit(self, *arguments: Any, **options: Any) -> Commit:
        self.batches.append(dict(arguments[4]))
        if self.cut == "request":
            self.lost = lambda: Commits.commit(self, *arguments)
            raise Unavailable("Redis", "the request was lost")
        answer = super().commit(*arguments, **options)
        if self.cut == "answer":
            raise Unavailable("Redis", "the answer was lost")
        return answer


class Worker:
    """The counters of one group in one process, with a clock set by the test."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.now = 1000.0
        self.cells = CuttableCells()
        self.store = Store(RedisConfig(**server.config))
        self.commits = self.store.commits = CuttableCommits(self.store.client)
        self.commits.batches = []
        group = GroupConfig("g", INTERVALS)
        self.sender = BatchSender(group, self.cells, self.store, Log("test"), lambda: self.now)

    def log(self, event_id: str, count: int = 1) -> None:
        self.cells.add(event_id).total += count

    def forget(self, n_batches: int) -> None:
        """Set the position in Redis back by some batches."""
        before = self.cells.position - (n_batches << 24)
        self.server.client.hset("g:@sources", self.cells.source, before)

    def counted(self) -> dict[str, int]:
        one, other = (self.server.counts("g", interval.name, "cur") for interval in INTERVALS)
        assert one == other
        return one


@pytest.fixture
def worker(server: Server) -> Worker:
    return Worker(server)


CUTS = [(when, state) for when in ("before", "after") for state in (State.SENDING, State.ACKED, State.IDLE)]


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: f"{cut[0]} {cut[1].value}")
def test_batch_interrupted_at_any_step_is_counted_once(cut: tuple[str, State], worker: Worker) -> None:
    worker.log("a", 3)
    worker.sender.run()
    worker.log("a", 4)
    worker.cells.cut = cut
    with pytest.raises(Cut):
        worker.sender.run()
    worker.cells.cut = None
    worker.log("a", 5)
    worker.log("b", 1)
    worker.sender.run()
    assert worker.counted() == {"a": 12, "b": 1}


@pytest.mark.parametrize("cut", ["request", "answer"])
@pytest.mark.parametrize("times", [1, 3])
def test_batch_without_an_answer_is_sent_again_unchanged(cut: str, times: int, worker: Worker) -> None:
    worker.log("a", 3)
    worker.commits.cut = cut
    for _ in range(times):
        with pytest.raises(Unavailable):
            worker.sender.run()
        worker.log("a", 10)
    worker.commits.cut = None
    worker.sender.run()
    assert worker.commits.batches == [{"a": 3}] * (times + 1) + [{"a": 10 * times}]
    assert worker.counted() == {"a": 3 + 10 * times}
    assert worker.sender.unanswered


def test_count_sent_by_a_resumed_batch_is_not_sent_as_0(worker: Worker) -> None:
    worker.log("a", 3)
    worker.commits.cut = "answer"
    with pytest.raises(Unavailable):
        worker.sender.run()
    worker.commits.cut = None
    unconfirmed = worker.cells.unsent()
    worker.server.client.flushdb()  # the interval ends
    worker.server.client.hset("g:@sources", worker.cells.source, worker.cells.next_position)
    worker.log("b", 1)
    worker.sender.run([*unconfirmed, worker.cells.add("b")])
    assert worker.counted() == {"b": 1}
    assert worker.server.client.smembers("g:1h:cur:@events") == {"b"}


def test_run_without_unsent_counts_sends_no_request(worker: Worker) -> None:
    worker.log("a")
    worker.sender.run()
    worker.sender.run()
    assert len(worker.commits.batches) == 1


def test_many_events_are_sent_in_batches_that_do_not_block_the_server(worker: Worker) -> None:
    for number in range(1200):
        worker.log(f"e{number}", number + 1)
    worker.sender.run()
    assert [len(batch) for batch in worker.commits.batches] == [500, 500, 200]
    assert worker.counted() == {f"e{number}": number + 1 for number in range(1200)}


def test_rejected_event_delays_no_other_and_arrives_later(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.server.client.rpush("g:1h:cur:bad", "x")
    worker.log("bad", 2)
    worker.log("good", 3)
    worker.sender.run()
    assert worker.server.counts("g", "2h", "cur") == {"good": 3}
    assert "event 'bad' (key g:1h:cur:bad): WRONGTYPE" in caplog.text
    worker.log("bad", 1)
    worker.now += RETRY_REJECTED_S
    worker.sender.run()
    worker.server.client.delete("g:1h:cur:bad")
    worker.sender.run()
    assert worker.server.counts("g", "2h", "cur") == {"good": 3}, "not tried again so soon"
    worker.now += RETRY_REJECTED_S
    worker.sender.run()
    assert worker.counted() == {"good": 3, "bad": 3}
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


def test_event_at_its_limit_arrives_in_the_next_interval(worker: Worker) -> None:
    worker.server.client.set("g:1h:cur:a", 2**63 - 1)
    worker.log("a", 2)
    worker.sender.run()
    assert worker.server.counts("g", "1h", "cur") == {"a": 2**63 - 1}
    worker.server.client.set("g:1h:cur:a", 0)
    worker.now += RETRY_REJECTED_S
    worker.sender.run()
    assert worker.counted() == {"a": 2}


def _rejected_with_a_late_copy(worker: Worker) -> None:
    """Delay the first request; the second one was rejected, and its batch abandoned or not."""
    worker.log("bad", 2)
    worker.log("good", 3)
    worker.commits.cut = "request"
    with pytest.raises(Unavailable):
        worker.sender.run()
    worker.commits.cut = None
    worker.server.client.rpush("g:1h:cur:bad", "x")


def test_copy_that_arrives_after_abandoning_is_not_counted(worker: Worker) -> None:
    _rejected_with_a_late_copy(worker)
    worker.sender.run()
    worker.server.client.delete("g:1h:cur:bad")
    assert worker.commits.lost
    assert worker.commits.lost().outcome == "conflict"
    worker.now += RETRY_REJECTED_S
    worker.sender.run()
    assert worker.counted() == {"good": 3, "bad": 2}


def test_copy_that_arrives_before_abandoning_is_counted_once(
    worker: Worker,
) -> None:
    _rejected_with_a_late_copy(worker)
    worker.cells.cut = ("after", State.ABANDONING)
    with pytest.raises(Cut):
        worker.sender.run()
    worker.cells.cut = None
    worker.server.client.delete("g:1h:cur:bad")
    assert worker.commits.lost
    assert worker.commits.lost().outcome == "applied"
    worker.sender.run()
    assert worker.counted() == {"good": 3, "bad": 2}


@pytest.mark.parametrize("cut", ["request", "answer"])
def test_interrupted_abandoning_is_resumed(cut: str, worker: Worker) -> None:
    worker.server.client.rpush("g:1h:cur:bad", "x")
    worker.log("bad", 2)
    worker.log("good", 3)
    worker.cells.cut = ("after", State.ABANDONING)
    with pytest.raises(Cut):
        worker.sender.run()
    worker.cells.cut = None
    worker.commits.cut = cut
    with pytest.raises(Unavailable):
        worker.sender.run()
    worker.commits.cut = None
    worker.server.client.delete("g:1h:cur:bad")
    worker.now += RETRY_REJECTED_S
    worker.sender.run()
    assert worker.counted() == {"good": 3, "bad": 2}


def test_bad_key_of_the_group_delays_all_events_until_it_is_gone(worker: Worker) -> None:
    worker.server.client.set("g:@sources", "x")
    worker.log("a", 2)
    with pytest.raises(Rejected, match="g:@sources"):
        worker.sender.run()
    worker.server.client.delete("g:@sources")
    worker.sender.run()
    assert worker.counted() == {"a": 2}


@pytest.mark.parametrize(("is_known", "batches", "lost"), [(True, 2, 20), (False, 3, 30)])
def test_lost_batches_are_warned_of_once_and_nothing_is_doubled(
    is_known: bool, batches: int, lost: int, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        worker.log("a", 10)
        worker.sender.run()
    if is_known:
        worker.forget(batches)
    else:
        worker.server.client.delete("g:@sources")
    for _ in range(2):
        worker.log("a", 1)
        worker.sender.run()
    assert worker.counted() == {"a": 32, "@lost": lost}
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    gone = f"has lost data: {batches} confirmed batch{'' if batches == 1 else 'es'}"
    assert f"{gone}, with {lost} counts of group 'g' (counted as @lost)" in warnings[0]


def test_loss_of_batches_of_another_sender_has_unknown_counts(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        worker.log("a", 10)
        worker.sender.run()
    worker.server.client.delete("g:@sources")
    worker.log("a", 1)
    BatchSender(GroupConfig("g", INTERVALS), worker.cells, worker.store, Log("test")).run()
    assert "has lost data: 3 confirmed batches, with an unknown number of counts" in caplog.text
    assert worker.counted() == {"a": 31}


def test_second_loss_reports_counts_since_the_first(worker: Worker) -> None:
    lost = 0
    for round in range(1, 4):
        for _ in range(3):
            worker.log("a", 10**round)
            worker.sender.run()
        worker.forget(2)
        lost += 2 * 10**round
        worker.log("a", 5)
        worker.sender.run()
        assert worker.counted()["@lost"] == lost


def test_retiring_source_detects_a_loss(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    for unanswered in (False, True):
        for _ in range(3):
            worker.log("a", 10)
            worker.sender.run()
        worker.sender.unanswered = unanswered
        worker.forget(2)
        caplog.clear()
        worker.sender.retire()
        assert caplog.text.count("has lost data: 2 confirmed batches") == 1
    assert worker.counted() == {"a": 60, "@lost": 40}
    assert list(worker.server.client.hgetall("g:@sources")) == [worker.cells.source], "it may still be needed"


def test_retired_source_leaves_no_position(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    worker.log("a", 10)
    worker.sender.run()
    worker.sender.retire()
    worker.sender.retire()
    assert not worker.server.client.exists("g:@sources")
    assert worker.counted() == {"a": 10}
    assert not caplog.records


class CutWords:
    """The words of a header; only the first writes have an effect."""

    def __init__(self, words: Any, n_writes: int) -> None:
        self._words = words
        self._writes_left = n_writes

    def __getitem__(self, at: int) -> int:
        return self._words[at]  # type: ignore[no-any-return]

    def __setitem__(self, at: int, value: int) -> None:
        if not self._writes_left:
            raise Cut
        self._writes_left -= 1
        self._words[at] = value


@pytest.mark.parametrize("n_writes", range(5))
def test_source_killed_while_starting_over_loses_and_reports_nothing(
    n_writes: int, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.log("a", 10)
    worker.sender.run()
    worker.log("a", 5)  # by another thread, during the retirement
    words = worker.cells._words
    worker.cells._words = CutWords(words, n_writes)  # type: ignore[assignment]
    with pytest.raises(Cut):
        worker.cells.start_over()
    worker.cells._words = words
    BatchSender(GroupConfig("g", INTERVALS), worker.cells, worker.store, Log("test")).run()
    assert worker.counted() == {"a": 15}
    assert not caplog.records


def test_two_cells_of_one_event_in_a_found_file_are_both_counted(worker: Worker) -> None:
    worker.log("@lost", 4)
    assert worker.cells.storage
    found = Cells.from_storage(worker.cells.storage)
    found.add("@lost").total += 3  # of a loss that recovery has noticed
    BatchSender(GroupConfig("g", INTERVALS), found, worker.store, Log("test")).run()
    assert worker.counted() == {"@lost": 7}


def test_loss_of_a_batch_found_half_finished_is_a_lower_limit(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.log("a", 3)
    worker.log("b", 4)
    worker.cells.cut = ("after", State.ACKED)
    with pytest.raises(Cut):
        worker.sender.run()
    worker.cells.cut = None
    worker.cells.by_id["a"].acked = worker.cells.by_id["a"].pending
    recovering = BatchSender(GroupConfig("g", INTERVALS), worker.cells, worker.store, Log("test"))
    recovering.run()
    worker.server.client.delete("g:@sources")
    worker.log("a")
    recovering.run()
    assert "has lost data: 1 confirmed batch, with at least 4 counts" in caplog.text


def test_loss_beyond_the_remembered_batches_is_a_lower_limit() -> None:
    known = ConfirmedCounts()
    for position in range(1, 5 * RECENT):
        known.add(position, 2**63 - 1)
    assert known.rewind(5 * RECENT - 2) == (2**63 - 1, True)
    known.add(5 * RECENT, 7)
    assert known.rewind(4 * RECENT + 1).is_exact
    known.add(4 * RECENT + 2, 7)
    counts, is_exact = known.rewind(1)
    assert counts >= 7
    assert not is_exact
    known.add(2, 3)
    assert known.rewind(1) == (3, True)


def test_foreign_position_is_named_and_nothing_is_lost(worker: Worker) -> None:
    worker.log("a", 2)
    worker.server.client.hset("g:@sources", worker.cells.source, "elsewhere")
    with pytest.raises(Rejected, match="'elsewhere' is not a position"):
        worker.sender.run()
    worker.server.client.delete("g:@sources")
    worker.sender.run()
    assert worker.counted() == {"a": 2}


# A server that delays all senders


def was_asked(store: Store, sender: str) -> bool:
    try:
        with store.client.attempt(GroupConfig("g", INTERVALS), sender):
            store.sources.position(GroupConfig("g", INTERVALS), "x")
    except NotConnected:
        return False
    except Unavailable:
        pass
    return True


def test_stalled_server_is_tried_by_one_sender_at_a_time(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "_REST_S", 3600)
    store = Store(RedisConfig(**own_server.config), timeout_s=1)
    own_server.stall()
    assert was_asked(store, "first")
    assert not was_asked(store, "second")
    assert was_asked(store, "first"), "its own attempts have a pace"
    monkeypatch.setattr(node, "_REST_S", 0)
    assert was_asked(store, "first")
    assert was_asked(store, "second"), "the time is over"
    monkeypatch.setattr(node, "_REST_S", 3600)
    assert was_asked(store, "second")
    assert not was_asked(store, "first")
    own_server.go_on()
    # On a busy machine, the answer to the first request may come too late.
    wait_until(
        lambda: was_asked(store, "second") and was_asked(store, "first"), what="the server has answered"
    )
    store.close()


def test_server_that_rejects_connections_is_tried_by_all_senders(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "_SLOW_S", 30)  # a busy machine may reject a connection late
    store = Store(RedisConfig(**own_server.config))
    own_server.kill()
    assert was_asked(store, "first")
    assert was_asked(store, "second")


def test_recovery_tries_a_server_that_another_sender_waits_for(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "_REST_S", 3600)
    store = Store(RedisConfig(**own_server.config), timeout_s=1)

    def sender(is_found: bool) -> BatchSender:
        cells = Cells()
        cells.add("a").total += 1
        return BatchSender(GroupConfig("g", INTERVALS), cells, store, Log("test"), is_found=is_found)

    background, found = sender(is_found=False), sender(is_found=True)
    own_server.stall()
    with pytest.raises(Unavailable):
        sender(is_found=False).run()
    with pytest.raises(NotConnected):
        background.run()
    assert not background.unanswered, "nothing was asked"
    own_server.go_on()

    def has_sent() -> bool:
        try:
            found.run()
        except NotConnected:
            raise
        except Unavailable:  # on a busy machine, the first answer may come too late
            return False
        return True

    wait_until(has_sent, what="the server has answered")
    background.run()
    assert own_server.counts("g", "1h", "cur")["a"] >= 2
    store.close()
