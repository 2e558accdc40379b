"""Records of log files, and the values that names have in them, column by column.

Rules work on many records at once, because that is several times as fast as one by one:

    records   text                      found by rule 0     rows of rule 0   column("status")
    -------   -----------------------   -----------------   --------------   ----------------
    0         "GET /a HTTP/1.1" 200 5   match               record 0         200
    1         server started            None
    2         "GET /b HTTP/1.1" 404 7   match               record 2         404

A rule selects rows of the rows that it is given. Nested rules select rows of these, and see their columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import compress
from operator import itemgetter
from re import Match, Pattern
from typing import Any, TypeVar

_T = TypeVar("_T")

#: The value of a name in each row; None where the name has no value.
Column = Sequence[str | None]

#: Returns the column of a name, for all records of a chunk.
Columns = Callable[[str], Column]

_NO_GROUPS: Mapping[str, int] = {}

#: Rows selected from others, these from others, and so on. Many would exceed the recursion limit of Python.
_MOST_LAYERS = 50


class Rows:
    """Some records of a chunk.

    Attributes:
        texts: Text of each record.
        numbers: Number of each record in the chunk.
        n_layers: Number of selections, one from another, that made these rows.
    """

    n_layers = 0

    def __init__(self, texts: Sequence[str], columns: Columns) -> None:
        """Takes all records of a chunk; `select` returns some of them.

        Args:
            texts: Text of each record, which patterns are searched in.
            columns: Values that no pattern has captured, such as fields of JSON.
        """
        self.texts = texts
        self.numbers: Sequence[int] = range(len(texts))
        self._columns = columns
        self._known: dict[str, Column] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    def column(self, name: str) -> Column:
        """Returns the value of a name in each row."""
        if name not in self._known:
            self._known[name] = self._columns(name)
        return self._known[name]

    def tuples(self, names: Sequence[str]) -> Iterable[tuple[str | None, ...]]:
        """Returns the values of some names, one tuple per row."""
        return zip(*map(self.column, names), strict=True)

    def select(self, found: Sequence[object], pattern: Pattern[str] | None = None) -> Rows:
        """Returns the rows for which `found` is true.

        Args:
            found: One object per row; with a pattern, its match or None.
            pattern: Pattern whose groups are columns of the new rows.
        """
        return _SelectedRows(self, found, pattern.groupindex if pattern else _NO_GROUPS)


class _SelectedRows(Rows):
    """Rows selected from others; computed when they are needed."""

    def __init__(self, outer: Rows, found: Sequence[object], groups: Mapping[str, int]) -> None:
        self._outer = outer
        self._found = found
        self._groups = groups
        self._known = {}
        self.n_layers = outer.n_layers + 1

    def __len__(self) -> int:
        return len(self._selected)

    def select(self, found: Sequence[object], pattern: Pattern[str] | None = None) -> Rows:
        """Returns the rows for which `found` is true."""
        has_groups = bool(self._groups or (pattern and pattern.groupindex))
        if has_groups or self.n_layers < _MOST_LAYERS:
            return super().select(found, pattern)
        each_found = iter(found)
        return self._outer.select([each and next(each_found) for each in self._found])

    @cached_property
    def _selected(self) -> Sequence[Any]:
        """The objects of `found` in the selected rows: with a pattern, their matches."""
        return list(filter(None, self._found))

    @cached_property
    def numbers(self) -> Sequence[int]:  # type: ignore[override]
        """The numbers of the records in their chunk."""
        return self._narrowed(self._outer.numbers)

    @cached_property
    def texts(self) -> Sequence[str]:  # type: ignore[override]
        """The texts of the records."""
        return self._narrowed(self._outer.texts)

    def column(self, name: str) -> Column:
        """Returns the value of a name in each row: as captured here, or as in the rows selected from."""
        if name not in self._known:
            group = self._groups.get(name)
            self._known[name] = (
                self._narrowed(self._outer.column(name)) if group is None else self._captured(group)
            )
        return self._known[name]

    def tuples(self, names: Sequence[str]) -> Iterable[tuple[str | None, ...]]:
        """Returns the values of some names, one tuple per row."""
        groups = [self._groups[name] for name in names if name in self._groups]
        if 1 < len(groups) == len(names):  # one step, faster than two columns
            return map(itemgetter(*groups), self._selected)
        return super().tuples(names)

    def _captured(self, group: int) -> Column:
        matches: Sequence[Match[str]] = self._selected
        return list(map(itemgetter(group), matches))

    def _narrowed(self, values: Sequence[_T]) -> Sequence[_T]:
        return list(compress(values, self._found))
