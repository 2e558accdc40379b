"""Search for counters of version 1.1 whose events are not declared.

Version 1.1 increments a key and leaves no other trace. Only a search of the database finds it. Rotations and
reads include a counter as soon as it is in the index of its interval.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.errors import Rejected
from event_count_logger.keys import Half
from event_count_logger.store.client import Client
from event_count_logger.store.resp import text

#: Keys that the server looks at before it answers other clients again.
_SCANNED = 1000

#: Counters added to an index by one request.
_CHUNK = 500


def may_be_unindexed(group: GroupConfig) -> bool:
    """Returns whether version 1.1 may count undeclared events of a group.

    Version 1.1 supports no hashes, no shards and no clusters.
    """
    return (
        group.auto_declare_events and group.layout == "keys" and group.n_shards == 1 and not group.key_prefix
    )


def index_counters(client: Client, groups: Sequence[GroupConfig]) -> Iterator[int]:
    """Find the counters of undeclared events that only version 1.1 knows, and add them to the indexes.

    Searches the whole database in pages.

    Args:
        client: The database.
        groups: Those in which version 1.1 cannot count are left out. If none is left, nothing is sent.

    Yields:
        The number of counters added, for each page.

    Raises:
        Unavailable: No answer.
        Rejected: This user has no permission for SCAN.
    """
    by_name = {group.name: group for group in groups if may_be_unindexed(group)}
    declared = {name: frozenset(group.events) for name, group in by_name.items()}
    cursor = "0" if by_name else ""
    while cursor:
        pattern = keys.counters_pattern(by_name)
        reply = client.ask("SCAN", cursor, "MATCH", pattern, "COUNT", str(_SCANNED))
        cursor = text(reply[0]).lstrip("0")
        found: dict[tuple[str, str, Half], list[str]] = defaultdict(list)
        for key in map(text, reply[1]):
            name, interval, half, event_id = keys.parse_counter(key) or ("", "", "cur", "")
            group = by_name.get(name)
            if group and group.interval(interval) and event_id not in declared[name]:
                found[name, interval, half].append(event_id)
        yield sum(_index(client, *place, events) for place, events in found.items())


def _index(client: Client, group: str, interval: str, half: Half, events: Sequence[str]) -> int:
    """Add events to an index; returns the number of new ones."""
    index, n_added = keys.index(group, interval, half), 0
    with suppress(Rejected):  # the key has another type, which each rotation reports
        for first in range(0, len(events), _CHUNK):
            some = events[first : first + _CHUNK]
            known = client.ask("SMISMEMBER", index, *some, key=index)
            new = [event_id for event_id, is_known in zip(some, known, strict=True) if not is_known]
            if new:
                counters = [keys.counter(group, interval, half, event_id) for event_id in new]
                n_added += client.run("index", [index, *counters], new)
    return n_added
