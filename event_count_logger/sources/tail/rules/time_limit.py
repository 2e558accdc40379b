"""A time limit for searching a regular expression in one line.

A timer raises SIGVTALRM twice per second of CPU time. Its handler compares the number of remaining lines with
that of the previous signal. If both are equal, one line has taken all this time, and its search ends.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Sequence
from types import FrameType

#: Seconds of CPU time between signals. A line may take at least this time, and at most twice as much. A usual
#: line takes a microsecond.
_TICK_S = 0.5

#: Characters above which a line is searched step by step. The engine handles no signals within a call, and
#: the time of one `search` grows with the square of the length.
_LONG = 8192

Found = list["re.Match[str] | None"]


class _TooSlow(BaseException):
    """The search of a line has reached the time limit."""


class TimeLimit:
    """Limits the time that a pattern may take for one line.

    It installs a handler of SIGVTALRM: a process can have one `TimeLimit`, used by its main thread only. The
    timer counts CPU time of this process, so a stopped process or a busy machine does no harm.
    """

    def __init__(self) -> None:
        self._remaining: Callable[[], int] = int  # lines after the current one
        self._remaining_before = -1
        self._may_raise = False  # True only within the `try` of `search`
        signal.signal(signal.SIGVTALRM, self._tick)

    def search(
        self, pattern: re.Pattern[str], lines: Sequence[str], is_long: bool = False, is_whole: bool = False
    ) -> tuple[Found, list[int]]:
        """Search each line.

        Args:
            pattern: Pattern to search for.
            lines: Lines to search.
            is_long: True if lines may be long; see `may_be_long`.
            is_whole: True if the pattern must match the whole line.

        Returns:
            The match of each line or None, and the indexes of the lines that reached the limit.
        """
        search = pattern.fullmatch if is_whole else _in_steps(pattern) if is_long else pattern.search
        iterator = iter(lines)
        found: Found = []
        too_slow: list[int] = []
        self._remaining = iterator.__length_hint__  # type: ignore[attr-defined]
        self._remaining_before = -1
        signal.setitimer(signal.ITIMER_VIRTUAL, _TICK_S, _TICK_S)
        try:
            while self._remaining():
                try:
                    self._may_raise = True
                    found.extend(map(search, iterator))
                    self._may_raise = False
                except _TooSlow:
                    too_slow.append(len(lines) - self._remaining() - 1)
                    found += [None] * (too_slow[-1] + 1 - len(found))
        finally:
            self._may_raise = False  # after an exception of another signal handler
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        return found, too_slow

    def _tick(self, number: int, frame: FrameType | None) -> None:
        remaining = self._remaining()
        is_stuck = remaining == self._remaining_before
        self._remaining_before = -1 if is_stuck else remaining
        if is_stuck and self._may_raise:
            self._may_raise = False
            raise _TooSlow


def may_be_long(data: bytes) -> bool:
    """Returns whether these bytes may contain a line that is to be searched step by step."""
    half = _LONG // 2  # a line longer than _LONG fills at least one part of this length
    return any(data.find(b"\n", begin, begin + half) < 0 for begin in range(0, len(data) - half, half))


def are_long(texts: Sequence[str]) -> bool:
    """Returns whether any of these texts is to be searched step by step."""
    return max(map(len, texts), default=0) > _LONG


def _in_steps(pattern: re.Pattern[str]) -> Callable[[str], re.Match[str] | None]:
    """Returns a function like `pattern.search` that can be interrupted in long lines."""

    def search(line: str) -> re.Match[str] | None:
        if len(line) <= _LONG:
            return pattern.search(line)
        matches = (pattern.match(line, position) for position in range(len(line) + 1))
        return next(filter(None, matches), None)

    return search
