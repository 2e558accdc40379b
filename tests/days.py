"""Counts of past days, as processes and a master would have left them."""

from __future__ import annotations

from collections import Counter

from event_count_logger.config import Config, GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.store import Store
from tests.groups import group_of
from tests.servers import wait_until

DAY = Interval.parse("24h")
DAY_S = 86_400


#: Longest duration of a test with past days, in seconds.
_LONGEST_TEST_S = 90


def let_midnight_pass(store: Store) -> None:
    """Wait if the day of the server is about to end, because `today` must not change during a test."""
    wait_until(
        lambda: store.client.server_time() % DAY_S < DAY_S - _LONGEST_TEST_S,
        timeout_s=_LONGEST_TEST_S + 10,
        what="the new day",
    )


class Days:
    """Counts and rotates on past days, by the clock of the server; groups have the interval `DAY`.

    By default, events are counted today, and the interval of yesterday ends.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.store = Store(config.redis)
        let_midnight_pass(self.store)
        self._positions: Counter[str] = Counter()

    @property
    def today(self) -> int:
        """Start of today, Unix seconds."""
        return int(DAY.start_of(self.store.client.server_time()))

    def start(self, days_ago: int) -> int:
        """Returns the start of a day, Unix seconds."""
        return self.today - days_ago * DAY_S

    def count(self, group: str, counts: dict[str, int], days_ago: int = 0) -> None:
        """Count events on a day."""
        position = self._positions[group]
        self._positions[group] += 1
        intervals = self.config.group(group).intervals
        self.store.commits.commit(
            group_of(group, intervals), "test", position, position + 1, counts, now=self.start(days_ago)
        )

    def rotate(self, group: str | GroupConfig, days_ago: int = 0) -> None:
        """Rotate at the start of a day: the interval of the day before ends."""
        config = self.config.group(group) if isinstance(group, str) else group
        self.store.rotation.rotate(config, DAY, self.start(days_ago))

    def finish(self, group: str, counts: dict[str, int], days_ago: int = 1) -> None:
        """Count events on a day, and rotate at its end."""
        self.count(group, counts, days_ago)
        self.rotate(group, days_ago - 1)

    def close(self) -> None:
        """Close the connections."""
        self.store.close()
