"""The states of alerts in Redis, and the notifications that are not confirmed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.store.client import Client
from event_count_logger.store.resp import pairs, text

#: The hashes of a group, in the order of KEYS in alert.lua.
Part = Literal["states", "notifications"]

_NUMBERS: dict[Part, int] = {"states": 1, "notifications": 2}


class Field(NamedTuple):
    """A field of a hash with a value; '' stands for a missing field."""

    part: Part
    name: str
    value: str


class Alerts:
    """The states and notifications of each group, as fields that change in one step."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def fields(self, group: GroupConfig, part: Part) -> dict[str, str]:
        """Returns the fields of a hash.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
        """
        key = _keys(group)[_NUMBERS[part] - 1]
        found = pairs(self._client.ask("HGETALL", key, key=key))
        return {text(name): text(value) for name, value in found.items()}

    def change(self, group: GroupConfig, expected: Iterable[Field], changes: Iterable[Field]) -> bool:
        """Change fields in one step; returns False, without a change, if a field is not as expected.

        Raises:
            Unavailable: No answer; the fields may have been changed.
            Rejected: A key has another type, or Redis rejects writes.
        """
        before = [*expected]
        words = [
            word for each in (*before, *changes) for word in (_NUMBERS[each.part], each.name, each.value)
        ]
        names = _keys(group)
        is_done = bool(self._client.run("alert", names, [len(before), *words]))
        if is_done:
            self._client.note_written(names[0])
        return is_done


def _keys(group: GroupConfig) -> list[str]:
    """Returns the keys of a group. A split group has them in its first shard."""
    prefix = group.shard(0).prefix
    return [keys.alerts(prefix), keys.notifications(prefix)]
