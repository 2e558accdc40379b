"""The format of an entry, which makes records of lines:

lines   --  docker, cri         -->   lines of programs, with stream and time
        --  multiline           -->   several lines as one text
        --  json, logfmt, csv   -->   records with fields
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from event_count_logger.config import TailConfig
from event_count_logger.sources.tail.formats.containers import WRAPPERS, unwrapped
from event_count_logger.sources.tail.formats.fields import parser
from event_count_logger.sources.tail.formats.multiline import Starts
from event_count_logger.sources.tail.formats.records import Records, constant_columns
from event_count_logger.sources.tail.rules.time_limit import TimeLimit


class LineFormat:
    """The formats of an entry.

    Attributes:
        is_plain: True if each line is a record without fields.
    """

    def __init__(self, config: TailConfig, limit: TimeLimit) -> None:
        """`limit` ties it to the main thread; see `TimeLimit`."""
        self._wrapper = WRAPPERS.get(config.wrapper)
        self._steps: list[Callable[[Records], Records]] = []
        if config.multiline:
            self._steps.append(Starts(config.multiline.start, limit).joined)
        if config.parser:
            self._steps.append(parser(config.parser, config.csv))
        self.is_plain = not (self._wrapper or self._steps)

    def records(self, lines: Sequence[str], constants: Mapping[str, str]) -> Records:
        """Returns the records of lines that start and end with a record.

        `constants` has the values that all lines have in common.
        """
        if self._wrapper:
            records = unwrapped(self._wrapper, lines, constants)
        else:
            records = Records(lines, constant_columns(constants, len(lines)))
        for step in self._steps:
            records = step(records)
        return records
