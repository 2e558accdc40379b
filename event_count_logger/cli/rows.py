"""Printing of counts, one row per read."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from itertools import count as count_up

import click

from event_count_logger.render import rows

#: Rows after which the header is repeated.
_ROWS_PER_HEADER = 20

#: Longest sleep, in seconds. Ctrl-C just before a sleep is handled after it.
_LONGEST_SLEEP_S = 1.0

#: The events of a row, and for each its count or the text in place of it.
Row = tuple[Sequence[str], Sequence[int | str]]


def check_limits(delay_s: float, n_rows: int | None) -> None:
    """Raise UsageError if the seconds between rows, or the number of rows, are not above 0."""
    if delay_s <= 0 or (n_rows is not None and n_rows < 1):
        raise click.UsageError("SECONDS and COUNT must be above 0")


def print_rows(next_row: Callable[[], Row], delay_s: float, n_rows: int | None) -> None:
    """Print a row every `delay_s` seconds: `n_rows` of them, or endlessly if None.

    The header is repeated every 20 rows, and when the events change.
    """
    begin = time.monotonic()
    printed: Sequence[str] | None = None
    for number in count_up():
        events, counts = next_row()
        if number % _ROWS_PER_HEADER == 0 or events != printed:
            print(rows.header(events))
            printed = events
        print(rows.row(events, counts))
        sys.stdout.flush()
        if number + 1 == n_rows:
            return
        _sleep_until(begin + (number + 1) * delay_s)


def _sleep_until(end: float) -> None:
    """Sleep until a time of `time.monotonic`."""
    while (left_s := end - time.monotonic()) > 0:
        time.sleep(min(left_s, _LONGEST_SLEEP_S))
