"""Printing of the counts of one group, with warnings about stale or missing ones."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, Protocol, cast

from event_count_logger.cli.base import log_to_stderr, warn
from event_count_logger.cli.waiting import Pause
from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.reading.follow import After
from event_count_logger.reading.group_reader import GroupReader
from event_count_logger.reading.range_sum import RangeSum
from event_count_logger.reading.reader import Reader, Snapshot, Totals, require_history
from event_count_logger.reading.times import Range
from event_count_logger.render import text
from event_count_logger.store import Store


class Renderer(Protocol):
    """The functions that each format of counts has as a module; `rate` is True for counts per second."""

    def render(self, snapshots: Sequence[Snapshot], rate: bool) -> str:
        """Returns the text of snapshots as of the same time."""

    def render_history(self, snapshots: Sequence[Snapshot], rate: bool) -> str:
        """Returns the text of finished intervals, oldest first."""

    def render_next(self, snapshot: Snapshot, rate: bool, first: bool) -> str:
        """Returns the text of one interval of a series; `first` is True for the first one of the series."""

    def render_sum(self, found: RangeSum, rate: bool) -> str:
        """Returns the text of the sum over a range of time."""

    def render_totals(self, totals: Totals) -> str:
        """Returns the text of all-time totals."""


#: Formats of counts; each is a module in `render/`.
FORMATS = ("text", "json", "csv")


def renderer(name: str) -> Renderer:
    """Returns the renderer of a format; only its module is imported."""
    found: Any = import_module(f"event_count_logger.render.{name}")
    return cast(Renderer, found)


class GroupPrinter:
    """A printer of counts on standard output, and of warnings on standard error.

    All methods raise StoreError if Redis does not answer.
    """

    def __init__(self, group: GroupConfig, store: Store, renderer: Renderer, rate: bool) -> None:
        self._group = group
        self._reader = GroupReader(group, store)
        self._ranges = Reader(store)
        self._renderer = renderer
        self._rate = rate

    def print_snapshots(self, interval: str, halves: Sequence[Half]) -> bool:
        """Print snapshots; return True if they are stale."""
        snapshots = self._reader.rotated(interval, *halves)
        print(self._renderer.render(snapshots, self._rate), end="")
        print_warnings(text.warnings(snapshots, self._rate))
        return snapshots[0].stale

    def print_history(self, interval: Interval, n: int | None, wanted: Range) -> bool:
        """Print the last `n` finished intervals of a range, or all; return True if one of them is overdue.

        Raises:
            NotConfigured: The group keeps no history.
        """
        require_history(self._group, interval)
        (last,) = self._reader.rotated(interval.name, "last")
        finished = self._ranges.history(self._group, interval, n, wanted)
        print(self._renderer.render_history(finished, self._rate), end="")
        return warn_if_stale(last, wanted)

    def print_sum(self, interval: Interval, wanted: Range) -> bool:
        """Print the sum over a range; return True if intervals of the range are missing or overdue.

        Raises:
            NotConfigured: The group keeps no history.
        """
        require_history(self._group, interval)
        (last,) = self._reader.rotated(interval.name, "last")
        found = self._ranges.sum(self._group, interval, wanted)
        print(self._renderer.render_sum(found, self._rate), end="")
        print_warnings(text.sum_warnings(found))
        return warn_if_stale(last, wanted) or not found.complete

    def print_totals(self) -> None:
        """Print all-time totals; raise NotConfigured if the group keeps none."""
        print(self._renderer.render_totals(self._reader.totals()), end="")

    def follow(self, interval: str, after: After) -> None:
        """Print each interval as it finishes, until SIGINT, SIGTERM or a closed output.

        Raises:
            NotConfigured: The group keeps no history.
        """
        log_to_stderr(level=logging.INFO)
        follower = self._reader.follower(interval, after)
        pause = Pause()
        first, wait_s = True, 0.0
        while pause.wait(wait_s):
            snapshot, wait_s = follower.step()
            if snapshot:
                print_warnings(text.gap_warnings(snapshot))
                print(self._renderer.render_next(snapshot, self._rate, first), end="", flush=True)
                first = False


def warn_if_stale(last: Snapshot, wanted: Range) -> bool:
    """Warn of a late rotation, unless the range ends before it; return True if it is late."""
    if last.end is not None and wanted.until <= last.end:
        return False
    print_warnings(text.warnings([last]))
    return last.stale


def print_warnings(warnings: Iterable[str]) -> None:
    """Print warnings to standard error."""
    for warning in warnings:
        warn(warning)
