"""Records of several lines: each begins with a line that a pattern matches."""

from __future__ import annotations

import re
from itertools import accumulate

from event_count_logger.sources.tail.formats.records import Records, selected
from event_count_logger.sources.tail.rules.time_limit import TimeLimit, are_long

#: The name of the pattern in messages.
_NAME = "multiline.start"


class Starts:
    """Recognises the first line of each record."""

    def __init__(self, pattern: re.Pattern[str], limit: TimeLimit) -> None:
        """`limit` ties it to the main thread; see `TimeLimit`."""
        self._pattern = pattern
        self._limit = limit

    def is_start(self, line: str) -> bool:
        """Returns whether a line begins a record. One that takes too long does not."""
        (found,), _ = self._limit.search(self._pattern, [line], are_long([line]))
        return found is not None

    def joined(self, records: Records) -> Records:
        """Returns records that are joined of lines. The first line begins one in any case."""
        texts = records.texts
        found, slow = self._limit.search(self._pattern, texts, are_long(texts))
        is_start = [number == 0 or bool(match) for number, match in enumerate(found)]
        begins = [number for number, begins in enumerate(is_start) if begins]
        ends = [*begins[1:], len(texts)]
        record_of = list(accumulate(is_start))  # 1 for the first record
        return records._replace(
            texts=["\n".join(texts[begin:end]) for begin, end in zip(begins, ends, strict=bool(texts))],
            columns=selected(records.columns, is_start),
            too_slow={record_of[number] - 1: _NAME for number in slow},
        )
