"""A notification: its ID, its text, and its form as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from hashlib import sha256
from typing import Any

from event_count_logger.alerts.transitions import Kind, Progress
from event_count_logger.config import AlertRule

_TITLES: dict[Kind, str] = {
    "firing": "FIRING",
    "repeat": "STILL FIRING",
    "resolved": "RESOLVED",
    "test": "TEST",
}

#: Seconds of the units of times in texts, largest first.
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Notification:
    """A message about one alert. Its JSON has the same fields.

    Attributes:
        id: The same whenever this notification is sent again.
        kind: `firing`, `repeat`, `resolved` or `test`.
        alert: Name of the rule.
        severity: `warning` or `critical`.
        group: Name of the group.
        interval: Name of the interval; '' for a stale rule of all intervals.
        event: Events and patterns whose counts are added up; empty for a stale rule.
        of: Events of which a percentage is taken.
        limit: The limit in words, such as `above 100`.
        value: Count, percentage, or seconds that the group is stale; None if unknown.
        start: Start of the interval with that value, Unix seconds.
        end: Its end.
        since: End of the interval with which the alert began to fire, Unix seconds.
        number: Number of this repetition, from 1; 0 for other kinds.
        created: Time at which the notification was made, Unix seconds.
        title: A short line.
        text: A sentence with all numbers.
    """

    id: str
    kind: Kind
    alert: str
    severity: str
    group: str
    interval: str
    event: Sequence[str]
    of: Sequence[str]
    limit: str
    value: float | None
    start: float
    end: float
    since: float
    number: int
    created: float
    title: str
    text: str

    def to_json(self) -> str:
        """Returns the notification as one JSON object in ASCII."""
        return json.dumps(asdict(self))

    @classmethod
    def of_json(cls, fields: dict[str, Any]) -> Notification:
        """Returns the notification of a JSON object.

        Raises:
            TypeError: It has other fields.
        """
        return cls(**fields)


def notification(rule: AlertRule, interval: str, kind: Kind, progress: Progress, now: float) -> Notification:
    """Returns the notification of a step."""
    since = progress.since or now
    number = progress.n_repeats if kind == "repeat" else 0
    title = f"{_TITLES[kind]}: {rule.name}"
    return Notification(
        id=notification_id(rule, kind, since, number),
        kind=kind,
        alert=rule.name,
        severity=rule.severity,
        group=rule.group,
        interval=interval,
        event=rule.event,
        of=rule.of,
        limit=limit_of(rule),
        value=progress.value,
        start=progress.start,
        end=progress.end,
        since=since,
        number=number,
        created=now,
        title=title,
        text=f"{title}: {_fact(rule, interval, kind, progress)}",
    )


def test_notification(rule: AlertRule, now: float) -> Notification:
    """Returns a test message for the targets of a rule."""
    return notification(rule, rule.interval or "", "test", Progress("", start=now, end=now), now)


def notification_id(rule: AlertRule, kind: Kind, since: float, number: int = 0) -> str:
    """Returns an ID that depends on the rule, its group, and the beginning of the alert."""
    parts = json.dumps([rule.group, rule.name, f"{since:.3f}", kind, number])
    return sha256(parts.encode()).hexdigest()[:24]


def _fact(rule: AlertRule, interval: str, kind: Kind, progress: Progress) -> str:
    """Returns the part of the text behind the title."""
    group = f"group '{rule.group}'"
    if kind == "test":
        return f"a test message of the rule for {group}, sent at {time_of(progress.end)}"
    lasted = duration_of(progress.end - (progress.since or progress.end))
    if rule.stale:
        over = f"{group}: intervals end in time again, after {lasted}"
        return over if kind == "resolved" else f"{group}: {progress.reason}, since {time_of(progress.start)}"
    measured = f"{group}, {_names(rule.event)} was {_value(rule, progress.value)} in {interval}"
    if kind == "resolved":
        return f"{measured}, no longer {limit_of(rule)}, after {lasted}, at {time_of(progress.end)}"
    row = f" for {rule.n_in_a_row} intervals" if rule.n_in_a_row > 1 and kind == "firing" else ""
    ongoing = f", for {lasted}" if kind == "repeat" else ""
    return f"{measured}, {limit_of(rule)}{row}{ongoing}, since {time_of(progress.since or 0)}"


def limit_of(rule: AlertRule) -> str:
    """Returns the limit of a rule in words, such as `above 100`."""
    if rule.stale:
        return "stale"
    return f"above {rule.above}" if rule.above else f"below {rule.below}"


def _value(rule: AlertRule, value: float | None) -> str:
    threshold = rule.above or rule.below
    is_percent = threshold is not None and threshold.is_percent
    of = f" of {_names(rule.of)}" if is_percent else ""
    if value is None:
        return f"unknown (nothing{of} was counted)"
    number = str(value) if isinstance(value, int) else f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{number}{'%' if is_percent else ''}{of}"


def _names(patterns: Sequence[str]) -> str:
    return ", ".join(f"'{each}'" for each in patterns)


def time_of(time_s: float) -> str:
    """Returns Unix seconds for people, such as `2026-11-25 12:05 UTC`."""
    time = datetime.fromtimestamp(time_s, timezone.utc)
    return f"{time:%Y-%m-%d %H:%M} UTC" if time_s % 60 == 0 else f"{time:%Y-%m-%d %H:%M:%S} UTC"


def duration_of(seconds: float) -> str:
    """Returns a duration in its two largest units, such as `1h 5m`."""
    rest = max(0, round(seconds))
    parts = []
    for length, unit in _UNITS:
        number, rest = divmod(rest, length)
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2]) or "0s"
