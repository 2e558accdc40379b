"""Words of a search, and the texts in which they are found."""

from __future__ import annotations

from collections.abc import Iterable

from event_count_logger.config import GroupConfig


def words_of(text: str) -> list[str]:
    """Returns the words of a search, each once, in lower case."""
    return list(dict.fromkeys(text.casefold().split()))


def missing(words: Iterable[str], text: str) -> list[str]:
    """Returns the words, in lower case, that a text does not have in upper or lower case."""
    folded = text.casefold()
    return [word for word in words if word not in folded]


def text_of(group: GroupConfig, event_id: str) -> str:
    """Returns the text in which an event is found by words: its ID and its label."""
    return f"{event_id}\n{group.labels.get(event_id, '')}"
