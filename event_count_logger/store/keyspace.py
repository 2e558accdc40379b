"""The keys of a group: their types, those of another layout, and their removal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.store.client import Client
from event_count_logger.store.cluster import slot_of
from event_count_logger.store.layouts import LAYOUTS
from event_count_logger.store.resp import text

#: Keys that the server looks at before it answers other clients again.
_SCANNED = 1000

#: Keys in one EXISTS.
_CHUNK = 1_000


class Keyspace:
    """The keys in one Redis database."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def keys_of(self, group_name: str) -> Iterator[list[str]]:
        """Yields all keys of a group in pages, whatever configuration they come from.

        Raises:
            Unavailable: No answer.
            Rejected: This user has no permission for SCAN.
        """
        # One pass for all prefixes: each pass looks at every key of the database.
        pattern = f"*{group_name}*:*"
        for node in self._client.route.primaries():
            cursor = ""
            while cursor != "0":
                reply = node.ask("SCAN", cursor or "0", "MATCH", pattern, "COUNT", str(_SCANNED))
                cursor = text(reply[0])
                yield [key for key in map(text, reply[1]) if keys.belongs_to(key, group_name)]

    def delete(self, group_name: str) -> int:
        """Delete all keys of a group; returns their number.

        Raises:
            Unavailable: No answer; some keys may be left.
            Rejected: This user has no permission for SCAN or UNLINK.
        """
        return sum(self._unlink(page) for page in self.keys_of(group_name))

    def _unlink(self, names: Iterable[str]) -> int:
        """Delete keys with one request per slot. Without a cluster, all are in one slot."""

        def slot(key: str) -> int:
            return slot_of(key) if self._client.config.cluster else 0

        of_slots = [list(some) for _, some in groupby(sorted(names, key=slot), slot)]
        return sum(int(self._client.ask("UNLINK", *some, key=some[0])) for some in of_slots)

    def type_of(self, key: str) -> str:
        """Returns the type of a key, as TYPE names it; `none` if it does not exist.

        Raises:
            Unavailable: No answer.
            Rejected: This user has no permission for TYPE.
        """
        return text(self._client.ask("TYPE", key, key=key))

    def expected_types(self, group: GroupConfig) -> Mapping[str, str]:
        """Returns the keys of a group that are not counters, with their types, as TYPE names them."""
        name = group.prefix
        types = {
            keys.masters(name): "hash",
            keys.sources(name): "hash",
            keys.sources_seen(name): "hash",
            keys.idle(name): "zset",
            keys.created(name): "hash",
            keys.intervals(name): "hash",
            keys.services(name): "hash",
            keys.alerts(name): "hash",
            keys.notifications(name): "hash",
            keys.notes(name): "zset",
        }
        types |= LAYOUTS[group.layout].expected_types(group)
        return types | {keys.finished(name, interval.name): "string" for interval in group.intervals}

    def foreign_keys(self, group: GroupConfig, interval: Interval) -> list[str]:
        """Returns the keys of an interval that belong to another layout than the configured one.

        Raises:
            Unavailable: No answer.
            Rejected: This user has no permission for EXISTS.
        """
        others = [
            key
            for name, layout in LAYOUTS.items()
            if name != group.layout
            for key in layout.own_keys(group, interval)
        ]
        found: list[str] = []
        for first in range(0, len(others), _CHUNK):
            some = others[first : first + _CHUNK]
            if self._client.ask("EXISTS", *some, key=some[0]):
                found += [key for key in some if self._client.ask("EXISTS", key, key=key)]
        return found
