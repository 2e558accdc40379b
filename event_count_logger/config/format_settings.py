"""The settings of formats: how the lines of a log file become records with fields."""

from __future__ import annotations

import re

from event_count_logger.config.checks import Check, Invalid, check, list_of, show, text
from event_count_logger.config.rule_settings import pattern
from event_count_logger.config.settings import section, setting, settings_of

#: Formats whose lines contain a line of a program.
WRAPPERS = ("docker", "cri")

#: Formats whose lines have fields.
PARSERS = ("json", "logfmt", "csv", "journal")

_NAMES = ("text", *PARSERS, *WRAPPERS)


@check("a format", kind="a format, or a list of two")
def format_names(value: object) -> tuple[str, ...]:
    """Accept the name of a format, or a wrapper and the format in it; returns them without `text`."""
    names = value if isinstance(value, list | tuple) else [value]
    for name in names:
        if name not in _NAMES:
            raise Invalid(f"{show(name)} is not a format (there are: {', '.join(_NAMES)})")
    is_pair = len(names) == 2 and names[0] in WRAPPERS and names[1] not in WRAPPERS
    if len(names) != 1 and not is_pair:
        raise Invalid(
            f"{show(value)} is not a format in another one: name {' or '.join(WRAPPERS)} first, and then one "
            "of the others (for example [docker, json])"
        )
    return tuple(f"{name}" for name in names if name != "text")


@check("one character")
def _delimiter(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch('[^"\r\n\0]', value):
        raise Invalid(f"{show(value)} is not one character other than a quote or a newline")
    return str(value)


_COLUMNS = list_of(text, "a list of names")


def _columns(value: object) -> tuple[str, ...]:
    names = _COLUMNS.convert(value)
    if isinstance(value, list | tuple) and len(names) < len(value):
        raise Invalid(f"{show(value)} has a name twice")
    return names


@section
class CsvConfig:
    """The columns of CSV."""

    columns: tuple[str, ...] = setting(
        Check(_columns, _COLUMNS.expected, kind=_COLUMNS.kind),
        default=(),
        since="2.0",
        meaning="Names of the columns. A line with exactly these names is a header, and is not counted. "
        "A line with fewer fields is malformed.",
    )
    delimiter: str = setting(
        _delimiter,
        default=",",
        since="2.0",
        meaning='Character between the fields; `"\\t"` for a tab.',
    )


@section
class MultilineConfig:
    """Records of several lines."""

    start: re.Pattern[str] = setting(
        pattern,
        example="'^\\d{4}-'",
        since="2.0",
        meaning="Regular expression for the first line of a record, searched for anywhere in it.",
    )


CSV = settings_of(CsvConfig)

MULTILINE = settings_of(MultilineConfig)
