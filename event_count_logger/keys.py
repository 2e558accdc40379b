"""Every key that the project uses in Redis, and the rules for the names in them.

These strings are the wire contract with other versions and other programs: they never change. Every key
of a group begins with its prefix.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

#: The running interval and the last finished one.
Half = Literal["cur", "last"]

#: Counts what a group's `max_events` leaves no counter for.
OVERFLOW = "@overflow"

#: Counts what Redis had confirmed to a process, and has forgotten since.
LOST = "@lost"

#: Counts what a source had to leave out, such as a line of a log file that is too long.
SKIPPED = "@skipped"

#: Counts the lines of a log file that no rule matches.
UNMATCHED = "@unmatched"

#: What a group's name may look like.
GROUP_NAME = re.compile(r"[A-Za-z0-9_.-]+")

#: Begins the names of what the package itself makes, so that no name given by a user is the same.
_RESERVED = "@"

#: The counters that a group may have without an index; see `parse_counter`.
_COUNTER = re.compile(rf"({GROUP_NAME.pattern}):([0-9.]+[smhSMH]):(cur|last):(.+)")

#: Bytes of UTF-8.
_LONGEST_ID = 512
_SESSION_TIME = ":ms"
#: What follows the prefix in keys of an interval.
_OF_INTERVAL = r"[0-9.]+[smhSMH]:(?:@|(?:cur|last)(?::|\Z))"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def prefix(group: str, in_cluster: bool = False, shard: int | None = None) -> str:
    """What the keys of a group, or of one shard of it, begin with.

    In a cluster, what is in braces decides which node has a key: all keys of a prefix are on one node
    (redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec, "Hash tags").
    """
    if shard is not None:
        return f"{{{group}#{shard}}}"
    return f"{{{group}}}" if in_cluster else group


def counter(prefix: str, interval: str, half: Half, event_id: str) -> str:
    """The count of one event."""
    return f"{prefix}:{interval}:{half}:{event_id}"


def counters_pattern(groups: Collection[str]) -> str:
    """A pattern for SCAN that all counters of these groups match, and few other keys."""
    group = f"{next(iter(groups))}:" if len(groups) == 1 else ""
    return f"{group}*:[cl]*[rt]:[^@]*"  # `cur` or `last`


def parse_counter(key: str) -> tuple[str, str, Half, str] | None:
    """Returns group, interval, half and event ID of a counter; None if the key is none of a valid event."""
    match = _COUNTER.fullmatch(key)
    if not match or event_id_fault(match[4]):
        return None
    return match[1], match[2], "cur" if match[3] == "cur" else "last", match[4]


def timestamp(prefix: str, interval: str, half: Half) -> str:
    """When that interval began, in Unix seconds."""
    return f"{prefix}:{interval}:{half}:@ts"


def index(prefix: str, interval: str, half: Half) -> str:
    """The set of the event IDs that have a counter there."""
    return f"{prefix}:{interval}:{half}:@events"


def counts(prefix: str, interval: str, half: Half) -> str:
    """The hash of event ID to count, in a group that has one."""
    return f"{prefix}:{interval}:{half}"


def sources(prefix: str) -> str:
    """The hash of source ID to last committed position."""
    return f"{prefix}:@sources"


def sources_seen(prefix: str) -> str:
    """The hash of the sources that are processes to when they were last seen; '' to when one last looked."""
    return f"{prefix}:@sources_seen"


def process(id: str, generation: int) -> str:
    """Returns the ID of a source that is a process.

    Args:
        id: 32 hexadecimal digits that no other process has.
        generation: Number of times that the process has started over as a new source.
    """
    return f"{_RESERVED}{id}.{generation}"


def is_process(source: str) -> bool:
    """Returns whether a source is a process, whose position is needed only as long as it may come back."""
    return source.startswith(_RESERVED)


def request(prefix: str, key: str) -> str:
    """The position of a request that is known by its idempotency key."""
    return f"{prefix}:@request:{key}"


def sessions(prefix: str) -> tuple[str, str, str]:
    """The hash of sessions, and the sorted sets of those that have not ended and of those that have."""
    return f"{prefix}:@sessions", f"{prefix}:@sessions_open", f"{prefix}:@sessions_ended"


def session_time(event_id: str) -> str:
    """The event that counts how long sessions of an event were, in milliseconds."""
    return f"{event_id}{_SESSION_TIME}"


def event_of_sessions(event_id: str) -> str:
    """The event that sessions are counted as, given that or the one that counts how long they were."""
    return event_id.removesuffix(_SESSION_TIME)


def is_session_time(event_id: str) -> bool:
    """Whether an event counts how long sessions were."""
    return event_id.endswith(_SESSION_TIME)


def history(prefix: str, interval: str) -> str:
    """The stream of the finished intervals, oldest first."""
    return f"{prefix}:{interval}:@history"


def finished_counts(prefix: str, interval: str, entry_id: str) -> str:
    """The hash of event ID to count of a finished interval, in a group that has hashes.

    Args:
        prefix: Of the group.
        interval: Its name.
        entry_id: Of the finished one in the history.
    """
    return f"{prefix}:{interval}:@history:{entry_id}"


def last_in_history(prefix: str, interval: str) -> str:
    """The ID in the history of the interval whose counts are in the hash of the last finished one."""
    return f"{prefix}:{interval}:@history:last"


def moving_history(prefix: str, interval: str) -> str:
    """The stream that takes the place of the history when all of it is moved to another layout."""
    return f"{prefix}:{interval}:@history:moving"


def finished(prefix: str, interval: str) -> str:
    """How many intervals were finished so far."""
    return f"{prefix}:{interval}:@finished"


def totals(prefix: str) -> str:
    """The hash of event ID to what it has counted since ever, up to the end of the last finished interval."""
    return f"{prefix}:@totals"


def totals_interval(prefix: str) -> str:
    """The name of the interval whose counts are added to the totals."""
    return f"{prefix}:@totals_interval"


def idle(prefix: str) -> str:
    """The sorted set of event IDs that have a total and are not in use, by the time since when."""
    return f"{prefix}:@idle"


def masters(prefix: str) -> str:
    """The hash of the masters that rotate the group, with when each of them was last there."""
    return f"{prefix}:@masters"


def intervals(prefix: str) -> str:
    """The hash of the intervals that processes count in to when they last did, in Unix seconds."""
    return f"{prefix}:@intervals"


def probe(prefix: str) -> str:
    """Scratch key on which the commands that are needed are tried out."""
    return f"{prefix}:@probe"


def belongs_to(key: str, group: str) -> bool:
    """Whether a key is one of a group, whatever its prefix is; other programs may use the same first word."""
    name = re.escape(group)
    return bool(re.match(rf"(?:{name}|\{{{name}(?:#[0-9]+)?\}}):(?:@|{_OF_INTERVAL})", key))


def is_reserved(event_id: str) -> bool:
    """Returns whether an event is one that the package itself counts, such as `OVERFLOW`."""
    return event_id.startswith(_RESERVED)


def event_id_fault(event_id: str) -> str | None:
    """What keeps a string from being an event ID, in words that follow the ID; None if nothing does."""
    return name_fault(event_id)


def session_event_fault(event_id: str) -> str | None:
    """What keeps an event from being one of sessions, in words that follow the ID; None if nothing does."""
    if is_session_time(event_id):
        return f"ends with '{_SESSION_TIME}', which is for their time"
    fault = event_id_fault(event_id)
    if fault:
        return fault
    fault = id_fault(session_time(event_id))
    return f"leaves no room for '{_SESSION_TIME}', with which it {fault}" if fault else None


def name_fault(name: str) -> str | None:
    """Returns what keeps a string from being a name given by a user, in words that follow it, or None."""
    if name.startswith(_RESERVED):
        return f"begins with '{_RESERVED}', which is reserved"
    return id_fault(name)


def id_fault(id: str) -> str | None:
    """What keeps a string from being the ID of anything, in words that follow it; None if nothing does."""
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
