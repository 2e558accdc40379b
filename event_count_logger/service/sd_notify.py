"""Tells whoever runs this process how it is: the protocol of systemd, sd_notify(3).

Each message is a datagram to the socket that is named in the environment; without one, nothing is said.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress

#: Seconds that a message may wait for room; then it is dropped.
_LONGEST_WAIT_S = 1.0

#: How many signs of life are given in the time after which the lack of one has the process killed.
_HEARTBEATS = 4


class Notifier:
    """Sends messages; none of its methods raises."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Takes what is for this process out of the environment, so that children do not speak for it."""
        address = environment.pop("NOTIFY_SOCKET", "")
        # An '@' stands for the 0 that names outside of the file system begin with; see unix(7).
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._every_s = _watchdog_s(environment) / _HEARTBEATS
        self._next_heartbeat = 0.0
        self._is_stopping = False

    def ready(self, status: str) -> None:
        """It serves, as of now or again; `status` is for people."""
        if not self._is_stopping:
            self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """It reads its configuration; `ready` ends that."""
        if not self._is_stopping:
            now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            self._send("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def status(self, status: str) -> None:
        """What it is doing, for people."""
        self._send(f"STATUS={status}")

    def stopping(self) -> None:
        """It ends."""
        self._is_stopping = True
        self._send("STOPPING=1")

    def alive(self) -> None:
        """It gets on with its work; to be called often."""
        now = time.monotonic()
        if self._every_s and now >= self._next_heartbeat:
            self._next_heartbeat = now + self._every_s
            self._send("WATCHDOG=1")

    def _send(self, *fields: str) -> None:
        if not self._address:
            return
        message = "\n".join(" ".join(field.splitlines()) for field in fields)
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_LONGEST_WAIT_S)
            sender.sendto(message.encode(errors="replace"), self._address)


def _watchdog_s(environment: MutableMapping[str, str]) -> float:
    """Seconds after which a process that gives no sign is killed; 0 for never."""
    microseconds, pid = environment.pop("WATCHDOG_USEC", "0"), environment.pop("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return 0
    return int(microseconds) / 1e6 if microseconds.isdecimal() else 0
