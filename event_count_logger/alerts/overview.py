"""The rows of an overview, and their order: problems first, then the largest changes. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from event_count_logger.alerts.status import AlertStatus
from event_count_logger.config import GroupConfig
from event_count_logger.reading.overview_reader import GroupFigures

#: Problems of a group: an alert fires; an interval is overdue; no master rotates it; Redis rejects the reads.
Problem = Literal["alert", "stale", "no_master", "unavailable"]

#: Places of the problems in the order; critical alerts come before.
_PLACES: dict[Problem | None, int] = {"alert": 1, "stale": 2, "no_master": 3, "unavailable": 4, None: 5}


@dataclass(frozen=True, slots=True)
class Row:
    """One group in an overview.

    Attributes:
        group: The group.
        figures: Its figures; None if Redis rejects the reads.
        firing: Its firing alerts, critical ones first.
    """

    group: GroupConfig
    figures: GroupFigures | None
    firing: Sequence[AlertStatus] = ()

    @property
    def problem(self) -> Problem | None:
        """The worst problem of the group; None if it has none."""
        if self.firing:
            return "alert"
        if self.figures is None:
            return "unavailable"
        if self.figures.is_overdue:
            return "stale"
        return None if self.figures.has_master else "no_master"


@dataclass(frozen=True, slots=True)
class Overview:
    """All groups that are not hidden.

    Attributes:
        now: Time of the read, Unix seconds of the server's clock.
        rows: One row for each group, in the order of `in_order`.
    """

    now: float
    rows: Sequence[Row]

    @property
    def has_master(self) -> bool:
        """True if a master with a heartbeat rotates any group."""
        return any(row.figures is not None and row.figures.has_master for row in self.rows)


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Returns the rows: firing critical alerts, firing warnings, stale, no master, unavailable, all others.

    Rows of the same kind are in the order of `Change.weight`, the largest first, then of their names.
    """
    return sorted(rows, key=lambda row: (_place(row), -_weight(row), row.group.name))


def _place(row: Row) -> int:
    is_critical = any(alert.rule.severity == "critical" for alert in row.firing)
    return 0 if is_critical else _PLACES[row.problem]


def _weight(row: Row) -> float:
    return row.figures.change.weight if row.figures and row.figures.change else 0.0
