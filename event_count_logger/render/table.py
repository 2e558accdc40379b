"""Tables of plain text."""

from __future__ import annotations

from collections.abc import Sequence

from event_count_logger.render.phrases import printable


def render(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Returns a table indented by two spaces; numbers are aligned right, all else left."""
    columns = [_column([name, *values]) for name, *values in zip(header, *rows, strict=True)]
    return "".join(f"  {'  '.join(cells).rstrip()}\n" for cells in zip(*columns, strict=True))


def _column(values: Sequence[object]) -> list[str]:
    cells = [printable(str(value)) for value in values]
    width = max(map(len, cells))
    numeric = any(isinstance(value, int) for value in values)
    return [cell.rjust(width) if numeric else cell.ljust(width) for cell in cells]
