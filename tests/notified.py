"""The receiving end of sd_notify."""

from __future__ import annotations

import secrets
import select
import socket
import threading
from contextlib import suppress
from types import TracebackType

from tests.servers import wait_until


class Manager:
    """Receives the notifications of services, as systemd does, on an abstract unix socket.

    A thread receives all the time: a socket has room for few messages, and services drop further ones.
    """

    def __init__(self) -> None:
        name = f"ecl-test-{secrets.token_hex(8)}"
        self.address = f"@{name}"
        self.received: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{name}")
        self._socket.setblocking(False)
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def __enter__(self) -> Manager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_closed = True
        self._socket.shutdown(socket.SHUT_RD)  # wakes the thread
        self._thread.join()
        self._socket.close()

    def states(self) -> list[str]:
        """Returns the first line of each message so far, without watchdog messages."""
        self._receive()
        return [state for state in (each.split("\n")[0] for each in self.received) if state != "WATCHDOG=1"]

    def watchdog_messages(self) -> int:
        """Returns the number of watchdog messages so far."""
        self._receive()
        return self.received.count("WATCHDOG=1")

    def wait_for(self, *states: str) -> None:
        """Wait until these are the last messages."""
        wait_until(lambda: self.states()[-len(states) :] == list(states), what=f"{states}")

    def _work(self) -> None:
        while not self._is_closed:
            select.select([self._socket], [], [])
            self._receive()

    def _receive(self) -> None:
        with self._lock, suppress(BlockingIOError):
            while message := self._socket.recv(4096):  # empty after the shutdown
                self.received.append(message.decode())
