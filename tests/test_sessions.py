"""Sessions: each is counted once, with the same duration for any order of its actions."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from event_count_logger import keys
from event_count_logger.config import GroupConfig, SessionsConfig
from event_count_logger.config.session_actions import ActionName
from event_count_logger.errors import Rejected
from event_count_logger.intervals import Interval
from event_count_logger.store import SessionAction, Store
from tests.groups import group_of
from tests.servers import Server

pytestmark = pytest.mark.usefixtures("layout")

DAY = Interval.parse("24h")
B = 1_700_000_000
HOUR_S = 3600.0


def group(timeout: float = HOUR_S, **limits: float) -> GroupConfig:
    sessions = SessionsConfig(timeout=timeout, **limits)  # type: ignore[arg-type]
    return group_of("g", [DAY], auto_declare_events=True, sessions=sessions)


class Sessions:
    """Acts on sessions of a group at given times, and reads their counts."""

    def __init__(self, store: Store, server: Server, config: GroupConfig) -> None:
        self.store, self.server, self.config = store, server, config
        self.now: float = B

    def act(self, name: ActionName, at: float, id: str = "s1", event: str | None = "dash") -> None:
        answer = self.store.commits.commit_actions(
            self.config, [SessionAction(id, event, name, at)], now=self.now
        )
        assert answer.outcome == "applied"

    def heartbeats(self, *times: float) -> None:
        for at in times:
            self.act("heartbeat", at)

    def counted(self, event: str = "dash") -> tuple[int, int]:
        """Returns the number of sessions and their duration in milliseconds."""
        counts = self.server.counts("g", "24h", "cur")
        return counts.get(event, 0), counts.get(keys.session_time(event), 0)

    def n_open(self) -> int:
        return self.store.reads.open_sessions(self.config, now=self.now)


@pytest.fixture
def sessions(store: Store, any_server: Server) -> Callable[..., Sessions]:
    return lambda *arguments, **limits: Sessions(store, any_server, group(*arguments, **limits))


@pytest.mark.parametrize(
    ("timeout_s", "time_s"), [(HOUR_S, 4500), (HOUR_S / 4, 1800), (24 * HOUR_S, 15_300), (0, 15_300)]
)
def test_gap_between_actions_adds_at_most_the_timeout(
    sessions: Callable[..., Sessions], timeout_s: float, time_s: int
) -> None:
    here = sessions(timeout_s)
    here.act("start", B)
    here.heartbeats(*(B + 60 * number for number in range(1, 16)))
    here.act("end", B + 15 * 60 + 4 * HOUR_S)
    assert here.counted() == (1, time_s * 1000)
    assert here.n_open() == 0


def test_heartbeats_out_of_order_count_as_in_order(sessions: Callable[..., Sessions]) -> None:
    here = sessions(4500)
    here.heartbeats(B + 1, B, B + 7200)
    assert here.counted() == (1, 4_501_000)


def expected_ms(times: Sequence[float], timeout_s: float) -> int:
    ordered = sorted(times)
    gaps = [after - before for before, after in zip(ordered, ordered[1:], strict=False)]
    return round(1000 * sum(min(gap, timeout_s or gap) for gap in gaps))


@pytest.mark.parametrize("timeout_s", [0, 5, 60])
def test_random_order_and_repetition_gives_the_same_duration(
    sessions: Callable[..., Sessions], timeout_s: float, chance: random.Random
) -> None:
    for number in range(10):
        here = sessions(timeout_s)
        event = f"dash {number}"
        times = [B + chance.randrange(400_000) / 1000 for _ in range(chance.randrange(1, 25))]
        arrived = times + chance.choices(times, k=5)
        chance.shuffle(arrived)
        before = 0
        for at in arrived:
            here.act("heartbeat", at, id=event, event=event)
            _, time_ms = here.counted(event)
            assert time_ms >= before
            before = time_ms
        assert here.counted(event) == (1, expected_ms(times, timeout_s))


def test_repeated_heartbeat_adds_nothing(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    here.heartbeats(B, B + 10, B + 10, B + 10)
    assert here.counted() == (1, 10_000)


def test_start_alone_counts_a_session_of_no_duration(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    here.act("start", B)
    assert here.counted() == (1, 0)
    assert here.n_open() == 1


def test_repeated_start_changes_nothing(sessions: Callable[..., Sessions], any_server: Server) -> None:
    here = sessions()
    here.act("start", B)
    before = any_server.everything()
    here.act("start", B + 100)
    here.act("start", B - 100)
    assert any_server.everything() == before


def test_end_alone_counts_a_session_of_no_duration(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    here.act("end", B)
    assert here.counted() == (1, 0)
    assert here.n_open() == 0


def test_actions_outside_an_ended_session_add_nothing(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    here.act("start", B)
    here.act("end", B + 10)
    here.heartbeats(B - 5, B + 15)
    here.act("end", B + 20)
    here.act("start", B - 20)
    assert here.counted() == (1, 10_000)


def test_end_that_arrives_first_gives_the_same_duration(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    here.act("end", B + 10)
    here.heartbeats(B + 5)
    here.act("start", B)
    assert here.counted() == (1, 10_000)


def test_end_before_the_start_subtracts_nothing(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    here.act("start", B)
    here.heartbeats(B + 10)
    here.act("end", B - 100)
    here.heartbeats(B + 20)
    assert here.counted() == (1, 10_000)
    assert here.n_open() == 0


def test_session_keeps_its_first_event(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    here.act("start", B, event="dash")
    here.act("heartbeat", B + 10, event="other")
    here.act("end", B + 20, event=None)
    assert here.counted("dash") == (1, 20_000)
    assert here.counted("other") == (0, 0)


def test_end_without_event_of_unknown_session_counts_nothing(
    sessions: Callable[..., Sessions], any_server: Server
) -> None:
    sessions().act("end", B, event=None)
    assert any_server.everything() == {}


@pytest.mark.parametrize("last", ["start", "heartbeat", "end"])
def test_session_expires_after_its_last_update(sessions: Callable[..., Sessions], last: ActionName) -> None:
    here = sessions(expire_after=90.5)
    here.act(last, B)
    here.now = B + 90
    assert here.n_open() == (last != "end")
    here.act("heartbeat", B + 1, id="another")
    assert here.server.client.hkeys("g:@sessions") == ["s1", "another"]
    here.now = B + 91
    assert here.n_open() == 1
    here.act("heartbeat", B + 91)
    assert here.counted() == (3, 0), "the first session, the other, and a new one of the same ID"


def test_keys_of_sessions_expire_when_none_is_updated(
    sessions: Callable[..., Sessions], any_server: Server
) -> None:
    sessions(expire_after=90.5).act("heartbeat", B)
    for key in ("g:@sessions", "g:@sessions_open"):
        assert 85_000 < any_server.client.pttl(key) <= 90_500


def test_longest_idle_sessions_are_dropped_above_the_limit(
    sessions: Callable[..., Sessions], any_server: Server
) -> None:
    here = sessions(max_sessions=3)
    for number, id in enumerate(["a", "b", "c", "a", "d", "e"]):
        here.now = B + number
        here.act("end" if id == "d" else "heartbeat", B + number, id=id)
    assert set(any_server.client.hkeys("g:@sessions")) == {"a", "d", "e"}
    assert here.n_open() == 2


def test_number_of_stored_gaps_per_session_is_limited(
    sessions: Callable[..., Sessions], any_server: Server
) -> None:
    here = sessions(timeout=1)
    here.heartbeats(*(B + 10 * number for number in range(200)))
    assert here.counted() == (1, 199_000)
    stored = any_server.client.hget("g:@sessions", "s1")
    assert stored is not None
    assert len(stored) < 2000


@pytest.mark.parametrize("timeout_s", [0, HOUR_S])
def test_longer_timeout_takes_no_duration_from_open_sessions(
    sessions: Callable[..., Sessions], timeout_s: float
) -> None:
    sessions(15).heartbeats(B, B + 10, B + 30, B + 40)
    here = sessions(timeout_s)
    actions = [SessionAction("s1", "dash", "heartbeat", B + 50)]
    actions += [SessionAction("s2", "dash", "heartbeat", at) for at in (B, B + 20)]
    here.store.commits.commit_actions(here.config, actions, now=B)
    assert here.counted() == (2, (35 + 10 + 20) * 1000)


def test_sessions_key_of_wrong_type_is_named_and_left_unchanged(
    sessions: Callable[..., Sessions], any_server: Server
) -> None:
    for key in ("g:@sessions", "g:@sessions_open", "g:@sessions_ended"):
        any_server.client.flushall()
        any_server.client.set(key, "x")
        with pytest.raises(Rejected):
            sessions().act("heartbeat", B)
        assert any_server.everything() == {key: "x"}
