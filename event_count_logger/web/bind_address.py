"""Where the server listens."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

#: Not registered for anything else, and below the ports that systems give to outgoing connections.
DEFAULT_PORT = 8917
DEFAULT_ADDRESS = f"127.0.0.1:{DEFAULT_PORT}"

_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<host>[^\[\]:/@\s]*)):(?P<port>[0-9]{1,5})")

#: Seconds for which a client may leave what it is sent unread, or unacknowledged, before it is cut off.
_UNREAD_S = 60


@dataclass(frozen=True, slots=True)
class BindAddress:
    """An address to listen on.

    Attributes:
        host: IP address.
        port: TCP port; 0 for any that is free.
    """

    host: str
    port: int

    @classmethod
    def resolve(cls, text: str) -> BindAddress:
        """Read `HOST:PORT`, `[IPv6]:PORT`, or `:PORT`, which means all addresses of this machine.

        Raises:
            ValueError: Not of that form.
            OSError: There is no such host.
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
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback

    def listen(self) -> socket.socket:
        """A socket that listens there.

        Raises:
            OSError: It cannot, for example because another program does.
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
    """Where a listening socket can be reached."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
