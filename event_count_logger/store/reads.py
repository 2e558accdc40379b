"""Counts, history and totals, as they are in Redis."""

from __future__ import annotations

from collections.abc import Sequence

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.store.client import Client
from event_count_logger.store.interval_notes import COUNTED_IN_S
from event_count_logger.store.layouts import layout_of
from event_count_logger.store.resp import pairs, seconds, text
from event_count_logger.store.results import LAST_NUMBER, HistoryEntry, HistoryPosition, Reading

#: Bytes of history that are asked for at once: more would keep the server from others for too long.
_HISTORY_BYTES = 1 << 20


class Reads:
    """Reads groups that are not split, or one shard."""

    def __init__(self, client: Client) -> None:
        self.client = client

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
        return layout_of(group, self.client).read(group, interval, halves, now, totals)

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
            entries = self.client.ask("XREVRANGE", key, end, "-", "COUNT", str(wanted), key=key)
            found = [layout_of(group, self.client).finished(group, interval, entry) for entry in entries]
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
        self.client.server_time(group)
        while True:
            start = self.start(group, interval)
            n_finished = self.n_finished(group, interval)
            entries = self.client.ask(
                "XRANGE", key, f"({position.time_ms}-{number}", "+", "COUNT", "1", key=key
            )
            if not entries:
                return None, start, n_finished
            finished = layout_of(group, self.client).finished(group, interval, entries[0])
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
        return int(self.client.ask("GET", key, key=key) or 0)

    def start(self, group: GroupConfig, interval: Interval) -> float | None:
        """When the running interval began, Unix seconds; None if there is none.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.timestamp(group.prefix, interval.name, "cur")
        return seconds(self.client.ask("GET", key, key=key) or b"")

    def count(self, group: GroupConfig, interval: str, half: Half, event_id: str) -> int:
        """The count of one event; 0 where there is none.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        return layout_of(group, self.client).count(group, interval, half, event_id)

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
        noted = pairs(self.client.ask("HGETALL", key, key=key))
        if not noted:
            return {}
        now = self.client.server_time(group)
        times = {text(name): seconds(at) for name, at in noted.items()}
        ages = {name: max(0.0, now - at) for name, at in times.items() if at is not None}
        return {name: age for name, age in ages.items() if age < COUNTED_IN_S}


def _at_once(before: Sequence[HistoryEntry], most: int) -> int:
    """How many entries of a history to ask for, judging by the size of those before."""
    if not before:
        return 1
    size = sum(len(event_id) + 6 for event_id in before[-1].counts) or 1
    return max(1, min(most, _HISTORY_BYTES // size))
