"""Runs a real program, while a thread answers questions about its memory.

Usage: python -m growth_parts.watched SOCKET (master | worker) CONFIG

SOCKET is the number of an open socket. Each line on it is a request in JSON: the name of a public method of
`Watch`. Each answer is a line, too.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import tracemalloc
from typing import Any

from event_count_logger.cli.entry_points import run_ecl_master
from growth_parts import measures, worker


class Watch:
    """Answers questions about this process."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._connections = 0
        sys.addaudithook(self._note)
        threading.Thread(target=self._answer_all, daemon=True).start()

    def connections(self) -> int:
        """Connections made so far; each but the first few replaces one that broke."""
        return self._connections

    def memory(self) -> dict[str, int]:
        return measures.memory()

    def trace(self) -> None:
        """Start recording where memory is allocated."""
        tracemalloc.start()

    def details(self) -> dict[str, dict[str, int]]:
        return measures.details()

    def logged(self) -> dict[str, int]:
        """End the worker; returns its counts by group and event."""
        return worker.end()

    def _note(self, event: str, arguments: Any) -> None:
        if event == "socket.connect":
            self._connections += 1

    def _answer_all(self) -> None:
        with self._sock, self._sock.makefile("rw") as stream:
            for request in stream:
                answer = getattr(self, json.loads(request))()
                print(json.dumps(answer), file=stream, flush=True)


def main(number: str, program: str, config_file: str) -> None:
    sock = socket.socket(fileno=int(number))
    sock.set_inheritable(False)
    Watch(sock)
    if program == "worker":
        worker.main(config_file)
    else:
        sys.argv = ["ecl_master", config_file]
        run_ecl_master()


if __name__ == "__main__":
    main(*sys.argv[1:])
