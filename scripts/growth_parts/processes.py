"""Starts the processes of scripts/growth and sends them requests."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

_SCRIPTS = Path(__file__).resolve().parent.parent

#: Seconds for one answer. A snapshot of all allocations takes long, and so does the end of a worker.
_TIMEOUT_S = 120


class Watched:
    """A process that runs `growth_parts.watched`."""

    def __init__(self, name: str, config_file: Path, log: Any) -> None:
        self.name = name
        ours, theirs = socket.socketpair()
        ours.settimeout(_TIMEOUT_S)
        self._stream = ours.makefile("rw")
        with theirs:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "growth_parts.watched"),
                    *(str(theirs.fileno()), name, config_file),
                ],
                cwd=_SCRIPTS,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
            )

    def ask(self, request: str) -> Any:
        print(json.dumps(request), file=self._stream, flush=True)
        line = self._stream.readline()
        if not line:
            raise RuntimeError(f"the {self.name} has ended with status {self.process.wait()} (see --keep)")
        return json.loads(line)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Leaver:
    """A process that runs `growth_parts.leaver`."""

    def __init__(self, config_file: Path, log: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "growth_parts.leaver", config_file],
            cwd=_SCRIPTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )

    def leave(self, number: int) -> None:
        assert self._process.stdin
        assert self._process.stdout
        print(number, file=self._process.stdin, flush=True)
        if not self._process.stdout.readline():
            raise RuntimeError("no spool files can be left behind (see --keep)")

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()
