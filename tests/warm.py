"""A process that has imported the libraries of the commands, and forks for each command to run.

Half of the CPU time of a short command is the import of redis-py. The modules of this project are imported by
each command itself, as in any other process.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from signal import SIGKILL
from tempfile import TemporaryFile

#: Variables that Python reads when it starts. A command with other values needs a process of its own.
_AT_START = ("PYTHON", "LC_", "LANG", "COV")

#: Seconds until the process has imported the libraries.
_START_S = 60

_SERVER = """
import json, os, runpy, socket, sys
import apscheduler.schedulers.background, click, redis, yaml
requests = socket.socket(fileno=int(sys.argv[1]))
while True:
    request, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, 2)
    if not request:
        os._exit(0)
    child = os.fork()
    if not child:
        break
    for descriptor in descriptors:
        os.close(descriptor)
    requests.send(b"%d" % child)
    requests.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
requests.close()
for number, descriptor in enumerate(descriptors, 1):
    os.dup2(descriptor, number)
    os.close(descriptor)
arguments, environment, directory = json.loads(request)
os.environ.clear()
os.environ.update(environment)
os.chdir(directory)
sys.argv[:] = arguments
runpy.run_path(arguments[0], run_name="__main__")
"""


class WarmProcess:
    """Runs the scripts of a virtual environment in forks of one process, one at a time."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._environment = _at_start(dict(os.environ))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SERVER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    def can_run(self, environment: dict[str, str]) -> bool:
        """Returns whether a command with these variables needs no process of its own."""
        return _at_start(environment) == self._environment

    def run(
        self, arguments: list[str], environment: dict[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a script to its end, as `subprocess.run` does, without input."""
        request = json.dumps([arguments, environment, os.getcwd()], default=str).encode()
        with self._turn, TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
            socket.send_fds(self._socket, [request], [output.fileno(), errors.fileno()])
            self._socket.settimeout(_START_S)
            pid = int(self._socket.recv(64))
            self._socket.settimeout(timeout_s)
            try:
                status = int(self._socket.recv(64))
            except TimeoutError as error:
                os.kill(pid, SIGKILL)
                self._socket.settimeout(_START_S)
                self._socket.recv(64)
                raise subprocess.TimeoutExpired(arguments, timeout_s) from error
            texts = []
            for file in (output, errors):
                file.seek(0)
                texts.append(file.read())
            return subprocess.CompletedProcess(arguments, status, *texts)

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.wait()


def _at_start(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_AT_START)}
