"""The screen of `ecl top`, as lines of text with styles: pure functions of what was read and of the view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from event_count_logger.reader import Snapshot
from event_count_logger.render.words import counted, duration, printable
from event_count_logger.status import OVERDUE_TOLERANCE_S
from event_count_logger.top.sample import TREND_LENGTH, Overview, Sample, Target
from event_count_logger.top.view import COLUMNS, View, column, sortable
from event_count_logger.top.watcher import Answer

#: Lines that are not rows: title, times, names of the columns, keys.
CHROME = 4

#: Stands for a value that is not there yet.
NOTHING_YET = "-"

#: Seconds that a read may take before it is said how old the values are.
_SLOW_S = 1.0

#: Seconds from which on the age of values is worth a word.
_OLD_S = 2.0

#: Characters.
_GAP, _NARROWEST_EVENT, _NARROWEST_NUMBER, _NARROWEST_BAR = 2, 12, 7, 8

_BARS = " ▏▎▍▌▋▊▉█"
_TREND = "▁▂▃▄▅▆▇█"

_TITLES = {"rate": "rate/s"}
_KEYS_OF_LIST = "q quit  ↑↓ choose  Enter open"
_KEYS_OF_GROUP = "q quit  / filter  ←→ sort by  r reverse  ↑↓ scroll  i interval  Tab next group  g groups"


@dataclass(frozen=True, slots=True)
class Size:
    """The window, in characters."""

    width: int
    height: int

    @property
    def rows(self) -> int:
        """For how many rows there is room."""
        return max(1, self.height - CHROME)


def screen(
    view: View, answer: Answer, events: Sequence[str], targets: Sequence[Target], size: Size, now: float
) -> list[Text]:
    """All lines.

    Args:
        view: What is looked at.
        answer: What was read of it.
        events: Those of the view, in its order.
        targets: All that can be looked at.
        size: Of the window.
        now: By the monotonic clock.
    """
    found = answer.found
    if isinstance(found, Sample) and view.target:
        times, names, *rows = _group(view, view.target, found, events, size)
    elif isinstance(found, Overview):
        times, names, *rows = _list(view, found, targets, size)
    else:
        times, names, *rows = Text("reading ..."), Text()
    filled = [*rows[: size.rows], *(Text() for _ in range(size.rows - len(rows)))]
    lines = [_title(view, answer, size, now), times, names, *filled, _footer(view)][: size.height]
    for line in lines:
        line.truncate(size.width, overflow="ellipsis")
    return lines


def _title(view: View, answer: Answer, size: Size, now: float) -> Text:
    words = "all groups"
    if view.target:
        words = (
            f"{printable(view.target.group.title or view.target.group.name)} · {view.target.interval.name}"
        )
    state, style = _state(answer, now)
    left = Text(f" {words} ", "bold reverse")
    right = Text(_fitted(state, max(0, size.width - left.cell_len - 1)).rstrip(), style)
    return Text.assemble(left, " " * max(1, size.width - left.cell_len - right.cell_len), right)


def _state(answer: Answer, now: float) -> tuple[str, str]:
    """How far what is shown can be trusted, in words, and their style."""
    found = answer.found
    if not found:
        return printable(answer.error or ""), "bold red"
    age_s = now - found.read_at
    if answer.error or now > answer.next_read_at + _SLOW_S:
        return f"{duration(age_s)} old: {printable(answer.error or 'Redis is slow')}", "bold red"
    words, style = ("", "green") if isinstance(found, Overview) else _freshness(found.current)
    if not found.has_master:
        style = style.replace("green", "yellow")
    parts = (words, "" if found.has_master else "no sign of a master", _age(age_s))
    return ", ".join(filter(None, parts)), style


def _age(age_s: float) -> str:
    return f"{duration(age_s)} old" if age_s >= _OLD_S else ""


def _freshness(snapshot: Snapshot) -> tuple[str, str]:
    if snapshot.overdue_s is None:
        return "nothing counted yet", "yellow"
    if snapshot.overdue_s > OVERDUE_TOLERANCE_S:
        return f"STALE: overdue by {duration(snapshot.overdue_s)}", "bold red"
    return "in time", "green"


# one group


def _group(view: View, target: Target, sample: Sample, events: Sequence[str], size: Size) -> list[Text]:
    first = max(0, min(view.first, len(events) - size.rows))
    visible = events[first : first + size.rows]
    table = _Table(view, target, sample, visible, size.width)
    shown = f"{first + 1} to {first + len(visible)} of " if len(visible) < len(events) else ""
    search = f" with '{printable(view.search)}'" if view.search else ""
    times = f" {shown}{counted(len(events), 'event')}{search} · {_times(target, sample)}"
    return [Text(times, "dim"), table.header(), *map(table.row, visible)]


def _times(target: Target, sample: Sample) -> str:
    running = f"running {_span(sample.current)} of {duration(target.interval.length_s)}"
    if sample.current.empty:
        return "nothing counted yet"
    if sample.last.empty:
        return f"{running} · none has finished yet: rates are of the running one"
    return f"{running} · rates are of the last one ({_span(sample.last)})"


def _span(snapshot: Snapshot) -> str:
    return "of unknown length" if snapshot.span_s is None else duration(snapshot.span_s)


class _Table:
    """The rows that can be seen: as many columns as fit, and bars in what is left of the width."""

    def __init__(self, view: View, target: Target, sample: Sample, events: Sequence[str], width: int) -> None:
        self._view = view
        self._labels = {event_id: _label(target, event_id) for event_id in events}
        self._values = {name: column(sample, name) for name in COLUMNS[1:]}
        self._cells = {name: self._formatted(name, events) for name in sortable(target)[1:]}
        self._trend = sample.trend
        self._measure(width)

    def _formatted(self, name: str, events: Sequence[str]) -> dict[str, str]:
        values = self._values[name]
        write = _rate if name == "rate" else _count
        return {event_id: write(values.get(event_id, 0)) if values else NOTHING_YET for event_id in events}

    def _measure(self, width: int) -> None:
        """Drop what does not fit, the least wanted first, and share the rest between events and bars."""
        longest = max(map(cell_len, self._labels.values()), default=0)
        self._widths = {
            name: max(_NARROWEST_NUMBER, *map(len, cells.values()), len(_heading(self._view, name)))
            for name, cells in self._cells.items()
            if cells
        }
        if self._trend:
            self._widths["trend"] = TREND_LENGTH
        for name in ("trend", "total", "last", "rate"):
            if self._left_of(width) < min(longest, _NARROWEST_EVENT):
                self._widths.pop(name, None)
        left = self._left_of(width)
        self._event_width = max(
            1, min(max(longest, len("event ▲")), max(_NARROWEST_EVENT, left - 3 * _NARROWEST_BAR), left)
        )
        self._bar_width = left - self._event_width - _GAP

    def _left_of(self, width: int) -> int:
        return width - 1 - sum(each + _GAP for each in self._widths.values())

    def header(self) -> Text:
        """The names of the columns."""
        line = Text(" ")
        line.append(_fitted(_heading(self._view, "event"), self._event_width), self._heading_style("event"))
        for name, width in self._widths.items():
            heading = _heading(self._view, name)
            padded = heading.ljust(width) if name == "trend" else heading.rjust(width)
            line.append(" " * _GAP).append(padded, self._heading_style(name))
        return line

    def _heading_style(self, name: str) -> str:
        return "bold cyan" if name == self._view.sort else "bold"

    def row(self, event_id: str) -> Text:
        """One event."""
        line = Text(" ")
        line.append(_fitted(self._labels[event_id], self._event_width))
        for name, width in self._widths.items():
            line.append(" " * _GAP)
            if name == "trend":
                line.append(_trend(event_id, self._trend), "blue")
            else:
                cell = self._cells[name][event_id]
                line.append(cell.rjust(width), "dim" if cell in (NOTHING_YET, "0") else _STYLES.get(name, ""))
        if self._bar_width >= _NARROWEST_BAR:
            line.append(" " * _GAP).append(self._bar(event_id), "cyan")
        return line

    def _bar(self, event_id: str) -> str:
        values = self._values["rate" if self._view.sort == "event" else self._view.sort]
        largest = max(values.values(), default=0)
        return bar(values.get(event_id, 0) / largest, self._bar_width) if largest else ""


_STYLES = {"rate": "bold", "current": "green"}


def _heading(view: View, name: str) -> str:
    words = _TITLES.get(name, name)
    if name != view.sort:
        return words
    return f"{words} {'▲' if (name == 'event') != view.reverse else '▼'}"


def _label(target: Target, event_id: str) -> str:
    return printable(target.group.labels.get(event_id, event_id))


def _rate(rate: float) -> str:
    """With two decimals; what is not 0 never looks like it."""
    return "0" if not rate else f"{rate:,.2f}" if rate >= 0.005 else "<0.01"


def _count(count: float) -> str:
    return f"{count:,}"


def bar(part: float, width: int) -> str:
    """A bar over a part, from 0 to 1, of the width; what is not 0 can always be seen."""
    eighths = max(round(part * width * 8), 1 if part else 0)
    return f"{_BARS[-1] * (eighths // 8)}{_BARS[eighths % 8].strip()}"


def _trend(event_id: str, trend: Sequence[Mapping[str, float]]) -> str:
    """A column for each finished interval, the newest at the right; 0 is the lowest, none is a space."""
    rates = [rates.get(event_id, 0) for rates in trend]
    largest = max(rates) or 1
    return "".join(
        _TREND[0] if not rate else _TREND[1 + int(rate / largest * (len(_TREND) - 2))] for rate in rates
    ).rjust(TREND_LENGTH)


# all groups


def _list(view: View, overview: Overview, targets: Sequence[Target], size: Size) -> list[Text]:
    header = ("group", "interval", "rate/s", "last", "current", "state")
    rows = [_pair(target, *pair) for target, pair in zip(targets, overview.pairs, strict=True)]
    widths = [max(map(cell_len, cells)) for cells in zip(header, *(cells for cells, _ in rows), strict=True)]
    first = max(0, view.first - size.rows + 1)
    lines = [
        Text.assemble(
            (_joined(cells[:-1], widths), "reverse" if at == view.first else ""), "  ", (cells[-1], style)
        )
        for at, (cells, style) in enumerate(rows)
    ]
    count = counted(len({target.group.name for target in targets}), "group")
    return [Text(f" {count}", "dim"), Text(f"{_joined(header[:-1], widths)}  state", "bold"), *lines[first:]]


def _pair(target: Target, last: Snapshot, current: Snapshot) -> tuple[Sequence[str], str]:
    words, style = _freshness(current)
    rated = current if last.empty else last
    rate = _rate(sum(rated.counts.values()) / rated.span_s) if rated.span_s else NOTHING_YET
    sums = [NOTHING_YET if each.empty else _count(sum(each.counts.values())) for each in (last, current)]
    name = printable(target.group.title or target.group.name)
    return (name, target.interval.name, rate, *sums, words), style


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Names to the left, numbers to the right."""
    padded = [
        set_cell_size(cell, width) if at < 2 else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=False))
    ]
    return f" {(' ' * _GAP).join(padded)}"


# both


def _footer(view: View) -> Text:
    if view.typing:
        return Text(f" / {printable(view.search)}▏ Enter keeps the filter, Escape clears it", "reverse")
    return Text(f" {_KEYS_OF_GROUP if view.target else _KEYS_OF_LIST}", "dim")


def _fitted(text: str, width: int) -> str:
    """Exactly as wide; what is too long ends in `…`."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "…" if width > 1 else set_cell_size(text, width)
