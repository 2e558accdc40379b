"""The events of an answer as rows: which of them match, in which order, and which are on one page."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from heapq import nlargest
from typing import Literal, NamedTuple

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.reading.comparison import changes, sizes_of_change
from event_count_logger.reading.figures import Figures
from event_count_logger.reading.row_cursor import NameCursor, ValueCursor, digest_of, parse_cursor
from event_count_logger.reading.words import missing, text_of, words_of
from event_count_logger.store import declared_first

#: Orders of rows. With '-' in front, the largest comes first; events without a value are always last.
Order = Literal[
    "event", "last", "current", "total", "sum", "change",
    "-event", "-last", "-current", "-total", "-sum", "-change",
]  # fmt: skip

#: Orders whose values only change when an interval finishes.
_OF_FINISHED = ("last", "sum", "change")


class InvalidRows(ValueError):
    """The order of rows or the cursor does not fit to the other parts of the request."""


class Choice(NamedTuple):
    """The rows that a request wants.

    Attributes:
        filter: Words that are all in the ID or the label, ignoring case.
        order: The order; None for that of the configuration, then by name.
        limit: Most rows; None for all.
        cursor: The `next` of the page before; None for the first page.
        n_top: Number of events whose history is wanted, too: those with the largest sums or changes.
        event: The ID of the only event that is wanted; None for all.
    """

    filter: str = ""
    order: Order | None = None
    limit: int | None = None
    cursor: str | None = None
    n_top: int = 0
    event: str | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one answer.

    Attributes:
        matching: All events that match the filter.
        page: Those of this page, in their order.
        next: Cursor of the next page; None on the last one.
        top: The events whose history is wanted, too.
        counted: The events of the page, with those that count the time of their sessions, or are buckets of
            their histograms.
    """

    matching: Set[str]
    page: Sequence[str]
    next: str | None
    top: Sequence[str]
    counted: Set[str]


def rows_of(group: GroupConfig, figures: Figures, choice: Choice) -> Rows:
    """Returns the rows of an answer.

    Raises:
        InvalidRows: The order or the cursor is invalid.
        StaleCursor: The rows have changed since the page before.
    """
    events = _events(group, figures)
    rows = group.addable(events)
    wanted = rows if choice.event is None else [each for each in rows if each == choice.event]
    matching = _matching(group, declared_first(group.events, wanted), choice.filter)
    ordered = _ordered(group, matching, figures, choice.order)
    state = _state(figures, choice)
    begin = _begin(group, ordered, state, choice)
    end = len(ordered) if choice.limit is None else begin + choice.limit
    following = _cursor_after(ordered[:end], state, choice) if end < len(ordered) else None
    page = ordered[begin:end]
    counted = _with_parts(group, page, events.difference(rows))
    return Rows(set(matching), page, following, _top(matching, figures, choice), counted)


def _events(group: GroupConfig, figures: Figures) -> set[str]:
    found = {*group.events, *figures.last.counts}
    found.update(*(step.counts for step in figures.steps))
    found.update(*(each.counts for each in (figures.current, figures.totals) if each))
    found.update(*(figures.comparison.counts if figures.comparison else ()))
    return found


def _with_parts(group: GroupConfig, page: Iterable[str], others: Iterable[str]) -> Set[str]:
    counted = set(page)
    return counted.union(each for each in others if _whole(group, each) in counted)


def _matching(group: GroupConfig, rows: list[str], filter: str) -> list[str]:
    words = words_of(filter)
    if not words:
        return rows
    return [each for each in rows if not missing(words, text_of(group, each))]


def _kind(order: Order | None) -> str:
    return order.removeprefix("-") if order else ""


def _is_by_name(order: Order | None) -> bool:
    return _kind(order) in ("", "event")


def _ordered(group: GroupConfig, rows: list[str], figures: Figures, order: Order | None) -> list[str]:
    if _is_by_name(order):
        return _by_name(group, rows, order)
    values = _values(figures, _kind(order))
    known = [each for each in rows if each in values]
    known.sort(key=values.__getitem__, reverse=_is_descending(order))
    return [*known, *(each for each in rows if each not in values)]


def _by_name(group: GroupConfig, rows: Iterable[str], order: Order | None) -> list[str]:
    return sorted(rows, reverse=_is_descending(order)) if order else declared_first(group.events, rows)


def _is_descending(order: Order | None) -> bool:
    return bool(order) and str(order).startswith("-")


def _values(figures: Figures, kind: str) -> Mapping[str, float]:
    """Returns the values of an order by event.

    Raises:
        InvalidRows: The request leaves them out.
    """
    if kind == "change":
        if figures.comparison is None:
            raise InvalidRows("order: the order by change needs the parameter 'compare'")
        return changes(*figures.compared)
    if kind in ("current", "total") and figures.current is None:
        raise InvalidRows(f"order: the order by {kind} needs 'current=true'")
    found = {"last": figures.last, "current": figures.current, "total": figures.totals, "sum": figures.sum}
    chosen = found[kind]
    return chosen.counts if chosen else {}


def _top(matching: Collection[str], figures: Figures, choice: Choice) -> list[str]:
    if _kind(choice.order) == "change":
        values = sizes_of_change(*figures.compared)
    else:
        values = figures.sum.counts if figures.sum else {}
    return nlargest(choice.n_top, (each for each in matching if each in values), key=values.__getitem__)


def _begin(group: GroupConfig, ordered: Sequence[str], state: str, choice: Choice) -> int:
    """Returns the number of rows before the page."""
    if choice.cursor is None:
        return 0
    try:
        cursor = parse_cursor(choice.cursor)
    except ValueError as error:
        raise InvalidRows(f"cursor: {error}") from error
    if isinstance(cursor, ValueCursor) and not _is_by_name(choice.order):
        return cursor.begin(ordered, state)
    if not isinstance(cursor, NameCursor) or cursor.state != state:
        raise InvalidRows("cursor: it is of a request for other rows; begin without a cursor")
    with_last = _by_name(group, {*ordered, cursor.event_id}, choice.order)
    return with_last.index(cursor.event_id) + (cursor.event_id in ordered)


def _cursor_after(done: Sequence[str], state: str, choice: Choice) -> str:
    last = NameCursor(state, done[-1]) if _is_by_name(choice.order) else ValueCursor.after(done, state)
    return str(last)


def _state(figures: Figures, choice: Choice) -> str:
    """Returns what the cursors of a request depend on, besides the rows."""
    if _is_by_name(choice.order):
        last, order, event_id = figures.last, choice.order or "", choice.event or ""
        return digest_of([last.group, last.interval, order, choice.filter, event_id])
    return figures.last.position or "" if _kind(choice.order) in _OF_FINISHED else ""


def _whole(group: GroupConfig, event_id: str) -> str:
    """Returns the event whose time or bucket an event is; otherwise the event itself."""
    if group.is_session_time(event_id):
        return keys.event_of_sessions(event_id)
    bucket = keys.parse_bucket(event_id)
    return bucket[0] if bucket else event_id
