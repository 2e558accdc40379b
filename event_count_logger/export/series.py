"""The state of an export: the position up to which the intervals of a group are in the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from event_count_logger.reading.reader import Snapshot
from event_count_logger.store import HistoryPosition


@dataclass(frozen=True, slots=True)
class Series:
    """The exported intervals of one length of a group, as a row of `ecl_series`.

    Attributes:
        id: Its ID in the database.
        position: Position of the last exported interval in the history of Redis.
        last_number: Number of exported intervals, also of those that were deleted since.
        restarts: Number of times that the history in Redis was restarted.
    """

    id: int
    position: str
    last_number: int
    restarts: int

    def after(self, snapshots: Sequence[Snapshot]) -> Series:
        """Returns the series after the export of further intervals."""
        first, last = (HistoryPosition.parse(_position(each)) for each in (snapshots[0], snapshots[-1]))
        before = HistoryPosition.parse(self.position)
        is_restarted = first <= before or 0 < first.number <= before.number
        return replace(
            self,
            position=str(last),
            last_number=self.last_number + len(snapshots),
            restarts=self.restarts + is_restarted,
        )


def _position(snapshot: Snapshot) -> str:
    assert snapshot.position is not None, "intervals of the history have positions"
    return snapshot.position
