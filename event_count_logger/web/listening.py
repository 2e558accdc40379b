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
class Address:
    """An address to listen on.

    Attributes:
        host: Name or IP address; '' for all of this machine's.
        port: TCP port; 0 for any that is free.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `HOST:PORT`, `[IPv6]:PORT`, or `:PORT`, which means all addresses.

        Raises:
            ValueError: Not of that form.
        """
        match = _ADDRESS.fullmatch(text)
        if not match or int(match["port"]) > 65535:
            raise ValueError(f"'{text}' is not an address (expected HOST:PORT, [IPv6]:PORT or :PORT)")
        return cls(match["ipv6"] or match["host"] or "", int(match["port"]))

    def is_loopback(self) -> bool:
        """Whether only this machine reaches it.

        Raises:
            OSError: There is no such host.
        """
        family, host = self._resolved()
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback

    def listen(self) -> socket.socket:
        """A socket that listens there.

        Raises:
            OSError: It cannot, for example because another program does.
        """
        if not self.host and socket.has_dualstack_ipv6():
            listener = socket.create_server(
                ("", self.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=socket.SOMAXCONN
            )
        else:
            family, host = self._resolved()
            listener = socket.create_server((host, self.port), family=family, backlog=socket.SOMAXCONN)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it (man 7 tcp)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_S * 1000)
        return listener

    def _resolved(self) -> tuple[socket.AddressFamily, str]:
        found = socket.getaddrinfo(
            self.host or None, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, address = found[0]
        return family, str(address[0])


def url(listener: socket.socket) -> str:
    """Where a listening socket can be reached."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
