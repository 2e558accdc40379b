"""What may stand in each section but `tail`, and what is said when it does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import get_args

import voluptuous as vol

from event_count_logger import keys
from event_count_logger.config.checks import (
    a_boolean,
    a_duration,
    a_line,
    a_list,
    a_mapping,
    a_number,
    a_template,
    a_text,
    an_event_id,
    optional,
    quoting_hint,
    show,
)
from event_count_logger.config.model import SHORTEST_SOURCE_TTL_S, Durability
from event_count_logger.intervals import Interval

#: Finished intervals; about a year of 5 minutes. All of them are in the memory of Redis.
_LONGEST_HISTORY = 100_000

#: Each is rotated and read on its own.
_MOST_SHARDS = 1024

#: An origin as browsers send it (html.spec.whatwg.org, section "Origins"), and the ports that they leave out.
_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://[a-z0-9._~-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?"
)

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def group_name_fault(name: object) -> str | None:
    """What keeps a key from being the name of a group; None if nothing does."""
    if not isinstance(name, str):
        return f"{show(name)} is not a string{quoting_hint(name)}"
    if not keys.GROUP_NAME.fullmatch(name):
        return f"'{name}' is not a group name (use letters, digits, '_', '-' and '.')"
    return None


def _interval(value: object) -> Interval:
    if not isinstance(value, str):
        raise vol.Invalid(f"{show(value)} is not an interval (use <number><s|m|h>, for example 5m)")
    try:
        return Interval.parse(value)
    except ValueError as error:
        raise vol.Invalid(str(error)) from error


def _or_zero(check: Callable[[object], float]) -> Callable[[object], float]:
    """Also accepts 0, with or without a unit. `false` and `off` equal 0 in Python, but are not 0."""

    def check_unless_zero(value: object) -> float:
        is_zero = value in (0, "0", "0s", "0m", "0h") and not isinstance(value, bool)
        return 0.0 if is_zero else check(value)

    return check_unless_zero


def _distinct(intervals: list[Interval]) -> tuple[Interval, ...]:
    if not intervals:
        raise vol.Invalid("is empty: a group needs at least one interval, for example [5m]")
    by_length: dict[int, Interval] = {}
    for position, interval in enumerate(intervals):
        other = by_length.setdefault(interval.length_ms, interval)
        if other is not interval:
            raise vol.Invalid(f"'{interval.name}' is as long as '{other.name}'", path=[position])
    return tuple(intervals)


def _one_of(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _origin(value: object) -> str:
    origin = a_text(value).lower()
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        raise vol.Invalid(f"{show(value)} is not an origin (use scheme://host or scheme://host:port)")
    scheme = origin.partition(":")[0]
    return origin.removesuffix(_DEFAULT_PORTS.get(scheme, ""))


def _origins(value: list[str]) -> tuple[str, ...]:
    if "*" in value and len(value) > 1:
        raise vol.Invalid("has '*', which allows all origins, and others beside it")
    return tuple(value)


_seconds = a_number(float, "a number of seconds, 0 or more")

_positive = a_number(int, "a whole number above 0")

_history = a_number(int, f"a whole number from 0 to {_LONGEST_HISTORY}", lowest=-1, highest=_LONGEST_HISTORY)

_shards = a_number(int, f"a whole number from 1 to {_MOST_SHARDS}", highest=_MOST_SHARDS)


def _source_ttl(value: object) -> float:
    seconds = a_duration(value)
    if seconds < SHORTEST_SOURCE_TTL_S:
        raise vol.Invalid(f"{show(value)} is less than {SHORTEST_SOURCE_TTL_S // 60:g}m")
    return seconds


#: For all groups when they stand beside the section `groups`, for one when they stand in it.
KEEPING = vol.Schema(
    {
        "spool": optional(a_boolean),
        "spool_dir": optional(a_text),
        "durability": optional(vol.In(get_args(Durability), msg=f"is not {_one_of(get_args(Durability))}")),
        "source_ttl": optional(_source_ttl),
    }
)

GROUP = vol.Schema(
    {
        vol.Required("intervals", msg="is missing (for example intervals: [5m])"): vol.All(
            a_list, [_interval], _distinct
        ),
        "events": optional(vol.All(a_list, [an_event_id], lambda events: tuple(dict.fromkeys(events)))),
        "auto_declare_events": optional(a_boolean),
        "sync_interval": optional(_or_zero(_seconds)),
        "sync_limit": optional(_positive),
        "max_events": optional(_positive),
        "history": optional(_history),
        "totals": optional(a_boolean),
        "expire_after": optional(a_duration),
        "layout": optional(vol.In(["keys", "hash"], msg="is not 'keys' or 'hash'")),
        "hidden": optional(a_boolean),
        "title": optional(a_line),
        "unit": optional(a_line),
        "labels": optional(a_mapping("event IDs to labels", an_event_id, a_line)),
        "shards": optional(_shards),
        "sessions": lambda value: {} if value is None else value,  # see SESSIONS
        **KEEPING.schema,
    }
)

SESSIONS = vol.Schema(
    {
        "timeout": optional(_or_zero(a_duration)),
        "expire_after": optional(a_duration),
        "max_sessions": optional(a_number(int, "a whole number, 0 or more", lowest=-1)),
    }
)

SERVE = vol.Schema(
    {
        "allowed_origins": optional(vol.All(a_list, [_origin], _origins)),
        "connections_per_client": optional(a_number(int, "a whole number, 0 or more", lowest=-1)),
    }
)

GRAFANA = vol.Schema({"group": optional(a_template), "event": optional(a_template)})
