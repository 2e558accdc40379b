"""Waiting in commands that run until a signal ends them."""

from __future__ import annotations

import os
import select
import signal
import sys
from types import FrameType


class Pause:
    """A pause that SIGINT, SIGTERM or a closed standard output ends.

    From its creation on, the first signal interrupts nothing but `wait`. The second one ends the process at
    once.
    """

    def __init__(self) -> None:
        # A signal makes a pipe readable, so that one right before `wait` is not missed.
        signalled, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        self._reasons = select.poll()
        self._reasons.register(signalled, select.POLLIN)
        if sys.stdout:
            # poll() always reports POLLERR, which a closed reader causes (man 2 poll).
            self._reasons.register(sys.stdout.fileno(), 0)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)

    def wait(self, seconds: float) -> bool:
        """Wait; return False if the command should end."""
        return not self._reasons.poll(seconds * 1000)
