"""The groups that the section `page` shows in a browser, and their finished intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from bench_parts.processes import Effort
from event_count_logger.config import Config, GroupConfig, from_dicts, from_file
from event_count_logger.store import Store

INTERVAL = "5m"

#: The group with many events, and the one with a week of history.
MANY, WEEK = "many", "week"

#: Events of one commit.
_BATCH = 1_000

#: Finished intervals in the charts of the overview.
_TREND = 60


@dataclass(frozen=True)
class Sizes:
    """Numbers of groups, of events in the group `many`, and of finished intervals in the group `week`."""

    groups: int = 200
    events: int = 10_000
    week: int = 2_016

    @classmethod
    def of(cls, effort: Effort) -> Sizes:
        return cls() if effort.repeats > 1 else cls(groups=6, events=300, week=24)

    def groups_settings(self) -> dict[str, dict[str, Any]]:
        usual = {"intervals": [INTERVAL], "auto_declare_events": True, "max_events": 20_000}
        names = [f"service-{number:03}" for number in range(self.groups - 2)]
        return {
            **{name: {**usual, "title": f"Service {name[-3:]}", "unit": "requests"} for name in names},
            MANY: {**usual, "title": "Many events"},
            WEEK: {**usual, "title": "A week", "history": "8d"},
        }


def fill(sizes: Sizes, address: dict[str, Any]) -> Config:
    """Count in all groups up to now; returns their configuration."""
    config = from_dicts(sizes.groups_settings(), address)
    store = Store(config.redis)
    for number, group in enumerate(config.groups.values()):
        events = _events(group.name, sizes)
        n_finished = sizes.week if group.name == WEEK else min(_TREND, sizes.week)
        _fill(store, group, events, n_finished, number)
    store.close()
    return config


@contextmanager
def counting(file: Path) -> Iterator[Callable[[], None]]:
    """Yields a function that counts an event of the group `week`."""
    config = from_file(file)
    store, group = Store(config.redis), config.group(WEEK)
    positions = count()

    def count_one() -> None:
        position = next(positions)
        store.commits.commit(group, "changes", position, position + 1, {"status-0": 1})

    with closing(store):
        yield count_one


def _events(group: str, sizes: Sizes) -> list[str]:
    if group == MANY:
        return [f"customer-{number:05}" for number in range(sizes.events)]
    return [f"status-{number}" for number in range(20 if group == WEEK else 5)]


def _fill(store: Store, group: GroupConfig, events: list[str], n_finished: int, seed: int) -> None:
    (interval,) = group.intervals
    begin = interval.start_of(store.client.server_time()) - n_finished * interval.length_s
    position = 0
    store.rotation.rotate(group, interval, begin)
    for number in range(n_finished + 1):
        at = begin + number * interval.length_s
        for first in range(0, len(events), _BATCH):
            some = events[first : first + _BATCH]
            counts = {event: _count(seed, number, first + index) for index, event in enumerate(some)}
            store.commits.commit(group, "filler", position, position + 1, counts, at)
            position += 1
        if number < n_finished:
            store.rotation.rotate(group, interval, at + interval.length_s)
    store.sources.retire(group, "filler")


def _count(group: int, interval: int, event: int) -> int:
    """Returns a count that differs between neighbours."""
    return 1 + (group + interval * 7 + 31 * event) % 997
