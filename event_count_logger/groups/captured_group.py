"""Groups of the application whose counts are recorded for a while, in place of being counted in Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from event_count_logger.counting.implementation import CellMap, Counting
from event_count_logger.groups.configured_group import ConfiguredGroup
from event_count_logger.groups.redis_group import RedisEventGroup
from event_count_logger.sources.stream import DEFAULT_BATCH_SIZE, Records
from event_count_logger.store import SessionAction

#: The cells of all captured groups: none, so that each event takes the path of an unknown one.
_NO_CELLS = CellMap()

#: Sets the cells of a group, also of a captured one.
_set_cells: Callable[[RedisEventGroup, CellMap], None] = vars(Counting)["cells"].__set__


class CapturedGroup(RedisEventGroup):
    """The class of a group while it is captured: its `recording` gets everything.

    `capture` changes the class of the group, so `log()` needs no check. Whatever the application has made of
    the group before then records, too:

        group.log, also a bound method   the map has no cell -> `_log_unusual`
        counters                         the same
        outcomes                         `group.log`
        sessions                         `record_action`

    A thread that is within `RedisEventGroup._log_unusual` meanwhile cannot set the cells back: see `cells`.
    Counts that were logged before are sent as always, by the background thread.
    """

    __slots__ = ()

    @property
    def cells(self) -> CellMap:
        """No cells. Setting others has no effect."""
        return _NO_CELLS

    @cells.setter
    def cells(self, cells: CellMap) -> None:
        """Ignore the cells of a thread that has begun to count before."""

    @property
    def event_ids(self) -> set[str]:
        """See `EventGroup`."""
        return self.recording.event_ids

    def sync(self) -> bool:
        """See `RecordingGroup`."""
        return self.recording.sync()

    async def flush(self) -> bool:
        """See `RecordingGroup`."""
        return await self.recording.flush()

    def consume(
        self,
        source_id: str,
        records: Records,
        *,
        position: Callable[[Any], int | str] | None = None,
        key: Callable[[Any], str] | None = None,
        count: Callable[[Any], int] | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
        committed: Callable[[str], object] | None = None,
    ) -> str:
        """See `RecordingGroup`."""
        return self.recording.consume(
            source_id,
            records,
            position=position,
            key=key,
            count=count,
            batch_size=batch_size,
            committed=committed,
        )

    def declare_event_id(self, event_id: str) -> None:
        """Declare an event for good: the application may do so only once, when a test imports it."""
        super().declare_event_id(event_id)
        self.recording.declare_event_id(event_id)

    def get_current_counts(self, event_id: str) -> dict[str, int] | None:
        """See `RecordingGroup`."""
        return self.recording.get_current_counts(event_id)

    def get_last_count(self, event_id: str, interval: str) -> int:
        """See `RecordingGroup`."""
        return self.recording.get_last_count(event_id, interval)

    def get_current_count(self, event_id: str, interval: str) -> int:
        """See `RecordingGroup`."""
        return self.recording.get_current_count(event_id, interval)

    def get_counts(self, interval: str, current: bool = False) -> dict[str, int]:
        """See `RecordingGroup`."""
        return self.recording.get_counts(interval, current)

    def record_action(self, action: SessionAction) -> None:
        """See `ConfiguredGroup`."""
        self.recording.record_action(action)

    def _log_unusual(self, event_id: Any, count: Any) -> None:
        self.recording.log(event_id, count)


def capture(group: RedisEventGroup, recording: ConfiguredGroup) -> None:
    """Record everything that is counted in a group from now on."""
    recording.declare_event_ids(group.admission.permanent())
    group.recording = recording
    group.__class__ = CapturedGroup
    # After the class: no other thread can set cells any more.
    _set_cells(group, _NO_CELLS)


def release(group: RedisEventGroup) -> None:
    """Count in Redis again: the next event gets the cells of the group."""
    group.__class__ = RedisEventGroup
