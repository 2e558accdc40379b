"""The server process: uvicorn with limits on connections, and a graceful stop on signals."""

from __future__ import annotations

import asyncio
import gc
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

#: Bytes parsed at once, before other connections get their turn.
_LONGEST_PIECE = 4 << 10

#: Seconds within which a request must arrive.
_LONGEST_REQUEST_S = 5

#: Seconds that open requests get when the server stops.
_LAST_ANSWERS_S = 1


def run(
    app: ASGIApp,
    end_streams: Callable[[], object],
    listener: socket.socket,
    connections: ConnectionLimits,
    on_start: Callable[[], object],
    on_step: Callable[[], object],
    on_stop: Callable[[], object],
) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the process at once.

    Args:
        app: Application that answers requests.
        end_streams: Ends all streams of the application.
        listener: Listening socket.
        connections: Limits of connections.
        on_start: Called once the handlers of the signals are installed.
        on_step: Called about every second.
        on_stop: Called at the first signal.
    """

    async def step() -> None:
        on_step()

    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # its warnings are about malformed requests
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        loop="asyncio",  # uvloop reads up to 32 pieces of one connection before it serves another one
        ws="none",
        http=partial(_Connection, connections),  # type: ignore[arg-type]
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
        callback_notify=step,
        timeout_notify=0,
    )
    server = _Server(config, end_streams, on_stop)

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # These handlers cover the start, before uvicorn installs its own, and the end, when it raises the signal
    # again.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    on_start()
    gc.collect()
    gc.freeze()  # modules and routes: each full collection would visit all of their objects
    server.run([listener])


class _Server(uvicorn.Server):
    """A server that ends the streams before it waits for open requests."""

    def __init__(
        self, config: uvicorn.Config, end_streams: Callable[[], object], on_stop: Callable[[], object]
    ) -> None:
        super().__init__(config)
        self._end_streams = end_streams
        self._on_stop = on_stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop gracefully; restore the default action for the next signal."""
        super().handle_exit(sig, frame)
        self._on_stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then stop."""
        self._end_streams()
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # hides errors about cancelled requests
        await super().shutdown(sockets)


class _Connection(H11Protocol, asyncio.BufferedProtocol):
    """A connection that is closed if no complete request arrives in time: uvicorn itself waits for ever.

    It reads in small pieces, so that a large body does not delay other connections.
    """

    _piece = memoryview(bytearray(_LONGEST_PIECE))  # shared by all connections: copied once it is filled

    def __init__(self, connections: ConnectionLimits, **settings: Any) -> None:
        super().__init__(**settings)
        self.conn = Framing()
        self._connections = connections

    @property
    def is_idle(self) -> bool:
        """See `HttpConnection`."""
        return self.cycle is None or self.cycle.response_complete

    def drop(self) -> None:
        """See `HttpConnection`."""
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
        """Answer a malformed request and close the connection; only close it if an answer was started."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        if not self.is_idle:
            self.cycle.disconnected = True  # keeps the application from sending a second answer
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
