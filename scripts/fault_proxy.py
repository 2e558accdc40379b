"""A TCP proxy before a server that loses replies, delays requests and cuts connections."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from typing import Protocol

#: Host and port, or the path of a unix socket.
Address = tuple[str, int] | str

#: Seconds by which a request is delayed at most. Clients with a shorter `socket_timeout` give up before.
LONGEST_DELAY_S = 1.5

_CLOSE_TIMEOUT_S = 5


class Word(IntEnum):
    """Settings and counts of a proxy, one word each."""

    LOSE = 0  #: requests whose replies are lost from now on
    DELAY = 1  #: requests that are delayed from now on
    LOST = 2  #: replies lost so far
    DELAYED = 3  #: requests delayed so far


class Words(Protocol):
    """A list, or memory that several processes share."""

    def __getitem__(self, at: int, /) -> int: ...

    def __setitem__(self, at: int, value: int, /) -> None: ...


class FaultProxy:
    """Passes bytes between clients and a server. Faults happen to requests that contain `about`.

    A lost reply: the server gets the request, and the connection is cut before its reply reaches the client.
    A delayed request reaches the server even if its client has closed the connection meanwhile.

    Attributes:
        port: The port on 127.0.0.1 where it listens.
        about: Bytes that all requests contain that run a script.
    """

    def __init__(
        self,
        upstream: Callable[[], Address],
        words: Words | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """Starts listening.

        Args:
            upstream: Returns the address of the server, for each new connection.
            words: Memory for the settings and counts, at the places that `Word` names.
            chance: Chooses the length of delays.
        """
        self.about = b"EVALSHA"
        self._upstream = upstream
        self._words: Words = [0] * len(Word) if words is None else words
        self._chance = chance or random.Random()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._is_closed = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._start(self._accept)

    @property
    def lose_replies(self) -> int:
        """Number of requests whose replies are lost from now on."""
        return self._words[Word.LOSE]

    @lose_replies.setter
    def lose_replies(self, n: int) -> None:
        self._words[Word.LOSE] = n

    @property
    def lost(self) -> int:
        """Number of replies lost so far."""
        return self._words[Word.LOST]

    def cut_all(self) -> None:
        """Cut all connections that are open."""
        for sock in tuple(self._sockets):
            self._cut(sock)

    def close(self) -> None:
        self._is_closed = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()
        with self._lock:
            threads = tuple(self._threads)
        for thread in threads:
            thread.join(_CLOSE_TIMEOUT_S)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        def run() -> None:
            target(*arguments)
            self._threads.discard(thread)

        thread = threading.Thread(target=run, daemon=True)
        with self._lock:  # a thread that has not started cannot be waited for
            self._threads.add(thread)
            thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            try:
                server = _connect(self._upstream())
            except OSError:  # the server is down
                client.close()
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets |= {client, server}
            if self._is_closed:  # `close` may not have seen them
                self.cut_all()
                return
            loses_reply = threading.Event()
            self._start(self._pass_requests, client, server, loses_reply)
            self._start(self._pass_replies, server, client, loses_reply)

    def _pass_requests(
        self, client: socket.socket, server: socket.socket, loses_reply: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self.about in data:
                    if self._take(Word.DELAY):
                        self._increment(Word.DELAYED)
                        time.sleep(self._chance.uniform(0, LONGEST_DELAY_S))
                    if self._take(Word.LOSE):
                        loses_reply.set()
                server.sendall(data)
        # Closing it here could drop the bytes that the server has not read yet.
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _pass_replies(
        self, server: socket.socket, client: socket.socket, loses_reply: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if loses_reply.is_set():
                    self._increment(Word.LOST)
                    break
                client.sendall(data)
        self._cut(server)
        self._cut(client)

    def _take(self, word: Word) -> bool:
        with self._lock:
            left = self._words[word]
            self._words[word] = max(0, left - 1)
            return left > 0

    def _increment(self, word: Word) -> None:
        with self._lock:
            self._words[word] += 1

    def _cut(self, sock: socket.socket) -> None:
        self._sockets.discard(sock)
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


def _connect(address: Address) -> socket.socket:
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        return sock
    sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
