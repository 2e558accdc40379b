"""Heartbeats of a service in all groups that it works for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from event_count_logger.config import GroupConfig
from event_count_logger.errors import NotYet, Rejected, StoreError, Unavailable
from event_count_logger.logs import Log
from event_count_logger.store import ServiceInfo, Store

#: Seconds between heartbeats.
_HEARTBEAT_S = 5.0

#: The last position of each interval, for each group.
Positions = Mapping[GroupConfig, Mapping[str, str]]


class Heartbeats:
    """The heartbeats of one process."""

    def __init__(self, info: ServiceInfo, store: Store, log: Log) -> None:
        """`info` describes the process; the heartbeats add positions and fault."""
        self._info = info
        self._store = store
        self._log = log
        self._due_at = 0.0
        self._announced: dict[str, GroupConfig] = {}
        self._has_warned = False

    def beat_if_due(self, positions: Positions, fault: str) -> None:
        """Record the heartbeat about every 5 s, and at once if the fault or the groups have changed."""
        named = {group.name: group for group in positions}
        is_news = fault != self._info.fault or named.keys() != self._announced.keys()
        if time.monotonic() < self._due_at and not is_news:
            return
        self._due_at = time.monotonic() + _HEARTBEAT_S
        self._info = replace(self._info, fault=fault)
        self._stop_in([group for name, group in self._announced.items() if name not in named], {})
        self._announced = named
        for group in positions:
            self._beat(group, positions[group])

    def stop(self, positions: Positions) -> None:
        """Record in all groups that the process has ended."""
        self._stop_in(positions, positions)

    def _beat(self, group: GroupConfig, positions: Mapping[str, str]) -> None:
        try:
            self._store.services.record(group, replace(self._info, positions=positions))
        except (Rejected, NotYet) as error:
            if not self._has_warned:
                self._log.warning(
                    "Cannot record this service's heartbeat in Redis (its work continues): %s", error
                )
            self._has_warned = True
        except Unavailable:
            pass  # logged by the store

    def _stop_in(self, groups: Iterable[GroupConfig], positions: Positions) -> None:
        for group in groups:
            if not self._store.client.is_unavailable(group):
                with suppress(StoreError):  # its heartbeats end anyway
                    stopped = replace(self._info, positions=positions.get(group, {}))
                    self._store.services.record_stop(group, stopped)
