"""Sessions: each is counted once, with the same duration for any order of its actions."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import permutations

import pytest

from event_count_logger import keys
from event_count_logger.config import GroupConfig, SessionsConfig
from event_count_logger.config.session_actions import ActionName
from event_count_logger.errors import Rejected
from event_count_logger.groups.recorded_sessions import SessionsOfID
from event_count_logger.intervals import Interval
from event_count_logger.store import SessionAction, Store
from tests import session_model
from tests.groups import group_of
from tests.servers import Server
from tests.session_model import Report

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


def test_early_end_without_an_event_has_that_of_the_next_session(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    here.act("end", B + 5, event=None)  # of an unknown ID
    here.act("start", B + 2 * HOUR_S)
    here.act("end", B + 10, event=None)
    here.act("start", B)
    assert here.counted() == (2, 10_000)


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
    here.act("start", B)
    assert any_server.everything() == before


def test_start_of_an_open_session_begins_no_other(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    here.act("start", B)
    here.heartbeats(B + 10)
    here.act("start", B + 40)
    here.heartbeats(B + 45)
    assert here.counted() == (1, 15_000), "the gap before the start adds nothing"


def test_end_alone_counts_a_session_of_no_duration(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    here.act("end", B)
    assert here.counted() == (1, 0)
    assert here.n_open() == 0


def test_actions_behind_an_end_add_nothing(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    here.act("start", B)
    here.act("end", B + 10)
    here.heartbeats(B + 15)
    here.act("end", B + 20)
    assert here.counted() == (1, 10_000)
    assert here.n_open() == 0


def test_end_that_arrives_first_gives_the_same_duration(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    here.act("end", B + 10)
    here.heartbeats(B + 5)
    here.act("start", B)
    assert here.counted() == (1, 10_000)


def test_end_before_the_start_belongs_to_an_earlier_session(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    here.act("start", B)
    here.heartbeats(B + 10)
    here.act("end", B - 100)
    here.heartbeats(B + 20)
    assert here.counted() == (2, 20_000)
    assert here.n_open() == 1


RETURNS: list[Report] = [("start", B), ("end", B + 10), ("start", B + 7200), ("end", B + 7220)]


def test_id_that_comes_back_is_two_sessions_in_any_order(sessions: Callable[..., Sessions]) -> None:
    here = sessions(900)
    for number, order in enumerate(permutations(RETURNS)):
        for name, at in [*order, *order]:
            here.act(name, at, id=f"s{number}", event=f"dash {number}")
        # After the first start and the last end alone, a session of one gap has been counted: 900 s.
        is_too_long = {RETURNS[0], RETURNS[3]} == set(order[:2])
        assert here.counted(f"dash {number}") == (2, 900_000 if is_too_long else 30_000), order
    assert here.n_open() == 0


def test_end_and_next_start_may_have_the_same_time(sessions: Callable[..., Sessions]) -> None:
    here = sessions(900)
    here.act("start", B)
    here.act("end", B + 5)
    here.act("start", B + 5)
    here.heartbeats(B + 7)
    here.act("end", B + 9)
    assert here.counted() == (2, 9000)


@pytest.mark.parametrize(
    ("event", "expected"),
    [("blog", ((1, 4000), (1, 8000))), ("shop", ((2, 12_000), (0, 0))), (None, ((2, 12_000), (0, 0)))],
)
def test_end_behind_a_start_of_its_time_names_the_next_session(
    sessions: Callable[..., Sessions], event: str | None, expected: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    here = sessions()
    actions = [
        SessionAction("s1", "shop", "start", B),
        SessionAction("s1", "shop", "heartbeat", B + 4),
        SessionAction("s1", "blog", "start", B + 10),
        SessionAction("s1", event, "end", B + 10),
        SessionAction("s1", None, "end", B + 12),
    ]
    in_memory = SessionsOfID(here.config.sessions or SessionsConfig())
    counts = Counter[str]()
    for each in actions:
        here.store.commits.commit_actions(here.config, [each], now=B)
        event_id, n, ms = in_memory.act(each) or ("", 0, 0)
        counts += Counter({event_id: n, keys.session_time(event_id): ms})
    assert (here.counted("shop"), here.counted("blog")) == expected
    assert tuple((counts[id], counts[keys.session_time(id)]) for id in ("shop", "blog")) == expected


def test_end_slightly_before_its_start_ends_the_session(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    here.act("start", B)
    for _ in range(2):
        here.act("end", B - 0.1, event=None)
    assert here.counted() == (1, 0)
    assert here.n_open() == 0


def test_session_of_each_visit_has_its_own_event(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    here.act("start", B, event="shop")
    here.act("end", B + 10, event=None)
    here.act("start", B + 100, event="blog")
    here.heartbeats(B + 120)
    here.act("heartbeat", B + 5, event="blog")
    here.act("end", B + 130, event=None)
    assert here.counted("shop") == (1, 10_000)
    assert here.counted("blog") == (1, 30_000)
    assert here.counted("dash") == (0, 0)


def test_one_commit_may_have_several_visits_of_an_id(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    names: list[tuple[ActionName, float, str | None]] = [
        ("start", 0, "shop"),
        ("end", 10, None),
        ("start", 20, "blog"),
        ("heartbeat", 25, "shop"),
        ("end", 30, None),
    ]
    actions = [SessionAction("s1", event, name, B + at) for name, at, event in names]
    for _ in range(2):
        here.store.commits.commit_actions(here.config, actions, now=B)
        assert (here.counted("shop"), here.counted("blog")) == ((1, 10_000), (1, 10_000))


@pytest.mark.parametrize("lag_s", [0, 50 * 3600.0])
def test_gap_longer_than_expire_after_begins_a_session(
    sessions: Callable[..., Sessions], lag_s: float
) -> None:
    here = sessions(1800, expire_after=1800)
    for minute in (0, 10, 300, 305):
        here.now = B + lag_s + (minute if lag_s else minute * 60)
        here.heartbeats(B + minute * 60)
    assert here.counted() == (2, 900_000)
    assert here.n_open() == (not lag_s), "a session of old reports is not open"


def test_backlog_read_after_an_outage_continues_its_sessions(sessions: Callable[..., Sessions]) -> None:
    here = sessions(1800, expire_after=1800)
    here.heartbeats(B)
    here.now = B + 20 * 3600
    here.act("heartbeat", B + 60, id="s2")
    here.heartbeats(B + 600)
    assert here.counted() == (2, 600_000)


@pytest.mark.parametrize("limits", [(0, HOUR_S), (15, 50), (60, 150)])
def test_any_order_gives_the_sessions_of_all_reports(
    sessions: Callable[..., Sessions], limits: tuple[float, float], chance: random.Random
) -> None:
    timeout_s, expire_after_s = limits
    here = sessions(timeout_s, expire_after=expire_after_s)
    n_exact = 0
    for number in range(12):
        event = f"dash {number}"
        arrived = session_model.shuffled(chance, session_model.some_visits(chance, B))
        before = (0, 0)
        for name, at in arrived:
            here.act(name, at, id=event, event=event)
            counted = here.counted(event)
            assert counted[0] >= before[0]
            assert counted[1] >= before[1]
            before = counted
        if session_model.never_falls(arrived, timeout_s or math.inf, expire_after_s):
            n_exact += 1
            n, time_s = session_model.counted(arrived, timeout_s or math.inf, expire_after_s)
            assert before == (n, time_s * 1000), arrived
        for name, at in arrived:
            here.act(name, at, id=event, event=event)
        assert here.counted(event) == before, "repeated"
    assert n_exact


def test_time_counted_too_much_is_set_off_against_later_time(sessions: Callable[..., Sessions]) -> None:
    here = sessions()
    here.act("start", B)
    here.heartbeats(B + 100)
    here.act("end", B + 50)
    assert here.counted() == (1, 100_000)
    here.act("start", B + 200)
    here.heartbeats(B + 230)
    assert here.counted() == (2, 100_000)
    here.act("end", B + 260)
    assert here.counted() == (2, 110_000)


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
        kept_ms = any_server.client.pttl(key) - 24 * 3_600_000
        assert 85_000 < kept_ms <= 90_500


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
    here.heartbeats(*(B + 10 * number for number in range(200)))
    assert here.counted() == (1, 199_000), "repeated"


def test_number_of_stored_visits_per_id_is_limited(
    sessions: Callable[..., Sessions], any_server: Server
) -> None:
    here = sessions(0)
    visits = range(0, 6000, 60)
    for at in visits:
        here.act("start", B + at)
        here.act("end", B + at + 10)
        here.heartbeats(B + at + 30)
    assert here.counted() == (100, 1_000_000)
    assert len(any_server.client.hget("g:@sessions", "s1") or "") < 2000
    for at in visits:
        here.act("start", B + at)
        here.act("end", B + at + 10)
    assert here.counted() == (100, 1_000_000), "repeated"


def test_many_reports_after_an_end_are_ignored_without_limit(sessions: Callable[..., Sessions]) -> None:
    here = sessions(timeout=60, expire_after=600)
    here.act("start", B)
    here.act("end", B + 10)
    here.heartbeats(*(B + at for at in range(20, 3000, 10)))
    assert here.counted() == (1, 10_000)
    assert here.n_open() == 0
    here.act("start", B + 3000)
    here.heartbeats(B + 3005)
    assert here.counted() == (2, 15_000)


def test_many_starts_at_the_ends_before_them_count_in_full(sessions: Callable[..., Sessions]) -> None:
    here = sessions(timeout=60)
    here.act("start", B, event="visit 0")
    names: tuple[ActionName, ...] = ("start", "end")
    for number in range(1, 60):
        for name in names:  # both begin the next visit
            here.act(name, B + 10 * number, event=f"visit {number % 2}")
    counted = [here.counted(f"visit {number}") for number in (0, 1)]
    assert [n for n, _ in counted] == [30, 30]
    assert sum(ms for _, ms in counted) == 590_000


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
