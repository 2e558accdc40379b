"""Stands between the programs that count and the server: loses answers, delays requests, cuts connections.

Usage: python -m soak_parts.proxy PAGE PORT_FILE SERVER_SOCKET SEED

When its standard input ends, it ends, and with it the whole process group.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path

from soak_parts.page import Control, Page

#: Seconds for which a request is held back, at most; whoever waits for the answer gives up before.
LONGEST_DELAY_S = 1.5

_LOOK_S = 0.01


class Proxy:
    def __init__(self, page: Page, server: str, seed: int) -> None:
        self._control = page.control
        self._server = server
        self._some = random.Random(seed)
        self._open: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Of one client."""
        try:
            from_server, to_server = await asyncio.open_unix_connection(self._server)
        except OSError:
            writer.close()
            return
        both = {writer, to_server}
        self._open |= both
        doomed = asyncio.Event()
        requests = asyncio.create_task(self._pass_requests(reader, to_server, doomed))
        await self._pass_answers(from_server, writer, doomed)
        _cut(both)
        await requests
        self._open -= both

    async def _pass_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                is_script = b"EVALSHA" in data
                if is_script and self._take(Control.DELAY):
                    self._control[Control.DELAYED] += 1
                    await asyncio.sleep(self._some.uniform(0, LONGEST_DELAY_S))
                if is_script and self._take(Control.LOSE):
                    doomed.set()
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

    async def _pass_answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if doomed.is_set():
                    self._control[Control.LOST] += 1
                    return
                writer.write(data)
                await writer.drain()

    def _take(self, what: Control) -> bool:
        left = self._control[what]
        self._control[what] = max(0, left - 1)
        return left > 0

    async def cut_when_told(self) -> None:
        done = 0
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._control[Control.CUT] != done:
                done = self._control[Control.CUT]
                _cut(self._open)


def _cut(writers: set[asyncio.StreamWriter]) -> None:
    for writer in tuple(writers):
        writer.transport.abort()


async def main(page_file: str, port_file: str, server: str, seed: str) -> None:
    proxy = Proxy(Page(Path(page_file)), server, int(seed))
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    unfinished = Path(port_file).with_suffix(".new")
    unfinished.write_text(str(listening.sockets[0].getsockname()[1]))
    unfinished.rename(port_file)
    cutting = asyncio.create_task(proxy.cut_when_told())
    await asyncio.to_thread(sys.stdin.read)
    cutting.cancel()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
