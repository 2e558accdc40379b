"""The table of a group's events for `ecl top`: numbers, trends and bars, fitted into a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from event_count_logger.render.phrases import NO_VALUE, change, count, printable, rate
from event_count_logger.top.sample import TREND_LENGTH, Sample, Target
from event_count_logger.top.view import COLUMNS, View, column, sortable

#: Widths in characters.
_GAP, _NARROWEST_EVENT, _NARROWEST_NUMBER, _NARROWEST_BAR, _WIDE_BAR = 2, 12, 7, 8, 24

#: Heights from 0 to the largest rate. The full block is left out, so that rows do not touch.
_TREND = "▁▂▃▄▅▆▇"

_TITLES = {"rate": "rate/s"}


class EventTable:
    """The visible rows: as many columns as fit, and bars in the rest of the width."""

    def __init__(self, view: View, target: Target, sample: Sample, events: Sequence[str], width: int) -> None:
        self._view = view
        self._target = target
        self._comparison = sample.comparison
        self._labels = {event_id: _label(target, event_id) for event_id in events}
        self._values = {name: column(sample, name) for name in COLUMNS[1:]}
        self._cells = {name: self._formatted(name, events) for name in _columns(view, target, sample)}
        self._trend = sample.trend
        self._measure(width)

    def _formatted(self, name: str, events: Sequence[str]) -> dict[str, str]:
        values = self._values[name]
        if values is None:
            return dict.fromkeys(events, NO_VALUE)
        if name == "change" and self._comparison:
            return {event_id: change(self._comparison.change(event_id)) for event_id in events}
        write = rate if name == "rate" else count
        return {event_id: write(values.get(event_id, 0)) for event_id in events}

    def _measure(self, width: int) -> None:
        """Drop columns that do not fit, the least important first; share the rest among events and bars."""
        self._widths = self._wanted_widths()
        longest = max(map(cell_len, self._labels.values()), default=0)
        for name in ("trend", "total", "last", "rate", "change"):
            if self._left_of(width) < min(longest, _NARROWEST_EVENT):
                self._widths.pop(name, None)
        left = self._left_of(width)
        wanted = max(longest, len("event ▲"))
        self._event_width = max(1, min(wanted, max(_NARROWEST_EVENT, left - _WIDE_BAR), left))
        self._bar_width = left - self._event_width - _GAP

    def _wanted_widths(self) -> dict[str, int]:
        widths = {
            name: max(_NARROWEST_NUMBER, len(_heading(self._view, name)), *map(len, cells.values()))
            for name, cells in self._cells.items()
            if cells
        }
        return {**widths, "trend": TREND_LENGTH} if self._trend else widths

    def _left_of(self, width: int) -> int:
        return width - 1 - sum(each + _GAP for each in self._widths.values())

    def header(self) -> Text:
        """Returns the line of column names."""
        line = Text(" ")
        line.append(fitted(_heading(self._view, "event"), self._event_width), self._heading_style("event"))
        for name, width in self._widths.items():
            heading = _heading(self._view, name)
            padded = heading.ljust(width) if name == "trend" else heading.rjust(width)
            line.append(" " * _GAP).append(padded, self._heading_style(name))
        return line

    def _heading_style(self, name: str) -> str:
        return "bold cyan" if name == self._view.sort else "bold"

    def row(self, event_id: str) -> Text:
        """Returns the line of one event."""
        line = Text(" ")
        line.append(fitted(self._labels[event_id], self._event_width))
        for name, width in self._widths.items():
            line.append(" " * _GAP)
            if name == "trend":
                line.append(_trend(event_id, self._trend), "blue")
            else:
                cell = self._cells[name][event_id]
                line.append(cell.rjust(width), "dim" if cell in (NO_VALUE, "0") else _STYLES.get(name, ""))
        if self._bar_width >= _NARROWEST_BAR:
            line.append(" " * _GAP).append(self._bar(event_id), "cyan")
        return line

    def _bar(self, event_id: str) -> str:
        values = self._values["rate" if self._view.sort == "event" else self._view.sort] or {}
        largest = max((values[id] for id in self._target.group.addable(values)), default=0)
        return bar(values.get(event_id, 0) / largest, self._bar_width) if largest else ""


def _columns(view: View, target: Target, sample: Sample) -> Sequence[str]:
    """Returns the columns of numbers; `change` only with a comparison, or if it sorts the rows."""
    is_compared = sample.comparison is not None or view.sort == "change"
    return [name for name in sortable(target)[1:] if name != "change" or is_compared]


_STYLES = {"rate": "bold", "current": "green"}


def _heading(view: View, name: str) -> str:
    title = _TITLES.get(name, name)
    if name != view.sort:
        return title
    return f"{title} {'▲' if (name == 'event') != view.reverse else '▼'}"


def _label(target: Target, event_id: str) -> str:
    return printable(target.group.labels.get(event_id, event_id))


def bar(part: float, width: int) -> str:
    """Returns a bar over a part (0 to 1) of the width; any part above 0 is visible."""
    halves = max(round(part * width * 2), 1 if part else 0)
    return "━" * (halves // 2) + "╸" * (halves % 2)


def _trend(event_id: str, trend: Sequence[Mapping[str, float]]) -> str:
    """Returns a character per finished interval, the newest at the right; a space where there is none."""
    return sparkline([rates.get(event_id, 0) for rates in trend])


def sparkline(values: Sequence[float | None]) -> str:
    """Returns a character per value, the newest at the right; a space for None."""
    largest = max((value for value in values if value is not None), default=0) or 1
    return "".join(" " if value is None else _height(value / largest) for value in values).rjust(TREND_LENGTH)


def _height(part: float) -> str:
    return _TREND[1 + int(part * (len(_TREND) - 2))] if part else _TREND[0]


def shortened(text: str, width: int) -> str:
    """Returns the text, or as many of its words as fit before `…`."""
    if cell_len(text) <= width:
        return text
    words = text.split(" ")
    while len(words) > 1 and cell_len(" ".join(words)) > width - 2:
        words.pop()
    return fitted(f"{' '.join(words)} …", width).rstrip()


def parts_fitting(parts: Sequence[str], separator: str, width: int) -> str:
    """Returns as many parts of a line as fit, the first one shortened if necessary."""
    for n in range(len(parts), 1, -1):
        line = separator.join(parts[:n])
        if cell_len(line) <= width:
            return line
    return shortened(parts[0], width) if parts else ""


def fitted(text: str, width: int) -> str:
    """Returns the text padded to a width, or cut and ended by `…`."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "…" if width > 1 else set_cell_size(text, width)
