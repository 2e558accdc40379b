"""HTTP/1.1 framing by h11. Rejects bodies of tiny chunks, and requests that have two lengths."""

from __future__ import annotations

from typing import Any

import h11

#: Bytes of the head of a request: its first line and all headers.
LONGEST_HEAD = 16 << 10

#: Number of chunks of a body that may be of any size. Parsing them takes a few milliseconds.
_FREE_CHUNKS = 100

#: Least average size of chunks, in bytes, of a body with more chunks.
_SMALLEST_CHUNK = 64


class Framing(h11.Connection):
    """The server's end of a connection. A rejected request is answered 400, and its connection is closed."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, LONGEST_HEAD)
        self._chunks = self._content = 0

    def next_event(self) -> Any:
        """See `h11.Connection`.

        Raises:
            h11.RemoteProtocolError: The request is malformed, has both `Content-Length` and
                `Transfer-Encoding` (RFC 9112, section 6.3), or a body of tiny chunks.
        """
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._content = 0
            if {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:
                raise h11.RemoteProtocolError("two lengths")
        elif isinstance(event, h11.Data):
            if event.chunk_start:
                if self._chunks >= _FREE_CHUNKS and self._content < self._chunks * _SMALLEST_CHUNK:
                    raise h11.RemoteProtocolError("tiny chunks")
                self._chunks += 1
            self._content += len(event.data)
        return event
