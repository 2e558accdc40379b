"""Counts, history and totals, as they are in Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.store.client import Connections, pairs
from event_count_logger.store.interval_notes import COUNTED_IN_S
from event_count_logger.store.layouts import LAYOUTS, HashLayout, KeyLayout
from event_count_logger.store.resp import seconds, text
from event_count_logger.store.results import LAST_NUMBER, HistoryEntry, HistoryPosition, Reading

#: Bytes of history that are asked for at once: more would keep the server from others for too long.
_HISTORY_BYTES = 1 << 20

#: Keys that are asked for at once.
_KEYS = 1_000


class ReadingStore(Connections):
    """Reads the counters in one Redis database."""

    def read(
        self,
        group: GroupConfig,
        interval: Interval,
        halves: Sequence[Half],
        now: float | None = None,
        totals: bool = False,
    ) -> Reading:
        """Read counts as of one moment; declared events come first, the others sorted by name.

        Of more than 10,000 events, those of the running interval are read some at a time: all of the same
        interval, and each as of a moment during the read.

        Args:
            group: Its declared events are read even when no counter is known for them; a shard of it, if it
                has some.
            interval: The interval to read.
            halves: `cur`, `last`, or both.
            now: Unix seconds; the server's clock if None.
            totals: Whether to read the totals, too; `halves` is then `cur`.

        Raises:
            Unavailable: No answer.
            Rejected: The server cannot answer.
        """
        return self._layout(group).read(group, interval, halves, now, totals)

    def _layout(self, group: GroupConfig) -> KeyLayout | HashLayout:
        return LAYOUTS[group.layout](self)

    def history(self, group: GroupConfig, interval: Interval, count: int) -> list[HistoryEntry]:
        """The newest finished intervals in the history, oldest first, at most `count` of them.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.history(group.prefix, interval.name)
        newest_first: list[HistoryEntry] = []
        end = "+"
        while len(newest_first) < count:
            wanted = _at_once(newest_first, count - len(newest_first))
            entries = self._ask("XREVRANGE", key, end, "-", "COUNT", str(wanted), key=key)
            found = [self._layout(group).finished(group, interval, entry) for entry in entries]
            newest_first += [finished for finished in found if finished]
            if len(entries) < wanted or None in found:  # the oldest ones may fall out meanwhile
                break
            end = f"({newest_first[-1].position}"
        return newest_first[::-1]

    def finished_after(
        self, group: GroupConfig, interval: Interval, position: HistoryPosition
    ) -> tuple[HistoryEntry | None, float | None, int]:
        """The first finished interval after a position.

        Returns:
            That, if there is one; the start of the running interval, Unix seconds; and how many intervals had
            finished, both as of before that was looked for.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.history(group.prefix, interval.name)
        number = position.number or LAST_NUMBER
        self.server_time(group)
        while True:
            start = self.start(group, interval)
            n_finished = self.n_finished(group, interval)
            entries = self._ask("XRANGE", key, f"({position.time_ms}-{number}", "+", "COUNT", "1", key=key)
            if not entries:
                return None, start, n_finished
            finished = self._layout(group).finished(group, interval, entries[0])
            if finished:  # else it fell out of the history meanwhile
                return finished, start, n_finished

    def newest_position(self, group: GroupConfig, interval: Interval) -> HistoryPosition:
        """Where the history ends now.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under one of the keys.
        """
        n_finished = self.n_finished(group, interval)
        newest = self.history(group, interval, 1)
        return newest[0].position if newest else HistoryPosition(0, n_finished)

    def n_finished(self, group: GroupConfig, interval: Interval) -> int:
        """How many intervals have finished so far.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.finished(group.prefix, interval.name)
        return int(self._ask("GET", key, key=key) or 0)

    def start(self, group: GroupConfig, interval: Interval) -> float | None:
        """When the running interval began, Unix seconds; None if there is none.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.timestamp(group.prefix, interval.name, "cur")
        return seconds(self._ask("GET", key, key=key) or b"")

    def count(self, group: GroupConfig, interval: str, half: Half, event_id: str) -> int:
        """The count of one event; 0 where there is none.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        return self._layout(group).count(group, interval, half, event_id)

    def counted_in(self, group: GroupConfig) -> dict[str, float]:
        """The intervals that processes count in, whatever this configuration says, as they call them.

        Version 1.1 does not note that.

        Args:
            group: A shard of it, if it has some.

        Returns:
            For each, the seconds since it was last noted, which happens at most once a minute.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.intervals(group.prefix)
        noted = pairs(self._ask("HGETALL", key, key=key))
        if not noted:
            return {}
        now = self.server_time(group)
        times = {text(name): seconds(at) for name, at in noted.items()}
        ages = {name: max(0.0, now - at) for name, at in times.items() if at is not None}
        return {name: age for name, age in ages.items() if age < COUNTED_IN_S}

    def expected_types(self, group: GroupConfig) -> Mapping[str, str]:
        """The keys of a group that are not counters, and what is to be there, as TYPE calls it."""
        name = group.prefix
        types = {
            keys.masters(name): "hash",
            keys.sources(name): "hash",
            keys.sources_seen(name): "hash",
            keys.idle(name): "zset",
            keys.intervals(name): "hash",
        }
        types |= self._layout(group).expected_types(group)
        return types | {keys.finished(name, interval.name): "string" for interval in group.intervals}

    def strangers(self, group: GroupConfig, interval: Interval) -> list[str]:
        """The keys that are there because somebody counts in an interval of a group with another layout.

        Raises:
            Unavailable: No answer.
            Rejected: It may not be asked for.
        """
        others = [
            key
            for name, layout in LAYOUTS.items()
            if name != group.layout
            for key in layout.own_keys(group, interval)
        ]
        found: list[str] = []
        for first in range(0, len(others), _KEYS):
            some = others[first : first + _KEYS]
            if self._ask("EXISTS", *some, key=some[0]):
                found += [key for key in some if self._ask("EXISTS", key, key=key)]
        return found


def _at_once(before: Sequence[HistoryEntry], most: int) -> int:
    """How many entries of a history to ask for, judging by the size of those before."""
    if not before:
        return 1
    size = sum(len(event_id) + 6 for event_id in before[-1].counts) or 1
    return max(1, min(most, _HISTORY_BYTES // size))
