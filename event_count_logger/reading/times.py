"""Times and ranges of time given by people and programs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from event_count_logger.intervals import parse_duration

#: A time: Unix seconds, a datetime with a time zone, or text; see `parse_time`.
Time = str | float | datetime

#: The largest Unix seconds that are accepted: beyond them is a mistake, such as milliseconds.
LATEST_S = 1e12

_UNIX_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?")

#: A date, or date and time with an optional zone. `fromisoformat` accepts more, which depends on the Python.
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(\.[0-9]{1,9})?(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?)?"
)

_EXPECTED = "use Unix seconds, a length of time before now such as 2h, or a date such as 2026-11-30T12:00Z"


class InvalidTime(ValueError):
    """A time or a range of time is invalid."""


class Range(NamedTuple):
    """A range of time; an interval belongs to it if its start does.

    Attributes:
        since: The first start in the range, Unix seconds.
        until: The first start after it.
    """

    since: float = -math.inf
    until: float = math.inf


#: The range of all times.
EVER = Range()


def parse_time(given: Time, now: Callable[[], float]) -> float:
    """Returns a time in Unix seconds.

    Args:
        given: Unix seconds; a datetime with a time zone; or text: Unix seconds, a length of time before now
            (`2h`; 1970 at the earliest), or a date and time in ISO 8601, in UTC if it names no zone.
        now: Returns the time, for a length of time before it.

    Raises:
        InvalidTime: Another form, a datetime without a time zone, or a time before 1970 or beyond 1e12.
    """
    if isinstance(given, datetime):
        return _of_datetime(given)
    if isinstance(given, str):
        return _of_text(given.strip(), now)
    if isinstance(given, bool) or not isinstance(given, int | float) or given != given:
        raise InvalidTime(f"{given!r} is not a time ({_EXPECTED})")
    return _checked(given, given)


def parse_range(since: Time | None, until: Time | None, now: Callable[[], float]) -> Range:
    """Returns a range of time; None stands for an end that is open.

    Raises:
        InvalidTime: One of the times is invalid, with its name in the message, or `since` is after `until`.
    """
    found = Range(
        -math.inf if since is None else _named("since", since, now),
        math.inf if until is None else _named("until", until, now),
    )
    if found.since > found.until:
        raise InvalidTime(f"since: {since!r} is after until: {until!r}")
    return found


def _named(name: str, given: Time, now: Callable[[], float]) -> float:
    try:
        return parse_time(given, now)
    except InvalidTime as error:
        raise InvalidTime(f"{name}: {error}") from error


def _of_datetime(given: datetime) -> float:
    if given.tzinfo is None:
        raise InvalidTime(f"{given!r} has no time zone (use datetime.now(timezone.utc), or add a tzinfo)")
    return _checked(given.timestamp(), given)


def _of_text(given: str, now: Callable[[], float]) -> float:
    if _UNIX_SECONDS.fullmatch(given):
        return _checked(float(given), given)
    if found := _ISO.fullmatch(given):
        return _of_iso(given, *found.groups())
    try:
        before_s = parse_duration(given)
    except ValueError as error:
        raise InvalidTime(f"{given!r} is not a time ({_EXPECTED})") from error
    return max(0.0, now() - before_s)


def _of_iso(given: str, date: str, time: str | None, fraction: str | None, zone: str | None) -> float:
    offset = "+00:00" if zone in (None, "Z") else zone
    try:
        found = datetime.fromisoformat(f"{date}T{time or '00:00'}{offset}")
    except ValueError as error:
        raise InvalidTime(f"{given!r} is not a time: {error}") from error
    return _checked(found.timestamp() + float(f"0{fraction or ''}"), given)


def _checked(seconds: float, given: object) -> float:
    if seconds > LATEST_S:
        raise InvalidTime(f"{given!r} is beyond 1e12 (use Unix seconds, not milliseconds)")
    if seconds < 0:
        raise InvalidTime(f"{given!r} is before 1970")
    return seconds
