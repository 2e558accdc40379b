"""The overview as JSON, with a revision for each part, so that clients get only the parts that have changed.

A revision is an epoch, which begins with the process, and a number, which grows with each change. Each part
has the number of its last change. The difference to an earlier revision consists of all parts with a greater
number. No message has to be kept for a client.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

#: Most events that are kept for clients with the same revision.
_MOST_EVENTS = 100


class RowText(NamedTuple):
    """A row as JSON.

    Attributes:
        name: Name of the group.
        figures: All fields but the trend, without the closing brace.
        trend: The trend.
    """

    name: str
    figures: str
    trend: str

    @property
    def whole(self) -> str:
        """The row with its trend."""
        return f'{self.figures},"trend":{self.trend}}}'

    @property
    def without_trend(self) -> str:
        """The row without its trend."""
        return f"{self.figures}}}"


@dataclass(frozen=True, slots=True)
class State:
    """The overview at one time.

    Attributes:
        now: Unix seconds.
        has_master: True if any master is alive.
        rows: All rows, in their order.
    """

    now: float
    has_master: bool
    rows: Sequence[RowText]


class _Numbers(NamedTuple):
    """The numbers of the last changes of a row."""

    figures: int
    trend: int


class Revisions:
    """The newest state, and the numbers of the last changes of its parts."""

    def __init__(self) -> None:
        self._epoch = secrets.token_hex(4)
        self._number = 0
        self._state = State(0.0, False, ())
        self._numbers: dict[str, _Numbers] = {}
        self._order_number = 0
        self._removed: dict[str, int] = {}
        self._events: dict[int | None, bytes] = {}

    @property
    def number(self) -> int:
        """The number of the newest revision."""
        return self._number

    @property
    def id(self) -> str:
        """The newest revision."""
        return f"{self._epoch}-{self._number}"

    def parse(self, revision: str | None) -> int | None:
        """Returns the number of a revision; None for that of another process, or none at all."""
        epoch, _, number = (revision or "").partition("-")
        is_known = epoch == self._epoch and number.isdecimal() and len(number) < 20
        return int(number) if is_known and int(number) <= self._number else None

    def update(self, state: State, is_news: bool = False) -> bool:
        """Take another state; returns whether that makes a revision. With `is_news` it always does."""
        before, self._state = self._state, state
        next_number = self._number + 1
        known = {row.name: row for row in before.rows}
        numbers = {row.name: self._numbers_of(row, known.get(row.name), next_number) for row in state.rows}
        is_reordered = [*known] != [*numbers]
        is_same = not is_reordered and before.has_master == state.has_master and numbers == self._numbers
        if is_same and not is_news:
            return False
        gone = dict.fromkeys(known.keys() - numbers.keys(), next_number)
        self._removed = {name: at for name, at in (self._removed | gone).items() if name not in numbers}
        self._number, self._numbers, self._events = next_number, numbers, {}
        self._order_number = next_number if is_reordered else self._order_number
        return True

    def _numbers_of(self, row: RowText, before: RowText | None, next_number: int) -> _Numbers:
        if before is None:
            return _Numbers(next_number, next_number)
        numbers = self._numbers[row.name]
        return _Numbers(
            numbers.figures if before.figures == row.figures else next_number,
            numbers.trend if before.trend == row.trend else next_number,
        )

    def whole(self, version: str) -> bytes:
        """Returns the whole overview."""
        state = self._state
        head = {"now": state.now, "version": version, "revision": self.id, "master_alive": state.has_master}
        return f'{to_json(head)[:-1]},"groups":[{",".join(row.whole for row in state.rows)}]}}'.encode()

    def event_since(self, number: int | None) -> bytes:
        """Returns the event of a stream with the changes after a revision, or with everything for None.

        Clients with the same revision share the event.
        """
        event = self._events.get(number)
        if event is None:
            if len(self._events) >= _MOST_EVENTS:
                self._events.clear()
            data = self._changes(-1 if number is None else number)
            event = self._events[number] = f"event: overview\nid: {self.id}\ndata: {data}\n\n".encode()
        return event

    def _changes(self, number: int) -> str:
        state = self._state
        rows = [
            row.whole if self._numbers[row.name].trend > number else row.without_trend
            for row in state.rows
            if max(self._numbers[row.name]) > number
        ]
        head: dict[str, Any] = {"now": state.now, "revision": self.id, "master_alive": state.has_master}
        tail: dict[str, Any] = {"removed": [name for name, at in self._removed.items() if at > number]}
        if self._order_number > number:
            tail = {"order": [row.name for row in state.rows], **tail}
        return f'{to_json(head)[:-1]},"groups":[{",".join(rows)}],{to_json(tail)[1:]}'


def to_json(value: Any) -> str:
    """Returns compact JSON."""
    return json.dumps(value, separators=(",", ":"))
