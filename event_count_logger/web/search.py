"""JSON representation of a search, as typed dictionaries; see `representations`."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import TypedDict  # pydantic does not take typing's own before Python 3.12

from event_count_logger.reading.search import Found, FoundEvent


class EventOfSearch(TypedDict):
    """An event that matches; `last` is its count in the last finished interval, null if none has finished."""

    group: str
    interval: str
    event: str
    label: str
    last: int | None


class Search(TypedDict):
    """Groups whose name or title has all words, and the events with the largest counts that match."""

    now: float
    groups: Sequence[str]
    events: Sequence[EventOfSearch]
    n_events: int


def document(found: Found, now: float) -> Search:
    """Returns the result of a search."""
    return {
        "now": now,
        "groups": [group.name for group in found.groups],
        "events": [_event(event) for event in found.events],
        "n_events": found.n_events,
    }


def _event(found: FoundEvent) -> EventOfSearch:
    return {
        "group": found.group.name,
        "interval": found.group.intervals[0].name,
        "event": found.event,
        "label": found.label,
        "last": found.last,
    }
