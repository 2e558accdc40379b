"""Rejections by a Redis server, each reported once, however many groups and commands it concerns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

#: Errors that concern the whole server, and what they mean. Some come without their code.
_OF_SERVER = {
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

#: Errors that concern the user, in the words of Redis 6.2 to 8 and Valkey.
_OF_USER = re.compile("NOPERM|ACL failure|no permissions|user executing the script can't", re.IGNORECASE)
_COMMAND = re.compile(r"'([a-z|]+)' command")

#: Names of groups in one line.
_MOST_NAMES = 3


class _Rejection(NamedTuple):
    label: str
    what: str
    reason: str


class Rejections:
    """The requests about some groups or shards that a server has rejected."""

    def __init__(self, location: str) -> None:
        """`location` is where the server is, for messages."""
        self._location = location
        self._found: list[_Rejection] = []

    def add(self, label: str, errors: Iterable[object]) -> None:
        """Add what was said about a group: errors, or sentences `COMMAND key: reason`."""
        for error in errors:
            what, colon, reason = str(error).partition(": ")
            self._found.append(_Rejection(label, what, reason if colon else what))

    @property
    def concern_server(self) -> bool:
        """True if the server accepts no counts at all."""
        return any(_meaning(each.reason) for each in self._found)

    def include(self, label: str, error: Exception) -> bool:
        """Returns whether an error about a group is due to missing permissions that are reported already."""
        is_known = any(each.label == label and _OF_USER.search(each.reason) for each in self._found)
        return is_known and bool(_OF_USER.search(str(error)))

    def lines(self) -> Iterator[str]:
        """A sentence for each problem of the server, then for each of the user, then for what is left."""
        meanings = dict.fromkeys(filter(None, (_meaning(each.reason) for each in self._found)))
        yield from (f"Redis at {self._location}: {meaning}" for meaning in meanings)
        found = [each for each in self._found if not _meaning(each.reason)]
        of_user = [each for each in found if _OF_USER.search(each.reason)]
        yield from _missing_permissions(of_user)
        # A command that may not be used leaves nothing for the next one to work on.
        others = [
            each for each in found if each not in of_user and not (of_user and "no such key" in each.reason)
        ]
        yield from dict.fromkeys(f"group '{each.label}': {each.what}: {each.reason}" for each in others)


def _meaning(reason: str) -> str:
    return next((meaning for pattern, meaning in _OF_SERVER.items() if re.search(pattern, reason)), "")


def _missing_permissions(rejections: Sequence[_Rejection]) -> Iterator[str]:
    """A sentence for all groups for which the same is missing."""
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
    """Returns a command, or what else the user may not use."""
    command = _COMMAND.search(rejection.reason)
    if command:
        return command[1].upper()
    if "command" in rejection.reason and rejection.what.split()[0].isupper():
        return rejection.what.split()[0]
    return "the keys of the group"


def _named(labels: Sequence[str]) -> str:
    names = ", ".join(f"'{label}'" for label in labels[:_MOST_NAMES])
    more = len(labels) - _MOST_NAMES
    return f"group{'' if len(labels) == 1 else 's'} {names}{f' and {more} more' if more > 0 else ''}"
