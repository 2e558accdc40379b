"""Any history of operations gives the same answers with both layouts, and those of a simple model."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from event_count_logger import keys
from event_count_logger.config import GroupConfig, History, Layout, RedisConfig, SessionsConfig
from event_count_logger.config.session_actions import ACTIONS
from event_count_logger.intervals import Interval
from event_count_logger.reading.follow import Follower
from event_count_logger.reading.reader import Reader, Snapshot
from event_count_logger.store import SessionAction, Store
from tests.servers import Server

INTERVALS = tuple(map(Interval.parse, ("5s", "15s", "1m")))
EVENTS = ("declared", "a", "b:c", 'é"\\ ', "d/e", "x" * 512)
LAYOUTS: tuple[Layout, ...] = ("keys", "hash")
COUNTS = (0, 1, 7, -2, 2**53 + 1, -(2**54) - 1)


def without_zeros(counts: Mapping[str, int]) -> dict[str, int]:
    return {event: count for event, count in counts.items() if count}


class Twins:
    """A group with each layout, to which the same happens, and what is to be seen of it."""

    def __init__(self, store: Store, server: Server, chance: random.Random) -> None:
        self.store, self.client, self.chance = store, server.client, chance
        self.reader = Reader(store)
        self.now = 1_700_000_000.0
        self.group = GroupConfig(
            "g",
            INTERVALS[: chance.randrange(1, 4)],
            ("declared", "never"),
            auto_declare_events=True,
            history=History.of(chance.choice([1, 2, 5, 60])),
            totals=chance.random() < 0.7,
            expire_after=chance.choice([20.0, 1e9]),
            sessions=SessionsConfig(max_sessions=5),
        )
        self.position = 0
        self.logged: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()
        self.followers = [Follower(store, group, INTERVALS[0], 0.0) for group in self.groups()]

    def groups(self) -> list[GroupConfig]:
        return [replace(self.group, name=layout, layout=layout) for layout in LAYOUTS]

    def both(self, ask: Any) -> Any:
        """Returns the answer of both layouts, which must be the same."""
        one, other = map(ask, self.groups())
        assert one == other
        return one

    def commit(self) -> None:
        n_events = self.chance.randrange(len(EVENTS) + 1)
        batch = {event: self.chance.choice(COUNTS) for event in self.chance.sample(EVENTS, n_events)}
        prev = self.position + self.chance.choice([0, 0, 0, 0, 0, -1, 3])
        answer = self.both(
            lambda group: self.store.commits.commit(group, "src", prev, prev + 1, batch, self.now)
        )
        if answer.outcome == "applied":
            self.position = prev + 1
            self.logged.update(batch)

    def commit_with_something_in_the_way(self) -> None:
        interval, event = self.chance.choice(self.group.intervals), self.chance.choice(EVENTS)
        batch = {**dict.fromkeys(self.chance.sample(EVENTS, 3), 5), event: 1, "new": 1}
        wrong = self.chance.choice(["x", str(2**63 - 1)])
        key, hash = f"keys:{interval.name}:cur:{event}", f"hash:{interval.name}:cur"
        before = self.client.get(key), self.client.hget(hash, event)
        self.client.set(key, wrong)
        self.client.hset(hash, event, wrong)

        def keys_of(group: GroupConfig) -> set[str]:
            return {*map(str, self.client.keys(f"{group.name}:*"))} - {keys.intervals(group.prefix)}

        def is_refused(group: GroupConfig) -> bool:
            there = keys_of(group)
            position = self.position
            answer = self.store.commits.commit(group, "src", position, position + 1, batch, self.now)
            assert {refusal.event_id for refusal in answer.refusals} == {event}
            return answer.outcome == "refused" and keys_of(group) == there

        assert self.both(is_refused)
        self.client.delete(key) if before[0] is None else self.client.set(key, before[0])
        self.client.hdel(hash, event) if before[1] is None else self.client.hset(hash, event, before[1])

    def sessions(self) -> None:
        actions = [
            SessionAction(f"s{self.chance.randrange(8)}", "visit", name, self.now - self.chance.randrange(40))
            for name in self.chance.choices(ACTIONS, k=self.chance.randrange(1, 5))
        ]
        before = self.running()
        self.both(lambda group: self.store.commits.commit_actions(group, actions, now=self.now))
        self.logged.update(Counter(self.running()) - before)
        self.both(lambda group: self.store.reads.open_sessions(group, self.now))

    def running(self) -> Counter[str]:
        (current,) = self.reader.read(self.groups()[1], INTERVALS[0], "cur", now=self.now)
        return Counter(current.counts)

    def time_passes(self) -> None:
        self.now += self.chance.choice([0.5, 2, 5, 5, 5, 11, 70, -3, -100])

    def rotate(self) -> None:
        interval = self.chance.choice(self.group.intervals)
        rotation = self.both(lambda group: self.store.rotation.rotate(group, interval, self.now))
        assert not rotation.obstacles
        (last,) = self.reader.read(self.groups()[0], interval, "last", now=self.now)
        if rotation.outcome == "rotated" and interval == INTERVALS[0]:
            for event, count in last.counts.items():
                self.finished[event] += count

    def follow(self) -> None:
        one, other = ([follower.step()[0] for _ in range(3)] for follower in self.followers)
        assert self.visible(one) == self.visible(other)

    def change_the_configuration(self) -> None:
        n_intervals = self.chance.randrange(1, 4)
        history = self.chance.choice([0, 1, 2, 5, 60])
        self.group = replace(self.group, intervals=INTERVALS[:n_intervals], history=History.of(history))

    @staticmethod
    def visible(snapshots: Any) -> list[Any]:
        """Positions are not, as the clock of the server may be in them; nor is the end of an interval in
        which nothing was counted, if it is not known any more when it began.
        """
        return [one and (*Twins.span(one), one.overdue_s, one.missed, dict(one.counts)) for one in snapshots]

    @staticmethod
    def span(one: Snapshot) -> tuple[float | None, float | None]:
        return one.start, one.end if one.start or any(one.counts.values()) else None

    def look(self) -> None:
        for interval in self.group.intervals:
            self.both(
                lambda group, interval=interval: self.visible(
                    [
                        *self.reader.read(group, interval, "last", "cur", now=self.now),
                        *self.reader.history(group, interval),
                    ]
                )
            )
        if self.group.totals:
            totals = self.both(lambda group: without_zeros(self.reader.totals(group, self.now).counts))
            assert self.group.expire_after < 1e9 or totals == without_zeros(self.logged)
        running = self.running()
        for event in {*self.logged, *running}:
            assert self.logged[event] == self.finished[event] + running[event], event


@pytest.mark.parametrize("run", range(8))
def test_any_order_of_operations_is_answered_alike_by_both_layouts(
    server: Server, chance: random.Random, run: int
) -> None:
    store = Store(RedisConfig(**server.config))
    twins = Twins(store, server, chance)
    often = [twins.commit, twins.commit, twins.time_passes, twins.rotate, twins.rotate]
    seldom = [
        twins.commit_with_something_in_the_way,
        twins.sessions,
        twins.follow,
        twins.change_the_configuration,
    ]
    for _ in range(250):
        chance.choice(often if chance.random() < 0.8 else seldom)()
        twins.look()
    store.close()
