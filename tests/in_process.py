"""The HTTP server in this process, without a socket: requests are calls of its ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlencode

from fastapi import FastAPI

from event_count_logger.config import Config
from event_count_logger.store import Store
from event_count_logger.web import api, page, single_flight
from event_count_logger.web.problems import add_error_handlers
from event_count_logger.web.queries import Queries
from event_count_logger.web.security import Access, Guard
from event_count_logger.web.streams import Hub


class Answer(NamedTuple):
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class InProcess:
    """The routes that read counts, and the page. No answer is reused for the next request."""

    def __init__(self, config: Config, store: Store) -> None:
        app = FastAPI()
        add_error_handlers(app)
        self._queries = Queries(config, store)
        app.include_router(api.router(self._queries, Hub(store)))
        app.include_router(page.router(has_token=False))
        self._app = Guard(app, Access())
        self._loop = asyncio.new_event_loop()

    def get(self, path: str, headers: Mapping[str, str] | None = None, **query: Any) -> Answer:
        """Send a GET request; a query parameter is left out if it is None."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._loop.run_until_complete(self._ask(path, urlencode(given), headers or {}))

    def close(self) -> None:
        """End the threads of the server."""
        self._queries.close()
        self._loop.close()

    async def _ask(self, path: str, query: str, headers: Mapping[str, str]) -> Answer:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": unquote(path),
            "raw_path": quote(path, safe="/%").encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": None,
            "server": ("localhost", 80),
        }
        await self._app(scope, receive, send)
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], found, b"".join(each.get("body", b"") for each in sent[1:]))


@contextlib.contextmanager
def serving(config: Config, store: Store) -> Iterator[InProcess]:
    """A server of some groups."""
    kept_s, single_flight._KEPT_S = single_flight._KEPT_S, 0.0
    server = InProcess(config, store)
    yield server
    server.close()
    single_flight._KEPT_S = kept_s
