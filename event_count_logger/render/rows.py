"""Counts as rows of text, with a column for each event."""

from __future__ import annotations

from collections.abc import Sequence

from event_count_logger.render.phrases import printable

#: Width of a column, at least.
_NARROWEST = 6


def header(events: Sequence[str]) -> str:
    """Returns the line of event names."""
    return _row(events, events)


def row(events: Sequence[str], counts: Sequence[int | str]) -> str:
    """Returns a row below the header; a string stands for an unknown count."""
    return _row(events, list(map(str, counts)))


def _row(events: Sequence[str], values: Sequence[str]) -> str:
    return " ".join(
        printable(value).rjust(max(len(printable(event)), _NARROWEST))
        for event, value in zip(events, values, strict=True)
    )
