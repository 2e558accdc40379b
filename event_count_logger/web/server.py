"""Runs the application until a signal comes."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from event_count_logger.web.connections import ConnectionLimits
from event_count_logger.web.framing import Framing
from event_count_logger.web.streams import Hub

#: Bytes that are parsed without a break for other connections.
_LONGEST_PIECE = 4 << 10

#: Seconds for a request to arrive.
_LONGEST_REQUEST_S = 5

#: Seconds for what is still being answered when the server is to stop.
_LAST_ANSWERS_S = 1


def run(
    app: ASGIApp,
    hub: Hub,
    listener: socket.socket,
    connections: ConnectionLimits,
    on_step: Callable[[], object],
    on_stop: Callable[[], object],
) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends the process at once.

    Args:
        app: What answers.
        hub: Its streams.
        listener: Where it listens.
        connections: Limits how many there may be.
        on_step: Is called between answers, every second or so.
        on_stop: Is called when it is to stop.
    """

    async def step() -> None:
        on_step()

    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # below that it tells of every malformed request
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        loop="asyncio",  # uvloop reads up to 32 pieces of one connection before it looks at another one
        ws="none",
        http=partial(_Connection, connections),  # type: ignore[arg-type]
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
        callback_notify=step,
        timeout_notify=0,
    )
    server = _Server(config, hub, on_stop)

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # Before uvicorn has its own handlers in place; and when it has ended, it raises the signal once more.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run([listener])


class _Server(uvicorn.Server):
    """Ends the streams before it waits for the last answers."""

    def __init__(self, config: uvicorn.Config, hub: Hub, on_stop: Callable[[], object]) -> None:
        super().__init__(config)
        self._hub = hub
        self._on_stop = on_stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal of any kind stops gracefully."""
        super().handle_exit(sig, frame)
        self._on_stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop answering."""
        self._hub.end()
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # that answers are cut off is no news now
        await super().shutdown(sockets)


class _Connection(H11Protocol, asyncio.BufferedProtocol):
    """Closes a connection on which no request arrives, or only part of one: uvicorn itself waits for ever.

    It takes what arrives in small pieces, so that a large body does not delay other connections.
    """

    _piece = memoryview(bytearray(_LONGEST_PIECE))  # of all connections: it is copied as soon as it is filled

    def __init__(self, connections: ConnectionLimits, **settings: Any) -> None:
        super().__init__(**settings)
        self.conn = Framing()
        self._connections = connections

    @property
    def is_idle(self) -> bool:
        """See `connections.Connection`."""
        return self.cycle is None or self.cycle.response_complete

    def drop(self) -> None:
        """See `connections.Connection`."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._connections.add(self)
        self._schedule_check()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.remove(self)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._connections.mark_idle(self)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer a malformed request and close; without an answer if it has one already."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        if not self.is_idle:
            self.cycle.disconnected = True  # the application must not answer, too
        super().send_400_response(msg)

    def get_buffer(self, sizehint: int) -> memoryview:
        """See `asyncio.BufferedProtocol`."""
        return self._piece

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        self.data_received(bytes(self._piece[:nbytes]))

    def _schedule_check(self) -> None:
        self.loop.call_later(_LONGEST_REQUEST_S, self._check_progress, self.cycle)

    def _check_progress(self, cycle_before: RequestResponseCycle | None) -> None:
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY) and self.cycle is cycle_before:
            self.transport.abort()
        if not self.transport.is_closing():
            self._schedule_check()
