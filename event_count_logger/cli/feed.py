"""Printing of finished intervals for systems that store and draw them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from event_count_logger.cli.arguments import after_argument, interval_argument, range_arguments
from event_count_logger.cli.base import ExitStatus, Failure, log_to_stderr, warn
from event_count_logger.cli.printing import print_warnings, warn_if_stale
from event_count_logger.cli.waiting import Pause
from event_count_logger.config import Config, GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log
from event_count_logger.reading.follow import Follower
from event_count_logger.reading.group_reader import GroupReader
from event_count_logger.reading.reader import Reader, Snapshot, no_history, require_history
from event_count_logger.reading.times import Range
from event_count_logger.render import text
from event_count_logger.store import Store

#: One interval of a group.
_Series = tuple[GroupReader, Interval]


def print_feed(
    config: Config, group_name: str | None, chosen_format: str, output: str, options: Mapping[str, Any]
) -> bool:
    """Print finished intervals of a group, or of all groups that are not hidden; return True if one is stale.

    Args:
        config: The configuration.
        group_name: The group; None for all groups.
        chosen_format: Name of a module in `render/`.
        output: `last`, `history` or `follow`.
        options: `interval` (all intervals if None), `history`, `since`, `until` and `after`.

    Raises:
        StoreError: Redis does not answer.
    """
    # A command that goes on logs that Redis is unavailable; all others end with that error.
    store = Store(config.redis, Log("EventCountLogger") if output == "follow" else None)
    groups = [config.group(group_name)] if group_name else config.shown_groups
    series = list(_series(groups, options["interval"], store))
    if not group_name:
        series = _with_output(series, output)
    feed = _Feed(chosen_format, series)
    if output == "last":
        return feed.print_last()
    if output == "history":
        reader = Reader(store)
        wanted = range_arguments(reader, series[0][0].group, options)
        return feed.print_history(reader, options["history"], wanted)
    feed.follow(options["after"])
    return False


def _with_output(series: Iterable[_Series], output: str) -> list[_Series]:
    """Returns the intervals that have this output, and warns about all others.

    Raises:
        Failure: There is none.
    """
    found = []
    for reader, interval in series:
        if output == "last" or reader.group.keeps_history(interval):
            found.append((reader, interval))
        else:
            warn(f"{no_history(reader.group, interval)}; left out")
    if not found:
        raise Failure("no group to print: none keeps a history, or all are hidden", ExitStatus.UNKNOWN)
    return found


def _series(groups: Iterable[GroupConfig], interval: str | None, store: Store) -> Iterator[_Series]:
    for group in groups:
        chosen = [interval_argument(group, interval)] if interval else group.intervals
        for each in chosen:
            yield GroupReader(group, store), each


class _Feed:
    """A printer of several intervals, of several groups. All methods raise StoreError as their readers do."""

    def __init__(self, chosen_format: str, series: Sequence[_Series]) -> None:
        """`chosen_format` is the name of a module in `render/`, whose `render` returns a text."""
        module = import_module(f"event_count_logger.render.{chosen_format}")
        self._render: Callable[[Snapshot], str] = module.render
        self._series = series

    def print_last(self) -> bool:
        """Print the last finished interval of each series; return True if one is stale."""
        return self._print_all_last()

    def print_history(self, reader: Reader, n: int | None, wanted: Range) -> bool:
        """Print the last `n` finished intervals of a range, or all, of each series.

        Returns:
            True if an interval of the range is overdue.

        Raises:
            NotConfigured: A group keeps no history.
        """
        for each, interval in self._series:
            require_history(each.group, interval)
            found = reader.history(each.group, interval, n, wanted) if n else None
            for snapshot in reader.between(each.group, interval, wanted) if found is None else found:
                self._print(snapshot)
        return self._print_all_last(wanted)

    def follow(self, after: str | None) -> None:
        """Print each interval as it finishes, until SIGINT, SIGTERM or a closed output.

        Raises:
            NotConfigured: A group keeps no history.
        """
        log_to_stderr(level=logging.INFO)
        start = after_argument(after, len(self._series))
        due = {reader.follower(interval.name, start): 0.0 for reader, interval in self._series}
        pause = Pause()
        wait_s = 0.0
        while pause.wait(wait_s):
            now = time.monotonic()
            for follower in [each for each, due_at in due.items() if due_at <= now]:
                due[follower] = now + self._step(follower)
            wait_s = max(0.0, min(due.values()) - time.monotonic())

    def _step(self, follower: Follower) -> float:
        """Print the next interval if there is one; return the seconds until the next step."""
        snapshot, wait_s = follower.step()
        if snapshot:
            print_warnings(text.gap_warnings(snapshot))
            self._print(snapshot)
        return wait_s

    def _print_all_last(self, printed: Range | None = None) -> bool:
        """Print the last finished intervals, unless a range was printed; return True if one is stale."""
        stale = [self._print_last(*each, printed) for each in self._series]
        return any(stale)

    def _print_last(self, reader: GroupReader, interval: Interval, printed: Range | None) -> bool:
        (snapshot,) = reader.rotated(interval.name, "last")
        if printed is not None:
            return warn_if_stale(snapshot, printed)
        print_warnings(text.warnings([snapshot]))
        self._print(snapshot)
        return snapshot.stale

    def _print(self, snapshot: Snapshot) -> None:
        print_warnings(text.time_warnings(snapshot))
        print(self._render(snapshot), end="", flush=True)
