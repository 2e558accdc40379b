"""Blocking of SIGHUP until a service has installed its handler."""

from __future__ import annotations

import signal


def block() -> None:
    """Block SIGHUP: a signal that arrives is kept pending, and does not end this process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def unblock() -> None:
    """Unblock SIGHUP: a pending signal is delivered now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
