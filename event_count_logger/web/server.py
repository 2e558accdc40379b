"""Runs the application until a signal comes."""

from __future__ import annotations

import signal
import socket
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from event_count_logger.web.streams import Hub

#: Connections; each open stream is one. Systems allow a process 1024 open files if nobody says otherwise.
_MOST_CONNECTIONS = 900

#: Bytes of the first line and the headers of a request together.
_LONGEST_HEAD = 16 << 10

#: Seconds for what is still being answered when the server is to stop.
_LAST_ANSWERS_S = 1


def run(app: ASGIApp, hub: Hub, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends the process at once."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http="h11",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        h11_max_incomplete_event_size=_LONGEST_HEAD,
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
    )
    # uvicorn raises the signal once more when it has stopped.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    _Server(config, hub).run([listener])


class _Server(uvicorn.Server):
    """Ends the streams before it waits for the last answers."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal of any kind stops gracefully."""
        super().handle_exit(sig, frame)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop answering."""
        self._hub.end()
        await super().shutdown(sockets)
