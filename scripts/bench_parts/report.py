"""Tables, targets and sections of the report, as text and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench_parts.processes import SHORTEST_BLOCKED_MS


@dataclass(frozen=True)
class Table:
    """A table whose first column has names. The other columns have numbers."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def text(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        aligned = [
            [cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(pairs)]
            for pairs in (tuple(zip(line, widths, strict=True)) for line in lines)
        ]
        return "\n".join("  ".join(line).rstrip() for line in aligned)

    def markdown(self) -> str:
        ruler = ("---", *["---:"] * (len(self.columns) - 1))
        return "\n".join("| " + " | ".join(line) + " |" for line in (self.columns, ruler, *self.rows))


@dataclass(frozen=True)
class Target:
    """A limit for one measured value. The value is None if it was not measured."""

    what: str
    value: float | None
    limit: float
    unit: str
    at_most: bool

    @property
    def met(self) -> bool:
        return self.value is not None and (
            self.value <= self.limit if self.at_most else self.value >= self.limit
        )

    def row(self) -> tuple[str, str, str, str]:
        sign = "<=" if self.at_most else ">="
        verdict = "not measured" if self.value is None else "met" if self.met else "NOT met"
        measured = "" if self.value is None else f"{number(self.value)} {self.unit}".strip()
        return self.what, f"{sign} {self.limit:g} {self.unit}".strip(), measured, verdict


def at_most(what: str, value: float | None, limit: float, unit: str = "") -> Target:
    return Target(what, value, limit, unit, True)


def at_least(what: str, value: float | None, limit: float, unit: str = "x") -> Target:
    return Target(what, value, limit, unit, False)


@dataclass(frozen=True)
class Section:
    """One part of the report. Its text describes the measurement."""

    title: str
    text: str
    tables: Sequence[Table]
    targets: Sequence[Target] = field(default=())


def targets_section(sections: Sequence[Section]) -> Section:
    targets = [target for section in sections for target in section.targets]
    rows = [target.row() for target in targets]
    text = "The targets of this library, and the results of this run."
    return Section("Targets", text, [Table(("", "target", "measured", ""), rows)])


def number(value: float) -> str:
    """Returns a number with about three digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def blocked(values: Sequence[float], of: Callable[[Sequence[float]], float] = median) -> str:
    """Returns the median, or another summary, of the times for which the server was blocked."""
    if not values:
        return ""
    return number(of(values)) if of(values) >= SHORTEST_BLOCKED_MS else f"< {SHORTEST_BLOCKED_MS:g}"


def middle(values: Sequence[float]) -> str:
    return number(median(values)) if values else ""
