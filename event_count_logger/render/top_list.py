"""The list of groups on the screen of `ecl top`: one row for each, those with problems first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from event_count_logger.alerts.overview import Row
from event_count_logger.alerts.status import AlertStatus
from event_count_logger.config import GroupConfig
from event_count_logger.logs import counted
from event_count_logger.reading.overview_reader import GroupFigures
from event_count_logger.render import top_alerts
from event_count_logger.render.alerts import reason
from event_count_logger.render.event_table import fitted, sparkline
from event_count_logger.render.phrases import NO_VALUE, change, count, duration, printable
from event_count_logger.top.sample import TREND_LENGTH, Listing

#: Columns before the state.
_COLUMNS = ("group", "interval", "trend", "last", "change", "current")

#: Columns dropped from a narrow window, in this order; "" drops none. The next one is dropped as long as the
#: states lack room for so many characters.
_DROPPED = {"": 44, "trend": 44, "interval": 24, "current": 24, "last": 14}

#: Characters that a long state keeps beside a long name.
_CUT_STATE = 24

#: Characters of the names that a column is dropped for, and most characters of the names.
_NARROW_NAME, _WIDEST_NAME = 12, 40


@dataclass(frozen=True, slots=True)
class _Cells:
    """A row as text: the columns by name, and the state with its style."""

    columns: dict[str, str]
    state: str
    style: str


def name_of(group: GroupConfig) -> str:
    """Returns the title and the name of a group."""
    return printable(f"{group.title} ({group.name})" if group.title else group.name)


def lines(listing: Listing, chosen: int, n_rows: int, width: int) -> list[Text]:
    """Returns the lines: number of groups, names of the columns, rows.

    Args:
        listing: The groups.
        chosen: Number of the chosen row, which is in sight.
        n_rows: Number of rows that fit.
        width: Width of the window.
    """
    overview = listing.overview
    rows = [_cells(row, overview.now) for row in overview.rows]
    widths = _widths(rows, width)
    first = max(0, chosen - n_rows + 1)
    shown = [_line(row, widths, at == chosen) for at, row in enumerate(rows)][first:]
    n_problems = sum(row.problem is not None for row in overview.rows)
    problems = f" · {n_problems} with problems" if n_problems else ""
    head = _joined(dict(zip(_COLUMNS, _COLUMNS, strict=True)), widths)
    return [Text(f" {counted(len(rows), 'group')}{problems}", "dim"), Text(f"{head}  state", "bold"), *shown]


def _cells(row: Row, now: float) -> _Cells:
    columns = {"group": name_of(row.group), "interval": row.group.intervals[0].name}
    state, style = _state(row, now)
    return _Cells({**columns, **_numbers(row.figures)}, state, style)


def _numbers(figures: GroupFigures | None) -> dict[str, str]:
    if figures is None:
        return dict.fromkeys(("last", "change", "current"), NO_VALUE) | {"trend": ""}
    found = figures.change
    return {
        "trend": sparkline(figures.trend.counts[-TREND_LENGTH:]),
        "last": count(figures.last.sum) if figures.last else NO_VALUE,
        "change": change(found) if found else NO_VALUE,
        "current": count(figures.current.sum) if figures.current else NO_VALUE,
    }


def _state(row: Row, now: float) -> tuple[str, str]:
    """Returns the problems of a group in words, the worst first, and the style of that."""
    found = [(_alerts(row.firing, now), top_alerts.MARK[row.firing[0].rule.severity])] if row.firing else []
    figures = row.figures
    if figures is None:
        found.append(("unavailable: Redis rejects the read", "bold red"))
    elif figures.is_overdue:
        found.append((f"STALE: overdue by {duration(figures.overdue_s or 0)}", "bold red"))
    if figures and not figures.has_master:
        found.append(("no master heartbeat", "yellow"))
    if found:
        return "; ".join(text for text, _ in found), found[0][1]
    return ("nothing counted yet", "yellow") if figures and not figures.current else ("in time", "green")


def _alerts(firing: Sequence[AlertStatus], now: float) -> str:
    """Returns the first alert with its reason, and the names of the others."""
    first, *others = firing
    since = f", for {duration(max(0.0, now - first.since))}" if first.since is not None else ""
    also = f"; also {', '.join(alert.rule.name for alert in others)}" if others else ""
    return printable(f"{first.rule.severity.upper()} {first.rule.name}: {reason(first)}{since}{also}")


def _widths(rows: Sequence[_Cells], width: int) -> dict[str, int]:
    """Returns the widths of the columns that fit beside the states."""
    widths = {name: max(len(name), *(cell_len(row.columns[name]) for row in rows)) for name in _COLUMNS}
    widths["group"] = min(widths["group"], _WIDEST_NAME)
    longest_state = max(cell_len(row.state) for row in rows)
    for dropped, most in _DROPPED.items():
        widths.pop(dropped, None)
        others = sum(each + 2 for name, each in widths.items() if name != "group")
        left = width - 3 - others - min(longest_state, most)
        if left >= min(widths["group"], _NARROW_NAME):
            break
    left += max(0, min(longest_state, most) - _CUT_STATE)
    return {**widths, "group": max(1, min(widths["group"], left))}


def _line(row: _Cells, widths: dict[str, int], is_chosen: bool) -> Text:
    return Text.assemble(
        (_joined(row.columns, widths), "reverse" if is_chosen else ""), "  ", (row.state, row.style)
    )


def _joined(cells: dict[str, str], widths: dict[str, int]) -> str:
    """Returns a row with names and trends aligned left, and numbers aligned right."""
    padded = [
        fitted(cells[name], width) if name in ("group", "interval", "trend") else cells[name].rjust(width)
        for name, width in widths.items()
    ]
    return f" {'  '.join(padded)}"
