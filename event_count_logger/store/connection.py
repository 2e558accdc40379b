"""Connections that send requests in one packet and parse the replies, without redis-py's work per command.

redis-py connects, authenticates and negotiates TLS and the protocol.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis
from redis.connection import AbstractConnection, DefaultParser
from redis.exceptions import ConnectionError, InvalidResponse, RedisError, ResponseError

from event_count_logger.store.resp import BlockingRequest

try:
    import hiredis
except ImportError:  # not installed, or kept out by `hiredis_guard`
    hiredis = None  # type: ignore[assignment]

#: Bytes that one `recv` returns at most.
_CHUNK = 65_536

#: The parser returns it while a reply is incomplete.
_INCOMPLETE = object()

#: Parsed objects that answer no request: pushed messages, and errors that concern the whole connection.
_NO_REPLIES = (hiredis.PushNotification, ConnectionError) if hiredis else ()


class Connection(AbstractConnection):
    """A connection that Node uses. One thread at a time may use it.

    Attributes:
        is_open: Whether requests can be sent.
        send: Sends bytes; the method `sendall` of the socket.
    """

    is_open = False
    send: Callable[[bytes], None]
    _receive: Callable[[int], bytes]
    _replies: Any = None  # the parser; None where only one of redis-py can be used
    _poll: Any = None

    def open(self) -> None:
        """Connect.

        Raises:
            RedisError: The server cannot be reached, or rejects the connection.
        """
        self.connect()  # type: ignore[no-untyped-call]
        sock: Any = self._sock
        self._replies = self._poll = None
        if hiredis and type(self._parser) is DefaultParser:
            self._replies = hiredis.Reader(
                protocolError=InvalidResponse,
                replyError=self._parser.parse_error,
                notEnoughData=_INCOMPLETE,
            )
            # TLS has a buffer of its own, and gevent and eventlet replace sockets and polls.
            if type(sock) is socket.socket and socket.socket.__module__ == "socket":
                self._poll = select.poll()
                self._poll.register(sock, select.POLLIN)
        self.send, self._receive = sock.sendall, sock.recv
        self.is_open = True

    def disconnect(self, *arguments: Any, **options: Any) -> None:
        """Close the socket; `open` connects again."""
        self.is_open = False
        super().disconnect(*arguments, **options)  # type: ignore[no-untyped-call]

    def is_stale(self) -> bool:
        """Returns whether the server has closed the connection, or has sent an unexpected message."""
        try:
            if self.health_check_interval:
                self.check_health()  # type: ignore[no-untyped-call]
            if self._poll:
                return bool(self._poll.poll(0) or self._replies.has_data())
            return bool(self.can_read())
        except (RedisError, OSError):
            return True
        except AttributeError:  # eventlet removes select.poll, perhaps after redis-py has found it
            return False

    def receive(self, requests: Sequence[bytes]) -> list[Any]:
        """Returns the reply to each request; an error of the server is a reply, too.

        Raises:
            RedisError: The connection is closed, or the server serves no client.
            OSError: The connection is broken, or the time is over.
        """
        if self._replies is None:
            return [self._reply(request) for request in requests]
        replies: list[Any] = []
        sock: Any = self._sock
        try:
            while True:
                awaited = requests[len(replies)]
                if isinstance(awaited, BlockingRequest):
                    sock.settimeout(awaited.timeout_s)
                data = self._receive(_CHUNK)
                if not data:
                    raise ConnectionError("Connection closed by server")
                self._replies.feed(data)
                while (reply := self._replies.gets()) is not _INCOMPLETE:
                    if isinstance(reply, _NO_REPLIES):
                        self._handle(reply)
                        continue
                    replies.append(reply)
                    if len(replies) == len(requests):
                        return replies
        finally:
            if len(requests) > 1:
                sock.settimeout(self.socket_timeout)
            if self.health_check_interval:
                next_check = time.monotonic() + self.health_check_interval
                self.next_health_check = next_check  # type: ignore[assignment]

    def _handle(self, message: Any) -> None:
        if isinstance(message, ConnectionError):
            raise message
        self._parser.handle_push_response(message)

    def _reply(self, request: bytes) -> Any:
        try:
            if isinstance(request, BlockingRequest):
                return self.read_response(timeout=request.timeout_s)
            return self.read_response()
        except ResponseError as error:
            return error.with_traceback(None)  # the other replies are still to be read


class TcpConnection(Connection, redis.Connection):
    """Over TCP."""


class TlsConnection(Connection, redis.SSLConnection):
    """Over TLS."""


class UnixConnection(Connection, redis.UnixDomainSocketConnection):
    """Over a unix socket."""


#: By the class of redis-py that stands in the options of a connection pool.
CONNECTIONS: dict[Any, Callable[..., Connection]] = {
    redis.Connection: TcpConnection,
    redis.SSLConnection: TlsConnection,
    redis.UnixDomainSocketConnection: UnixConnection,
}
