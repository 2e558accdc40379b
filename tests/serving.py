"""A client of `ecl serve` for tests that count."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.fixtures import Start
from tests.servers import free_port

JSON = "application/json"


class Serving:
    """A running `ecl serve` with a port of its own, which can be killed and restarted."""

    def __init__(
        self, start: Start, file: Path, *options: object, command: tuple[object, ...] = ("ecl",)
    ) -> None:
        """`command` has the subcommands of `ecl`."""
        self.port = free_port()
        self._start = start
        self._command = (*command, "serve", file, "--listen", f"127.0.0.1:{self.port}", *options)
        self.start()

    def start(self) -> None:
        self.process = self._start(*self._command)
        assert self.process.stderr
        line = self.process.stderr.readline()
        assert "Serving at" in line, line

    def stop(self) -> str:
        """Stop the server and return its log."""
        self.process.terminate()
        _, log = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return log

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def post(self, path: str, body: Any, media_type: str = JSON, **headers: Any) -> tuple[int, Any]:
        """Send a POST request, as JSON unless the body is bytes; return status and parsed body or None."""
        status, content, _ = self.ask("POST", path, body, Content_Type=media_type, **headers)
        return status, json.loads(content) if content else None

    def ask(
        self, method: str, path: str, body: Any = None, timeout_s: float = 20, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """Send a request; return status, body and headers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, content, named)
            response = connection.getresponse()
            return response.status, response.read(), dict(response.headers)
        finally:
            connection.close()
