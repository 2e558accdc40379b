"""The screen of `ecl top` as styled text: pure functions of the view and the last answer of Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from event_count_logger.logs import counted
from event_count_logger.reading.reader import Snapshot, is_overdue
from event_count_logger.render import top_alerts
from event_count_logger.render.event_table import EventTable, fitted
from event_count_logger.render.phrases import NO_VALUE, count, duration, printable, rate
from event_count_logger.top.sample import Overview, Sample, Target
from event_count_logger.top.view import View
from event_count_logger.top.watcher import Answer

#: Lines that are not rows: title, times, names of the columns, keys.
FIXED_LINES = 4

#: Seconds that a read may take before the title shows the age of the values.
_SLOW_S = 1.0

#: Age in seconds from which the title shows it.
_OLD_S = 2.0

_KEYS_OF_LIST = "q quit  ↑↓ choose  Enter open"
_KEYS_OF_GROUP = "q quit  / filter  ←→ sort by  r reverse  ↑↓ scroll  i interval  Tab next group  g groups"


@dataclass(frozen=True, slots=True)
class Size:
    """Size of the window, in characters.

    Attributes:
        width: Width of the window.
        height: Number of its lines.
        alert_lines: Number of lines about alerts: 1 if any fires.
    """

    width: int
    height: int
    alert_lines: int = 0

    @property
    def rows(self) -> int:
        """Number of rows that fit."""
        return max(1, self.height - FIXED_LINES - self.alert_lines)

    def with_alerts(self, answer: Answer) -> Size:
        """Returns the size with room for the alerts of an answer."""
        return replace(self, alert_lines=int(bool(answer.found and answer.found.firing)))


def screen(
    view: View, answer: Answer, events: Sequence[str], targets: Sequence[Target], size: Size, now: float
) -> list[Text]:
    """Returns all lines of the screen.

    Args:
        view: The view.
        answer: The last answer for its target.
        events: The events of the view, in its order.
        targets: All targets.
        size: Size of the window, with room for the alerts.
        now: Time, by the monotonic clock.
    """
    found = answer.found
    if isinstance(found, Sample) and view.target:
        times, names, *rows = _group(view, view.target, found, events, size)
    elif isinstance(found, Overview):
        times, names, *rows = _list(view, found, targets, size)
    else:
        times, names, *rows = _nothing(answer), Text()
    filled = [*rows[: size.rows], *(Text() for _ in range(size.rows - len(rows)))]
    alerts = [Text(*top_alerts.line(found.firing))] if found and size.alert_lines else []
    lines = [_title(view, answer, size, now), *alerts, times, names, *filled, _footer(view)][: size.height]
    for line in lines:
        line.truncate(size.width, overflow="ellipsis")
    return lines


def _title(view: View, answer: Answer, size: Size, now: float) -> Text:
    name = f"{_name(view.target)} · {view.target.interval.name}" if view.target else "all groups"
    state, style = _state(answer, now)
    left = Text(f" {name} ", "bold reverse")
    right = Text(fitted(state, max(0, size.width - left.cell_len - 1)).rstrip(), style)
    return Text.assemble(left, " " * max(1, size.width - left.cell_len - right.cell_len), right)


def _state(answer: Answer, now: float) -> tuple[str, str]:
    """Returns the freshness of the values as text, and its style."""
    found = answer.found
    if not found:
        return "", ""
    age_s = now - found.read_at
    if answer.error or now > answer.next_read_at + _SLOW_S:
        return f"{duration(age_s)} old: {printable(answer.error or 'Redis is slow')}", "bold red"
    freshness, style = ("", "green") if isinstance(found, Overview) else _freshness(found.current)
    no_master = _no_master(found)
    if no_master:
        style = style.replace("green", "yellow")
    return ", ".join(filter(None, (freshness, no_master, _age(age_s)))), style


def _no_master(found: Sample | Overview) -> str:
    if isinstance(found, Sample):
        return "" if found.has_master else "no master heartbeat"
    n_without = found.n_without_master
    n_groups = len({last.group for last, _ in found.pairs})
    of_some = f" of {counted(n_without, 'group')}" if n_without < n_groups else ""
    return f"no master heartbeat{of_some}" if n_without else ""


def _nothing(answer: Answer) -> Text:
    return Text(f" {printable(answer.error)}", "bold red") if answer.error else Text(" reading ...", "dim")


def _age(age_s: float) -> str:
    return f"{duration(age_s)} old" if age_s >= _OLD_S else ""


def _freshness(snapshot: Snapshot) -> tuple[str, str]:
    if snapshot.overdue_s is None:
        return "nothing counted yet", "yellow"
    if is_overdue(snapshot.overdue_s):
        return f"STALE: overdue by {duration(snapshot.overdue_s)}", "bold red"
    return "in time", "green"


# Screen of one group


def _group(view: View, target: Target, sample: Sample, events: Sequence[str], size: Size) -> list[Text]:
    first = max(0, min(view.first, len(events) - size.rows))
    visible = events[first : first + size.rows]
    table = EventTable(view, target, sample, visible, size.width)
    shown = f"{first + 1} to {first + len(visible)} of " if len(visible) < len(events) else ""
    search = f" with '{printable(view.search)}'" if view.search else ""
    times = f" {shown}{counted(len(events), 'event')}{search} · {_times(target, sample)}"
    if sample.open_sessions is not None:
        times += f" · {count(sample.open_sessions)} open, mean length {_mean_length(target, sample)}"
    return [Text(times, "dim"), table.header(), *map(table.row, visible)]


def _mean_length(target: Target, sample: Sample) -> str:
    length_s = target.group.mean_length_s(sample.last.counts if sample.totals is None else sample.totals)
    return NO_VALUE if length_s is None else duration(length_s)


def _times(target: Target, sample: Sample) -> str:
    current = f"current {_span(sample.current)} of {duration(target.interval.length_s)}"
    if sample.current.empty:
        return "nothing counted yet"
    if sample.last.empty:
        return f"{current} · none has finished yet: rates are of the current one"
    return f"{current} · rates are of the last one ({_span(sample.last)})"


def _span(snapshot: Snapshot) -> str:
    return "of unknown length" if snapshot.span_s is None else duration(snapshot.span_s)


# Screen of all groups


def _list(view: View, overview: Overview, targets: Sequence[Target], size: Size) -> list[Text]:
    header = ("group", "interval", "rate/s", "last", "current", "state")
    rows = [
        _pair(target, *pair, top_alerts.mark(target, overview.firing))
        for target, pair in zip(targets, overview.pairs, strict=True)
    ]
    widths = [max(map(cell_len, cells)) for cells in zip(header, *(cells for cells, _ in rows), strict=True)]
    first = max(0, view.first - size.rows + 1)
    lines = [
        Text.assemble(
            (_joined(cells[:-1], widths), "reverse" if at == view.first else ""), "  ", (cells[-1], style)
        )
        for at, (cells, style) in enumerate(rows)
    ]
    groups = counted(len({target.group.name for target in targets}), "group")
    return [Text(f" {groups}", "dim"), Text(f"{_joined(header[:-1], widths)}  state", "bold"), *lines[first:]]


def _pair(
    target: Target, last: Snapshot, current: Snapshot, alerts: tuple[str, str]
) -> tuple[Sequence[str], str]:
    freshness, style = _freshness(current)
    if alerts[0]:
        freshness, style = f"{alerts[0]}, {freshness}", alerts[1]
    rated = current if last.empty else last
    per_second = rate(_sum(target, rated.counts) / rated.span_s) if rated.span_s else NO_VALUE
    sums = [NO_VALUE if each.empty else count(_sum(target, each.counts)) for each in (last, current)]
    return (_name(target), target.interval.name, per_second, *sums, freshness), style


def _sum(target: Target, counts: Mapping[str, int]) -> int:
    """Returns the sum of the counts that may be added up."""
    return sum(counts[event_id] for event_id in target.group.addable(counts))


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Returns a row with names aligned left and numbers aligned right."""
    padded = [
        set_cell_size(cell, width) if at < 2 else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=False))
    ]
    return f" {'  '.join(padded)}"


# Both screens


def _name(target: Target) -> str:
    group = target.group
    return printable(f"{group.title} ({group.name})" if group.title else group.name)


def _footer(view: View) -> Text:
    if view.typing:
        return Text(f" / {printable(view.search)}▏ Enter keeps the filter, Escape clears it", "reverse")
    return Text(f" {_KEYS_OF_GROUP if view.target else _KEYS_OF_LIST}", "dim")
