"""A deterministic scheduler: runs a second thread or a signal handler at each line or call of a function."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeVar

import event_count_logger

_T = TypeVar("_T")

_PACKAGE = os.path.dirname(event_count_logger.__file__)


class Interruption:
    """Runs a function once, and interrupts it after `at` events. `get` and `set_` are functions of `sys`."""

    def __init__(
        self, at: int, events: tuple[str, ...], get: Callable[[], Any], set_: Callable[[Any], None]
    ) -> None:
        self.happened = False
        self._left = at
        self._events = events
        self._get, self._set = get, set_

    def __call__(self, function: Callable[[], _T], interrupt: Callable[[], object]) -> _T:
        """Run a function, with one call of `interrupt` in between. Returns its result."""

        def watch(frame: FrameType, event: str, argument: object) -> Any:
            if not frame.f_code.co_filename.startswith(_PACKAGE):
                return None
            if event in self._events:
                self._left -= 1
                if self._left == -1:
                    self.happened = True
                    interrupt()
            return watch

        before = self._get()
        self._set(watch)
        try:
            return function()
        finally:
            self._set(before)


def at_each_line() -> Iterator[Interruption]:
    """Yields interruptions at the first line of a function, at the second line, and so on.

    Lines of called functions of this package are included, and lines of a loop in each round.
    """
    return _each(("call", "line"), sys.gettrace, sys.settrace)


def at_each_call() -> Iterator[Interruption]:
    """As `at_each_line`, at calls: after a call, CPython may run a signal handler."""
    return _each(("call", "c_return"), sys.getprofile, sys.setprofile)


def _each(*watching: Any) -> Iterator[Interruption]:
    for at in itertools.count():
        interruption = Interruption(at, *watching)
        yield interruption
        if not interruption.happened:
            return
