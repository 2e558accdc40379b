"""Counts as rows that grow downwards, a column for each event."""

from __future__ import annotations

from collections.abc import Sequence

from event_count_logger.render.phrases import printable

#: Digits that a column has room for, at least.
_NARROWEST = 6


def header(events: Sequence[str]) -> str:
    """The names of the columns."""
    return _row(events, events)


def row(events: Sequence[str], counts: Sequence[int | str]) -> str:
    """One row below the header; what stands for a count that is not known is a string."""
    return _row(events, list(map(str, counts)))


def _row(events: Sequence[str], values: Sequence[str]) -> str:
    return " ".join(
        printable(value).rjust(max(len(printable(event)), _NARROWEST))
        for event, value in zip(events, values, strict=True)
    )
