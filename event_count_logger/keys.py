"""All keys in Redis, and the rules for the names in them.

These strings are the contract with other versions and other programs: they never change. Each key of a group
begins with the prefix of the group.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

from event_count_logger.intervals import NAME as _INTERVAL_NAME

#: The current interval and the last one.
Half = Literal["cur", "last"]

#: Counts events beyond the `max_events` of a group.
OVERFLOW = "@overflow"

#: Counts the counts that Redis has confirmed and lost.
LOST = "@lost"

#: Counts records that a source has skipped, such as a line of a log file that is too long.
SKIPPED = "@skipped"

#: Counts the lines of a log file that are not of its format.
MALFORMED = "@malformed"

#: Counts the lines of a log file that no rule matches.
UNMATCHED = "@unmatched"

#: The form of a group's name.
GROUP_NAME = re.compile(r"[A-Za-z0-9_.-]+")

#: The first character of names made by the package; names given by users must not begin with it.
_RESERVED = "@"

#: The form of a counter's key; see `parse_counter`.
_COUNTER = re.compile(rf"({GROUP_NAME.pattern}):({_INTERVAL_NAME}):(cur|last):(.+)")

#: The most bytes of an ID, in UTF-8.
_LONGEST_ID = 512
_SESSION_TIME = ":ms"

#: What separates the event of a histogram from the bound of one of its buckets; `le` is for less or equal.
_BUCKET = ":le:"

_OF_BUCKET = re.compile(rf"(.+){_BUCKET}(-?(?:0|[1-9][0-9]{{0,300}})(?:\.[0-9]{{0,300}}[1-9])?)")
#: The form of an interval's keys after the prefix.
_OF_INTERVAL = rf"{_INTERVAL_NAME}:(?:@|(?:cur|last)(?::|\Z))"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def prefix(group: str, in_cluster: bool = False, shard: int | None = None) -> str:
    """Returns the prefix of the keys of a group, or of one shard of it.

    In a cluster, the part in braces (hash tag) selects the node: all keys with one prefix are on one node
    (redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec, "Hash tags").
    """
    if shard is not None:
        return f"{{{group}#{shard}}}"
    return f"{{{group}}}" if in_cluster else group


def counter(prefix: str, interval: str, half: Half, event_id: str) -> str:
    """Returns the key of the count of one event."""
    return f"{prefix}:{interval}:{half}:{event_id}"


def counters_pattern(groups: Collection[str]) -> str:
    """Returns a pattern for SCAN that matches all counters of these groups, and few other keys."""
    group = f"{next(iter(groups))}:" if len(groups) == 1 else ""
    return f"{group}*:[cl]*[rt]:[^@]*"  # `cur` or `last`


def parse_counter(key: str) -> tuple[str, str, Half, str] | None:
    """Returns group, interval, half and event ID of a counter; None for another key or an invalid ID."""
    match = _COUNTER.fullmatch(key)
    if not match or event_id_fault(match[4]):
        return None
    return match[1], match[2], "cur" if match[3] == "cur" else "last", match[4]


def timestamp(prefix: str, interval: str, half: Half) -> str:
    """Returns the key of the start time of an interval, in Unix seconds."""
    return f"{prefix}:{interval}:{half}:@ts"


def index(prefix: str, interval: str, half: Half) -> str:
    """Returns the key of the set of event IDs that have a counter in an interval."""
    return f"{prefix}:{interval}:{half}:@events"


def counts(prefix: str, interval: str, half: Half) -> str:
    """Returns the key of the hash of event ID to count, with `layout: hash`."""
    return f"{prefix}:{interval}:{half}"


def sources(prefix: str) -> str:
    """Returns the key of the hash of source ID to last committed position."""
    return f"{prefix}:@sources"


def sources_seen(prefix: str) -> str:
    """Returns the key of the hash of process source to the time of its last position or heartbeat.

    The field '' has the time of the last check for ended processes.
    """
    return f"{prefix}:@sources_seen"


def process(id: str, generation: int) -> str:
    """Returns the source ID of a process.

    Args:
        id: 32 hexadecimal digits, unique to the process.
        generation: Number of times that the process has started over as a new source.
    """
    return f"{_RESERVED}{id}.{generation}"


def is_process(source: str) -> bool:
    """Returns whether a source is a process: its position is deleted some time after its end."""
    return source.startswith(_RESERVED)


def request(prefix: str, key: str) -> str:
    """Returns the key of the position of a request, by its idempotency key."""
    return f"{prefix}:@request:{key}"


def sessions(prefix: str) -> tuple[str, str, str]:
    """Returns the keys of the hash of sessions, and of the sorted sets of open and of ended sessions."""
    return f"{prefix}:@sessions", f"{prefix}:@sessions_open", f"{prefix}:@sessions_ended"


def session_time(event_id: str) -> str:
    """Returns the event that counts the milliseconds of the sessions of an event."""
    return f"{event_id}{_SESSION_TIME}"


def event_of_sessions(event_id: str) -> str:
    """Returns an event without `:ms`: the one that counts the sessions, not their time."""
    return event_id.removesuffix(_SESSION_TIME)


def is_session_time(event_id: str) -> bool:
    """Returns whether an event counts the time of sessions."""
    return event_id.endswith(_SESSION_TIME)


def bucket(event_id: str, bound: str) -> str:
    """Returns the event that counts the numbers of a histogram up to a bound, such as `0.5`."""
    return f"{event_id}{_BUCKET}{bound}"


def parse_bucket(event_id: str) -> tuple[str, float] | None:
    """Returns the event and the bound of a bucket; None for an event that is no bucket."""
    found = _OF_BUCKET.fullmatch(event_id) if _BUCKET in event_id else None
    return (found[1], float(found[2])) if found else None


def history(prefix: str, interval: str) -> str:
    """Returns the key of the stream of finished intervals, oldest first."""
    return f"{prefix}:{interval}:@history"


def finished_counts(prefix: str, interval: str, entry_id: str) -> str:
    """Returns the key of the hash of event ID to count of a finished interval, with `layout: hash`.

    Args:
        prefix: Prefix of the group.
        interval: Name of the interval.
        entry_id: ID of the finished interval in the history.
    """
    return f"{prefix}:{interval}:@history:{entry_id}"


def last_in_history(prefix: str, interval: str) -> str:
    """Returns the key of the history ID of the last interval, whose counts are in a hash of their own."""
    return f"{prefix}:{interval}:@history:last"


def moving_history(prefix: str, interval: str) -> str:
    """Returns the key of the new history during a migration to another layout."""
    return f"{prefix}:{interval}:@history:moving"


def finished(prefix: str, interval: str) -> str:
    """Returns the key of the number of finished intervals."""
    return f"{prefix}:{interval}:@finished"


def totals(prefix: str) -> str:
    """Returns the key of the hash of event ID to all-time total.

    The totals go up to the end of the last interval; with `layout: hash`, up to now.
    """
    return f"{prefix}:@totals"


def totals_interval(prefix: str) -> str:
    """Returns the key of the name of the interval whose counts are added to the totals."""
    return f"{prefix}:@totals_interval"


def idle(prefix: str) -> str:
    """Returns the key of the sorted set of idle event IDs with a total, by the time of their last use."""
    return f"{prefix}:@idle"


def created(prefix: str) -> str:
    """Returns the key of the hash of event ID to the time at which its total began, in Unix seconds.

    Only groups with `auto_declare_events` have it. Events that were counted before it existed are not in it.
    """
    return f"{prefix}:@created"


def masters(prefix: str) -> str:
    """Returns the key of the hash of masters that rotate the group, with their last heartbeats."""
    return f"{prefix}:@masters"


def services(prefix: str) -> str:
    """Returns the key of the hash of exporters and alerters of the group, with their last heartbeats."""
    return f"{prefix}:@services"


def alerts(prefix: str) -> str:
    """Returns the key of the hash with the states of the alerts of the group; see alert.lua."""
    return f"{prefix}:@alerts"


def notifications(prefix: str) -> str:
    """Returns the key of the hash with the notifications that are not confirmed; see alert.lua."""
    return f"{prefix}:@notifications"


def notes(prefix: str) -> str:
    """Returns the key of the sorted set of annotations of the group, by their time in Unix seconds."""
    return f"{prefix}:@annotations"


def intervals(prefix: str) -> str:
    """Returns the key of the hash of interval to the last time processes counted in it, in Unix seconds."""
    return f"{prefix}:@intervals"


def probe(prefix: str) -> str:
    """Returns a scratch key, on which `ecl check` tries the commands that are needed."""
    return f"{prefix}:@probe"


def belongs_to(key: str, group: str) -> bool:
    """Returns whether a key belongs to a group, with any prefix.

    Keys of other programs may begin with the name of the group, too: these do not belong to it.
    """
    name = re.escape(group)
    return bool(re.match(rf"(?:{name}|\{{{name}(?:#[0-9]+)?\}}):(?:@|{_OF_INTERVAL})", key))


def is_reserved(event_id: str) -> bool:
    """Returns whether an event is counted by the package itself, such as `OVERFLOW`."""
    return event_id.startswith(_RESERVED)


def event_id_fault(event_id: str) -> str | None:
    """Returns why a string is not an event ID, in words that follow the ID; None if it is one."""
    return name_fault(event_id)


def session_event_fault(event_id: str) -> str | None:
    """Returns why an event cannot count sessions, in words that follow the ID; None if it can."""
    if is_session_time(event_id):
        return f"ends with '{_SESSION_TIME}', which is for their time"
    fault = event_id_fault(event_id)
    if fault:
        return fault
    fault = id_fault(session_time(event_id))
    return f"leaves no room for '{_SESSION_TIME}', with which it {fault}" if fault else None


def name_fault(name: str) -> str | None:
    """Returns why a string is not a valid name from a user, in words that follow it; None if it is one."""
    if name.startswith(_RESERVED):
        return f"begins with '{_RESERVED}', which is reserved"
    return id_fault(name)


def id_fault(id: str) -> str | None:
    """Returns why a string is not a valid ID of any kind, in words that follow it; None if it is one."""
    if not id:
        return "is empty"
    if _CONTROL.search(id):
        return "contains control characters"
    try:
        size = len(id.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode (a lone surrogate)"
    if size > _LONGEST_ID:
        return f"has {size} bytes in UTF-8, more than {_LONGEST_ID}"
    return None
