"""Rejections by a Redis server, reported by cause: one sentence for all groups with the same cause."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

#: Patterns of errors that concern the whole server, with their meaning. Some errors come without their code.
_SERVER_ERRORS = {
    "READONLY|read only replica": (
        "a read-only replica accepts no counts: set 'redis' to its primary, which INFO replication names"
    ),
    "MISCONF|unable to persist": (
        "all writes are rejected, because the data cannot be saved (MISCONF): see the log of the server, and "
        "the free space on its disk"
    ),
    r"\bOOM\b|used memory > 'maxmemory'": (
        "counts are rejected, because the memory is full (OOM): raise maxmemory (INFO memory shows what is "
        "used)"
    ),
    "NOREPLICAS|Not enough good replicas": (
        "all writes are rejected, because too few replicas are connected (NOREPLICAS): see INFO replication, "
        "and the setting min-replicas-to-write"
    ),
}

#: Errors about permissions of the user, in Redis 6.2 to 8 and Valkey.
_PERMISSION_ERROR = re.compile(
    "NOPERM|ACL failure|no permissions|user executing the script can't", re.IGNORECASE
)
_COMMAND = re.compile(r"'([a-z|]+)' command")

#: Groups that one line names, at most.
_MOST_NAMES = 3


class _Rejection(NamedTuple):
    """One rejected request: the group or shard, the command and key, and the error of the server."""

    label: str
    request: str
    reason: str


class Rejections:
    """Requests about groups or shards that a server has rejected."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._found: list[_Rejection] = []

    def add(self, label: str, errors: Iterable[object]) -> None:
        """Add rejections for a group: errors, or texts `COMMAND key: reason`."""
        for error in errors:
            request, colon, reason = str(error).partition(": ")
            self._found.append(_Rejection(label, request, reason if colon else request))

    @property
    def concern_server(self) -> bool:
        """True if the server accepts no counts at all."""
        return any(_meaning(each.reason) for each in self._found)

    def explain(self, label: str, error: Exception) -> bool:
        """Returns whether missing permissions, already added for a group, are the cause of an error."""
        is_known = any(each.label == label and _is_permission(each.reason) for each in self._found)
        return is_known and _is_permission(str(error))

    def lines(self) -> Iterator[str]:
        """Yield a sentence for each server problem, then for missing permissions, then for each other one."""
        meanings = dict.fromkeys(filter(None, (_meaning(each.reason) for each in self._found)))
        yield from (f"Redis at {self._location}: {meaning}" for meaning in meanings)
        found = [each for each in self._found if not _meaning(each.reason)]
        denied = [each for each in found if _is_permission(each.reason)]
        yield from _missing_permissions(denied)
        # A denied command creates no key, so the next one reports "no such key".
        others = [
            each for each in found if each not in denied and not (denied and "no such key" in each.reason)
        ]
        yield from dict.fromkeys(f"group '{each.label}': {each.request}: {each.reason}" for each in others)


def _is_permission(reason: str) -> bool:
    return bool(_PERMISSION_ERROR.search(reason))


def _meaning(reason: str) -> str:
    return next((meaning for pattern, meaning in _SERVER_ERRORS.items() if re.search(pattern, reason)), "")


def _missing_permissions(rejections: Sequence[_Rejection]) -> Iterator[str]:
    """Yield one sentence for all groups that lack the same permissions."""
    of_group: dict[str, list[str]] = {}
    for each in rejections:
        reasons = of_group.setdefault(each.label, [])
        missing = _missing(each)
        if missing not in reasons:
            reasons.append(missing)
    alike: dict[str, list[str]] = {}
    for label, reasons in of_group.items():
        alike.setdefault(", ".join(reasons), []).append(label)
    for missing, labels in alike.items():
        yield f"{_named(labels)}: the user has no permission for {missing} (grant it with ACL SETUSER)"


def _missing(rejection: _Rejection) -> str:
    """Returns the command that is denied, or `the keys of the group`."""
    command = _COMMAND.search(rejection.reason)
    if command:
        return command[1].upper()
    if "command" in rejection.reason and rejection.request.split()[0].isupper():
        return rejection.request.split()[0]
    return "the keys of the group"


def _named(labels: Sequence[str]) -> str:
    names = ", ".join(f"'{label}'" for label in labels[:_MOST_NAMES])
    more = len(labels) - _MOST_NAMES
    return f"group{'' if len(labels) == 1 else 's'} {names}{f' and {more} more' if more > 0 else ''}"
