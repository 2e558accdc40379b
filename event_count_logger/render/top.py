"""The screen of `ecl top` as styled text: pure functions of the view and the last answer of Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.text import Text

from event_count_logger.alerts.status import AlertStatus
from event_count_logger.logs import counted
from event_count_logger.reading.overview import Against
from event_count_logger.reading.reader import Snapshot, is_overdue
from event_count_logger.render import top_alerts, top_keys, top_list
from event_count_logger.render.event_table import EventTable, parts_fitting, shortened
from event_count_logger.render.phrases import NO_VALUE, count, duration, printable
from event_count_logger.top.sample import Listing, Sample, Target
from event_count_logger.top.view import View, chosen_row
from event_count_logger.top.watcher import Answer

#: Lines that are not rows: title, times, names of the columns, keys.
FIXED_LINES = 4

#: Seconds that a read may take before the title shows the age of the values.
_SLOW_S = 1.0

#: Characters of a name that the state beside it never takes.
_NARROW_NAME = 12

#: What changes are against.
_AGAINST: Mapping[Against, str] = {"day": "yesterday", "interval": "the interval before"}

#: Age in seconds from which the title shows it.
_OLD_S = 2.0


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


def screen(view: View, answer: Answer, events: Sequence[str], size: Size, now: float) -> list[Text]:
    """Returns all lines of the screen.

    Args:
        view: The view.
        answer: The last answer for its target.
        events: The events of the view, in its order.
        size: Size of the window, with room for the alerts.
        now: Time, by the monotonic clock.
    """
    found = answer.found
    if view.help_page:
        times, names, *rows = top_keys.help_page(view.help_page, size.rows, size.width)
    elif isinstance(found, Sample) and view.target:
        times, names, *rows = _group(view, view.target, found, events, size)
    elif isinstance(found, Listing):
        chosen = chosen_row(view, found.groups)
        times, names, *rows = top_list.lines(found, chosen, size.rows, size.width)
    else:
        times, names, *rows = _nothing(answer), Text()
    filled = [*rows[: size.rows], *(Text() for _ in range(size.rows - len(rows)))]
    alerts = [_alerts(found.firing, size.width)] if found and size.alert_lines else []
    head = [*alerts, times, names]
    n_head = max(0, size.height - size.rows - 2)  # fewer in a small window, which keeps a row and the keys
    lines = [
        _title(view, answer, size, now),
        *head[len(head) - n_head :],
        *filled,
        top_keys.footer(view, size.rows, size.width),
    ][: size.height]
    for line in lines:
        line.truncate(size.width, overflow="ellipsis")
    return lines


def _alerts(firing: Sequence[AlertStatus], width: int) -> Text:
    text, style = top_alerts.line(firing)
    return Text(shortened(text, width), style)


def _title(view: View, answer: Answer, size: Size, now: float) -> Text:
    name = (
        f"{top_list.name_of(view.target.group)} · {view.target.interval.name}"
        if view.target
        else "all groups"
    )
    parts, style = _state(answer, now)
    state = ", ".join(parts)
    room = max(_NARROW_NAME, size.width // 3, size.width - cell_len(state) - 3)
    left = Text(f" {shortened(name, room)} ", "bold reverse")
    right = Text(parts_fitting(parts, ", ", max(0, size.width - left.cell_len - 1)), style)
    return Text.assemble(left, " " * max(1, size.width - left.cell_len - right.cell_len), right)


def _state(answer: Answer, now: float) -> tuple[Sequence[str], str]:
    """Returns the freshness of the values as parts of a text, the most important first, and its style."""
    found = answer.found
    if not found:
        return (), ""
    age_s = now - found.read_at
    if answer.error or now > answer.next_read_at + _SLOW_S:
        return [f"{duration(age_s)} old: {printable(answer.error or 'Redis is slow')}"], "bold red"
    freshness, style = ("", "green") if isinstance(found, Listing) else _freshness(found.current)
    no_master = _no_master(found)
    if no_master:
        style = style.replace("green", "yellow")
    return [each for each in (freshness, no_master, _age(age_s)) if each], style


def _no_master(found: Sample | Listing) -> str:
    if isinstance(found, Sample):
        return "" if found.has_master else "no master heartbeat"
    rows = found.overview.rows
    n_without = sum(row.figures is not None and not row.figures.has_master for row in rows)
    of_some = f" of {counted(n_without, 'group')}" if n_without < len(rows) else ""
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


def _group(view: View, target: Target, sample: Sample, events: Sequence[str], size: Size) -> list[Text]:
    first = max(0, min(view.first, len(events) - size.rows))
    visible = events[first : first + size.rows]
    table = EventTable(view, target, sample, visible, size.width)
    shown = f"{first + 1} to {first + len(visible)} of " if len(visible) < len(events) else ""
    search = f" with '{printable(view.search)}'" if view.search else ""
    parts = [f" {shown}{counted(len(events), 'event')}{search}", *_times(target, sample)]
    if sample.open_sessions is not None:
        parts.append(f"{count(sample.open_sessions)} open, mean length {_mean_length(target, sample)}")
    times = Text(parts_fitting(parts, " · ", size.width), "dim")
    return [times, table.header(), *map(table.row, visible)]


def _mean_length(target: Target, sample: Sample) -> str:
    length_s = target.group.mean_length_s(sample.last.counts if sample.totals is None else sample.totals)
    return NO_VALUE if length_s is None else duration(length_s)


def _times(target: Target, sample: Sample) -> list[str]:
    current = f"current {_span(sample.current)} of {duration(target.interval.length_s)}"
    if sample.current.empty:
        return ["nothing counted yet"]
    if sample.last.empty:
        return [current, "none has finished yet: rates are of the current one"]
    against = [f"change against {_AGAINST[sample.comparison.against]}"] if sample.comparison else []
    return [current, f"rates are of the last one ({_span(sample.last)})", *against]


def _span(snapshot: Snapshot) -> str:
    return "of unknown length" if snapshot.span_s is None else duration(snapshot.span_s)
