"""Heartbeats of masters in Redis."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.errors import Rejected, StoreError, Unavailable
from event_count_logger.store.client import Client
from event_count_logger.store.resp import text
from event_count_logger.store.results import MasterInfo

#: Seconds after its last heartbeat when a master is removed.
_FORGOTTEN_AFTER_S = 3600


class Masters:
    """The masters of each group."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def of(self, group: GroupConfig) -> list[MasterInfo]:
        """Returns the masters of a group, oldest first.

        A master that has stopped, or whose last heartbeat is an hour old, is left out once another master
        has sent a heartbeat.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
        """
        key = masters_key(group)
        values = self._client.ask("HVALS", key, key=key)
        return masters_in(values, self._client.server_time(group))

    def record(self, groups: Iterable[GroupConfig], master: MasterInfo) -> None:
        """Record a heartbeat of a master that rotates these groups.

        Raises:
            Unavailable: No answer.
            Rejected: Not recorded for all groups.
        """
        failure = None
        for group in groups:
            if failure and self._client.is_unavailable(group):
                continue
            try:
                self._record(group, master)
            except (Rejected, Unavailable) as error:
                failure = error
        if failure:
            raise failure

    def record_stop(self, groups: Iterable[GroupConfig], master: MasterInfo) -> None:
        """Record that a master no longer rotates these groups.

        The next heartbeat of another master removes this one.
        """
        for group in groups:
            if self._client.is_unavailable(group):
                continue
            with suppress(StoreError):  # its heartbeats end anyway
                self._record(group, replace(master, stopped=True))

    def _record(self, group: GroupConfig, master: MasterInfo) -> None:
        described = {
            "host": master.host,
            "pid": master.pid,
            "version": master.version,
            "since": master.since,
            "intervals": [interval.name for interval in group.intervals],
            "shards": group.n_shards,
        }
        if master.stopped:
            described["stopped"] = True
        arguments = [master.id, json.dumps(described), _FORGOTTEN_AFTER_S]
        self._client.run("heartbeat", [masters_key(group)], arguments)
        self._client.note_written(masters_key(group))


def masters_key(group: GroupConfig) -> str:
    """Returns the key of a group's masters. A split group has it in its first shard."""
    return keys.masters(group.shard(0).prefix)


def masters_in(values: Iterable[bytes], now: float) -> list[MasterInfo]:
    """Returns the masters in the values of a group's hash, oldest first; `now` is the time of the read."""
    found = [_master_info(text(value), now) for value in values]
    return sorted(filter(None, found), key=lambda master: master.since)


def _master_info(value: str, now: float) -> MasterInfo | None:
    seen, _, described = value.partition(" ")
    try:
        fields = dict(json.loads(described))
        fields["intervals"] = tuple(fields.get("intervals", ()))
        return MasterInfo(**fields, seen_s=max(0.0, now - float(seen)))
    except (ValueError, TypeError):
        return None  # not recorded by a master
