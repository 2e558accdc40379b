"""Numbers as all formats write them."""

from __future__ import annotations


def plain(value: float) -> float | int:
    """Returns a whole number as int, any other number unchanged."""
    return int(value) if value == int(value) else value


def thousandths(value: int) -> str:
    """Returns a whole number divided by 1000, as exact text; for example milliseconds as seconds."""
    return f"{value // 1000}.{value % 1000:03}".rstrip("0").rstrip(".")


def plain_or_none(value: float | None) -> float | int | None:
    """Returns `plain(value)`, or None for None."""
    return None if value is None else plain(value)
