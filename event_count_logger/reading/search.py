"""Search for groups and events by words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from heapq import nsmallest

from event_count_logger.config import GroupConfig
from event_count_logger.errors import Rejected
from event_count_logger.reading.words import missing, text_of, words_of
from event_count_logger.store import Store


@dataclass(frozen=True, slots=True)
class FoundEvent:
    """An event that matches.

    Attributes:
        group: Its group.
        event: Its ID.
        last: Count in the last finished interval; None if none has finished.
        current: Count in the current interval.
    """

    group: GroupConfig
    event: str
    last: int | None
    current: int

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.group.labels.get(self.event, self.event)


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a search.

    Attributes:
        groups: Groups whose name or title has all words, in the order of the configuration.
        events: Events with the largest counts that match.
        n_events: Number of all events that match.
    """

    groups: Sequence[GroupConfig]
    events: Sequence[FoundEvent]
    n_events: int


def search(groups: Iterable[GroupConfig], store: Store, text: str, limit: int) -> Found:
    """Returns the groups and the events that match all words of a text.

    A word matches an event if its ID or label has it, or the name or title of its group. Only events are
    found that have a count in the last or in the current one of the first intervals, or are declared.

    Args:
        groups: The groups to search in. A group that Redis rejects to read has no events.
        store: Where the counts are.
        text: Words, separated by spaces.
        limit: Number of events, at most: those with the largest counts.

    Raises:
        Unavailable: Redis does not answer.
    """
    words = words_of(text)
    found_groups = []
    largest: list[FoundEvent] = []
    n_events = 0
    for group in groups:
        of_events = missing(words, f"{group.name}\n{group.title or ''}")
        if not of_events:
            found_groups.append(group)
        with suppress(Rejected):
            found = list(_events(group, store, of_events))
            n_events += len(found)
            largest = nsmallest(limit, [*largest, *found], key=_largest_first)
    return Found(found_groups, largest, n_events)


def _events(group: GroupConfig, store: Store, words: Sequence[str]) -> Iterator[FoundEvent]:
    reading = store.reads.read(group, group.intervals[0], ["last", "cur"])
    last, current = reading.counts["last"], reading.counts["cur"]
    has_finished = bool(last) or reading.last_start is not None
    for event in group.addable(dict.fromkeys((*group.events, *last, *current))):
        if not missing(words, text_of(group, event)):
            yield FoundEvent(
                group, event, last.get(event, 0) if has_finished else None, current.get(event, 0)
            )


def _largest_first(found: FoundEvent) -> tuple[int, int, str, str]:
    return -(found.last or 0), -found.current, found.group.name, found.event
