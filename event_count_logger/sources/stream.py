"""Counts the records of a stream that can be read again, each exactly once."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, TypeAlias

from event_count_logger.admission import Admission
from event_count_logger.counters.hot import LARGEST
from event_count_logger.sources.source import Source

#: Where a record is in its stream.
Position: TypeAlias = int | str

#: The records themselves, or a function that gives those after a position ('' for all).
Records: TypeAlias = Iterable[Any] | Callable[[str], Iterable[Any]]

#: Records in one commit: more make fewer commits, fewer make them known sooner.
DEFAULT_BATCH_SIZE = 1000

#: Seconds after which records are committed though there could be more in the batch.
_LONGEST_WAIT_S = 1.0

_NUMBER = re.compile("([0-9]+)")


class Fields:
    """How the three things that matter are found in a record."""

    def __init__(
        self,
        position: Callable[[Any], Position] | None = None,
        key: Callable[[Any], str] | None = None,
        count: Callable[[Any], int] | None = None,
    ) -> None:
        """Each is a function of the record; a record is (position, event, count) where they are not given."""
        self.position = position or itemgetter(0)
        self.key = key or itemgetter(1)
        self.count = count or itemgetter(2)


class Consumer:
    """Takes a stream to the counters of a group, batch by batch."""

    def __init__(
        self,
        source: Source,
        admission: Admission,
        fields: Fields,
        batch_size: int = DEFAULT_BATCH_SIZE,
        committed: Callable[[str], object] | None = None,
    ) -> None:
        """`committed` is called with each position that Redis has confirmed."""
        self._source = source
        self._admission = admission
        self._fields = fields
        self._batch_size = batch_size
        self._committed = committed
        self._batch: dict[str, int] = {}
        self._n_records = 0
        self._last: Position | None = None  # position of the last record, counted or not
        self._begun = 0.0

    def run(self, records: Records) -> str:
        """Count all records after the last confirmed position; returns the one that is confirmed then.

        Raises:
            See `EventGroup.consume`.
        """
        position = self._source.load()
        counted = _order(position) if position else None
        for record in records(position) if callable(records) else records:
            if record is None:
                self._commit()
                continue
            at = _checked_position(self._fields.position(record))
            if counted is None or _order(at) > counted:
                self._add(at, record)
        self._commit()
        return self._source.position

    def _add(self, at: Position, record: Any) -> None:
        event_id, count = self._fields.key(record), _checked_count(self._fields.count(record), at)
        if at != self._last:
            if self._last is not None and _order(at) < _order(self._last):
                raise ValueError(f"position {at!r} comes after {self._last!r}: positions must not go back")
            if self._is_full():
                self._commit()
            self._last = at
        elif not self._n_records:
            raise ValueError(f"position {at!r} comes again after it was committed")
        if not self._n_records:
            self._begun = time.monotonic()
        self._n_records += 1
        counted_as = self._admission.counted_as(event_id) if count else None
        if counted_as is not None:
            self._batch[counted_as] = self._batch.get(counted_as, 0) + count

    def _is_full(self) -> bool:
        return self._n_records >= self._batch_size or (
            self._n_records > 0 and time.monotonic() - self._begun >= _LONGEST_WAIT_S
        )

    def _commit(self) -> None:
        if self._n_records:
            self._source.commit(str(self._last), self._batch)
            self._batch, self._n_records = {}, 0
            if self._committed:
                self._committed(self._source.position)


def _checked_position(position: object) -> Position:
    if isinstance(position, bool) or not isinstance(position, int | str):
        raise TypeError(f"a position must be an integer or a string, not {position!r}")
    if position == "" or (isinstance(position, int) and position < 0):
        raise ValueError(f"a position must not be empty or negative, as {position!r} is")
    return position


def _checked_count(count: object, at: Position) -> int:
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"the count at position {at!r} must be an integer, not {count!r}")
    if not 0 <= count <= LARGEST:
        raise ValueError(f"the count at position {at!r} must be from 0 to 2^63-1, not {count}")
    return count


def _order(position: Position) -> list[str | int]:
    """Positions in order: numbers in them count as numbers, as in '1764-9' before '1764-10'."""
    return [int(part) if part.isdecimal() else part for part in _NUMBER.split(str(position))]
