"""statsd: a packet per count, to a socket that is never read."""

from __future__ import annotations

import socket

import statsd

from bench_parts.libraries import Call, event_names


class Library:
    def __init__(self, kind: str, port: int, folder: str) -> None:
        self._receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._receiver.bind(("127.0.0.1", 0))

    def call(self, name: str, events: int, intervals: int) -> Call:
        client = statsd.StatsClient(*self._receiver.getsockname())
        if events == 1:
            return Call('target.incr("e")', client)
        return Call("target.incr(each)", client, event_names(events))
