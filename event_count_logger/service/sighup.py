"""SIGHUP in the time before a service can obey it."""

from __future__ import annotations

import signal


def block() -> None:
    """From now on SIGHUP waits, and does not end this process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def unblock() -> None:
    """It waits no longer: what has come meanwhile comes now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
