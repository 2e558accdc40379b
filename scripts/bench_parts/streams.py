"""Memory and CPU time of a running `ecl serve` with many open streams, some of which are not read."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

#: Bytes that the kernel keeps for a client that does not read.
_SLOW_BUFFER = 4096

#: Bytes of one read.
_CHUNK = 1 << 16

#: Seconds between two changes.
_STEP_S = 0.5


@dataclass(frozen=True, slots=True)
class StreamCosts:
    """Costs of streams in the server.

    Attributes:
        mb_before: Resident memory before the first stream, in MB (1,000,000 bytes).
        mb_most: The largest resident memory with all streams open, in MB.
        cpu_share: CPU time of the process per second, with all streams open.
        mb_received: Data that all clients have received, in MB.
    """

    mb_before: float
    mb_most: float
    cpu_share: float
    mb_received: float


def measure(
    pid: int,
    port: int,
    paths: Sequence[str],
    n: int,
    n_slow: int,
    for_s: float,
    change: Callable[[], object],
) -> StreamCosts:
    """Open streams, and read from them while the counts change.

    Args:
        pid: The process of the server.
        port: Its port on this machine.
        paths: Paths of streams, taken in turn.
        n: Number of streams.
        n_slow: Number of streams, of these, that are opened and never read.
        for_s: Seconds to read.
        change: Called each half second: changes counts.
    """
    before = resident_mb(pid)
    with ExitStack() as stack:
        clients = [stack.enter_context(_open(port, paths[at % len(paths)], at < n_slow)) for at in range(n)]
        poll = stack.enter_context(selectors.DefaultSelector())
        for client in clients[n_slow:]:
            poll.register(client, selectors.EVENT_READ)
        cpu_before, began = _cpu_s(pid), time.monotonic()
        most, received = before, 0
        while (now := time.monotonic()) < began + for_s:
            change()
            received += _read_until(poll, now + _STEP_S)
            most = max(most, resident_mb(pid))
        cpu_share = (_cpu_s(pid) - cpu_before) / (time.monotonic() - began)
    return StreamCosts(before, most, cpu_share, received / 1e6)


def _open(port: int, path: str, is_slow: bool) -> socket.socket:
    client = socket.socket()
    if is_slow:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SLOW_BUFFER)
    client.connect(("127.0.0.1", port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\n\r\n".encode())
    return client


def _read_until(poll: selectors.BaseSelector, end: float) -> int:
    """Returns the number of bytes that all clients have received."""
    n = 0
    while (left_s := end - time.monotonic()) > 0:
        for key, _ in poll.select(left_s):
            assert isinstance(key.fileobj, socket.socket)
            some = key.fileobj.recv(_CHUNK)
            assert some, "the server has closed a stream"
            n += len(some)
    return n


def resident_mb(pid: int) -> float:
    """Returns the resident memory of a process (VmRSS), in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024 / 1e6


def _cpu_s(pid: int) -> float:
    """Returns the CPU seconds of a process, in user and in kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
