"""Looks for a pattern in lines, and gives a line up that takes it too long."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Sequence
from types import FrameType

#: Seconds of this process's own time between looks at whether the search has gone on. A line may take at
#: least that, and at most twice as much. A line of a log takes a microsecond.
_TICK_S = 0.5

#: Characters above which a line is searched step by step: between the positions of one `search` the engine
#: looks for no signals, and there the time grows with the square of the length.
_LONG = 8192

Found = list["re.Match[str] | None"]


class _TooSlow(BaseException):
    """The pattern took too long for a line."""


class TimeLimit:
    """Limits the time that a pattern may take for one line.

    It takes over SIGVTALRM, so there may be one in a process, used by its main thread only. That signal comes
    by the time that this process uses: it does no harm to be stopped, or to wait for a busy machine.
    """

    def __init__(self) -> None:
        self._remaining: Callable[[], int] = int  # lines after the one in hand
        self._remaining_before = -1
        signal.signal(signal.SIGVTALRM, self._tick)

    def search(
        self, pattern: re.Pattern[str], lines: Sequence[str], is_long: bool
    ) -> tuple[Found, list[int]]:
        """The match of each line or None, and the numbers of the lines that took too long.

        Args:
            pattern: What is looked for.
            lines: Where.
            is_long: Whether there may be long lines; see `may_be_long`.
        """
        search = _in_steps(pattern) if is_long else pattern.search
        iterator = iter(lines)
        found: Found = []
        too_slow: list[int] = []
        self._remaining = iterator.__length_hint__  # type: ignore[attr-defined]
        self._remaining_before = -1
        signal.setitimer(signal.ITIMER_VIRTUAL, _TICK_S, _TICK_S)
        while self._remaining():
            try:
                found.extend(map(search, iterator))
            except _TooSlow:
                too_slow.append(len(lines) - self._remaining() - 1)
                found += [None] * (too_slow[-1] + 1 - len(found))
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        return found, too_slow

    def _tick(self, number: int, frame: FrameType | None) -> None:
        remaining = self._remaining()
        is_stuck = remaining == self._remaining_before
        self._remaining_before = -1 if is_stuck else remaining
        if is_stuck:
            raise _TooSlow


def may_be_long(data: bytes) -> bool:
    """Whether there may be a line in these bytes that is to be searched step by step."""
    half = _LONG // 2  # a line of more than twice that contains at least one such part as a whole
    return any(data.find(b"\n", begin, begin + half) < 0 for begin in range(0, len(data) - half, half))


def _in_steps(pattern: re.Pattern[str]) -> Callable[[str], re.Match[str] | None]:
    """The same as `pattern.search`, but it can be interrupted in long lines."""

    def search(line: str) -> re.Match[str] | None:
        if len(line) <= _LONG:
            return pattern.search(line)
        matches = (pattern.match(line, position) for position in range(len(line) + 1))
        return next(filter(None, matches), None)

    return search
