"""Limits of connections and of requests that are being answered, in all and for each client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from event_count_logger.config import Config
from event_count_logger.web import paths
from event_count_logger.web.problems import RETRY_LATER, problem

#: Open connections. The usual limit of a process is 1024 open files.
_MOST_CONNECTIONS = 900

#: Requests that are being answered; each open stream is one. The other connections are for the state of the
#: server, which is answered under any load.
_MOST_REQUESTS = 850


class Connection(Protocol):
    """A connection, as far as it matters here."""

    @property
    def client(self) -> tuple[str, int] | None:
        """Address and port; None without an address."""

    @property
    def is_idle(self) -> bool:
        """True while no request is being answered."""

    def drop(self) -> None:
        """Close it at once."""


class ConnectionLimits:
    """The open connections. An idle one makes room for a new one: the one that has been idle for longest.

    Clients of this machine have no limit of their own, because a reverse proxy may be one of them.
    """

    def __init__(self, config: Config) -> None:
        self._open: dict[
            Connection, str | None
        ] = {}  # with its client; the last one to become idle comes last
        self._requests: Counter[str | None] = Counter()
        self.use(config)

    def use(self, config: Config) -> None:
        """Go on with another configuration."""
        self._most_per_client = config.serve.connections_per_client or _MOST_CONNECTIONS

    def add(self, connection: Connection) -> None:
        """Take a new connection. An idle one may be closed for it; it is closed itself if all are in use."""
        client = _client(connection.client)
        of_client = [each for each, known in self._open.items() if known == client]
        if client and len(of_client) >= self._most_per_client:
            self._drop_idle(of_client)
        if len(self._open) >= _MOST_CONNECTIONS and not self._drop_idle(self._open):
            connection.drop()
        else:
            self._open[connection] = client

    def mark_idle(self, connection: Connection) -> None:
        """Note that a connection has become idle."""
        if connection in self._open:
            self._open[connection] = self._open.pop(connection)

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._open.pop(connection, None)

    def _drop_idle(self, connections: Iterable[Connection]) -> bool:
        for connection in connections:
            if connection.is_idle:
                self.remove(connection)
                connection.drop()
                return True
        return False

    def limited(self, app: ASGIApp) -> ASGIApp:
        """An application that answers 503 in place of `app` while too many requests are being answered."""

        async def limited(scope: Scope, receive: Receive, send: Send) -> None:
            client = _client(scope.get("client"))
            if scope["type"] != "http" or scope["path"] in paths.STATE:
                await app(scope, receive, send)
            elif self._requests.total() >= _MOST_REQUESTS:
                await problem(503, "the server is answering too many requests", RETRY_LATER)(
                    scope, receive, send
                )
            elif client and self._requests[client] >= self._most_per_client:
                detail = f"{self._most_per_client} requests of this client are being answered"
                await problem(503, f"{detail} (serve.connections_per_client)", RETRY_LATER)(
                    scope, receive, send
                )
            else:
                self._requests[client] += 1
                try:
                    await app(scope, receive, send)
                finally:
                    self._requests[client] -= 1
                    if not self._requests[client]:
                        del self._requests[client]

        return limited


def _client(address: tuple[str, int] | None) -> str | None:
    """Returns the client of an address: for IPv6 its network of 64 bits; None for this machine."""
    try:
        ip = ip_address(address[0] if address else "")
    except ValueError:
        return None
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    if ip.is_loopback:
        return None
    return str(ip) if ip.version == 4 else ip.packed[:8].hex()
