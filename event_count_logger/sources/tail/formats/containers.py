"""Lines of container logs: each contains a part of a line that a program has written to one of its streams.

    docker   {"log":"a line\\n","stream":"stdout","time":"2026-11-25T03:00:00.123456789Z"}
    cri      2026-11-25T03:00:00.123456789Z stdout F a line

A long line is written in several parts, with parts of the other stream between them. The last part ends with
a newline (docker), or has the tag F in place of P (cri).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from event_count_logger.sources.tail.formats.fields import json_object
from event_count_logger.sources.tail.formats.records import (
    Records,
    column_of,
    constant_columns,
    inner_first,
    without_surrogates,
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


def joined(parts: Sequence[Part]) -> Sequence[Part]:
    """Returns lines joined of their parts, in the order of their ends. A line without its end is the last."""
    if all(part.is_last for part in parts):
        return parts
    return list(_joined(parts))


def _joined(parts: Sequence[Part]) -> Iterator[Part]:
    open_parts: dict[str | None, list[Part]] = {}
    for part in parts:
        if part.is_last and part.stream not in open_parts:
            yield part
            continue
        open_parts.setdefault(part.stream, []).append(part)
        if part.is_last:
            yield _line_of(open_parts.pop(part.stream))
    yield from map(_line_of, open_parts.values())


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
