"""A model of shards: each counts and is rotated on its own."""

from __future__ import annotations

from event_count_logger.store import HistoryEntry, HistoryPosition

#: Seconds.
LENGTH = 10


def ended(start: float, end: float, number: int = 5, **counts: int) -> HistoryEntry:
    return HistoryEntry(HistoryPosition(round(end * 1000), number), start, end, counts)


class Shard:
    """Counts and is rotated as in Redis; its history holds so many intervals."""

    def __init__(self, n_held: int) -> None:
        self.n_held = n_held
        self.start: float | None = None
        self.running = 0
        self.counted = 0
        self.finished: list[HistoryEntry] = []

    def count(self, now: int, count: int) -> None:
        if self.start is None:
            self.start = now - now % LENGTH
        self.running += count
        self.counted += count

    def rotate(self, now: int) -> None:
        boundary = now - now % LENGTH
        if self.start is not None and self.start < boundary:
            self.finished.append(ended(self.start, boundary, len(self.finished) + 1, a=self.running))
            self.running = 0
        self.start = boundary

    def held(self, n: int) -> list[HistoryEntry]:
        return self.finished[-min(n, self.n_held) :]

    def counted_until(self, time: float) -> int:
        return sum(one.counts["a"] for one in self.finished if one.end <= time)
