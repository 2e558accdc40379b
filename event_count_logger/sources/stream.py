"""A consumer of a stream that can be read again: it counts each record exactly once."""

from __future__ import annotations

import operator
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

from event_count_logger import keys
from event_count_logger.counting.admission import Admission
from event_count_logger.counting.validation import checked_event
from event_count_logger.errors import SourceMoved

#: Position of a record in its stream.
Position: TypeAlias = int | str

#: Records, or a function that returns those after a position ('' for all).
Records: TypeAlias = Iterable[Any] | Callable[[str], Iterable[Any]]

#: Records in one commit. More records mean fewer commits, fewer records mean less delay.
DEFAULT_BATCH_SIZE = 1000

#: Seconds after which a batch is committed even if it has room for more records.
_LONGEST_WAIT_S = 1.0

_NUMBER = re.compile("([0-9]+)")


class PositionedSource(Protocol):
    """A source that a `Consumer` commits to; see `Source`.

    Attributes:
        position: Last confirmed position; '' for the beginning.
    """

    position: str

    def load(self) -> str:
        """Read the stored position and return it."""

    def commit(self, next: str, batch: Mapping[str, int]) -> None:
        """Commit a batch and the next position, exactly once."""


class Fields:
    """Functions that read position, event and count from a record."""

    def __init__(
        self,
        position: Callable[[Any], Position] | None = None,
        key: Callable[[Any], str] | None = None,
        count: Callable[[Any], int] | None = None,
    ) -> None:
        """Each argument is a function of the record; its default reads the tuple (position, event, count)."""
        self.position = position or _item(0, "position")
        self.key = key or _item(1, "key")
        self.count = count or _item(2, "count")


class Consumer:
    """Counts the records of a stream in a group, batch by batch."""

    def __init__(
        self,
        source: PositionedSource,
        admission: Admission,
        fields: Fields,
        batch_size: int = DEFAULT_BATCH_SIZE,
        committed: Callable[[str], object] | None = None,
    ) -> None:
        """`committed` is called with each position that Redis confirms."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self._source = source
        self._admission = admission
        self._fields = fields
        self._batch_size = batch_size
        self._committed = committed
        self._batch: dict[str, int] = {}
        self._n_records = 0
        self._batch_started_at = 0.0
        self._last: Position = ""  # position of the last record, counted or not
        self._last_order = _order(self._last)

    def run(self, records: Records) -> str:
        """Count all records after the last confirmed position; return the new one.

        Raises:
            See `EventGroup.consume`.
        """
        while True:
            try:
                return self._read(records)
            except SourceMoved as error:
                if not (callable(records) and _order(error.stored) < _order(self._source.position)):
                    raise
                self._admission.warn_once(
                    f"{error}",
                    f"{error}: Redis has lost data; reading again from there, no counts lost",
                )
                self._batch, self._n_records, self._last = {}, 0, ""
                self._last_order = _order("")

    def _read(self, records: Records) -> str:
        position = self._source.load()
        counted = _order(position)
        for record in records(position) if callable(records) else records:
            if record is None:
                self._commit()
                continue
            self._advance(_checked_position(self._fields.position(record)))
            if self._last_order > counted:
                self._add(self._fields.key(record), self._fields.count(record))
        self._commit()
        return self._source.position

    def _advance(self, position: Position) -> None:
        """Go to the position of the next record, and commit the records before it if the batch is full."""
        order = _order(position)
        if order < self._last_order:
            raise ValueError(f"position {position!r} comes after {self._last!r}: positions must not go back")
        if order > self._last_order and self._is_full():
            self._commit()
        self._last, self._last_order = position, order

    def _add(self, key: object, count: object) -> None:
        if str(self._last) == self._source.position:
            raise ValueError(f"position {self._last!r} is repeated after its commit")
        try:
            event_id, n = checked_event(key, count)
            counted_as = self._admission.counted_as(event_id) if n else None
        except (TypeError, ValueError) as error:
            raise type(error)(f"position {self._last!r}: {error}") from error
        if counted_as is not None:
            self._batch[counted_as] = self._batch.get(counted_as, 0) + n
        if not self._n_records:
            self._batch_started_at = time.monotonic()
        self._n_records += 1

    def _is_full(self) -> bool:
        waited_s = time.monotonic() - self._batch_started_at
        return self._n_records >= self._batch_size or waited_s >= _LONGEST_WAIT_S

    def _commit(self) -> None:
        if self._n_records:
            self._source.commit(str(self._last), self._batch)
            self._batch, self._n_records = {}, 0
            if self._committed:
                self._committed(self._source.position)


def _item(index: int, name: str) -> Callable[[Any], Any]:
    def find(record: Any) -> Any:
        try:
            return record[index]
        except (TypeError, LookupError) as error:
            raise TypeError(
                f"{record!r} is not (position, event, count): give a function for its {name}"
            ) from error

    return find


def _checked_position(position: object) -> Position:
    if isinstance(position, str):
        fault = keys.id_fault(position)
        if fault:
            raise ValueError(f"{position!r} is not a position: it {fault}")
        return str.__str__(position)
    try:
        number = operator.index(position)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(position, bool):
        raise TypeError(f"a position must be an integer or a string, not {position!r}")
    if number < 0:
        raise ValueError(f"a position must not be negative, as {number} is")
    return number


def _order(position: Position) -> list[str | int]:
    """Returns a sort key in which numbers count as numbers: '1764-9' is before '1764-10'."""
    texts = _NUMBER.split(str(position))
    return [int(part) if place % 2 else part for place, part in enumerate(texts)]
