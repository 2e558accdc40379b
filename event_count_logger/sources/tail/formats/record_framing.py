"""Framing of records with several lines: parts of long lines in container logs, and `multiline`.

Reading stops only where no line waits for its last part (see containers.py), and with `multiline` in front of
a line that begins a record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from event_count_logger.config import TailConfig
from event_count_logger.sources.tail.formats.containers import (
    WRAPPERS,
    OpenLines,
    Part,
    Wrapper,
    are_apart,
    joined,
)
from event_count_logger.sources.tail.formats.framing import Lines
from event_count_logger.sources.tail.formats.multiline import Starts
from event_count_logger.sources.tail.formats.text_format import LONGEST_LINE
from event_count_logger.sources.tail.rules.time_limit import TimeLimit


class _Block(NamedTuple):
    """Lines of a file from where no line of a program is open up to the next such place.

    Attributes:
        begin: Offset of the first line.
        end: End of the last line.
        parts: The parts of the lines of programs. A malformed line has none.
    """

    begin: int
    end: int
    parts: Sequence[Part]

    @property
    def texts(self) -> Iterator[str]:
        """The lines of programs, in the order of their ends."""
        return (line.text for line in joined(self.parts))


class _Plain:
    """Lines that are not wrapped. It implements `Wrapper`."""

    def part(self, line: str) -> Part:
        """Returns the line."""
        return Part(line, None, None, True)

    def may_have_parts(self, data: bytes) -> bool:
        """Returns False."""
        return False


class RecordLines(Lines):
    """The framing of container logs, and of records of several lines."""

    def __init__(self, encoding: str, wrapper: Wrapper, starts: Starts | None) -> None:
        """Without `starts`, each line of a program is a record."""
        super().__init__(encoding)
        self._wrapper = wrapper
        self._starts = starts

    def end(self, data: bytes) -> int:
        """Returns the end of the last record that is complete."""
        data = data[: self.end_of_lines(data)]
        has_parts = self._wrapper.may_have_parts(data)
        if not self._starts and not has_parts:
            return len(data)
        blocks: Iterable[_Block] = reversed(list(self._blocks(data))) if has_parts else self._backwards(data)
        if not self._starts:
            return next((block.end for block in blocks), 0)
        starts = (block.begin for block in blocks if any(map(self._starts.is_start, islice(block.texts, 1))))
        return next(starts, 0)

    def begin(self, before: bytes, data: bytes) -> int:
        """Returns the number of bytes at the start of `data` that belong to a record counted before.

        These are the rest of a line, parts that continue those before, and lines that begin no record.
        """
        position = super().begin(before, data)
        position = self._end_of_parts(before + data[:position], data, position)
        if not self._starts:
            return position
        end = position
        for block in self._blocks(data, position):
            if not block.parts or any(map(self._starts.is_start, block.texts)):
                return block.begin
            end = block.end
        return end

    def _end_of_parts(self, before: bytes, data: bytes, position: int) -> int:
        """Returns the end of the parts from a position on that continue lines in `before`."""
        open_lines = self._open_lines(before) if self._wrapper.may_have_parts(before) else OpenLines()
        for end, part in self._parts(data, position) if open_lines else ():
            if part:
                open_lines.expired(part)
            if part is None or part.stream not in open_lines:
                break
            open_lines.add(part)
            position = end
        return position

    def _open_lines(self, before: bytes) -> OpenLines:
        """Returns the lines that are open behind some bytes, which may start inside a line.

        The time at which such a line began is unknown, and with it the begin of those that follow. Parts are
        therefore ignored up to a place where a line of their stream certainly begins.
        """
        open_lines = OpenLines()
        certain: set[str | None] = set()
        latest: dict[str | None, str | None] = {}  # time of the last part of a stream
        first = None
        for _, part in self._parts(before):
            if not part:
                continue
            first = first or part.time
            is_late = are_apart(latest.get(part.stream, first), part.time)
            if len(before) < LONGEST_LINE or is_late:
                certain.add(part.stream)
            latest[part.stream] = part.time
            open_lines.expired(part)
            if part.stream in certain:
                open_lines.add(part)
            elif part.is_last:
                certain.add(part.stream)
        return open_lines

    def _blocks(self, data: bytes, position: int = 0) -> Iterator[_Block]:
        """Yield all blocks from a position on."""
        parts: list[Part] = []
        open_lines = OpenLines()
        begin = position
        for end, part in self._parts(data, position):
            if part:
                if open_lines.expired(part) and not open_lines:
                    yield _Block(begin, position, parts)
                    begin, parts = position, []
                open_lines.add(part)
                parts.append(part)
            if not open_lines:
                yield _Block(begin, end, parts)
                begin, parts = end, []
            position = end

    def _backwards(self, data: bytes) -> Iterator[_Block]:
        """Yield the blocks of lines that have no parts, from the last one on."""
        end = len(data)
        while end:
            begin = self.end_of_lines(data, end - len(self.newline))
            part = self._part(data[begin:end])
            yield _Block(begin, end, [part] if part else [])
            end = begin

    def _parts(self, data: bytes, position: int = 0) -> Iterator[tuple[int, Part | None]]:
        """Yield the end and the part of each complete line from a position on."""
        while end := self.end_of_line(data, position):
            yield end, self._part(data[position:end])
            position = end

    def _part(self, line: bytes) -> Part | None:
        text = line.decode(self.encoding, "replace").removesuffix("\n").removesuffix("\r")
        return self._wrapper.part(text)


def framing_of(config: TailConfig, limit: TimeLimit) -> Callable[[str], Lines]:
    """Returns what makes the framing of an entry for an encoding; `limit` ties it to the main thread."""
    if not (config.wrapper or config.multiline):
        return Lines
    wrapper = WRAPPERS.get(config.wrapper) or _Plain()
    starts = Starts(config.multiline.start, limit) if config.multiline else None
    return lambda encoding: RecordLines(encoding, wrapper, starts)
