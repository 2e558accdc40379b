"""The view of `ecl top`, and its changes by keys, as pure functions.

list of all groups   Enter, Right -> one group
one group            g -> list; Tab, i -> next group, next interval; / -> filter
filter               characters change it; Enter keeps it, Escape clears it -> one group
help                 any key -> its next page; q, Escape, any key on the last one -> list or group
any                  Ctrl-C -> quit; q -> quit, and ? -> help, except while a filter is typed
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from event_count_logger.top.sample import Sample, Target

#: Columns by which events can be sorted, from left to right. All but the first sort the largest first.
COLUMNS = ("event", "rate", "last", "change", "current", "total")


@dataclass(frozen=True, slots=True)
class View:
    """The target on the screen, with sort order, filter and scroll position.

    Attributes:
        target: The group and interval; None for the list of all groups.
        sort: One of `COLUMNS`.
        reverse: True if the order is reversed.
        search: Text that the ID or label of each shown event contains, in upper or lower case.
        typing: True if keys go into `search`.
        first: Number of rows scrolled away at the top.
        chosen: Name of the chosen group in the list; "" for the first one.
        help_page: The page of the help that is on the screen, from 1; 0 without the help.
        has_quit: True if the user has quit.
    """

    target: Target | None = None
    sort: str = "rate"
    reverse: bool = False
    search: str = ""
    typing: bool = False
    first: int = 0
    chosen: str = ""
    help_page: int = 0
    has_quit: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """The limits within which keys move the view.

    Attributes:
        targets: All targets.
        rows: Number of rows of the view.
        page: Number of rows that fit on the screen.
        listed: Names of all groups, in the order of the list.
    """

    targets: Sequence[Target]
    rows: int
    page: int
    listed: Sequence[str]

    @property
    def furthest(self) -> int:
        """Number of rows that can be scrolled away."""
        return max(0, self.rows - self.page)


def press(view: View, key: str, frame: Frame) -> View:
    """Returns the view after a key: a character, or a name such as `up`. Unknown keys change nothing."""
    if key == "ctrl-c":
        return replace(view, has_quit=True)
    if view.help_page:
        return replace(view, help_page=_next_page(view.help_page, key, frame))
    if view.typing:
        return _typed(view, key)
    if key in _MOVES:
        return _moved(view, key, frame)
    change = (_IN_LIST if view.target is None else _IN_GROUP).get(key)
    return change(view, frame) if change else view


def _next_page(page: int, key: str, frame: Frame) -> int:
    is_last = page * frame.page >= frame.rows
    return 0 if is_last or key in ("q", "escape") else page + 1


def _typed(view: View, key: str) -> View:
    if key == "escape":
        return replace(view, search="", typing=False)
    if key == "enter":
        return replace(view, typing=False)
    if key == "backspace":
        return replace(view, search=view.search[:-1])
    if len(key) == 1 and key.isprintable():
        return replace(view, search=view.search + key, first=0)
    return view


#: More rows than any view has.
_FAR = 10**9

_MOVES: Mapping[str, Callable[[Frame], int]] = {
    "up": lambda frame: -1,
    "k": lambda frame: -1,
    "down": lambda frame: 1,
    "j": lambda frame: 1,
    "page up": lambda frame: -frame.page,
    "page down": lambda frame: frame.page,
    " ": lambda frame: frame.page,
    "home": lambda frame: -_FAR,
    "end": lambda frame: _FAR,
}


def _moved(view: View, key: str, frame: Frame) -> View:
    step = _MOVES[key](frame)
    if view.target is None:
        return replace(
            view, chosen=frame.listed[_within(len(frame.listed) - 1, chosen_row(view, frame.listed) + step)]
        )
    return replace(view, first=_within(frame.furthest, min(view.first, frame.furthest) + step))


def _within(furthest: int, position: int) -> int:
    return max(0, min(position, furthest))


def chosen_row(view: View, listed: Sequence[str]) -> int:
    """Returns the row of the chosen group in the list."""
    return listed.index(view.chosen) if view.chosen in listed else 0


def _leave(view: View, frame: Frame) -> View:
    return replace(view, has_quit=True)


def _open(view: View, frame: Frame) -> View:
    name = frame.listed[chosen_row(view, frame.listed)]
    return _looking_at(view, next(target for target in frame.targets if target.group.name == name))


def _looking_at(view: View, target: Target | None) -> View:
    return replace(view, target=target, search="", first=0, chosen="")


def _list(view: View, frame: Frame) -> View:
    assert view.target
    return replace(view, target=None, search="", first=0, chosen=view.target.group.name)


def _next_group(view: View, frame: Frame) -> View:
    assert view.target
    groups = list(dict.fromkeys(target.group.name for target in frame.targets))
    name = groups[(groups.index(view.target.group.name) + 1) % len(groups)]
    return _looking_at(view, next(target for target in frame.targets if target.group.name == name))


def _next_interval(view: View, frame: Frame) -> View:
    assert view.target
    group, interval = view.target
    position = (group.intervals.index(interval) + 1) % len(group.intervals)
    return replace(view, target=Target(group, group.intervals[position]))


def _sort_by_neighbour(step: int) -> Callable[[View, Frame], View]:
    def change(view: View, frame: Frame) -> View:
        columns = sortable(view.target)
        position = columns.index(view.sort) if view.sort in columns else 0
        return replace(view, sort=columns[(position + step) % len(columns)], first=0)

    return change


def _help(view: View, frame: Frame) -> View:
    return replace(view, help_page=1)


_IN_LIST: Mapping[str, Callable[[View, Frame], View]] = {
    "q": _leave,
    "?": _help,
    "enter": _open,
    "right": _open,
}

_IN_GROUP: Mapping[str, Callable[[View, Frame], View]] = {
    "q": _leave,
    "?": _help,
    "g": _list,
    "tab": _next_group,
    "i": _next_interval,
    ">": _sort_by_neighbour(1),
    "right": _sort_by_neighbour(1),
    "<": _sort_by_neighbour(-1),
    "left": _sort_by_neighbour(-1),
    "r": lambda view, frame: replace(view, reverse=not view.reverse, first=0),
    "/": lambda view, frame: replace(view, typing=True),
    "escape": lambda view, frame: replace(view, search=""),
}


def sortable(target: Target | None) -> Sequence[str]:
    """Returns the columns of a target: `total` only with totals, and `change` only with a history."""
    missing = set()
    if target and not target.group.totals:
        missing.add("total")
    if target and not target.group.keeps_history(target.interval):
        missing.add("change")
    return [name for name in COLUMNS if name not in missing]


def column(sample: Sample, name: str) -> Mapping[str, float] | None:
    """Returns the values of a column by event, where a missing event is 0; None if there are none yet.

    Those of `change` are weights: growth and decline are sorted alike.
    """
    if name == "change":
        return sample.comparison.weights if sample.comparison else None
    if name == "total":
        return sample.totals
    if name == "rate":
        rated = sample.current if sample.last.empty else sample.last
        return rated.rates if rated.span_s else None
    snapshot = sample.last if name == "last" else sample.current
    return None if snapshot.empty else snapshot.counts


def sorted_events(view: View, sample: Sample) -> list[str]:
    """Returns the events that the view shows, in its order; only those whose counts may be added up."""
    events = list(dict.fromkeys((*sample.last.counts, *sample.current.counts, *(sample.totals or ()))))
    search = view.search.casefold()
    labels = view.target.group.labels if view.target else {}
    if view.target:
        events = view.target.group.addable(events)
    found = [
        event_id
        for event_id in events
        if not search or search in event_id.casefold() or search in labels.get(event_id, "").casefold()
    ]
    found.sort(reverse=view.reverse)
    if view.sort != "event":
        values = column(sample, view.sort) or {}
        found.sort(key=lambda event_id: values.get(event_id, 0), reverse=not view.reverse)
    return found
