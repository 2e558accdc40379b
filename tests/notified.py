"""The other end of the socket to which services say how they are."""

from __future__ import annotations

import secrets
import socket
from types import TracebackType

from tests.servers import wait_until


class Manager:
    """Hears what services say, as systemd does. The name of its socket is outside of the file system."""

    def __init__(self) -> None:
        name = f"ecl-test-{secrets.token_hex(8)}"
        self.address = f"@{name}"
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{name}")
        self._socket.setblocking(False)

    def __enter__(self) -> Manager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def states(self) -> list[str]:
        """The first line of each message so far, signs of life left out."""
        self._hear()
        return [state for state in (each.split("\n")[0] for each in self.heard) if state != "WATCHDOG=1"]

    def signs(self) -> int:
        """How many signs of life there were."""
        self._hear()
        return self.heard.count("WATCHDOG=1")

    def wait_for(self, *states: str) -> None:
        """Until these are the last ones."""
        wait_until(lambda: self.states()[-len(states) :] == list(states), what=f"{states}")

    def _hear(self) -> None:
        try:
            while True:
                self.heard.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            pass
