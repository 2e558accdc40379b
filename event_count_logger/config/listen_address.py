"""Addresses at which `ecl tail` accepts lines, such as `tcp:127.0.0.1:5140`."""

from __future__ import annotations

import os
from dataclasses import dataclass

_EXAMPLES = "unix:/run/ecl.sock, unixgram:/run/ecl.sock, tcp:127.0.0.1:5140 or udp:[::1]:5140"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """The address of a socket.

    Attributes:
        is_datagram: True if each packet has complete lines; otherwise a connection is a stream of lines.
        host: Host name or IP address; '' for a socket in the file system.
        port: Number of the port.
        path: Path of a socket in the file system.
    """

    is_datagram: bool
    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Read an address.

        Raises:
            ValueError: It is not one.
        """
        kind, colon, address = text.partition(":")
        if kind in ("unix", "unixgram") and address:
            return cls(kind == "unixgram", path=address)
        host, colon, port = address.rpartition(":")
        if kind not in ("tcp", "udp") or not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"it is not like {_EXAMPLES}")
        return cls(kind == "udp", host.removeprefix("[").removesuffix("]"), int(port))

    def below(self, base: str) -> ListenAddress:
        """Returns the address with an absolute path."""
        if not self.path:
            return self
        path = os.path.abspath(os.path.join(base, os.path.expanduser(self.path)))
        return ListenAddress(self.is_datagram, path=path)

    def __str__(self) -> str:
        if self.path:
            return f"{'unixgram' if self.is_datagram else 'unix'}:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'udp' if self.is_datagram else 'tcp'}:{host}:{self.port}"
