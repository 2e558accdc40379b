"""The notification protocol of systemd, sd_notify(3).

Each message is a datagram to the socket that the environment variable NOTIFY_SOCKET names. Without this
variable, no message is sent.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress

#: Seconds that a message may wait for room in the socket; then it is dropped.
_LONGEST_WAIT_S = 1.0

#: Watchdog messages per watchdog timeout. systemd kills the process if none arrives within the timeout.
_HEARTBEATS = 4


class Notifier:
    """Sends messages to the service manager; its methods never raise."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Removes the variables of the protocol from the environment, so that no child process uses them."""
        address = environment.pop("NOTIFY_SOCKET", "")
        # '@' stands for the NUL at the start of an abstract socket address; see unix(7).
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._every_s = _watchdog_s(environment) / _HEARTBEATS
        self._next_heartbeat = 0.0
        self._is_stopping = False

    def ready(self, status: str) -> None:
        """Report that the service is ready, after its start or a reload; `status` is shown to people."""
        if not self._is_stopping:
            self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Report the start of a reload; `ready` reports its end."""
        if not self._is_stopping:
            now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            self._send("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def status(self, status: str) -> None:
        """Report a status, which is shown to people."""
        self._send(f"STATUS={status}")

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._is_stopping = True
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Report progress to the watchdog. Call this often: it limits the number of messages itself."""
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
    """Returns the watchdog timeout of this process in seconds; 0 for none."""
    microseconds, pid = environment.pop("WATCHDOG_USEC", "0"), environment.pop("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return 0
    return int(microseconds) / 1e6 if microseconds.isdecimal() else 0
