"""The address that the server listens on."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

#: A port that is not registered, and below the ephemeral ports of outgoing connections.
DEFAULT_PORT = 8917
DEFAULT_ADDRESS = f"127.0.0.1:{DEFAULT_PORT}"

_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<host>[^\[\]:/@\s]*)):(?P<port>[0-9]{1,5})")

#: TCP_USER_TIMEOUT in seconds: a client that leaves data unread or unacknowledged for longer is disconnected.
_UNREAD_S = 60


@dataclass(frozen=True, slots=True)
class BindAddress:
    """An address to listen on.

    Attributes:
        host: IP address.
        port: TCP port; 0 for a free one.
    """

    host: str
    port: int

    @classmethod
    def resolve(cls, text: str) -> BindAddress:
        """Parse `HOST:PORT`, `[IPv6]:PORT`, or `:PORT` for all addresses of this machine.

        Raises:
            ValueError: The text has another form.
            OSError: The host is unknown.
        """
        match = _ADDRESS.fullmatch(text)
        if not match or int(match["port"]) > 65535:
            raise ValueError(f"'{text}' is not an address (expected HOST:PORT, [IPv6]:PORT or :PORT)")
        host, port = match["ipv6"] or match["host"], int(match["port"])
        if not host:
            return cls("::" if socket.has_dualstack_ipv6() else "0.0.0.0", port)
        return cls(str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0]), port)

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach the address."""
        return ipaddress.ip_address(self.host).is_loopback

    def listen(self) -> socket.socket:
        """Returns a listening socket.

        Raises:
            OSError: The address cannot be used, for example because another program uses it.
        """
        listener = socket.create_server(
            (self.host, self.port),
            family=socket.AF_INET6 if ":" in self.host else socket.AF_INET,
            backlog=socket.SOMAXCONN,
            dualstack_ipv6=self.host == "::" and socket.has_dualstack_ipv6(),
        )
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it (man 7 tcp)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_S * 1000)
        return listener


def url(listener: socket.socket) -> str:
    """Returns the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
