"""Checks of arguments from applications. Results are exact `str` and `int`, never subclasses."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import cast

from event_count_logger import keys
from event_count_logger.counting.implementation import LARGEST


def checked_event(event_id: object, count: object) -> tuple[str, int]:
    """Returns an event and its count as `str` and `int`. The group checks the form of the event ID.

    Raises:
        TypeError: Not a string, or not an integer.
        ValueError: The count is negative or over 2^63-1.
    """
    if not isinstance(event_id, str):
        raise TypeError(f"event_id must be a string, not {event_id!r}")
    try:
        number = operator.index(cast(int, count))
    except TypeError:
        number = None
    if number is None or isinstance(count, bool):
        raise TypeError(f"count must be an integer, not {count!r}")
    if not 0 <= number <= LARGEST:
        raise ValueError(f"count must be from 0 to 2^63-1, not {number}")
    return str.__str__(event_id), number


def checked_id(id: object, what: str, find_fault: Callable[[str], str | None] = keys.id_fault) -> str:
    """Returns a valid ID as `str`.

    Args:
        id: The argument of the application.
        what: The thing that the ID names, for messages, such as 'a session'.
        find_fault: Returns the reason why a string is not such an ID, or None; see `keys.id_fault`.

    Raises:
        TypeError: Not a string.
        ValueError: Not such an ID.
    """
    if not isinstance(id, str):
        raise TypeError(f"the ID of {what} must be a string, not {id!r}")
    fault = find_fault(id)
    if fault:
        raise ValueError(f"{id!r} is not the ID of {what}: it {fault}")
    return str.__str__(id)
