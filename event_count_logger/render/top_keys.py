"""The line of keys of `ecl top`, and its help: as much as fits into the window."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from math import ceil

from rich.cells import cell_len
from rich.text import Text

from event_count_logger.render.phrases import printable
from event_count_logger.top.view import View

#: Keys of the last line, in their order. If they do not fit, those with the greatest numbers are left out.
_OF_LIST: Mapping[str, int] = {"q quit": 0, "↑↓ choose": 3, "Enter open": 2, "? help": 1}
_OF_GROUP: Mapping[str, int] = {
    "q quit": 0,
    "/ filter": 3,
    "←→ sort by": 4,
    "r reverse": 7,
    "↑↓ scroll": 6,
    "i interval": 5,
    "Tab next group": 8,
    "g groups": 2,
    "? help": 1,
}

#: Ends of the line while a filter is typed, the longest first.
_OF_FILTER = ("Enter keeps the filter, Escape clears it", "Enter keeps, Escape clears", "")

#: Keys of a page of the help, the longest line first; and of its last page.
_OF_PAGE = ("any key: next page  q leave", "any key  q leave", "q leave")
_OF_LAST_PAGE = ("any key leaves the help", "any key: leave", "q leave")

#: Keys and columns with their meanings.
_HELP: Sequence[tuple[str, str]] = (
    ("Keys in the list of groups", ""),
    ("↑ ↓ Home End", "choose a group"),
    ("Enter →", "show its events"),
    ("Keys in a group", ""),
    ("← → < >", "sort by another column"),
    ("r", "reverse the order"),
    ("/", "filter: events whose ID or label has the text"),
    ("↑ ↓ PgUp PgDn", "scroll"),
    ("i", "next interval"),
    ("Tab", "next group"),
    ("g", "list of groups"),
    ("q Ctrl-C", "quit"),
    ("Columns", ""),
    ("rate/s", "counts per second of the last finished interval"),
    ("last", "counts in the last finished interval"),
    (
        "change",
        "last against the same time yesterday, or else the interval before; sorted by its size, up or down",
    ),
    ("current", "counts in the current interval"),
    ("total", "counts since the first master"),
    ("trend", "the last finished intervals, the newest at the right"),
    ("state", "alerts that fire, an overdue interval (STALE), a missing master; such groups come first"),
)

#: Widest column of keys in the help, and gap behind it.
_KEY_WIDTH, _GAP = 14, 2


def footer(view: View, n_rows: int, width: int) -> Text:
    """Returns the last line: the keys of the view, or the filter that is typed."""
    if view.help_page:
        is_last = view.help_page >= _n_pages(n_rows, width)
        keys = _OF_LAST_PAGE if is_last else _OF_PAGE
        return Text(f" {next((line for line in keys if len(line) < width), keys[-1])}", "dim")
    if view.typing:
        return _filter(printable(view.search), width)
    return Text(f" {_fitting(_OF_GROUP if view.target else _OF_LIST, width - 1)}", "dim")


def _fitting(keys: Mapping[str, int], width: int) -> str:
    for limit in range(len(keys), 1, -1):
        line = "  ".join(key for key, number in keys.items() if number < limit)
        if cell_len(line) <= width:
            return line
    return "q quit"


def _filter(search: str, width: int) -> Text:
    """Returns the filter with its end in sight, and the keys if there is room for them."""
    begin = f" / {search}▏"
    ends = (end for end in _OF_FILTER if cell_len(begin) + len(end) + 1 <= width)
    end = next(ends, None)
    if end is not None:
        return Text(f"{begin} {end}".rstrip(), "reverse")
    while search and cell_len(begin) > width:
        search = search[1:]
        begin = f" / …{search}▏"
    return Text(begin, "reverse")


def help_lines(width: int) -> list[Text]:
    """Returns the help: all keys, and the meanings of the columns."""
    return [line for key, meaning in _HELP for line in _help(key, meaning, width)]


def help_page(page: int, n_rows: int, width: int) -> list[Text]:
    """Returns two lines of heading and a page of the help, from 1."""
    n_pages = _n_pages(n_rows, width)
    number = f", page {page} of {n_pages}" if n_pages > 1 else ""
    first = (page - 1) * n_rows
    return [Text(f" help{number}", "dim"), Text(), *help_lines(width)[first : first + n_rows]]


def _n_pages(n_rows: int, width: int) -> int:
    return ceil(len(help_lines(width)) / n_rows)


def _help(key: str, meaning: str, width: int) -> list[Text]:
    if not meaning:
        return [Text(f" {key}", "bold")]
    indent = " " * (1 + _KEY_WIDTH + _GAP)
    lines = textwrap.wrap(meaning, max(10, width - len(indent))) or [""]
    first = Text.assemble(f" {key.ljust(_KEY_WIDTH + _GAP)}", lines[0])
    return [first, *(Text(f"{indent}{line}") for line in lines[1:])]
