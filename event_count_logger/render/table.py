"""Tables of plain text."""

from __future__ import annotations

from collections.abc import Sequence


def render(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as they need to be, two spaces in; numbers to the right, all else to the left."""
    columns = [_column([name, *values]) for name, *values in zip(header, *rows, strict=True)]
    return "".join(f"  {'  '.join(cells).rstrip()}\n" for cells in zip(*columns, strict=True))


def _column(values: Sequence[object]) -> list[str]:
    width = max(len(str(value)) for value in values)
    numeric = any(isinstance(value, int) for value in values)
    return [str(value).rjust(width) if numeric else str(value).ljust(width) for value in values]
