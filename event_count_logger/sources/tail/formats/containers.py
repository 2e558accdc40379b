"""Lines of container logs: each contains a part of a line that a program has written to one of its streams.

    docker   {"log":"a line\\n","stream":"stdout","time":"2026-11-25T03:00:00.123456789Z"}
    cri      2026-11-25T03:00:00.123456789Z stdout F a line

A long line is written in several parts, with parts of the other stream between them. The last part ends with
a newline (docker), or has the tag F in place of P (cri).

A line whose last part does not come is complete in front of a part, of any stream, that is more than 5 s
later than its first one. What follows in its stream is another line. Only the times in the log decide, so
reading it again gives the same lines:

    03:00:00 stderr P a      open
    03:00:03 stdout F b      complete: b
    03:00:06 stdout F c      complete: a, which is too old, then c
    03:00:07 stderr F d      complete: d
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import NamedTuple, Protocol

from event_count_logger.sources.tail.formats.fields import json_object
from event_count_logger.sources.tail.formats.records import (
    Records,
    column_of,
    constant_columns,
    inner_first,
    without_surrogates,
)

#: Microseconds after its first part for which a line is open.
_LONGEST_WAIT = 5_000_000

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.(\d{1,20}))?(?:Z|([+-])(\d\d):(\d\d))",
    re.ASCII,
)

_TEXT = (str, type(None))


class Part(NamedTuple):
    """A part of a line; `is_last` is True if the line ends with it."""

    text: str
    stream: str | None
    time: str | None
    is_last: bool


class Wrapper(Protocol):
    """A format of container logs."""

    def part(self, line: str) -> Part | None:
        """Returns the part in a line; None for a malformed line."""

    def may_have_parts(self, data: bytes) -> bool:
        """Returns whether complete lines may have parts of longer lines; much faster than `part`."""


class Docker:
    """The format of Docker's driver json-file. It implements `Wrapper`."""

    #: The end of a line with a last part, as Docker writes it, apart from what `_ESCAPED` finds.
    _LAST = re.compile(rb'\\n","stream":"[a-z]+","time":"[^"\\]*"\}\r?$', re.MULTILINE)

    #: The end of a text with a backslash in front of `n`, which is no newline.
    _ESCAPED = rb'\\n","stream"'

    def part(self, line: str) -> Part | None:
        """Returns the part in a line."""
        fields = json_object(line)
        if fields is None:
            return None
        text, stream, time = fields.get("log"), fields.get("stream"), fields.get("time")
        if not (isinstance(text, str) and isinstance(stream, _TEXT) and isinstance(time, _TEXT)):
            return None
        if text[-1:] == "\n":
            return Part(text[:-2] if text[-2:] == "\r\n" else text[:-1], stream, time, True)
        return Part(text, stream, time, False)

    def may_have_parts(self, data: bytes) -> bool:
        """Returns whether any line has another end than usual."""
        return self._ESCAPED in data or len(self._LAST.findall(data)) < data.count(b"\n")


class Cri:
    """The format of Kubernetes. It implements `Wrapper`."""

    _LINE = re.compile(
        "([0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]+) (stdout|stderr) ([PF])(?::[^ ]*)?(?: (.*))?", re.DOTALL
    )

    def part(self, line: str) -> Part | None:
        """Returns the part in a line."""
        found = self._LINE.fullmatch(line)
        if not found:
            return None
        time, stream, tag, text = found.groups("")
        return Part(text, stream, time, tag == "F")

    def may_have_parts(self, data: bytes) -> bool:
        """Returns whether any text looks like the tag P."""
        return b" stdout P" in data or b" stderr P" in data


WRAPPERS: dict[str, Wrapper] = {"docker": Docker(), "cri": Cri()}


class OpenLines:
    """Lines of programs whose last part is missing, at most one of each stream."""

    def __init__(self) -> None:
        self._parts: dict[str | None, list[Part]] = {}
        self._begins: dict[str | None, int | None] = {}  # times of the first parts

    def __bool__(self) -> bool:
        return bool(self._parts)

    def __contains__(self, stream: str | None) -> bool:
        return stream in self._parts

    def expired(self, part: Part) -> Sequence[Part]:
        """Remove and return the lines that are too old when a part follows. A time may also jump back."""
        if not self._parts or (now := _microseconds(part.time)) is None:
            return ()
        old = [
            stream
            for stream, begin in self._begins.items()
            if begin is not None and abs(now - begin) > _LONGEST_WAIT
        ]
        return [self._removed(stream) for stream in old]

    def add(self, part: Part) -> Part | None:
        """Add a part; return its line, if it is the last one."""
        if part.is_last and part.stream not in self._parts:
            return part
        if part.stream not in self._parts:
            self._parts[part.stream], self._begins[part.stream] = [], _microseconds(part.time)
        self._parts[part.stream].append(part)
        return self._removed(part.stream) if part.is_last else None

    def rest(self) -> Sequence[Part]:
        """Remove and return all lines, as they are."""
        return [self._removed(stream) for stream in tuple(self._parts)]

    def _removed(self, stream: str | None) -> Part:
        del self._begins[stream]
        return _line_of(self._parts.pop(stream))


def joined(parts: Sequence[Part]) -> Sequence[Part]:
    """Returns lines joined of their parts, in the order of their ends. A line without its end is the last."""
    if all(part.is_last for part in parts):
        return parts
    return list(_joined(parts))


def _joined(parts: Sequence[Part]) -> Iterator[Part]:
    open_lines = OpenLines()
    for part in parts:
        yield from open_lines.expired(part)
        line = open_lines.add(part)
        if line:
            yield line
    yield from open_lines.rest()


def are_apart(earlier: str | None, later: str | None) -> bool:
    """Returns whether a line with a part at the first time certainly does not continue at the second.

    Its first part is at most 5 s later than the other parts, if times jump back, so 10 s are enough.
    """
    begin, end = _microseconds(earlier), _microseconds(later)
    return begin is not None and end is not None and end - begin > 2 * _LONGEST_WAIT


def _microseconds(time: str | None) -> int | None:
    """Returns a time as a number, None if it is not one of RFC 3339."""
    found = _TIME.fullmatch(time or "")
    if not found:
        return None
    year, month, day, hour, minute, second, fraction, sign, zone_hours, zone_minutes = found.groups("0")
    try:
        days = date(int(year), int(month), int(day)).toordinal()
    except ValueError:
        return None
    zone = (int(zone_hours) * 60 + int(zone_minutes)) * (-1 if sign == "-" else 1)
    minutes = (days * 24 + int(hour)) * 60 + int(minute) - zone
    return (minutes * 60 + int(second)) * 1_000_000 + int(f"{fraction:0<6}"[:6])


def _line_of(parts: Sequence[Part]) -> Part:
    return Part("".join(part.text for part in parts), parts[0].stream, parts[0].time, True)


def unwrapped(wrapper: Wrapper, lines: Sequence[str], constants: Mapping[str, str]) -> Records:
    """Returns the lines of programs in lines of a container log, with the names `stream` and `time`.

    `constants` has the values that all lines have in common.
    """
    of_lines = list(map(wrapper.part, lines))
    parts = list(filter(None, of_lines))
    found = joined(parts)
    values = {
        "stream": column_of(line.stream for line in found),
        "time": column_of(line.time for line in found),
    }
    nothing = [None] * len(found)
    texts = without_surrogates([line.text for line in found])
    columns = inner_first(lambda name: values.get(name, nothing), constant_columns(constants, len(found)))
    malformed = lines[of_lines.index(None)] if len(parts) < len(lines) else ""
    return Records(texts, columns, len(lines) - len(parts), malformed)
