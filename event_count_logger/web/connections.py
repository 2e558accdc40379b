"""Limits of open connections and of concurrent requests, in total and per client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from event_count_logger.config import Config
from event_count_logger.web import paths
from event_count_logger.web.problems import RETRY_LATER, problem

#: Most open connections. The usual limit of a process is 1024 open files.
_MOST_CONNECTIONS = 900

#: Most concurrent requests; each open stream is one. The remaining connections are for requests about the
#: state of the server, which are answered under any load.
_MOST_REQUESTS = 850


class HttpConnection(Protocol):
    """A connection that can be dropped."""

    @property
    def client(self) -> tuple[str, int] | None:
        """Address and port of the client; None for a connection without an address."""

    @property
    def is_idle(self) -> bool:
        """True while the connection has no open request."""

    def drop(self) -> None:
        """Close the connection at once."""


class ConnectionLimits:
    """The open connections and their limits.

    At a limit, a new connection replaces the one that has been idle for longest. Clients of this machine have
    no limit of their own, because a reverse proxy may be one of them.
    """

    def __init__(self, config: Config) -> None:
        #: Client of each connection; the last connection to become idle is the last entry.
        self._open: dict[HttpConnection, str | None] = {}
        self._requests: Counter[str | None] = Counter()
        self.use(config)

    def use(self, config: Config) -> None:
        """Use the limits of another configuration."""
        self._most_per_client = config.serve.connections_per_client or _MOST_CONNECTIONS

    def add(self, connection: HttpConnection) -> None:
        """Add a new connection: an idle one may be dropped for it. If all are busy, drop the new one."""
        client = _client(connection.client)
        of_client = [each for each, known in self._open.items() if known == client]
        if client and len(of_client) >= self._most_per_client:
            self._drop_idle(of_client)
        if len(self._open) >= _MOST_CONNECTIONS and not self._drop_idle(self._open):
            connection.drop()
        else:
            self._open[connection] = client

    def mark_idle(self, connection: HttpConnection) -> None:
        """Record that a connection has become idle."""
        if connection in self._open:
            self._open[connection] = self._open.pop(connection)

    def remove(self, connection: HttpConnection) -> None:
        """Remove a closed connection."""
        self._open.pop(connection, None)

    def _drop_idle(self, connections: Iterable[HttpConnection]) -> bool:
        for connection in connections:
            if connection.is_idle:
                self.remove(connection)
                connection.drop()
                return True
        return False

    def limited(self, app: ASGIApp) -> ASGIApp:
        """Returns an application that calls `app`, or answers 503 above the limits of concurrent requests."""

        async def limited(scope: Scope, receive: Receive, send: Send) -> None:
            client = _client(scope.get("client"))
            if scope["type"] != "http" or scope["path"] in paths.STATE:
                await app(scope, receive, send)
            elif self._requests.total() >= _MOST_REQUESTS:
                await problem(503, "the server has too many open requests", RETRY_LATER)(scope, receive, send)
            elif client and self._requests[client] >= self._most_per_client:
                detail = f"this client has {self._most_per_client} open requests"
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
    """Returns the client of an address: for IPv6 its /64 network, for this machine None."""
    try:
        ip = ip_address(address[0] if address else "")
    except ValueError:
        return None
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    if ip.is_loopback:
        return None
    return str(ip) if ip.version == 4 else ip.packed[:8].hex()
