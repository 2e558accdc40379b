"""Reads the overview of all groups again and again: figures with each read, alerts every two seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

from event_count_logger.alerts.overview import Overview, Row, in_order
from event_count_logger.alerts.status import AlertStatus, examine, rules_of
from event_count_logger.config import Config, GroupConfig
from event_count_logger.errors import Rejected, Unavailable
from event_count_logger.reading.overview_reader import FiguresReader, GroupFigures
from event_count_logger.store import Store
from event_count_logger.store.vitals import Vitals

#: Seconds between two examinations of the alerts of a group; the end of an interval leads to one at once.
_ALERTS_S = 2.0


class OverviewReader:
    """A reader of the overview of a configuration. One thread at a time may use it."""

    def __init__(
        self,
        config: Config,
        store: Store,
        n_threads: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Does not read.

        Args:
            config: The configuration.
            store: Where the counts are.
            n_threads: Number of threads that wait for Redis, if above 1; they end with each read.
            clock: Decides when the alerts are examined again.
        """
        self._store = store
        self._clock = clock
        self._n_threads = n_threads
        shown = config.shown_groups
        self._is_cluster = config.redis.cluster
        self._groups = [_Group(config, group, store, at / len(shown)) for at, group in enumerate(shown)]

    def read(self) -> Overview:
        """Returns the overview.

        A node of a cluster that does not answer makes its groups unavailable, as long as others answer.

        Raises:
            Unavailable: Redis does not answer.
        """
        rows = self._rows() if self._n_threads == 1 else self._rows_by_threads()
        found = [row.figures.now for row in rows if row.figures]
        if not found:
            self._store.servers.ping()  # raises if no node answers
        return Overview(max(found) if found else self._store.client.now(), in_order(rows))

    def _rows(self) -> list[Row]:
        now = self._clock()
        return [self._row(*each, now) for each in self._with_vitals()]

    def _rows_by_threads(self) -> list[Row]:
        now = self._clock()
        with ThreadPoolExecutor(self._n_threads, "overview") as threads:
            results = [threads.submit(self._row, *each, now) for each in self._with_vitals()]
            try:
                return [result.result() for result in results]
            finally:
                threads.shutdown(wait=False, cancel_futures=True)  # of an unavailable server

    def _with_vitals(self) -> Iterable[tuple[_Group, Vitals | Rejected | None]]:
        """Returns the groups with their states; None in a cluster, where each is read from its own node."""
        if self._is_cluster:
            return zip(self._groups, repeat(None))
        states = self._store.vitals.of_all([group.config for group in self._groups])
        return zip(self._groups, states, strict=True)

    def _row(self, group: _Group, vitals: Vitals | Rejected | None, now: float) -> Row:
        try:
            return group.read(vitals, now)
        except Unavailable:
            if not self._is_cluster:
                raise
            return Row(group.config, None)


class _Group:
    """The figures and the alerts of one group.

    Attributes:
        config: The settings of the group.
    """

    def __init__(self, config: Config, group: GroupConfig, store: Store, phase: float) -> None:
        """`phase`, from 0 to 1, spreads the examinations of all groups over time."""
        self.config = group
        self._all = config
        self._store = store
        self._rules = rules_of(config, [group])
        self._figures = FiguresReader(group, store)
        self._firing: Sequence[AlertStatus] = ()
        self._phase = phase
        self._examined: tuple[object, float] | None = None

    def read(self, vitals: Vitals | Rejected | None, now: float) -> Row:
        """Returns the row.

        Args:
            vitals: State of the group; None to read it.
            now: Monotonic time.
        """
        try:
            if isinstance(vitals, Rejected):
                raise vitals
            figures: GroupFigures | None = self._figures.read(vitals)
        except Rejected:
            figures = None
        if self._rules:
            self._examine(figures, now)
        return Row(self.config, figures, self._firing)

    def _examine(self, figures: GroupFigures | None, now: float) -> None:
        """Examine the alerts if an interval has finished, or a period has begun, since the last time."""
        key = figures.last if figures else None, (now / _ALERTS_S + self._phase) // 1
        if key != self._examined:
            found = examine(self._all, self._store, self._rules)
            firing = [alert for alert in found if alert.state == "firing"]
            self._firing = sorted(firing, key=lambda alert: alert.rule.severity)
            self._examined = key
