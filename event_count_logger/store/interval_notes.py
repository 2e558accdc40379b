"""Notes in Redis of the intervals that processes count in, so that an interval without a master is found."""

from __future__ import annotations

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.store.resp import encoded, packed
from event_count_logger.store.scripts import SCRIPTS

#: Seconds after its last note for which an interval counts as in use: more than an hour, for hourly jobs.
COUNTED_IN_S = 65 * 60

#: Seconds between notes of a process about a group.
_NOTE_EVERY_S = 60.0


class IntervalNotes:
    """The times at which this process has noted the intervals of each group.

    A note follows a commit in the same packet, at most once a minute. All other commits cost the same as
    without notes.

    Attributes:
        last: The group of the last request, with the Unix seconds from and until which it needs no note.
    """

    def __init__(self) -> None:
        self._noted: dict[str, tuple[tuple[Interval, ...], float]] = {}  # by prefix, with the time
        self.last: tuple[GroupConfig | None, float, float] = (None, 0.0, 0.0)

    def requests(self, group: GroupConfig, now: float) -> tuple[bytes, ...]:
        """Returns the request that notes the intervals of a group; none if the last note is recent.

        Args:
            group: One shard, if it is split.
            now: Unix seconds of this machine.
        """
        intervals, noted_at = self._noted.get(group.prefix, ((), 0.0))
        if intervals == group.intervals and 0 <= now - noted_at < _NOTE_EVERY_S:
            self.last = (group, noted_at, noted_at + _NOTE_EVERY_S)
            return ()
        names = [interval.name for interval in group.intervals]
        words: list[str | int] = [1, keys.intervals(group.prefix), COUNTED_IN_S, *names]
        # In full: the server may not know the script yet, and the reply is not checked.
        return (encoded(f"*{2 + len(words)}\r\n{SCRIPTS['intervals'].in_full}{packed(words)}"),)

    def note_sent(self, group: GroupConfig, now: float) -> None:
        """Record that the request was answered at about `now`, Unix seconds of this machine."""
        self._noted[group.prefix] = (group.intervals, now)
