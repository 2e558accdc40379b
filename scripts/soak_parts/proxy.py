"""The fault proxy of scripts/soak --one-server: a process that leads the process group.

The settings and counts of the proxy are the control words of the shared memory. The proxy kills the process
group when its standard input ends.

Usage: python -m soak_parts.proxy SHARED_MEMORY PORT_FILE SERVER_SOCKET SEED
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

from fault_proxy import FaultProxy

from soak_parts.groups import GROUPS
from soak_parts.shared_memory import CUT, SharedMemory

_LOOK_S = 0.01


def main(memory_file: str, port_file: str, server_socket: str, seed: str) -> None:
    words = SharedMemory(Path(memory_file), [*GROUPS]).words
    proxy = FaultProxy(lambda: server_socket, words, random.Random(seed))
    threading.Thread(target=_cut_when_requested, args=(proxy, words), daemon=True).start()
    unfinished = Path(port_file).with_suffix(".new")
    unfinished.write_text(str(proxy.port))
    unfinished.rename(port_file)
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)


def _cut_when_requested(proxy: FaultProxy, words: memoryview[int]) -> None:
    n_cut = 0
    while True:
        time.sleep(_LOOK_S)
        if words[CUT] != n_cut:
            n_cut = words[CUT]
            proxy.cut_all()


if __name__ == "__main__":
    main(*sys.argv[1:])
