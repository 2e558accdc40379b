"""Notes in Redis of the intervals that are counted in, so that one that no master ends can be found."""

from __future__ import annotations

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.store.resp import encoded, packed
from event_count_logger.store.scripts import SCRIPTS

#: Seconds for which an interval is counted in after its last note. More than an hour, so that the interval of
#: an hourly job does not come and go.
COUNTED_IN_S = 65 * 60

#: Seconds between notes of a process about a group.
_NOTE_EVERY_S = 60.0


class IntervalNotes:
    """When this process has last noted the intervals of each group.

    A note goes behind a commit, in the same packet, at most once a minute: other commits cost nothing more.

    Attributes:
        last: The group that was asked about last, and from when until when it needs no note, Unix seconds.
    """

    def __init__(self) -> None:
        self._noted: dict[str, tuple[tuple[Interval, ...], float]] = {}  # by prefix: which, and when
        self.last: tuple[GroupConfig | None, float, float] = (None, 0.0, 0.0)

    def requests(self, group: GroupConfig, now: float) -> tuple[bytes, ...]:
        """The request that notes the intervals of a group; none if it was done within the last minute.

        Args:
            group: A shard of it, if it has some.
            now: Unix seconds of this machine.
        """
        intervals, noted_at = self._noted.get(group.prefix, ((), 0.0))
        if intervals == group.intervals and 0 <= now - noted_at < _NOTE_EVERY_S:
            self.last = (group, noted_at, noted_at + _NOTE_EVERY_S)
            return ()
        names = [interval.name for interval in group.intervals]
        words: list[str | int] = [1, keys.intervals(group.prefix), COUNTED_IN_S, *names]
        # In full: the server may not know the script yet, and an error would not be noticed.
        return (encoded(f"*{2 + len(words)}\r\n{SCRIPTS['intervals'].in_full}{packed(words)}"),)

    def note_sent(self, group: GroupConfig, now: float) -> None:
        """Record that the request was answered at about `now`, Unix seconds of this machine."""
        self._noted[group.prefix] = (group.intervals, now)
