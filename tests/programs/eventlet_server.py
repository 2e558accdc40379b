"""Two processes that serve tests/programs/served.py with eventlet, which patches them after the fork.

Usage: eventlet_server.py HOST:PORT [hook]; with `hook`, each process logs an event before it is patched.
Eventlet workers of older gunicorn versions did the same with `--preload`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

from tests.programs import served


def serve(listener: socket.socket) -> None:
    """Serve until SIGTERM, then exit normally."""
    import eventlet
    import eventlet.wsgi
    from eventlet.greenio import GreenSocket

    eventlet.monkey_patch()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    eventlet.wsgi.server(GreenSocket(listener), served.application, log_output=False)
    sys.exit(0)


def main() -> None:
    host, port = sys.argv[1].split(":")
    listener = socket.create_server((host, int(port)), backlog=100)
    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            if sys.argv[2:] == ["hook"]:
                served.log("hook")
            serve(listener)
        pids.append(pid)

    def end_both(*_: object) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end_both)
    for pid in pids:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
