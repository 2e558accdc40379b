"""Waiting in commands that go on until they are told to end."""

from __future__ import annotations

import os
import select
import signal
import sys
from types import FrameType


class Waiting:
    """Waits, unless SIGINT or SIGTERM has come, or nobody reads standard output any more.

    Signals are noted from when it is made, and cut short nothing but waiting; the second one ends the
    process at once.
    """

    def __init__(self) -> None:
        # A signal is noticed as something to read, so none is missed that comes right before the waiting.
        signalled, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)
        self._reasons = select.poll()
        self._reasons.register(signalled, select.POLLIN)
        if sys.stdout:
            self._reasons.register(
                sys.stdout.fileno(), 0
            )  # it is told without asking when the other end is gone

    def _note(self, number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)

    def goes_on(self, seconds: float) -> bool:
        """Wait; returns whether to go on."""
        return not self._reasons.poll(seconds * 1000)
