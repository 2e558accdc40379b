"""The end of a service by SIGTERM or SIGINT."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """A request to stop, by the first SIGTERM or SIGINT; the second ends the process at once.

    Attributes:
        is_set: Whether a signal has arrived.
    """

    def __init__(self, stopping: Callable[[], object]) -> None:
        """Installs the handlers; `stopping` is called in the handler of the first signal."""
        self.is_set = False
        self._stopping = stopping
        self._reader, self._writer = os.pipe()
        for each in _SIGNALS:
            signal.signal(each, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        self._stopping()
        self.is_set = True
        os.write(self._writer, b"!")

    def wait(self, seconds: float) -> None:
        """Wait some seconds, or until a signal arrives."""
        ended = select.poll()
        ended.register(self._reader, select.POLLIN)
        ended.poll(seconds * 1000)
