"""The metrics of all groups that are not hidden, for export to monitoring."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from event_count_logger.config import GroupConfig
from event_count_logger.errors import NotYet, Rejected, StoreError, Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.reading.exports import ExportStatus, export_status, exporters_of
from event_count_logger.reading.reader import Reader, Snapshot, Totals
from event_count_logger.reading.rotation_wait import read_once_rotated
from event_count_logger.store import Store

#: Groups and intervals that are exported, as in `Config.exported`.
Exported = Iterable[tuple[GroupConfig, Interval]]


@dataclass(frozen=True, slots=True)
class GroupMetrics:
    """Metrics of one group.

    Attributes:
        group: Name of the group.
        totals: All-time totals of its events; None if it keeps no totals.
        created: Time at which the total of an event began, Unix seconds, where it is known.
        lasts: The last finished interval of each length, with the counts of all known events.
        n_masters: Number of masters of the group with a recent heartbeat.
        open_sessions: Number of sessions that have neither ended nor expired; None if it has no sessions.
        exports: Status of its exported intervals.
    """

    group: str
    totals: Totals | None
    created: Mapping[str, float]
    lasts: Sequence[Snapshot]
    n_masters: int
    open_sessions: int | None = None
    exports: Sequence[ExportStatus] = ()


@dataclass(frozen=True, slots=True)
class Scrape:
    """Metrics of all groups, as of one read.

    Attributes:
        up: True if Redis answered; if False, there are no groups.
        groups: The groups that could be read, in the order of the configuration.
        duration_s: Seconds that the read took.
        faults: Errors of this read.
        n_errors: Number of errors of all reads so far.
    """

    up: bool
    groups: Sequence[GroupMetrics]
    duration_s: float
    faults: Sequence[StoreError] = ()
    n_errors: int = 0


class Scraper:
    """A thread-safe reader of metrics that counts errors over all scrapes."""

    def __init__(self, groups: Iterable[GroupConfig], store: Store, exported: Exported = ()) -> None:
        self.use(groups, exported)
        self._store = store
        self._n_errors = 0
        self._counting = threading.Lock()

    def use(self, groups: Iterable[GroupConfig], exported: Exported = ()) -> None:
        """Replace the groups, and the intervals that are exported."""
        self._groups = tuple(groups)
        self._exported = tuple(exported)

    def scrape(self) -> Scrape:
        """Read all groups; leave out those for which Redis rejects the request."""
        began = time.monotonic()
        up, groups, faults = self._read()
        with self._counting:
            self._n_errors += len(faults)
            return Scrape(up, groups, time.monotonic() - began, faults, self._n_errors)

    def _read(self) -> tuple[bool, list[GroupMetrics], list[StoreError]]:
        groups: list[GroupMetrics] = []
        faults: list[StoreError] = []
        try:
            with suppress(Rejected):  # a rejection is an answer, too
                self._store.servers.ping()
            for group in self._groups:
                try:
                    intervals = [interval for other, interval in self._exported if other is group]
                    groups.append(collect(group, self._store, intervals))
                except (Rejected, NotYet) as error:
                    faults.append(error)
        except Unavailable as error:
            return False, [], [error]
        return True, groups, faults


def collect(group: GroupConfig, store: Store, exported: Sequence[Interval] = ()) -> GroupMetrics:
    """Read the metrics of one group, and of its exported intervals.

    Raises:
        StoreError: Redis does not answer, or rejects the request.
    """
    reader = Reader(store)
    totals, created = reader.totals_and_created(group) if group.totals else (None, {})
    known = list(totals.counts) if totals else reader.known_events(group)
    lasts = [
        _filled(read_once_rotated(reader, group, interval, "last")[0], known) for interval in group.intervals
    ]
    n_masters = sum(master.alive for master in store.masters.of(group))
    open_sessions = store.reads.open_sessions(group) if group.sessions else None
    exporters = exporters_of(group, store) if exported else []
    exports = [export_status(group, interval, exporters, store) for interval in exported]
    return GroupMetrics(group.name, totals, created, lasts, n_masters, open_sessions, exports)


def _filled(snapshot: Snapshot, known: Sequence[str]) -> Snapshot:
    """Returns the snapshot with a 0 for each event that did not happen; a chart would show a gap."""
    if snapshot.empty:
        return snapshot
    return replace(snapshot, counts=dict.fromkeys(known, 0) | dict(snapshot.counts))
