"""Notifications that are not confirmed: one entry for each notification and address.

    waiting --claim--> claimed --sent--> removed
       ^                  |
       |                  | failed, or the claim has expired because its process was killed
       +------------------+

Each step replaces an entry only if it is unchanged, so that two processes cannot both claim it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

from event_count_logger.alerts.notification import Notification
from event_count_logger.config import GroupConfig
from event_count_logger.store import Field, Store

#: Entries that are parsed once, not each time that they are read: more than wait for one address.
_MOST_PARSED = 16_384


@dataclass(frozen=True, slots=True)
class Entry:
    """A notification for one address.

    Attributes:
        notification: The notification.
        to: The address; see `Address.id`.
        n_failed: Attempts that have failed.
        not_before: Time of the next attempt, Unix seconds. While an attempt runs, the end of its claim.
    """

    notification: Notification
    to: str
    n_failed: int = 0
    not_before: float = 0.0

    @property
    def key(self) -> str:
        """A name that no other entry has."""
        return f"{self.notification.id}:{self.to}"

    @property
    def order(self) -> tuple[float, float]:
        """Sorts the entries of one alert in the order of its notifications."""
        return self.notification.end, self.notification.created

    def __str__(self) -> str:
        """The entry as one JSON object; `parse` reads it."""
        return json.dumps(asdict(self))


class Outbox(Protocol):
    """A place for entries."""

    def entries(self) -> list[Entry]:
        """Returns the entries, oldest first."""
        ...

    def replace(self, before: Entry, after: Entry | None, behind: str = "") -> bool:
        """Replace an entry, or remove it.

        Args:
            before: The entry.
            after: The entry in its place; None to remove it.
            behind: Key of an entry that must be gone before.

        Returns:
            False if the entry has changed, or the other one is not gone; nothing changes then.
        """
        ...

    def now(self) -> float:
        """Returns Unix seconds, by the clock of the entries."""
        ...


class StoredOutbox:
    """The entries of one group in Redis. All methods may raise StoreError."""

    def __init__(self, store: Store, group: GroupConfig) -> None:
        self._store = store
        self._group = group

    def entries(self) -> list[Entry]:
        """Returns the entries, oldest first."""
        found = self._store.alerts.fields(self._group, "notifications")
        return sorted(filter(None, map(_parse, found.values())), key=lambda entry: entry.order)

    def replace(self, before: Entry, after: Entry | None, behind: str = "") -> bool:
        """See `Outbox.replace`."""
        expected = [Field("notifications", before.key, str(before))]
        if behind:
            expected.append(Field("notifications", behind, ""))
        return self._store.alerts.change(self._group, expected, [changed(before.key, after)])

    def now(self) -> float:
        """Returns Unix seconds by the clock of Redis."""
        return self._store.client.now()


class MemoryOutbox:
    """Entries of this process, for notifications while Redis is unavailable."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()

    def add(self, entries: Iterable[Entry]) -> None:
        """Add entries."""
        with self._lock:
            self._entries.update((entry.key, entry) for entry in entries)

    def entries(self) -> list[Entry]:
        """Returns the entries, oldest first."""
        with self._lock:
            return sorted(self._entries.values(), key=lambda entry: entry.order)

    def replace(self, before: Entry, after: Entry | None, behind: str = "") -> bool:
        """See `Outbox.replace`."""
        with self._lock:
            if self._entries.get(before.key) != before or behind in self._entries:
                return False
            if after is None:
                del self._entries[before.key]
            else:
                self._entries[before.key] = after
            return True

    def now(self) -> float:
        """Returns Unix seconds by the clock of this machine."""
        return time.time()


def changed(key: str, after: Entry | None) -> Field:
    """Returns the change in Redis that stores an entry, or removes it."""
    return Field("notifications", key, "" if after is None else str(after))


def due_at(entry: Entry, time_s: float) -> Entry:
    """Returns an entry whose next attempt is at a time, Unix seconds."""
    return replace(entry, not_before=time_s)


@lru_cache(_MOST_PARSED)
def _parse(text: str) -> Entry | None:
    try:
        fields: dict[str, Any] = dict(json.loads(text))
        return Entry(**{**fields, "notification": Notification.of_json(fields["notification"])})
    except (KeyError, TypeError, ValueError):
        return None  # of another version of this package
