"""Formats whose lines have fields: JSON, logfmt and CSV.

Each line is a record on its own. Its text stays the line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from itertools import compress, repeat
from typing import Any

from event_count_logger.config.format_settings import CsvConfig
from event_count_logger.sources.tail.formats.records import Records, Stage, column_of
from event_count_logger.sources.tail.rules.rows import Column

_BLANKS = " \t\r\n"


def _reject(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


class _Whole(str):
    """A whole number in an entry of the journal, where a list of numbers differs from one of texts."""

    __slots__ = ()


#: Returns the first value of a text, and its end.
_Decode = Callable[[str], tuple[Any, int]]

#: Numbers stay text, exactly as they are written.
_DECODE: _Decode = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_reject).raw_decode
_DECODE_ENTRY: _Decode = json.JSONDecoder(
    parse_int=_Whole, parse_float=str, parse_constant=_reject
).raw_decode


def json_object(text: str, decode: _Decode = _DECODE) -> dict[str, Any] | None:
    """Returns the object in a line of JSON; None if it has something else. Numbers are text in it."""
    try:
        value, end = decode(text)
    except (ValueError, RecursionError):
        if text[:1] not in _BLANKS or not text.strip(_BLANKS):
            return None
        return json_object(text.strip(_BLANKS), decode)
    if type(value) is dict and (end == len(text) or not text[end:].strip(_BLANKS)):
        return value
    return None


def json_records(
    records: Records,
    to_text: Callable[[object], str | None] | None = None,
    decode: _Decode = _DECODE,
) -> Records:
    """Returns records with the fields of lines of JSON.

    `to_text` returns the text of a value, and None if it has none; the default is for plain JSON.
    """
    convert = to_text or _json_text
    objects = list(map(json_object, records.texts, repeat(decode)))
    is_object: Sequence[object] = objects if all(objects) else [each is not None for each in objects]
    texts = records.texts if all(is_object) else list(compress(records.texts, is_object))
    found: list[dict[str, Any]] = [each for each in objects if each is not None]

    def column(name: str) -> Column:
        get: Callable[[dict[str, Any], str], Any] = _inner if "." in name else dict.get
        values = list(map(get, found, repeat(name)))
        is_text = set(map(type, values)) <= {str, type(None)}
        return column_of(values if is_text else map(convert, values))

    return records.with_fields(is_object, texts, column)


def _inner(value: Any, name: str) -> object:
    """Returns the value of a name such as `a.b`: that of this key, or that of `b` in the value of `a`."""
    while True:
        if isinstance(value, dict) and name in value:
            return value[name]
        key, dot, name = name.partition(".")
        if isinstance(value, list) and key.isdecimal() and len(key) < 10 and int(key) < len(value):
            value = value[int(key)]
        elif dot and isinstance(value, dict):
            value = value.get(key)
        else:
            return None
        if not dot:
            return value


def _json_text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def journal_records(records: Records) -> Records:
    """Returns records with the fields of entries of the systemd journal; their text is that of `MESSAGE`."""
    found = json_records(records, _journal_text, _DECODE_ENTRY)
    return found._replace(texts=[text or "" for text in found.columns("MESSAGE")])


def _journal_text(value: object) -> str | None:
    """Returns a text of the journal. Text that is not UTF-8 is a list of bytes; repeated fields are a list.

    Source: systemd.io/JOURNAL_EXPORT_FORMATS.
    """
    if isinstance(value, list) and not _is_bytes(value):  # a repeated field: its first value
        value = value[0] if value else None
    return _decoded(value) if _is_bytes(value) else _json_text(value)


def _is_bytes(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, _Whole) for each in value)


def _decoded(numbers: Any) -> str | None:
    try:
        return bytes(map(int, numbers)).decode(errors="replace")
    except ValueError:  # not a byte
        return None


#: A key of logfmt with its value, in quotes or without; or a character that does not belong there.
_PAIR = re.compile(
    r"""
    ([^\x00-\x20="]+) (=)?
    (?: (?<==) "([^"\\]* (?:\\.[^"\\]*)*)" (?![^\x00-\x20]) | (?<==) ([^\x00-\x20"]+) )?
    | ([^\x00-\x20])
    """,
    re.DOTALL | re.VERBOSE,
)

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)

_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


def logfmt_fields(text: str) -> dict[str, str] | None:
    """Returns the values of a line of logfmt; None if it has none, or something else.

    A key without a value has the value `true`.
    """
    fields = {}
    has_values = False
    for key, equals, quoted, bare, other in _PAIR.findall(text):
        if other:
            return None
        if quoted:
            fields[key] = _ESCAPE.sub(_unescaped, quoted) if "\\" in quoted else quoted
        else:
            fields[key] = bare if equals else "true"
        has_values = has_values or bool(equals)
    return fields if has_values else None


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else _ESCAPED.get(escape[2], escape[2])


def logfmt_records(records: Records) -> Records:
    """Returns records with the values of lines of logfmt."""
    fields = list(map(logfmt_fields, records.texts))
    texts = records.texts if all(fields) else list(compress(records.texts, fields))
    found = list(filter(None, fields))
    return records.with_fields(fields, texts, lambda name: column_of(each.get(name) for each in found))


class Csv:
    """Lines of CSV with some columns."""

    def __init__(self, config: CsvConfig) -> None:
        delimiter = self._delimiter = config.delimiter
        self._names = list(config.columns)
        d = re.escape(delimiter)
        #: A field with the delimiter behind it; or a character that does not belong there.
        self._field = re.compile(rf'(?:"([^"]*(?:""[^"]*)*)"|([^"{d}]*)){d}|(.)', re.DOTALL)

    def fields(self, text: str) -> list[str] | None:
        """Returns the fields of a line; None if a quote is not closed, or stands within a field."""
        if '"' not in text:
            return text.split(self._delimiter)
        fields = []
        for found in self._field.finditer(text + self._delimiter):
            if found[3]:
                return None
            fields.append(found[2] if found[1] is None else found[1].replace('""', '"'))
        return fields

    def records(self, records: Records) -> Records:
        """Returns records with the fields of lines of CSV."""
        lines = list(map(self.fields, records.texts))
        names, headers = self._names, set[str]()
        if names:
            if names in lines:
                headers = {text for text, line in zip(records.texts, lines, strict=True) if line == names}
            lines = [None if not line or len(line) < len(names) or line == names else line for line in lines]
        texts = records.texts if all(lines) else list(compress(records.texts, lines))
        found = list(filter(None, lines))

        def column(name: str) -> Column:
            place = names.index(name) if name in names else int(name) - 1 if name.isdecimal() else -1
            if place < 0:
                return [None] * len(found)
            return [line[place] if place < len(line) else None for line in found]

        return records.with_fields(lines, texts, column, headers)


def parser(name: str, csv: CsvConfig) -> Stage:
    """Returns what makes records with fields of lines of a format; `csv` has the columns of CSV."""
    parsers: dict[str, Stage] = {
        "json": json_records,
        "journal": journal_records,
        "logfmt": logfmt_records,
        "csv": Csv(csv).records,
    }
    return parsers[name]
