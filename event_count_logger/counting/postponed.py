"""Files that recovery could not finish, each with the time of the next attempt."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

_T = TypeVar("_T")

#: Path and inode: a new file under an old name is not postponed.
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Entry(Generic[_T]):
    finding: _T
    wait_s: float
    until: float


class Postponed(Generic[_T]):
    """Findings about files until their next attempt (exponential backoff). Threads may share it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: dict[Key, _Entry[_T]] = {}

    def get(self, key: Key) -> _T | None:
        """Returns the finding about a file; None if an attempt is due."""
        entry = self._entries.get(key)
        return entry.finding if entry and self._clock() < entry.until else None

    def put(self, key: Key, finding: _T, first_s: float, longest_s: float) -> None:
        """Postpone a file by `first_s`, and by twice as long each further time, up to `longest_s`."""
        before = self._entries.get(key)
        wait_s = min(2 * before.wait_s if before else first_s, longest_s)
        self._entries[key] = _Entry(finding, wait_s, self._clock() + wait_s)

    def forget_all_but(self, keys: Collection[Key]) -> None:
        """Forget all files except these: the others are gone."""
        for key in tuple(self._entries):  # another thread may add one meanwhile
            if key not in keys:
                self._entries.pop(key, None)
