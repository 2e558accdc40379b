"""Rotation: the end of an interval, in any layout."""

from __future__ import annotations

from dataclasses import replace

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.store.client import Client
from event_count_logger.store.keyspace import Keyspace
from event_count_logger.store.layouts import layout_of
from event_count_logger.store.results import Rotation


class Rotator:
    """Ends the intervals of groups, by the server's clock."""

    def __init__(self, client: Client, keyspace: Keyspace) -> None:
        self._client = client
        self._keyspace = keyspace

    def rotate(self, group: GroupConfig, interval: Interval, now: float | None = None) -> Rotation:
        """End the current interval of a group if its time is over.

        Args:
            group: Its declared events get a counter even when it is 0; a shard of it, if it is split.
            interval: The interval to end.
            now: Unix seconds; the server's clock if None.

        Raises:
            Unavailable: No answer: repeat.
            Rejected: Nothing was done.
        """
        foreign = self._keyspace.foreign_keys(group, interval)
        rotation = layout_of(group, self._client).rotate(group, interval, now)
        if rotation.outcome != "waiting":
            self._client.note_written(keys.sources(group.prefix))
        return replace(rotation, obstacles=(*rotation.obstacles, *foreign))

    def has_rotated(self, group: GroupConfig, interval: Interval) -> bool:
        """Returns whether masters have rotated an interval, or wait for its end, in all shards.

        A master of version 1.1 is noticed after its first rotation only, by the counts of the last interval.

        Raises:
            Unavailable: No answer.
            Rejected: A key has another type.
        """
        return all(self._has_rotated(shard, interval) for shard in group.shards)

    def _has_rotated(self, shard: GroupConfig, interval: Interval) -> bool:
        key = keys.finished(shard.prefix, interval.name)
        if self._client.ask("GET", key, key=key) is not None:
            return True
        reading = layout_of(shard, self._client).read(shard, interval, ["last"])
        return bool(reading.counts["last"])
