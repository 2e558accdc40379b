"""The records of a chunk on their way from lines to rows: each format makes other records of them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import compress
from operator import not_
from typing import NamedTuple

from event_count_logger.sources.tail.rules.rows import Column, Columns

_NOT_SLOW: Mapping[int, str] = {}


class Records(NamedTuple):
    """Records of a chunk.

    Attributes:
        texts: Text of each record, which patterns are searched in.
        columns: Returns the values of a name.
        n_malformed: Lines that are not of their format, and not among the records.
        malformed: The first of them; '' for none.
        too_slow: Records that took too long for a pattern, with its name, by number.
    """

    texts: Sequence[str]
    columns: Columns
    n_malformed: int = 0
    malformed: str = ""
    too_slow: Mapping[int, str] = _NOT_SLOW

    def with_fields(
        self, fields: Sequence[object], texts: Sequence[str], columns: Columns, headers: Container[str] = ()
    ) -> Records:
        """Returns those records that have fields; the others are malformed.

        Args:
            fields: One object per record, false if it has no fields.
            texts: Texts of the records with fields.
            columns: Values from the fields. Where there is none, the value of the record holds.
            headers: Texts that have no fields, and are not malformed.
        """
        if len(texts) == len(fields):
            return self._replace(texts=texts, columns=inner_first(columns, self.columns))
        dropped = compress(self.texts, map(not_, fields))
        malformed = [text for text in dropped if text not in headers]
        return Records(
            texts,
            inner_first(columns, selected(self.columns, fields)),
            self.n_malformed + len(malformed),
            self.malformed or next(iter(malformed), ""),
        )


#: Makes records of another format of records.
Stage = Callable[[Records], Records]


def selected(columns: Columns, is_selected: Sequence[object]) -> Columns:
    """Returns the columns of some records."""
    return lambda name: list(compress(columns(name), is_selected))


def inner_first(inner: Columns, outer: Columns) -> Columns:
    """Returns columns with the values of `outer` where `inner` has none."""

    def column(name: str) -> Column:
        values = inner(name)
        if None not in values:
            return values
        pairs = zip(values, outer(name), strict=True)
        return [other if value is None else value for value, other in pairs]

    return column


def constant_columns(values: Mapping[str, str], n: int) -> Columns:
    """Returns columns in which all `n` records have the same values, by name."""
    return lambda name: [values.get(name)] * n


def without_surrogates(texts: Sequence[str]) -> Sequence[str]:
    r"""Returns texts with U+FFFD in place of half characters, such as `\ud83d` in JSON."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return list(map(_without_surrogates, texts))
    return texts


def column_of(values: Iterable[str | None]) -> Column:
    """Returns values as a column, with U+FFFD in place of half characters."""
    column = list(values)
    try:
        "".join(filter(None, column)).encode()
    except UnicodeEncodeError:
        return [value if value is None else _without_surrogates(value) for value in column]
    return column


def _without_surrogates(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
