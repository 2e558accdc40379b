"""A response with server-sent events.

Format: html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Source(Protocol):
    """A stream of one client."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Returns the bytes of the response."""

    def close(self) -> None:
        """End the stream."""


def described_events(schemas: Mapping[str, dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
    """Returns the responses of a stream for its OpenAPI description.

    Args:
        schemas: The schema of the data of each kind of event.
    """
    kinds = [
        {
            "type": "object",
            "properties": {
                "event": {"const": event},
                "id": {"type": "string"},
                "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": schema},
            },
            "required": ["event", "data"],
        }
        for event, schema in schemas.items()
    ]
    content = {"text/event-stream": {"schema": {"oneOf": kinds}}}
    return {200: {"description": "Server-sent events", "content": content}}


#: Bytes given to the connection at once. It buffers little more for a client that does not read.
_PIECE = 16 << 10


class EventStream(StreamingResponse):
    """A response that closes its stream even if sending fails."""

    def __init__(self, stream: Source) -> None:
        super().__init__(_in_pieces(stream.chunks()), media_type="text/event-stream")
        # Turns off the buffering of nginx (nginx.org/en/docs/http/ngx_http_proxy_module.html).
        self.headers["X-Accel-Buffering"] = "no"
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.close()


async def _in_pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        for at in range(0, len(chunk), _PIECE):
            yield chunk[at : at + _PIECE]
