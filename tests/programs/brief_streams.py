"""`ecl serve` whose streams end after a fifth of a second, for clients that wait for the end of an answer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

from event_count_logger.cli.ecl import ecl
from event_count_logger.web import event_stream

_LENGTH_S = 0.2


async def _brief(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    end = asyncio.get_running_loop().time() + _LENGTH_S
    while True:
        try:
            yield await asyncio.wait_for(anext(chunks), end - asyncio.get_running_loop().time())
        except (asyncio.TimeoutError, StopAsyncIteration):
            return


class _BriefStream(event_stream.EventStream):
    def __init__(self, stream: event_stream.Source) -> None:
        super().__init__(stream)
        self.body_iterator = _brief(stream.chunks())


if __name__ == "__main__":
    event_stream.EventStream = _BriefStream  # type: ignore[misc]
    sys.argv[0] = "ecl"
    ecl()
