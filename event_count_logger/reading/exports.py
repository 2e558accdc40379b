"""Status of the exporters, and of the exported intervals, as the heartbeats in Redis show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from event_count_logger.config import Config, GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.store import HistoryPosition, ServiceInfo, Store

#: Seconds that a finished interval may wait for a running exporter. It sends a heartbeat every 5 s.
EXPORT_TOLERANCE_S = 60.0


@dataclass(frozen=True, slots=True)
class ExportStatus:
    """Status of one exported interval of a group.

    Attributes:
        group: Name of the group.
        interval: Name of the interval.
        n_exporters: Number of exporters with a recent heartbeat.
        is_cared_for: True if there is such an exporter, or if the last one ran once.
        exported_until: End of the last exported interval, Unix seconds; None if it is unknown.
        behind: Number of finished intervals that are not exported; None if it is unknown.
        waiting_s: Seconds since the end of the oldest one of them that Redis holds; 0 without any.
        tolerance_s: Seconds that it may wait: half of the history if no exporter runs now.
        fault: The fault of the exporters, if all of them have one; else ''.
        hidden: True if the group is hidden.
    """

    group: str
    interval: str
    n_exporters: int
    is_cared_for: bool
    exported_until: float | None
    behind: int | None
    waiting_s: float
    tolerance_s: float
    fault: str = ""
    hidden: bool = False

    @property
    def is_late(self) -> bool:
        """True if an interval has waited for longer than the tolerance, or if the exporters have a fault."""
        return bool(self.fault) or self.waiting_s > self.tolerance_s


def examine_exports(config: Config, store: Store) -> tuple[list[ServiceInfo], list[ExportStatus]]:
    """Returns the exporters, each once, and the status of all exported intervals.

    Raises:
        StoreError: Redis does not answer.
    """
    services: dict[str, ServiceInfo] = {}
    found = []
    for group in dict.fromkeys(group for group, _ in config.exported):
        exporters = exporters_of(group, store)
        services |= {each.id: each for each in exporters}
        found += [
            export_status(group, interval, exporters, store)
            for other, interval in config.exported
            if other is group
        ]
    return list(services.values()), found


def exporters_of(group: GroupConfig, store: Store) -> list[ServiceInfo]:
    """Returns the exporters of a group, oldest first.

    Raises:
        StoreError: Redis does not answer.
    """
    return [service for service in store.services.of(group) if service.kind == "export"]


def export_status(
    group: GroupConfig, interval: Interval, exporters: Sequence[ServiceInfo], store: Store
) -> ExportStatus:
    """Returns the status of one exported interval.

    Raises:
        StoreError: Redis does not answer.
    """
    alive = [exporter for exporter in exporters if exporter.alive]
    known = [position for exporter in exporters if (position := exporter.position(interval.name))]
    position = max(known, default=HistoryPosition(0))
    newest = store.reads.newest_position(group, interval)
    oldest, _, _ = store.reads.finished_after(group, interval, position)
    waiting_s = store.client.now() - oldest.end if oldest else 0.0
    return ExportStatus(
        group.name,
        interval.name,
        len(alive),
        bool(alive) or any(exporter.once for exporter in exporters),
        position.time_ms / 1000 if position.time_ms else None,
        _n_between(position, newest, interval),
        max(0.0, waiting_s),
        EXPORT_TOLERANCE_S if alive else group.n_history(interval) * interval.length_s / 2,
        "" if any(not exporter.fault for exporter in alive) else next((each.fault for each in alive), ""),
        group.hidden,
    )


def _n_between(position: HistoryPosition, newest: HistoryPosition, interval: Interval) -> int | None:
    """Returns the number of intervals that finished between two positions; without numbers an estimate."""
    if newest <= position:
        return 0
    if newest.number > position.number and (position.number or not position.time_ms):
        return newest.number - position.number
    if not position.time_ms:
        return None
    return round((newest.time_ms - position.time_ms) / interval.length_ms)
