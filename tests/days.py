"""Days gone by, as workers and a master would have left them: intervals whose end no test sees."""

from __future__ import annotations

from collections import Counter

from event_count_logger.config import Config, GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.store import Store
from tests.groups import group_of
from tests.servers import wait_until

DAY = Interval.parse("24h")
DAY_S = 86_400


#: No test takes longer with what it has made of the past.
_LONGEST_TEST_S = 90


def let_midnight_pass(store: Store) -> None:
    """Wait where the server's day is about to end: yesterday would be another day in the middle of a test."""
    wait_until(
        lambda: store.client.server_time() % DAY_S < DAY_S - _LONGEST_TEST_S,
        timeout_s=_LONGEST_TEST_S + 10,
        what="the new day",
    )


class Days:
    """Counts and rotates on days of the server's clock; groups have an interval of `DAY`.

    Counts have the default arguments that most tests want: of today, and an end at the start of today.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.store = Store(config.redis)
        let_midnight_pass(self.store)
        self._positions: Counter[str] = Counter()

    @property
    def today(self) -> int:
        """When it began, Unix seconds."""
        return int(DAY.start_of(self.store.client.server_time()))

    def start(self, days_ago: int) -> int:
        """When that day began, Unix seconds."""
        return self.today - days_ago * DAY_S

    def count(self, group: str, counts: dict[str, int], days_ago: int = 0) -> None:
        """Count on that day."""
        position = self._positions[group]
        self._positions[group] += 1
        intervals = self.config.group(group).intervals
        self.store.commits.commit(
            group_of(group, intervals), "test", position, position + 1, counts, now=self.start(days_ago)
        )

    def rotate(self, group: str | GroupConfig, days_ago: int = 0) -> None:
        """End the day before that one."""
        config = self.config.group(group) if isinstance(group, str) else group
        self.store.rotation.rotate(config, DAY, self.start(days_ago))

    def finish(self, group: str, counts: dict[str, int], days_ago: int = 1) -> None:
        """Count on that day, and end it."""
        self.count(group, counts, days_ago)
        self.rotate(group, days_ago - 1)

    def close(self) -> None:
        """Close the connections."""
        self.store.close()
