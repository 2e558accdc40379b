"""Counts, history and totals of one shard, or of a group that is not split."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Any

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.store.client import Client
from event_count_logger.store.interval_notes import COUNTED_IN_S
from event_count_logger.store.layouts import layout_of
from event_count_logger.store.resp import pairs, seconds, text
from event_count_logger.store.results import LAST_NUMBER, HistoryEntry, HistoryPosition, Reading

#: Bytes of history in one reply. More would delay other clients of the server.
_PAGE_BYTES = 1 << 20

#: Entries of history in the first reply, whose sizes are unknown; and the most in each of the following ones,
#: which bounds a reply with large entries after small ones.
_FIRST_PAGE, _MOST_ENTRIES = 2, 64

#: Events of one page.
_PAGE = 2_500


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
        """Read one snapshot of the counts; declared events come first, the others sorted by name.

        More than 10,000 events of the current interval are read in pages. All pages are of the same interval,
        and each is a snapshot at a time during the read.

        Args:
            group: Its declared events are read even without a counter; one shard, if it is split.
            interval: The interval to read.
            halves: `cur`, `last`, or both.
            now: Unix seconds; the server's clock if None.
            totals: Whether to read the totals, too.

        Raises:
            Unavailable: No answer.
            Rejected: Redis answers with an error.
        """
        return layout_of(group, self.client).read(group, interval, halves, now, totals)

    def history(
        self, group: GroupConfig, interval: Interval, count: int, most_counts: int = sys.maxsize
    ) -> list[HistoryEntry]:
        """Returns the newest `count` intervals of the history, oldest first.

        They have at most `most_counts` counts, unless the newest one has more.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
        """
        newest_first = takewhile(lambda entry: entry is not None, self.before(group, interval, "+", count))
        return fitting(newest_first, most_counts)[::-1]  # type: ignore[arg-type]

    def between(
        self, group: GroupConfig, interval: Interval, since: float, until: float
    ) -> Iterator[HistoryEntry]:
        """Yield the finished intervals whose start is in a range, in the order of the history.

        Each request reads one page. After the clock of Redis was set back, an ID has the time of the entry
        before it, which is later than the end of its own interval. While the clock is behind the history,
        all of the history after `since` is read. Later, of such intervals only those are found that follow
        the end of the range directly.

        Args:
            group: A group that is not split, or one shard.
            interval: The interval to read.
            since: Unix seconds; the first start in the range.
            until: Unix seconds; the first start after the range.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
        """
        return (one for one in self.overlapping(group, interval, since, until) if one.start >= since)

    def overlapping(
        self, group: GroupConfig, interval: Interval, since: float, until: float
    ) -> Iterator[HistoryEntry]:
        """Yield the finished intervals that overlap a range; see `between` for the arguments.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
        """
        ends_early = until < math.inf and not self._is_clock_behind(group, interval)
        beyond_ms = None
        for entry in self.after(group, interval, ended_by(since)):
            if beyond_ms not in (None, entry.position.time_ms):
                return
            if entry.start >= until:
                beyond_ms = entry.position.time_ms if ends_early else None
            elif entry.end > since:
                yield entry

    def _is_clock_behind(self, group: GroupConfig, interval: Interval) -> bool:
        """Returns whether the history has an interval that ended after the start of the current one."""
        key, start = keys.history(group.prefix, interval.name), self.start(group, interval)
        first = f"({round((start or 0) * 1000)}-{LAST_NUMBER}"
        return bool(self.client.ask("XREVRANGE", key, "+", first, "COUNT", "1", key=key))

    def after(
        self, group: GroupConfig, interval: Interval, time_ms: int, most: int = sys.maxsize
    ) -> Iterator[HistoryEntry]:
        """Yield the finished intervals that ended after a time, oldest first; at most `most` entries."""
        found = self._entries(group, interval, "XRANGE", (f"({time_ms}-{LAST_NUMBER}", "+"), most)
        return (finished for finished in found if finished)  # others were removed meanwhile

    def before(
        self, group: GroupConfig, interval: Interval, end: str, most: int
    ) -> Iterator[HistoryEntry | None]:
        """Yield the finished intervals up to an ID, newest first; None for one that was removed meanwhile."""
        return self._entries(group, interval, "XREVRANGE", (end, "-"), most)

    def _entries(
        self, group: GroupConfig, interval: Interval, command: str, ends: tuple[str, str], most: int
    ) -> Iterator[HistoryEntry | None]:
        """Yield up to `most` entries between two IDs; each request reads a page."""
        key, layout = keys.history(group.prefix, interval.name), layout_of(group, self.client)
        first, last = ends
        n = min(_FIRST_PAGE, most)
        while n > 0:
            entries = self.client.ask(command, key, first, last, "COUNT", str(n), key=key)
            yield from layout.finished(group, interval, entries)
            if len(entries) < n:
                return
            first, most = f"({text(entries[-1][0])}", most - n
            n = min(most, _page_size(entries))

    def finished_after(
        self, group: GroupConfig, interval: Interval, position: HistoryPosition
    ) -> tuple[HistoryEntry | None, float | None, int]:
        """Read the first finished interval after a position.

        Returns:
            The interval, or None; the start of the current interval, Unix seconds; and the number of finished
            intervals. The last two are read before the first one.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
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
            (finished,) = layout_of(group, self.client).finished(group, interval, entries)
            if finished:  # otherwise, it was removed from the history meanwhile
                return finished, start, n_finished

    def newest_position(self, group: GroupConfig, interval: Interval) -> HistoryPosition:
        """Returns the position of the newest interval of the history.

        Raises:
            Unavailable: No answer.
            Rejected: A key has another type.
        """
        n_finished = self.n_finished(group, interval)
        newest = self.history(group, interval, 1)
        return newest[0].position if newest else HistoryPosition(0, n_finished)

    def n_finished(self, group: GroupConfig, interval: Interval) -> int:
        """Returns the number of finished intervals.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
        """
        key = keys.finished(group.prefix, interval.name)
        return int(self.client.ask("GET", key, key=key) or 0)

    def start(self, group: GroupConfig, interval: Interval) -> float | None:
        """Returns the start of the current interval, Unix seconds; None if there is none.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
        """
        key = keys.timestamp(group.prefix, interval.name, "cur")
        return seconds(self.client.ask("GET", key, key=key) or b"")

    def created(self, group: GroupConfig) -> dict[str, float]:
        """Returns the time at which the total of each event began, Unix seconds, where it was noted.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
        """
        pages = self.client.scan("HSCAN", keys.created(group.prefix), _PAGE)
        noted = {text(event_id): seconds(at) for page in pages for event_id, at in pairs(page).items()}
        return {event_id: at for event_id, at in noted.items() if at is not None}

    def count(self, group: GroupConfig, interval: str, half: Half, event_id: str) -> int:
        """Returns the count of one event; 0 without a counter.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
        """
        return layout_of(group, self.client).count(group, interval, half, event_id)

    def counted_in(self, group: GroupConfig) -> dict[str, float]:
        """Returns the names of the intervals that processes count in, configured or not.

        Version 1.1 leaves no notes.

        Args:
            group: One shard, if it is split.

        Returns:
            For each, the seconds since its last note. Processes leave at most one a minute.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
        """
        key = keys.intervals(group.prefix)
        noted = pairs(self.client.ask("HGETALL", key, key=key))
        if not noted:
            return {}
        now = self.client.server_time(group)
        times = {text(name): seconds(at) for name, at in noted.items()}
        ages = {name: max(0.0, now - at) for name, at in times.items() if at is not None}
        return {name: age for name, age in ages.items() if age < COUNTED_IN_S}


def fitting(newest_first: Iterable[HistoryEntry], most_counts: int) -> list[HistoryEntry]:
    """Returns the first intervals that have at most `most_counts` counts, or only the first one."""
    found: list[HistoryEntry] = []
    for entry in newest_first:
        most_counts -= len(entry.counts)
        if found and most_counts < 0:
            break
        found.append(entry)
    return found


def ended_by(since: float) -> int:
    """Returns the time, in milliseconds, after which all intervals end that start at a time or later."""
    return math.floor(max(0.0, since) * 1000)


def _page_size(page: Sequence[Any]) -> int:
    """Returns the number of entries to ask for, from the largest one of the page before."""
    largest = max(sum(map(len, words)) for _, words in page)
    return max(1, min(_MOST_ENTRIES, _PAGE_BYTES // largest))
