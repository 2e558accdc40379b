"""Numbers as they are written in all formats."""

from __future__ import annotations


def plain(value: float) -> float | int:
    """The same number, without a point if it is a whole one."""
    return int(value) if value == int(value) else value


def thousandths(value: int) -> str:
    """A thousandth of a whole number of any size, exactly, such as milliseconds in seconds."""
    return f"{value // 1000}.{value % 1000:03}".rstrip("0").rstrip(".")


def plain_or_none(value: float | None) -> float | int | None:
    """The same, where there may be no number."""
    return None if value is None else plain(value)
