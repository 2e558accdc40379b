"""Snapshots as lines of text, for people and shell scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from event_count_logger.logs import counted
from event_count_logger.reading.range_sum import RangeSum
from event_count_logger.reading.reader import Snapshot, Totals
from event_count_logger.render.phrases import duration, utc

#: Gaps that a warning names.
_MOST_GAPS = 3

_TITLES = {"last": "Last:", "cur": "Current:"}


def render(snapshots: Sequence[Snapshot], rate: bool = False) -> str:
    """Returns `event:count` lines sorted by event, with a title above each of several snapshots.

    Args:
        snapshots: Snapshots of one group and interval.
        rate: True for counts per second.
    """
    if len(snapshots) == 1:
        return _lines(_values(snapshots[0], rate))
    return "".join(_block(_TITLES[snapshot.half], snapshot, rate) for snapshot in snapshots)


def render_history(snapshots: Sequence[Snapshot], rate: bool = False) -> str:
    """Returns the lines of finished intervals, each below `START to END:`; only this line ends with `:`."""
    return "".join(_block(_span(snapshot), snapshot, rate) for snapshot in snapshots)


def render_next(snapshot: Snapshot, rate: bool = False, first: bool = False) -> str:
    """Returns the lines of one finished interval, below its start and end."""
    return render_history([snapshot], rate)


def render_sum(found: RangeSum, rate: bool = False) -> str:
    """Returns `event:count` lines sorted by event."""
    return _lines(found.rates if rate else found.counts)


def render_totals(totals: Totals) -> str:
    """Returns `event:total` lines sorted by event."""
    return _lines(totals.counts)


def warnings(snapshots: Sequence[Snapshot], rate: bool = False) -> Iterator[str]:
    """Yield warnings about these counts or rates: stale, missing, of unknown length."""
    first = snapshots[0]
    where = _where(first)
    if first.overdue_s is None:
        yield f"{where}: nothing counted yet, and no master has run (start ecl_master)"
    elif first.overdue_s:
        yield f"{where}: stale, the rotation is {first.overdue_s:.1f} s overdue; is ecl_master running?"
    elif any(snapshot.half == "last" and snapshot.empty for snapshot in snapshots):
        yield f"{where}: no interval has finished yet"
    if rate and any(not snapshot.empty and not snapshot.span_s for snapshot in snapshots):
        yield f"{where}: length unknown (ended by a master of version 1.1), so no rates"


def gap_warnings(snapshot: Snapshot) -> Iterator[str]:
    """Yield a warning about intervals that the history has dropped before this one."""
    if snapshot.missed:
        are = "is" if snapshot.missed == 1 else "are"
        missed = f"{counted(snapshot.missed, 'interval')} before this one {are} gone from the history"
        yield f"{_where(snapshot)}: {missed}"


def time_warnings(snapshot: Snapshot) -> Iterator[str]:
    """Yield a warning if a finished interval has no start, which formats of monitoring need as its time."""
    if snapshot.start is None and not snapshot.empty:
        yield f"{_where(snapshot)}: start unknown (ended by a master of version 1.1), so not printed"


def sum_warnings(found: RangeSum) -> Iterator[str]:
    """Yield a warning about a sum that lacks intervals of its range."""
    if not found.n_intervals:
        yield f"{_where(found)}: no finished interval begins in the range"
    elif found.missing:
        named = [f"{utc(start)} to {utc(end)}" for start, end in found.missing[:_MOST_GAPS]]
        more = len(found.missing) - len(named)
        gaps = "; ".join([*named, *([f"and {counted(more, 'more gap')}"] if more else [])])
        missing = f"{duration(found.missing_s)} of the range missing in the history: {gaps}"
        yield f"{_where(found)}: {missing}"


def _where(found: Snapshot | RangeSum) -> str:
    return f"interval '{found.interval}' of group '{found.group}'"


def _block(title: str, snapshot: Snapshot, rate: bool) -> str:
    return f"{title}\n{_lines(_values(snapshot, rate))}"


def _values(snapshot: Snapshot, rate: bool) -> Mapping[str, float]:
    return snapshot.rates if rate else snapshot.counts


def _lines(values: Mapping[str, float]) -> str:
    return "".join(f"{event_id}:{value}\n" for event_id, value in sorted(values.items()))


def _span(snapshot: Snapshot) -> str:
    start, end = ("?" if time_s is None else utc(time_s) for time_s in (snapshot.start, snapshot.end))
    return f"{start} to {end}:"
